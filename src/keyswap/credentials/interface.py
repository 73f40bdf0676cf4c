"""What every source of a credential promises."""

from dataclasses import dataclass, field
from typing import Protocol

from keyswap.errors import CredentialError


class Absent(CredentialError):
    """There is no value at all: the variable is not set, the file does not exist, or it is empty.

    The one error that `optional: true` excuses; a value that is there and cannot be trusted is always an error.
    """


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a source looks like from outside. Equal stamps, both settled: nothing was written in between."""

    marks: tuple[int, ...] = ()
    settled: bool = field(default=True, compare=False)
    """The last write is long enough ago that it is whole, and that a later one will show in the marks."""


class Source(Protocol):
    """Where one credential's value comes from. Every method raises CredentialError, and never quotes the value.

    Equal sources read the same value at the same moment.
    """

    @property
    def name(self) -> str:
        """The reference it was made from: `env:NAME`, `file:/absolute/path`."""

    def stamp(self) -> Stamp:
        """A cheap look, without reading."""

    def read(self) -> bytes:
        """The value as it stands there, not cleaned."""
