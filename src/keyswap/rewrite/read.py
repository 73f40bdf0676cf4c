"""Row 1: can this head be read in one way only?

What is refused here is what two parsers could read differently (S9, S12, S13), or what is over a limit (S16). Nothing
is repaired: a head that had to be repaired was read one way by us and may be read another way upstream. The texts name
headers and limits, and never quote what the client sent.
"""

import re

from keyswap.errors import RewriteError
from keyswap.exchange import Code, Fields, Head

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""The bytes of a token (RFC 9110, section 5.6.2): methods and header names."""
VALUE = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""The bytes of a header value (RFC 9110, section 5.5): no control byte but HTAB."""

_TARGET = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"})
# 18 digits: more than any body, and never more than what a 64-bit parser elsewhere can hold.
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_CONNECT_TARGET = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,254}):([1-9][0-9]{0,4})")
# Gateways that turn names into variables read `Content_Length` as Content-Length: two readers, two lengths.
_FRAMING_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
_JUDGED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"}) | _FRAMING_LOOKALIKES
_NAME_SHOWN = 64


class Unreadable(RewriteError):
    """A head that is refused in row 1; `code` is AMBIGUOUS or HEAD_TOO_LARGE."""

    def __init__(self, what: str, todo: str, code: Code = Code.AMBIGUOUS) -> None:
        super().__init__(what, todo)
        self.code = code


def check_head(head: Head, *, max_fields: int, max_bytes: int) -> None:
    """Raise `Unreadable` unless this head has one meaning and is within `limits.headers` and `limits.head` (bytes).

    Judges what the engine parsed; `raw.check_raw_head` judges what it parsed it from. The path of a CONNECT is not
    looked at (it has none; see `check_connect_target`), and whether hosts agree is row 7.
    """
    _check_size(head, max_fields, max_bytes)
    _check_start(head)
    _check_fields(head.fields)
    _check_framing(head)


def check_connect_target(raw: bytes) -> str:
    """The target of a CONNECT as text, `host:port` by its bytes; raises `Unreadable`.

    The port is required (RFC 9110, section 9.3.6). Which host that is, `policy.hosts` says.
    """
    found = _CONNECT_TARGET.fullmatch(raw)
    if not found or int(found[1]) > 65535:
        raise Unreadable("the target of CONNECT is not host:port", "send CONNECT host:port, the port in digits")
    return raw.decode("ascii")


def declared_length(head: Head) -> int | None:
    """The bytes that Content-Length announces, for a head that passed `check_head`; None where it announces nothing."""
    for name, value in head.fields:
        if name.lower() == b"content-length":
            return int(value)
    return None


def shown(name: bytes) -> str:
    """A header's name as it may stand in a message: lower case, bounded; `a header` where it is no token."""
    if not name or name.translate(None, TOKEN):
        return "a header"
    return name[:_NAME_SHOWN].decode("ascii").lower()


def _check_size(head: Head, max_fields: int, max_bytes: int) -> None:
    fields = head.fields
    if len(fields) > max_fields:
        raise Unreadable(
            f"the request has more headers than limits.headers ({max_fields})",
            "send fewer headers, or raise limits.headers in the policy",
            Code.HEAD_TOO_LARGE,
        )
    # Colon, space and line end are four bytes a field, as on an HTTP/1 wire.
    size = sum([len(name) + len(value) for name, value in fields]) + 4 * len(fields)
    if size + len(head.method) + len(head.authority) + len(head.path) > max_bytes:
        raise Unreadable(
            f"the request's head is larger than limits.head ({max_bytes} bytes)",
            "send a shorter path or shorter headers, or raise limits.head in the policy",
            Code.HEAD_TOO_LARGE,
        )


def _check_start(head: Head) -> None:
    if head.version not in _VERSIONS:
        raise Unreadable("the HTTP version is unknown", "speak HTTP/1.1 or HTTP/2")
    if not head.method or head.method.translate(None, TOKEN):
        raise Unreadable("the method is not a token", "send a method such as GET or POST")
    if head.method == b"CONNECT" or (head.method == b"OPTIONS" and head.path == b"*"):
        return
    if not head.path.startswith(b"/"):
        raise Unreadable("the path does not start with /", "send a path that starts with /")
    if head.path.translate(None, _TARGET):
        raise Unreadable(
            "the path holds a space, a control byte, # or a byte above 0x7e", "percent-encode those bytes in the path"
        )


def _check_fields(fields: Fields) -> None:
    names = [name for name, _ in fields]
    # All at once: without the bytes of tokens, only the separators may be left.
    if b"" in names or b"\n".join(names).translate(None, TOKEN) != b"\n" * (len(names) - 1):
        raise Unreadable("a header's name is not a token", "use letters, digits and - in header names")
    if b"".join([value for _, value in fields]).translate(None, VALUE):
        culprit = next(name for name, value in fields if value.translate(None, VALUE))
        raise Unreadable(
            f"the value of {shown(culprit)} holds a control byte or a folded line",
            "send each header on one line without NUL, CR, LF or other control bytes",
        )


def _check_framing(head: Head) -> None:
    judged: dict[bytes, list[bytes]] = {}
    for name, value in head.fields:
        low = name.lower()
        if low in _JUDGED:
            judged.setdefault(low, []).append(value)
    for name in judged.keys() & _FRAMING_LOOKALIKES:
        raise Unreadable(f"{shown(name)} may be read as a framing header", f"leave {shown(name)} out")
    for name in (b"host", b"content-length", b"transfer-encoding"):
        if len(judged.get(name, ())) > 1:
            raise Unreadable(f"the header {shown(name)} stands more than once", "send it once")
    if head.version == "HTTP/1.1" and b"host" not in judged:
        raise Unreadable("the header host is missing", "send the header host")
    _check_length(judged)
    _check_coding(head.version, judged)
    if any(value.lower() != b"100-continue" for value in judged.get(b"expect", ())):
        raise Unreadable("the header expect asks for something unknown", "send expect: 100-continue, or none")


def _check_length(judged: dict[bytes, list[bytes]]) -> None:
    if any(not _LENGTH.fullmatch(value) for value in judged.get(b"content-length", ())):
        raise Unreadable("content-length is not a plain number", "send the body's length in decimal digits")


def _check_coding(version: str, judged: dict[bytes, list[bytes]]) -> None:
    codings = judged.get(b"transfer-encoding")
    if codings is None:
        return
    if b"content-length" in judged:
        raise Unreadable("content-length and transfer-encoding stand together", "send one of them")
    if version != "HTTP/1.1":
        raise Unreadable(f"transfer-encoding has no meaning in {version}", "leave it out, or speak HTTP/1.1")
    if codings[0].lower() != b"chunked":
        raise Unreadable("transfer-encoding is not exactly chunked", "send transfer-encoding: chunked")
