"""The raw bytes of an HTTP/1 request head, judged before the engine parses them.

The engine accepts and quietly repairs what S12 refuses: bare line ends, folded lines, spaces before a colon. After its
parser there is no trace of them left, so they are looked for here.
"""

import re

from keyswap.rewrite.read import TOKEN, VALUE, Unreadable, shown

_HEAD_TODO = "send the head as RFC 9112 says: one header a line, name and colon together, each line ended by CR LF"
# Possessive repeats: no byte is looked at twice, however hostile the head.
_NAME = rb"[" + re.escape(TOKEN) + rb"]++"
_START = re.compile(_NAME + rb" [\x21-\x7e]++ HTTP/1\.[01]\r\n")
_LINES = re.compile(rb"(?:" + _NAME + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")


def check_raw_head(raw: bytes) -> None:
    """Raise `Unreadable` unless `raw`, from the request line up to and with the blank line, is in the one strict form.

    Sizes, and what the fields say, are for `read.check_head`.
    """
    start = _START.match(raw)
    if start and _LINES.fullmatch(raw, start.end()):
        return
    raise _diagnosed(raw)


def _diagnosed(raw: bytes) -> Unreadable:
    """Which rule was broken: asked only of heads that are refused anyway."""
    if not raw.endswith(b"\r\n\r\n") or raw.count(b"\n") != raw.count(b"\r\n"):
        return Unreadable("the head holds a bare LF, or does not end in a blank line", _HEAD_TODO)
    if raw.count(b"\r") != raw.count(b"\r\n"):
        return Unreadable("the head holds a bare CR", _HEAD_TODO)
    start, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _START.fullmatch(start + b"\r\n"):
        return Unreadable("the request line is not `METHOD target HTTP/1.1`", "send one space between the three words")
    wrong = (what for line in lines if (what := _wrong_line(line)))
    return Unreadable(next(wrong, "the head is not in the form of HTTP/1.1"), _HEAD_TODO)


def _wrong_line(line: bytes) -> str | None:
    if not line:
        return "the head holds more than one blank line"
    if line.startswith((b" ", b"\t")):
        return "a header is folded over two lines"
    name, colon, value = line.partition(b":")
    if not colon:
        return "a header has no colon"
    if name.endswith((b" ", b"\t")):
        return "a space stands before the colon of a header"
    if not name or name.translate(None, TOKEN):
        return "a header's name is not a token"
    if value.translate(None, VALUE):
        return f"the value of {shown(name)} holds a control byte"
    return None
