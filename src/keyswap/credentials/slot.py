"""One source, watched.

Theory of operation. At most every 50 ms the source is looked at from outside (one stat for a file):

| the look                        | what happens                                                                |
|---------------------------------|-----------------------------------------------------------------------------|
| as before                       | nothing                                                                     |
| changed, settled, read is clean | it is the value from now on                                                 |
| changed a moment ago            | counts as failing where there is an earlier value: it may be half written   |
| missing, unreadable, unclean    | counts as failing                                                           |
| failing for less than a second  | the last good value: a rotation may empty a file before it writes it        |
| failing for longer              | CredentialError, until the source is good again (S22)                       |
"""

from dataclasses import dataclass

from keyswap.credentials.clean import clean
from keyswap.credentials.interface import Absent, Source, Stamp
from keyswap.errors import CredentialError
from keyswap.secret import Secret

LOOK_EVERY = 0.05
"""Seconds between two looks at a source."""
GRACE = 1.0
"""Seconds for which the last good value stands in for a failing source."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source has no usable value. An exception would do, but for the frames that hang on it."""

    what: str
    todo: str
    since: float
    """When it was first seen failing, in seconds of the caller's clock."""
    absent: bool
    """There is no value at all, rather than one that cannot be used."""


class Slot:
    """The last good value of `source`, and whether it may still be used.

    `before` is the slot that watched an equal source until now: what it knows is taken over.
    """

    __slots__ = ("_stamp", "failure", "looked_at", "secret", "source", "warnings")

    def __init__(self, source: Source, before: "Slot | None" = None) -> None:
        self.source = source
        self.looked_at = float("-inf")
        self.secret: Secret | None = before.secret if before else None
        self.failure: Failure | None = before.failure if before else None
        self.warnings: tuple[str, ...] = before.warnings if before else ()
        self._stamp: Stamp | None = before._stamp if before else None

    def look(self, now: float) -> Secret | None:
        """Look at the source; the value, where it was read again. Never raises."""
        self.looked_at = now
        try:
            secret = self._read_again()
        except CredentialError as error:
            since = self.failure.since if self.failure else now
            self.failure = Failure(error.what, error.todo, since, isinstance(error, Absent))
            return None
        self.failure = None
        return secret

    def failed(self, now: float) -> Failure | None:
        """Why there is nothing to use now, or None."""
        failure = self.failure
        if failure is not None and self.secret is not None and now - failure.since < GRACE:
            return None
        return failure

    def _read_again(self) -> Secret | None:
        stamp = self.source.stamp()
        if self.secret is not None:
            if self._stamp is not None and self._stamp.settled and self._stamp == stamp:
                return None
            if not stamp.settled:
                raise CredentialError(f"{self.source.name} is being written", "write it once, then leave it alone")
        secret, warnings = clean(self.source.read())
        if self.source.stamp() != stamp:
            raise CredentialError(f"{self.source.name} changed while it was read", "write it once, then leave it alone")
        self.secret, self.warnings, self._stamp = secret, warnings, stamp
        return secret
