"""From the engine's request to the Head and the Ask that the rooms judge."""

from collections.abc import Iterable

from mitmproxy import http

from keyswap.addons.flight import ClientState
from keyswap.exchange import Authority, Code, Head, Refusal, Scheme
from keyswap.policy.hosts import HostError, canonical_authority, canonical_host, is_ip
from keyswap.policy.model import Limits
from keyswap.rewrite.read import Unreadable, check_head

DEFAULT_PORT: dict[Scheme, int] = {"https": 443, "http": 80}


def head_of(request: http.Request, *, tunnel: bool) -> Head:
    """The request's head as the client sent it.

    Outside a tunnel the engine has already moved the target's authority into host and port, from where it is taken.
    """
    data = request.data
    scheme: Scheme = "https" if request.scheme == "https" else "http"
    authority = data.authority if tunnel else f"{_as_sent(data.host)}:{data.port}".encode("utf-8", "replace")
    if not tunnel and ":" in data.host:
        authority = f"[{data.host}]:{data.port}".encode()
    return Head(
        version=data.http_version.decode("ascii", "replace"),
        method=data.method,
        scheme=scheme,
        authority=authority,
        path=data.path,
        fields=tuple(data.headers.fields),
    )


def _as_sent(host: str) -> str:
    """The host of an absolute target as an A-label again: the engine has decoded what was ASCII on the wire."""
    if host.isascii():
        return host
    try:
        return canonical_host(host)
    except HostError:
        return host


def problem_of(head: Head, limits: Limits) -> Refusal | None:
    """Row 1 of the table: why this head cannot be read in one way only, or is over a limit."""
    try:
        check_head(head, max_fields=limits.headers, max_bytes=limits.head)
    except Unreadable as error:
        return Refusal(error.code, error.what, error.todo)
    return None


def authority_of(head: Head) -> tuple[Authority | None, Refusal | None]:
    """A of a request outside a tunnel, or why it cannot be read."""
    return read_authority(head.authority, DEFAULT_PORT[head.scheme])


def read_authority(raw: bytes, default_port: int) -> tuple[Authority | None, Refusal | None]:
    """An authority in canonical form, or the refusal that says why there is none."""
    try:
        return canonical_authority(raw.decode("ascii"), default_port), None
    except HostError as error:
        why = str(error)
    except UnicodeDecodeError:
        why = "a host on the wire is ASCII"
    return None, Refusal(Code.AMBIGUOUS, f"the destination cannot be read: {why}", "write the host as its plain name")


def claims_of(head: Head, client: ClientState, sni: str | None) -> tuple[tuple[str, Authority | None], ...]:
    """Row 7: everything else in the request that names the destination, each as it reads in canonical form."""
    port = client.authority.port if client.authority is not None else DEFAULT_PORT[head.scheme]
    claims: list[tuple[str, Authority | None]] = []
    if client.authority is not None:
        if sni is not None or not is_ip(client.authority.host):
            claims.append(("SNI", _from_sni(sni, port)))
        if head.version.startswith("HTTP/2"):
            claims.append((":authority", _from_text(head.authority, DEFAULT_PORT[head.scheme])))
        elif head.authority:
            claims.append(("target", _from_text(head.authority, DEFAULT_PORT[head.scheme])))
    elif head.scheme == "https":
        claims.append(("CONNECT", None))  # https in the clear to the proxy: nobody has shown a certificate
    hosts = list(values_of(head, b"host"))
    if not hosts and not head.version.startswith("HTTP/2"):
        claims.append(("Host", None))
    claims.extend(("Host", _from_text(value, DEFAULT_PORT[head.scheme])) for value in hosts)
    return tuple(claims)


def values_of(head: Head, name: bytes) -> Iterable[bytes]:
    """The values of a header, by its lower-case name."""
    return (value for field, value in head.fields if field.lower() == name)


def _from_text(raw: bytes, default_port: int) -> Authority | None:
    found, _ = read_authority(raw, default_port)
    return found


def _from_sni(sni: str | None, port: int) -> Authority | None:
    """The server name of the handshake. RFC 6066 forbids IP literals there, so for those its absence is no claim."""
    if sni is None:
        return None
    try:
        return Authority(canonical_host(sni), port)
    except HostError:
        return None
