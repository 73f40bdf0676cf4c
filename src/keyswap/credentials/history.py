"""The values one credential has had since this process started."""

from collections.abc import Callable
from dataclasses import dataclass

from keyswap.secret import Secret

KEEP = 24 * 3600.0
"""Seconds for which a value that was released is still looked for in answers (S26)."""


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a credential's value."""

    secret: Secret
    version: int
    """Counted from 1 since this process started."""
    fingerprint: str
    """16 hex characters of a keyed hash: tells versions apart without telling the value (S47)."""


class History:
    """The latest value of one credential, and those it replaced. Times are seconds of the caller's clock.

    Versions go on counting when the credential's source is replaced. Only values that were handed out (`used`) are
    kept once they are replaced: the others cannot come back in an answer.
    """

    __slots__ = ("_fingerprint", "_in_use", "_past", "_recent", "_recent_until", "latest", "used")

    def __init__(self, fingerprint: Callable[[bytes], str]) -> None:
        self._fingerprint = fingerprint
        self.latest: Value | None = None
        self.used = False
        self._in_use = False
        self._past: dict[str, tuple[Secret, float]] = {}
        self._recent: tuple[Secret, ...] = ()
        self._recent_until = float("-inf")

    def adopt(self, secret: Secret, now: float) -> None:
        """Make `secret` the latest value; the same value again is not a new version."""
        latest = self.latest
        if latest is None or latest.secret != secret:
            self.retire(now)
            version = latest.version + 1 if latest else 1
            latest = self.latest = Value(secret, version, self._fingerprint(secret.reveal()))
        if not self._in_use:
            self.used = self._past.pop(latest.fingerprint, None) is not None
            self._in_use = True
            self._recent_until = float("-inf")

    def retire(self, now: float) -> None:
        """From `now` on the latest value is an old one; `latest` stays, so that versions go on counting."""
        if self.latest is not None and self.used:
            self._past[self.latest.fingerprint] = (self.latest.secret, now + KEEP)
        self.used = self._in_use = False
        self._recent_until = float("-inf")

    def recent(self, now: float) -> tuple[Secret, ...]:
        """The latest value, while it is in use, and the old ones of the last 24 hours.

        The same tuple as last time where nothing changed.
        """
        if now >= self._recent_until:
            self._past = {mark: old for mark, old in self._past.items() if now < old[1]}
            latest = (self.latest.secret,) if self.latest is not None and self._in_use else ()
            self._recent = (*latest, *(secret for secret, _ in self._past.values()))
            self._recent_until = min((until for _, until in self._past.values()), default=float("inf"))
        return self._recent
