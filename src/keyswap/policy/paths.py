"""Paths: read once, segment by segment, or not at all (S13).

A path that an upstream could read in another way than a rule does is a PathError: encoded slashes, dot segments in any
encoding, double encoding, `;`, `\\`, control bytes, `//`. Rules are read by the same function as requests. The bytes
sent are the bytes judged; nothing here rewrites a request. Neither errors nor anything but `display` quote the path,
because a placeholder may stand in it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote_to_bytes

MAX_DISPLAY = 512
"""Characters of a path in logs and in the audit."""

Segments = tuple[str, ...]

# Printable ASCII without what is refused or decoded: space, `#`, `%`, `;`, `?`, `\`.
_PLAIN = re.compile(rb"/[!\"$&-:<->@-\[\]-~]*")
_RAW = re.compile(rb"/[!\"$-:<->@-\[\]-~]*")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_REFUSED = re.compile(r"[\x00-\x1f\x7f;\\]")
# What stays as it is in the canonical spelling: unreserved, and sub-delims without `;` (RFC 3986, section 3.3).
_SAFE = "!$&'()*+,=:@~"
_AS_SENT = '/%;\\#"<>[]^`{|}'


class PathError(ValueError):
    """A path can be read in more than one way, or a pattern has no meaning; the message says why in one clause."""


class Wild(Enum):
    """What may stand in a pattern for segments that are not named."""

    ONE = "*"
    """One segment that is not empty."""
    MANY = "**"
    """Any number of segments, none included."""


def split_target(raw: bytes) -> bytes:
    """The path of a request target, without its query."""
    return raw.partition(b"?")[0]


def segments(raw_path: bytes, *, encoded_slash: bool) -> Segments:
    """The decoded segments of a path without query: `/` is `("",)`, `/a` is `("a",)`, `/a/` is `("a", "")`.

    With `encoded_slash`, `%2F` is an ordinary character inside one segment. Raises PathError for what is ambiguous.
    """
    if b"//" in raw_path:
        raise PathError("it has an empty segment (//)")
    if _PLAIN.fullmatch(raw_path) and b"/." not in raw_path:
        return tuple(raw_path[1:].decode("ascii").split("/"))
    if not raw_path.startswith(b"/"):
        raise PathError("it does not start with /")
    if not _RAW.fullmatch(raw_path):
        raise PathError("it has a character that must not stand in a path (space, control, #, ;, \\, non-ASCII)")
    if _BAD_PERCENT.search(raw_path):
        raise PathError("it has a % that begins no escape")
    return tuple(_segment(part, encoded_slash) for part in raw_path[1:].split(b"/"))


def canonical_path(parts: Segments) -> str:
    """The one spelling of a path, as ASCII; `segments` of it are the same again."""
    return "/" + "/".join(quote(part, safe=_SAFE) for part in parts)


def display(raw: bytes) -> str:
    """The path of a request target for logs and the audit: canonical where it has a canonical form, else its raw
    bytes with every unprintable one escaped; without query, ASCII, at most `MAX_DISPLAY` characters.
    """
    # Cut first: the work is bounded too, and a cut inside an escape only makes it a raw one.
    path = split_target(raw)[: MAX_DISPLAY + 1]
    try:
        text = canonical_path(segments(path, encoded_slash=True))
    except PathError:
        text = quote(path, safe=_SAFE + _AS_SENT)
    return text if len(text) <= MAX_DISPLAY else text[: MAX_DISPLAY - 3] + "..."


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path as a rule writes it: whole segments, `*` for one that is not empty, `**` for any number.

    `/a/**` matches `/a`, `/a/` and all below; `/a` matches `/a` alone; `/a/` matches `/a/` alone; `/**` matches all.
    """

    text: str
    parts: tuple[str | Wild, ...]

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """The pattern of a text, percent-encoded like a path or in plain Unicode; `%2A` is a literal `*`.

        Raises PathError. A `%2F` in it only ever matches under an entry with `encoded_slash: segment`.
        """
        if "?" in text:
            raise PathError("the query is not matched; write the path alone")
        try:
            raw = quote(text, safe=_SAFE + _AS_SENT + " ").encode("ascii")
        except UnicodeEncodeError:
            raise PathError("it is not Unicode text") from None
        decoded = segments(raw, encoded_slash=True)
        return cls(text, tuple(_part(*pair) for pair in zip(raw[1:].split(b"/"), decoded, strict=True)))

    def matches(self, path: Segments) -> bool:
        """Whether the whole path is meant. Takes at most len(path) * len(parts) steps."""
        at = here = 0
        retry: tuple[int, int] | None = None
        while at < len(path):
            part = self.parts[here] if here < len(self.parts) else None
            if part is Wild.MANY:
                here += 1
                retry = (at, here)
            elif part is not None and (part == path[at] or (part is Wild.ONE and path[at])):
                at, here = at + 1, here + 1
            elif retry is not None:
                at, here = retry[0] + 1, retry[1]
                retry = (at, here)
            else:
                return False
        return all(part is Wild.MANY for part in self.parts[here:])


def _segment(raw: bytes, encoded_slash: bool) -> str:
    if b"%" not in raw and raw not in (b".", b".."):
        return raw.decode("ascii")
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise PathError("it has an escape that is not UTF-8") from None
    if _ESCAPE.search(text):
        raise PathError("it is encoded twice (%25..)")
    if _REFUSED.search(text):
        raise PathError("it has an encoded control character, ; or \\")
    pieces = text.split("/")
    if len(pieces) > 1 and not encoded_slash:
        raise PathError("it has an encoded slash (%2F), and its entry has no encoded_slash: segment")
    if any(piece in (".", "..") for piece in pieces):
        raise PathError("it has a dot segment (. or ..)")
    if len(pieces) > 1 and "" in pieces:
        raise PathError("it has an encoded slash beside another slash")
    return text


def _part(raw: bytes, decoded: str) -> str | Wild:
    if raw in (b"*", b"**"):
        return Wild(raw.decode("ascii"))
    if b"*" in raw:
        raise PathError("a * stands for a whole segment, ** for any number; write %2A for the character itself")
    return decoded
