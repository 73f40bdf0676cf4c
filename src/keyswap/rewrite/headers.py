"""What never leaves: hop-by-hop headers, our own, and those that would change the method (S14, S15).

Everything else keeps its order, its case and its bytes. The work is linear in the number of fields; the engine's own
header type is quadratic there.
"""

from keyswap.exchange import Fields

# RFC 9110, section 7.6.1, and HTTP2-Settings of the h2c upgrade (RFC 7540, section 3.2.1).
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings"})
_PREFIXES = (b"proxy-", b"x-keyswap-")
_OVERRIDES = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})
# Without these the next hop would read another message than the one that was judged.
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})


def strip(
    fields: Fields,
    *,
    version: str,
    method_restricted: bool,
    identity_encoding: bool,
    keep: frozenset[str] = frozenset(),
) -> Fields:
    """The fields that may go upstream.

    `version` is the client's; only in HTTP/2 does `te: trailers` stay (gRPC needs it). `method_restricted`: the rule
    that allowed the request lists methods, so method-override headers go. `identity_encoding`: afterwards there is
    exactly one `accept-encoding: identity`. `keep`: credential headers in lower case, which `Connection` cannot remove
    (S15).
    """
    named = _named_by_connection(fields) - _FRAMING - {name.encode() for name in keep}
    left: list[tuple[bytes, bytes]] = []
    for field in fields:
        # Gateways that turn names into variables see no difference between - and _.
        name = field[0].lower().replace(b"_", b"-")
        if name == b"te" and version == "HTTP/2.0" and _asks_for_trailers(field[1]):
            left.append((field[0], b"trailers"))
        elif name in _HOP_BY_HOP or name.startswith(_PREFIXES) or field[0].lower() in named:
            continue
        elif not (method_restricted and name in _OVERRIDES):
            left.append(field)
    return _identity(left) if identity_encoding else tuple(left)


def only_one(fields: Fields, name: bytes) -> Fields:
    """The fields with the first one called `name` (lower case) kept and any later one of that name removed."""
    left: list[tuple[bytes, bytes]] = []
    seen = False
    for field in fields:
        if field[0].lower() == name:
            if seen:
                continue
            seen = True
        left.append(field)
    return tuple(left)


def _named_by_connection(fields: Fields) -> set[bytes]:
    lists = [value for name, value in fields if name.lower() == b"connection"]
    return {name.strip(b" \t").lower() for value in lists for name in value.split(b",")}


def _asks_for_trailers(value: bytes) -> bool:
    return b"trailers" in [coding.strip(b" \t").lower() for coding in value.split(b",")]


def _identity(fields: list[tuple[bytes, bytes]]) -> Fields:
    one = only_one(tuple(fields), b"accept-encoding")
    for at, (name, _) in enumerate(one):
        if name.lower() == b"accept-encoding":
            return (*one[:at], (name, b"identity"), *one[at + 1 :])
    return (*one, (b"accept-encoding", b"identity"))
