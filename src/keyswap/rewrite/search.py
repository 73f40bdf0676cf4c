"""The search of a request's head for placeholders and foreign credentials (S19-S21, S23).

First the declared headers are taken apart: a whole token there is one look-up. All the rest is joined and asked one
question that is nearly always answered no: is there a run of letters long enough for a placeholder, as it stands,
percent-decoded, or in base64? Only where there is, the runs are looked at; and only where one is a placeholder, the
search goes field by field to say where it stood.
"""

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote_to_bytes

from keyswap.exchange import CredentialName, Fields, Finding, Head
from keyswap.rewrite.placeholder import Book
from keyswap.rewrite.places import take_apart
from keyswap.rewrite.read import shown

# A head with more look-alikes than any client sends would cost an HMAC for each: it is misuse without counting further.
_MOST_LOOKALIKES = 512
# `%2567` is `%67` is `g` to a server that decodes twice; beyond three times nobody does.
_MOST_DECODINGS = 3
# Scheme words that a client with an empty variable sends alone.
_SCHEMES = frozenset({b"bearer", b"basic", b"token"})

_Hit = CredentialName | None
"""Whose placeholder was seen: a credential of this session, or None: another session's."""


def search(head: Head, book: Book, *, owned: Mapping[str, CredentialName]) -> tuple[Finding, ...]:
    """Every value in this head that looks like a credential, without repetition.

    `own` at a place such as `header:x-api-key` or `basic:user` is a whole token that `fill` can replace. Any other
    occurrence of a placeholder has a place that no credential declares: `inside:x-api-key` (a part of the value, or
    another spelling), `path`, `query`, `method`, `authority`, `header-name`, `header:cookie`… `owned` maps a header's
    name in lower case to the credential that owns it at the destination: a value there that is no placeholder is
    `other`. An empty value, a scheme word alone, and Basic with both halves empty are no credentials.
    """
    claimed = {name.encode(): credential for name, credential in owned.items()}
    found: list[Finding] = []
    foreign: list[tuple[bytes, bytes]] = []
    rest = [head.method, head.authority, head.path]
    for name, value in head.fields:
        rest.append(name)
        low = name.lower()
        whole, left = _declared(low, value, book) if low in book.declared else ((), (value,))
        found += whole
        rest += left
        if not whole and low in claimed and _is_credential(low, value):
            foreign.append((low, b"\n".join(left)))
    if _hits(b"\n".join(rest), book):
        found += _misplaced(head, book) or [Finding("unknown", "head")]
        foreign = [(name, left) for name, left in foreign if not _hits(left, book)]
    found += [Finding("other", f"header:{name.decode()}", claimed[name]) for name, _ in foreign]
    return tuple(dict.fromkeys(found))


def _declared(name: bytes, value: bytes, book: Book) -> tuple[Sequence[Finding], Sequence[bytes]]:
    """The whole tokens of this session in one declared header, and what else of it is still to be searched."""
    parts = take_apart(name, value)
    if parts is None:
        return [], [value]
    found: list[Finding] = []
    left = [parts.before]
    for place, token in parts.slots(book.declared[name]):
        if credential := book.own.get(token):
            found.append(Finding("own", place, credential))
        else:
            left.append(token)
    if parts.basic and found:
        # Its halves are in `left`, or found; as base64 it would be found a second time, as if it were a part.
        left = [text for text in left if text != parts.token]
    return found, left


def _hits(text: bytes, book: Book) -> set[_Hit]:
    """Whose placeholders stand anywhere in `text`, in any spelling."""
    if not book.patterns:
        return set()
    if b"%" in text:
        text = _decoded(text)
    parts = list(_runs(text, book))
    if parts:
        plain = b"\n".join(_from_base64(b"\n".join(parts), book.base64))
        parts += _runs(plain, book)
        text += b"\n" + plain
    if book.fixed and _holds_fixed(text.lower(), book):
        parts.append(text)
    return _seen(b"\n".join(parts).lower(), book) if parts else set()


def _seen(low: bytes, book: Book) -> set[_Hit]:
    hits: set[_Hit] = {credential for text, credential in book.own_low.items() if text in low}
    if _holds_unknown(low, book):
        hits.add(None)
    return hits


def _holds_unknown(low: bytes, book: Book) -> bool:
    judged = 0
    for pattern in book.patterns:
        for token in pattern.tokens(low):
            if token in book.own_low:
                continue
            judged += 1
            if token in book.known or judged > _MOST_LOOKALIKES or pattern.made(token, book.key):
                return True
    return False


def _runs(text: bytes, book: Book) -> Iterator[bytes]:
    """The runs of letters that are long enough to hold a placeholder, with as much around them as belongs to one."""
    letters = text.translate(book.table) + b" "
    at = letters.find(book.run)
    while at >= 0:
        end = letters.index(b" ", at)
        yield text[max(0, at - book.around) : end + book.around]
        at = letters.find(book.run, end)


def _holds_fixed(low: bytes, book: Book) -> bool:
    return any(value in low for value in book.fixed)


def _decoded(text: bytes) -> bytes:
    """The text, and below it what percent-decoding makes of it, again and again."""
    layers = [text]
    for _ in range(_MOST_DECODINGS):
        plain = unquote_to_bytes(layers[-1])
        if plain == layers[-1]:
            break
        layers.append(plain)
    return b"\n".join(layers)


def _from_base64(text: bytes, long_run: re.Pattern[bytes]) -> Iterator[bytes]:
    """What the longer runs of letters and digits say as base64, from each of the four places a group may begin.

    Both alphabets at once: the base64 of a placeholder holds neither + and / nor - and _.
    """
    for run in long_run.findall(text):
        for start in range(4):
            # `A` is six zero bits: what it adds at the end is NUL, which ends a token.
            yield binascii.a2b_base64(run[start:] + b"A" * (-len(run[start:]) % 4))


def _misplaced(head: Head, book: Book) -> list[Finding]:
    """The same search, field by field, to name the places. Reached only by requests that will be refused."""
    return [
        Finding("unknown" if credential is None else "own", place, credential)
        for place, text in _pieces(head, book)
        for credential in sorted(_hits(text, book), key=str)
    ]


def _pieces(head: Head, book: Book) -> Iterator[tuple[str, bytes]]:
    path, _, query = head.path.partition(b"?")
    yield from (("method", head.method), ("authority", head.authority), ("path", path), ("query", query))
    yield from _names_and_values(head.fields, book)


def _names_and_values(fields: Fields, book: Book) -> Iterator[tuple[str, bytes]]:
    for name, value in fields:
        yield "header-name", name
        low = name.lower()
        if low in book.declared:
            for text in _declared(low, value, book)[1]:
                yield f"inside:{shown(name)}", text
        else:
            # A name that is itself a placeholder must not become part of a place, which is recorded.
            yield (f"header:{shown(name)}" if not _hits(name, book) else "header"), value


def _is_credential(name: bytes, value: bytes) -> bool:
    bare = value.strip(b" \t").lower()
    if not bare or bare in _SCHEMES:
        return False
    parts = take_apart(name, value)
    return parts is None or parts.basic != (b"", b"")
