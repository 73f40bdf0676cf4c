"""A real value that does not print."""

import hmac
from typing import NoReturn


class Secret:
    """The bytes of a real key; prints as `***`, compares in constant time, and is never pickled, hashed or formatted.

    `reveal()` is the only way out, and is called in `rewrite/` and `credentials/` only (a test holds that).
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The real bytes. Keep them in a local, and never in a message, a log field or an exception."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    # Hash tables compare in variable time and print their keys; a fingerprint is the key to use.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __len__(self) -> int:
        return len(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied")
