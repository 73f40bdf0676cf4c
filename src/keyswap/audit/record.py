"""The audit record, version 1: which fields there are, in which order, how long each may be, and the one line it makes.

Quiet: values in, bytes out. `_FORMAT` is the format. Everything a client can influence is bounded and escaped, so that
no value can end a line, begin another, or fill the disk (S42); a value of a type the format does not know, a `Secret`
first of all, is an error and never printed (S47).
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from keyswap.errors import AuditError

VERSION = 1
EVENTS = frozenset({
    "request", "response", "refused", "placeholder_misuse", "session_minted", "session_revoked", "policy_loaded",
    "policy_rejected", "credential_failed", "llm_inference_call", "checkpoint", "started", "stopped",
})  # fmt: skip
MAX_LINE = 512 * 1024
"""Bytes; every field at its bound, every character at its longest escape, stays below (a test holds that)."""

Shape = Callable[[object], object]
"""Gives a value as it is written, or raises."""
Field = Callable[[str], Shape]
"""Makes the shape of the field of that name; names are put together once, not for each record."""

_DIGEST = 12
_LIST = 32
"""Entries of a list or mapping; nothing in one request comes near."""


def bounded(text: str, limit: int) -> str:
    """`text` in at most `limit` characters (more than 13), without lone surrogates, which strict JSON readers refuse.

    What is longer ends in `~` and 12 hex digits of the SHA-256 of the whole, so that two long texts stay two.
    """
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    return f"{text[: limit - _DIGEST - 1]}~{sha256(text.encode()).hexdigest()[:_DIGEST]}"


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC with microseconds; all have one length, so that they sort as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def canonical(record: Mapping[str, object]) -> bytes:
    """The one line of `record`, without a line end: ASCII JSON, fields in the order of the format, no white space.

    A field that is None is left out. AuditError for a field the format does not have, and for a value it cannot hold;
    its words name the field and the type, never the value.
    """
    return _ENCODER.encode(_RECORD(record if isinstance(record, dict) else dict(record))).encode("ascii")


def _wrong(name: str, value: object, wanted: str) -> AuditError:
    return AuditError(f"the audit field {name} holds {type(value).__name__}, not {wanted}")


def _text(limit: int) -> Field:
    def field(name: str) -> Shape:
        def shape(value: object) -> str:
            if not isinstance(value, str):
                raise _wrong(name, value, "text")
            return value if len(value) <= limit and value.isascii() else bounded(value, limit)

        return shape

    return field


def _path(name: str) -> Shape:
    text = _text(1024)(name)

    def shape(value: object) -> object:
        # The last line of defence of S42: whatever a caller took for a path, no query value is written.
        return text(value.partition("?")[0] if isinstance(value, str) else value)

    return shape


def _count(name: str) -> Shape:
    def shape(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise _wrong(name, value, "a 64-bit integer")
        return value

    return shape


def _number(name: str) -> Shape:
    count = _count(name)

    def shape(value: object) -> object:
        return round(value, 3) if isinstance(value, float) and math.isfinite(value) else count(value)

    return shape


def _scalar(name: str) -> Shape:
    text, number = _text(128)(name), _number(name)

    def shape(value: object) -> object:
        return text(value) if isinstance(value, str) else number(value)

    return shape


def _object(**fields: Field) -> Field:
    def field(name: str) -> Shape:
        shapes = {key: each(f"{name}.{key}" if name else key) for key, each in fields.items()}
        items = tuple(shapes.items())

        def shape(value: object) -> object:
            if not isinstance(value, dict):
                raise _wrong(name, value, "a dict")
            get = value.get
            shaped = {key: each(item) for key, each in items if (item := get(key)) is not None}
            if len(shaped) != len(value) and value.keys() - shapes.keys():
                unknown = min(ascii(bounded(str(key), 64)) for key in value.keys() - shapes.keys())
                raise AuditError(f"the audit has no field {unknown}{f' in {name}' if name else ''}")
            return shaped

        return shape

    return field


def _list(each: Field) -> Field:
    def field(name: str) -> Shape:
        inner = each(name)

        def shape(value: object) -> object:
            if not isinstance(value, list | tuple):
                raise _wrong(name, value, "a list")
            if len(value) > _LIST:
                raise AuditError(f"the audit field {name} has {len(value)} entries, more than {_LIST}")
            return [inner(item) for item in value]

        return shape

    return field


def _texts(limit: int) -> Field:
    def field(name: str) -> Shape:
        inner = _list(_text(limit))(name)

        def shape(value: object) -> object:
            # A client chooses how many there are: what is over the bound is counted, not refused.
            if isinstance(value, list | tuple) and len(value) > _LIST:
                value = [*value[: _LIST - 1], f"~{len(value) - _LIST + 1} more"]
            return inner(value)

        return shape

    return field


def _mapping(each: Field) -> Field:
    def field(name: str) -> Shape:
        key, inner = _text(64)(name), each(name)

        def shape(value: object) -> object:
            if not isinstance(value, dict) or not all(isinstance(word, str) for word in value):
                raise _wrong(name, value, "a dict with keys of text")
            words = sorted(value)
            shaped = {key(word): inner(value[word]) for word in words[:_LIST]}
            if len(words) > _LIST:
                shaped["~"] = f"~{len(words) - _LIST} more"
            return shaped

        return shape

    return field


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))
_FORMAT: Mapping[str, Field] = {
    "v": _count,
    "seq": _count,
    "ts": _text(32),
    "node": _text(128),
    "worker": _count,
    "event": _text(32),
    "id": _text(64),
    "session": _object(id=_text(128), tenant=_text(128), profile=_text(128), labels=_mapping(_text(128))),
    "client": _text(64),
    "method": _text(32),
    "scheme": _text(16),
    "host": _text(253),
    "port": _count,
    "path": _path,
    "query_keys": _texts(64),
    "decision": _object(
        result=_text(16),
        code=_text(64),
        rule=_object(where=_text(256), text=_text(512)),
        reason=_text(512),
        would_refuse=_text(64),
    ),
    "swaps": _list(
        _object(credential=_text(128), version=_count, place=_text(128), fingerprint=_text(128)),
    ),
    "route": _object(gateway=_text(253), provider=_text(128), model=_text(128)),
    "upstream": _object(address=_text(64), http=_text(16), status=_count, error=_text(128)),
    "bytes": _object(**{"in": _count, "out": _count}),
    "ms": _object(total=_number, first_byte=_number),
    "scrubbed": _count,
    "usage": _mapping(_scalar),
    "policy": _object(sha256=_text(64), generation=_count),
    "notes": _texts(256),
    "checkpoint": _object(key=_text(64), sig=_text(128)),
    "prev": _text(64),
}
_RECORD = _object(**_FORMAT)("")
OWN_FIELDS = frozenset({"v", "seq", "ts", "node", "worker", "event", "checkpoint", "prev"})
"""What the writer states itself."""
CALLER_FIELDS = frozenset(_FORMAT) - OWN_FIELDS
"""What a caller of the writer may state. `notes` are sentences for a person: what was found, what was rejected."""
