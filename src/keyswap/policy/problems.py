"""Problems of a policy file: where, what, and what to write instead; all of them at once.

Nothing here or in the rooms that call it quotes what stands in the file, unless it has been read as something
harmless first (a host, a port, a name that is defined): a real key may have been pasted anywhere.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from keyswap.errors import PolicyError

# The key formats of well-known providers; behind the prefix stands what `_dense` looks at.
_KEY = re.compile(
    r"(?:sk-|sk_live_|sk_test_|rk_live_|rk_test_|gh[opusr]_|github_pat_|glpat-|xox[abeprs]-|hf_|gsk_|xai-|ks_|AIza|AKIA"
    r"|ASIA|ya29\.|SG\.|eyJ)([A-Za-z0-9._-]{12,})"
)
# A PEM block, and a URL with a password in it.
_PLAIN_SECRET = re.compile(r"-----BEGIN|://[^/@\s]*:[^/@\s]*@")
_DENSE = re.compile(r"(?=[A-Za-z]*[0-9]|[a-z]+[A-Z])[A-Za-z0-9]{12,}")
# Keys without a known prefix look so, and so do a few hosts, but no name that a person gives.
_LONG_RUN = re.compile(r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, or unwise, at one place of a policy file."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    what: str
    todo: str
    """What to write instead."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}; {self.todo}"


class PolicyErrors(PolicyError):
    """A policy does not load. The text is one line a problem, in the order of the file.

    `files` are absolute paths of the files whose change may help.
    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[str] = ()) -> None:
        self.problems = tuple(sorted(set(problems)))
        self.files = tuple(files)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def looks_like_a_key(text: str) -> bool:
    """Whether a real key seems to stand in a text; such a text is never quoted."""
    if _PLAIN_SECRET.search(text):
        return True
    # `hf_token_for_production` is a name; keys are long runs with digits or both cases in them.
    return any(_DENSE.search(match[1]) for match in _KEY.finditer(text))


def names_nothing(text: str) -> bool:
    """Whether a text is more likely a key than a name that a person gave, so that it is not quoted as one."""
    return looks_like_a_key(text) or _LONG_RUN.search(text) is not None


def choice(written: str, known: Iterable[str]) -> str:
    """What to write instead of a word that is not known, without quoting it."""
    words = sorted(known)
    close = get_close_matches(written[:64], words, 1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"write one of: {', '.join(words[:30])}" if words else "none is defined"
