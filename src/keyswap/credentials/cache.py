"""The keyring: the last good value of every credential, for the cost of a dictionary look-up a request.

A slot watches a source (slot.py), a history counts the versions that came out of it (history.py); the keyring holds
one of each a credential. All of it runs on one thread.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from keyswap.credentials.history import History, Value
from keyswap.credentials.interface import Source
from keyswap.credentials.slot import LOOK_EVERY, Failure, Slot
from keyswap.errors import CredentialError
from keyswap.exchange import CredentialName
from keyswap.secret import Secret

Slots = Mapping[CredentialName, Slot]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one credential has no usable value."""

    credential: CredentialName
    source: str
    what: str
    todo: str

    def __str__(self) -> str:
        what = f"credential {self.credential} ({self.source}): {self.what}"
        return f"{what}: {self.todo}" if self.todo else what


class CredentialErrors(CredentialError):
    """Credentials have no usable value; prints one problem a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Keyring:
    """The values of `sources`, each kept up to date.

    `fingerprint_key` keys the fingerprints; `clock` tells seconds that never go back. Sources are read when this is
    made; one without a value is no error yet: ask `check`.
    """

    def __init__(
        self, sources: Mapping[CredentialName, Source], *, fingerprint_key: bytes, clock: Callable[[], float]
    ) -> None:
        self._key = fingerprint_key
        self._clock = clock
        self._histories: dict[CredentialName, History] = {}
        self._slots: Slots = {}
        self.replace(sources)

    def check(self, optional: Collection[CredentialName] = ()) -> None:
        """Raise CredentialErrors, all problems at once, unless every credential has a usable value (S31).

        One of `optional` may be absent; what is there and cannot be used is a problem even so.
        """
        now = self._clock()
        for name, slot in self._slots.items():
            self._look(slot, self._histories[name], now)
        _check(self._slots, optional, now)

    def current(self, name: CredentialName) -> Value:
        """The value to release now; raises CredentialError where there is none (S22)."""
        slot = self._slots.get(name)
        if slot is None:
            raise CredentialError(f"no credential is called {name}")
        now = self._clock()
        history = self._histories[name]
        if now - slot.looked_at >= LOOK_EVERY:
            self._look(slot, history, now)
        failure = slot.failed(now)
        value = history.latest
        if failure is not None or value is None:
            raise _unavailable(name, failure)
        history.used = True
        return value

    def recent(self, name: CredentialName) -> tuple[Secret, ...]:
        """What an answer may quote: the latest value, and every one released in the last 24 hours (S26).

        The same tuple as last time where nothing changed; empty for a credential that never had a value.
        """
        history = self._histories.get(name)
        return history.recent(self._clock()) if history else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unwise about the values in use, without quoting them."""
        return tuple(
            f"credential {name} ({slot.source.name}): the value {words}"
            for name, slot in self._slots.items()
            for words in slot.warnings
        )

    def replace(
        self, sources: Mapping[CredentialName, Source], *, optional: Collection[CredentialName] | None = None
    ) -> None:
        """Use these sources from now on; a value that stays the same keeps its version.

        With `optional` the new ones are checked first, as `check` does: all of them are taken or, when that raises
        CredentialErrors, none. Without it they are taken as they are.
        """
        now = self._clock()
        slots = {name: self._slot_for(name, source) for name, source in sources.items()}
        for slot in slots.values():
            slot.look(now)
        if optional is not None:
            _check(slots, optional, now)
        for name, history in self._histories.items():
            if name not in slots or slots[name].secret is None:
                history.retire(now)
        for name, slot in slots.items():
            history = self._histories.setdefault(name, History(partial(self._fingerprint, name)))
            if slot.secret is not None:
                history.adopt(slot.secret, now)
        self._slots = slots

    def _slot_for(self, name: CredentialName, source: Source) -> Slot:
        # A reload may fall into the middle of a rotation: an equal source keeps what is known about it.
        before = self._slots.get(name)
        return Slot(source, before if before is not None and before.source == source else None)

    def _look(self, slot: Slot, history: History, now: float) -> None:
        secret = slot.look(now)
        if secret is not None:
            history.adopt(secret, now)

    def _fingerprint(self, name: CredentialName, value: bytes) -> str:
        return hmac.digest(self._key, name.encode() + b"\0" + value, hashlib.sha256).hex()[:16]


def _check(slots: Slots, optional: Collection[CredentialName], now: float) -> None:
    problems = []
    for name, slot in slots.items():
        failure = slot.failed(now)
        if failure is not None and not (failure.absent and name in optional):
            problems.append(Problem(name, slot.source.name, failure.what, failure.todo))
    if problems:
        raise CredentialErrors(tuple(problems))


def _unavailable(name: CredentialName, failure: Failure | None) -> CredentialError:
    what = failure.what if failure else "it has no value"
    return CredentialError(f"credential {name} has no usable value: {what}", failure.todo if failure else "")
