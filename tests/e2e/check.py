"""What every end-to-end test asserts: who saw the real key, who did not, and when the pieces of a stream came."""

import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.clients import Outcome
from support.provider import Provider


@dataclass(frozen=True, slots=True)
class Key:
    """One credential, from both sides."""

    real: bytes
    placeholder: str

    @property
    def returned(self) -> str:
        """What comes back where the provider shows the real key: the placeholder at the real one's length (S26)."""
        return self.placeholder[: len(self.real)].ljust(len(self.real), "*")


def assert_swapped(provider: Provider, outcome: Outcome, key: Key, home: Path) -> None:
    """The provider was given the real key and never the placeholder; the client's side never held the real one."""
    keyed = [request for request in provider.requests if request.keys]
    assert keyed, "no request with a credential reached the provider"
    assert all(key.real in request.keys for request in keyed)
    assert provider.recorder.holding(key.placeholder.encode()) == []
    assert key.real not in outcome.everything
    assert files_holding(home, key.real) == []


def files_holding(directory: Path, needle: bytes) -> list[Path]:
    """The files below `directory` with `needle` in them."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if needle in path.read_bytes()]


def assert_no_session_token(provider: Provider, token: str) -> None:
    """S15: what names the session to the proxy reaches no upstream, and no Proxy-* header does."""
    assert provider.recorder.holding(token.encode()) == []
    names = {name.lower() for request in provider.requests for name, _ in request.fields}
    assert not [name for name in names if name.startswith(b"proxy-")]


def lines(outcome: Outcome) -> list[dict[str, Any]]:
    """The JSON objects that a client script printed; shows its errors where it failed."""
    assert outcome.code == 0, outcome.errors[-2000:]
    return [json.loads(line) for line in outcome.text.splitlines()]


def of_way(said: Sequence[dict[str, Any]], way: str) -> list[dict[str, Any]]:
    found = [item for item in said if item["way"] == way]
    assert found, f"the client said nothing of {way}"
    return found


def assert_one_by_one(times: Sequence[float], delay: float) -> None:
    """The pieces came as far apart as they were sent, not together at the end.

    Judged by the median gap and the whole span, so that one late wake-up on a busy machine is no failure.
    """
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) >= 4, "too few pieces to tell"
    assert statistics.median(gaps) > delay / 2, gaps
    assert times[-1] - times[0] > len(gaps) * delay * 0.6, gaps
