"""A value from a variable of this process."""

import os
import re
from collections.abc import Mapping

from keyswap.credentials.interface import Absent, Stamp
from keyswap.errors import CredentialError
from keyswap.secret import Secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class EnvSource:
    """The variable `name` as it stands in `environ` when this is made; it is not looked up again."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        if not _NAME.fullmatch(name):
            # Not quoted: somebody may have written the key itself here.
            raise CredentialError("what follows env: is not a variable's name", "write for example env:OPENAI_API_KEY")
        self._name = name
        self._value = Secret(os.fsencode(environ[name])) if name in environ else None

    @property
    def name(self) -> str:
        return f"env:{self._name}"

    def __repr__(self) -> str:
        return f"EnvSource({self._name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnvSource) and self._name == other._name and self._value == other._value

    __hash__ = None  # type: ignore[assignment]  # as of the Secret inside

    def stamp(self) -> Stamp:
        return Stamp()

    def read(self) -> bytes:
        if self._value is None:
            raise Absent(f"the variable {self._name} is not set", f"set {self._name} where keyswap is started")
        return self._value.reveal()
