"""Errors: what happened, where, and what to do about it.

Every error that can reach a person is a subclass of `Error`, one a room. Its text is built from facts the room states
itself; the text of a foreign exception (which may quote a value) never becomes part of it.
"""


class Error(Exception):
    """Something a person has to act on.

    `what` says what happened, in words that hold no secret; `todo` says what to do next, or is empty.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what, todo)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what}: {self.todo}" if self.todo else self.what


class SettingsError(Error):
    """A process option is missing, malformed or contradicts another."""


class StoreError(Error):
    """The state directory or its database cannot be used."""


class IdentityError(Error):
    """A session cannot be minted, found or changed as asked."""


class PolicyError(Error):
    """The policy cannot be read, or says something that has no safe meaning."""


class CredentialError(Error):
    """A credential's source has no usable value."""


class RewriteError(Error):
    """A request or an answer cannot be rewritten without guessing."""


class AuditError(Error):
    """An audit record cannot be written, or a chain does not verify."""


class CertificateError(Error):
    """The certificate authority is missing, unreadable or unsuitable."""
