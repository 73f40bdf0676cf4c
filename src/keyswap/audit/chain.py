"""The chain: each record names the hash of the one before. Quiet: bytes in, bytes out.

    body = canonical(record)                  JSON that ends in ,"prev":"<64 hex>"}
    hash = hex(SHA-256(prev + body))          prev as its 64 ASCII hex digits
    line = body without its last }  +  ,"hash":"<64 hex>"}  +  \\n

The first record has seq 1 and 64 zeros for `prev`. A rotation does not begin a new chain.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from keyswap.audit.record import canonical
from keyswap.errors import AuditError

_END = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Link:
    """The end of a chain: what the next record continues."""

    seq: int
    hash: str
    """64 hex digits."""


GENESIS = Link(0, "0" * 64)


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it reads; only `sound` says whether it says what was written."""

    seq: int
    prev: str
    hash: str
    sound: bool
    """Its hash is the hash of its content."""
    record: Mapping[str, Any]

    @property
    def link(self) -> Link:
        return Link(self.seq, self.hash)

    def continues(self, link: Link) -> bool:
        """Whether this is the record that follows `link`."""
        return self.seq == link.seq + 1 and self.prev == link.hash


def append(
    link: Link, record: Mapping[str, object], masker: Callable[[bytes], bytes] | None = None
) -> tuple[Link, bytes]:
    """The line that continues `link` with `record` (without seq, prev, hash), its line end included; and its link.

    `masker` sees the line before it is hashed: the last line of defence against a real value in it (S47). AuditError
    for a record that has no canonical form, and where masking left something that is no longer the same record.
    """
    body = canonical({**record, "seq": link.seq + 1, "prev": link.hash})
    if masker is not None:
        body = _masked(body, masker)
    digest = _digest(link.hash, body)
    return Link(link.seq + 1, digest), b'%b,"hash":"%b"}\n' % (body[:-1], digest.encode())


def read_line(line: bytes) -> Line | None:
    """What a line (with or without its line end) says, or None where it is not a record at all. Never raises."""
    text = line.removesuffix(b"\n")
    end = _END.search(text)
    try:
        record = json.loads(text) if end and text.isascii() else None
    except (ValueError, RecursionError):
        return None
    if end is None or not isinstance(record, dict):
        return None
    seq, prev, digest = record.get("seq"), record.get("prev"), end[1].decode()
    if type(seq) is not int or not isinstance(prev, str) or not _HEX.fullmatch(prev):
        return None
    return Line(seq, prev, digest, digest == _digest(prev, text[: end.start()] + b"}"), record)


def verify_line(link: Link, line: bytes) -> Link:
    """The link of `line`, which must continue `link`; AuditError says what is wrong with it."""
    read = read_line(line)
    if read is None:
        raise AuditError(f"the line after record {link.seq} is not an audit record")
    if not read.sound:
        raise AuditError(f"record {read.seq} does not hash to what it states")
    if not read.continues(link):
        raise AuditError(f"record {read.seq} does not continue record {link.seq}")
    return read.link


def _digest(prev: str, body: bytes) -> str:
    return sha256(prev.encode() + body).hexdigest()


def _masked(body: bytes, masker: Callable[[bytes], bytes]) -> bytes:
    masked = masker(body)
    if masked == body:
        return body
    try:
        before, after = json.loads(body), json.loads(masked)
    except ValueError:
        after = None
    kept = isinstance(after, dict) and list(after) == list(before)
    if not kept or b"\n" in masked or any(after[name] != before[name] for name in ("seq", "prev", "event")):
        raise AuditError("masking a real value in an audit record left no record", "report this as a bug")
    return masked
