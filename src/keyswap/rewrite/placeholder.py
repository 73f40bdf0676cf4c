"""Placeholders: made from a seed, recognised without a table (S18).

    prefix + random part + keyed check + suffix

The random part is drawn from HMAC-SHA256 over session and credential, so it needs no store and dies with the session's
seed. The check is HMAC-SHA256 over prefix and random part in lower case, written in the shape's own letters and
compared in any case: a placeholder that somebody changed to upper case is still one of ours (S21). It grants nothing;
whoever could forge it would earn a refusal.
"""

import hmac
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keyswap.errors import RewriteError
from keyswap.exchange import CredentialName, PlaceholderShape, PlaceholderText
from keyswap.rewrite.pattern import Pattern
from keyswap.rewrite.shapes import body_length, check_length, check_text, has_check, shape_problem

__all__ = ["Book", "derive", "has_check", "is_ours", "make_book", "shape_problem"]

_RANDOM_LABEL = b"keyswap placeholder random 1\0"
_ALNUM = b"0123456789abcdefghijklmnopqrstuvwxyz"


def derive(shape: PlaceholderShape, *, key: bytes, seed: bytes, credential: CredentialName) -> PlaceholderText:
    """The placeholder of one session (`seed`) for one credential: the same each time, and unlike any other.

    `key` is the subkey of the state directory for placeholders. Raises RewriteError where `shape_problem` finds one.
    """
    if problem := shape_problem(shape):
        raise RewriteError(f"the placeholder of {credential} {problem}", "change its shape in the policy")
    if shape.value is not None:
        return shape.value
    length = check_length(shape)
    letters = _letters(shape.alphabet, key, seed, credential)
    stem = shape.prefix + "".join(itertools.islice(letters, body_length(shape) - length))
    return PlaceholderText(stem + check_text(stem, shape.alphabet, length, key) + shape.suffix)


def is_ours(text: str, shapes: Iterable[PlaceholderShape], key: bytes) -> bool:
    """Whether `text`, in any case, is a placeholder that this key made for any session; shapes without a check: no."""
    low = text.encode(errors="replace").lower()
    patterns = map(Pattern.of, shapes)
    return any(pattern.fits(low) and pattern.made(low, key) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Book:
    """What the head of one session's requests is searched for, at one policy generation. Made by `make_book`."""

    own: Mapping[bytes, CredentialName] = field(repr=False)
    """This session's placeholders as they are spelled."""
    own_low: Mapping[bytes, CredentialName] = field(repr=False)
    known: frozenset[bytes] = field(repr=False)
    """Other sessions' placeholders in lower case, for shapes without a check."""
    headers: Mapping[CredentialName, tuple[bytes, ...]]
    """The declared headers of each credential, lower case, in its order."""
    declared: Mapping[bytes, str]
    """Every header that is taken apart, with its place: the declared ones, and Authorization for Basic's halves."""
    patterns: tuple[Pattern, ...]
    fixed: tuple[bytes, ...]
    """Fixed placeholders in lower case: looked for by their text."""
    table: bytes
    """Maps a byte that can stand in a placeholder's body to `a`, any other to a space."""
    run: bytes
    """So many `a`: text in which no such run is left after `table` holds no placeholder but a fixed one."""
    around: int
    """How far prefix and suffix reach beyond such a run, and one byte to see where a token ends."""
    base64: re.Pattern[bytes]
    """Finds runs long enough to be a placeholder in base64."""
    key: bytes = field(repr=False)


def make_book(
    key: bytes,
    seed: bytes,
    credentials: Iterable[tuple[CredentialName, PlaceholderShape]],
    headers: Mapping[CredentialName, Sequence[str]],
    *,
    shapes: Iterable[PlaceholderShape] = (),
    known: Iterable[str] = (),
) -> Book:
    """The book of the session with this seed; costs some HMACs, so keep it for a session and a policy generation.

    `credentials`: all whose placeholders this session could hold, those outside its profile too (they are told apart
    later). `headers`: the declared headers of each in lower case, in order of preference. `shapes`: further ones that
    may turn up, of an older policy. `known`: placeholders of all sessions for shapes where `has_check` is False; a new
    session changes them. Raises RewriteError for an unsafe shape, and for two credentials with one placeholder.
    """
    pairs = tuple(credentials)
    own = {derive(shape, key=key, seed=seed, credential=name).encode(): name for name, shape in pairs}
    own_low = {text.lower(): name for text, name in own.items()}
    if len(own_low) < len(pairs):
        raise RewriteError("two credentials have the same placeholder", "give each a placeholder of its own")
    patterns = tuple(dict.fromkeys(Pattern.of(shape) for shape in (*(shape for _, shape in pairs), *shapes)))
    declared = {name.encode(): f"header:{name}" for names in headers.values() for name in names}
    return Book(
        own=own,
        own_low=own_low,
        known=frozenset(text.lower().encode() for text in known) - own_low.keys(),
        headers={name: tuple(header.encode() for header in order) for name, order in headers.items()},
        declared={**declared, b"authorization": "header:authorization"},
        patterns=patterns,
        fixed=tuple(pattern.prefix for pattern in patterns if not pattern.alphabet),
        table=_table(patterns),
        run=b"a" * min(map(_shortest_run, patterns), default=1),
        around=1 + max((max(len(pattern.prefix), len(pattern.suffix)) for pattern in patterns), default=0),
        base64=re.compile(rb"[0-9A-Za-z]{%d,}" % min(map(_base64_length, patterns), default=1)),
        key=key,
    )


def _table(patterns: Iterable[Pattern]) -> bytes:
    # Letters and digits always: the base64 of a placeholder is made of them alone (see shapes._ALLOWED).
    letters = set(_ALNUM.join(pattern.letters for pattern in patterns)) | set(_ALNUM)
    return bytes(ord("a") if byte in letters else ord(" ") for byte in bytes(range(256)).lower())


def _shortest_run(pattern: Pattern) -> int:
    """The least run of body letters that holds such a placeholder, raw or as base64; a fixed one only as base64."""
    return pattern.body or _base64_length(pattern)


def _base64_length(pattern: Pattern) -> int:
    return -(-4 * pattern.length // 3)


def _letters(alphabet: str, key: bytes, seed: bytes, credential: str) -> Iterator[str]:
    """Letters without end, each as likely as the other; the seed's length keeps seed and name apart."""
    about = _RANDOM_LABEL + len(seed).to_bytes(4) + seed + credential.encode()
    # Bytes from here on would favour the first letters of the alphabet.
    fair = 256 - 256 % len(alphabet)
    for block in itertools.count():
        for byte in hmac.digest(key, about + block.to_bytes(4), "sha256"):
            if byte < fair:
                yield alphabet[byte % len(alphabet)]
