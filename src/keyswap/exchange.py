"""One request's notebook, and the words in which the rooms of the middle floor speak to each other.

Everything here is plain data: no I/O, no clock, no engine. A room takes these values and gives these values; `addons/`
strings the rooms together. Bytes are as they stood on the wire; text is canonical.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

from keyswap.secret import Secret

CanonicalHost = NewType("CanonicalHost", str)
"""A host name in lower case, as an A-label, without a trailing dot; or an IP literal without brackets."""

SessionId = NewType("SessionId", str)
CredentialName = NewType("CredentialName", str)
PlaceholderText = NewType("PlaceholderText", str)

Scheme = Literal["https", "http"]
Fields = tuple[tuple[bytes, bytes], ...]
"""Header fields in the order of the wire: name as sent, value without surrounding white space."""

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Stage(StrEnum):
    """When a question is asked: at CONNECT, or for a request (inside a tunnel, or absolute-form http)."""

    CONNECT = "connect"
    REQUEST = "request"


class Code(StrEnum):
    """The stable name of a refusal; the whole list, in the order of the precedence table."""

    AMBIGUOUS = "ambiguous"
    BODY_TOO_LARGE = "body_too_large"
    HEAD_TOO_LARGE = "head_too_large"
    SESSION_REQUIRED = "session_required"
    OWN_ADDRESS = "own_address"
    DENIED = "denied"
    HOST_NOT_LISTED = "host_not_listed"
    PORT_NOT_LISTED = "port_not_listed"
    AUTHORITY_MISMATCH = "authority_mismatch"
    METHOD_NOT_LISTED = "method_not_listed"
    PATH_NOT_LISTED = "path_not_listed"
    UPGRADE_REFUSED = "upgrade_refused"
    ADDRESS_DENIED = "address_denied"
    LOOP = "loop"
    PLACEHOLDER_MISUSE = "placeholder_misuse"
    FOREIGN_CREDENTIAL = "foreign_credential"
    RATE_LIMITED = "rate_limited"
    CREDENTIAL_UNAVAILABLE = "credential_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    UPSTREAM_FAILED = "upstream_failed"
    INTERNAL = "internal"

    @property
    def status(self) -> int:
        """The HTTP status this code is answered with."""
        return _STATUS[self]

    @property
    def proxy_error(self) -> str:
        """The error type of Proxy-Status (RFC 9209, section 2.3) that comes nearest."""
        return _PROXY_ERROR[self]

    @property
    def retry_helps(self) -> bool:
        """Whether the same request may succeed later without anybody changing anything."""
        return self in _RETRY


_STATUS: Mapping[Code, int] = {
    Code.AMBIGUOUS: 400,
    Code.BODY_TOO_LARGE: 413,
    Code.HEAD_TOO_LARGE: 431,
    Code.SESSION_REQUIRED: 407,
    Code.OWN_ADDRESS: 403,
    Code.DENIED: 403,
    Code.HOST_NOT_LISTED: 403,
    Code.PORT_NOT_LISTED: 403,
    Code.AUTHORITY_MISMATCH: 421,
    Code.METHOD_NOT_LISTED: 403,
    Code.PATH_NOT_LISTED: 403,
    Code.UPGRADE_REFUSED: 403,
    Code.ADDRESS_DENIED: 403,
    Code.LOOP: 508,
    Code.PLACEHOLDER_MISUSE: 403,
    Code.FOREIGN_CREDENTIAL: 403,
    Code.RATE_LIMITED: 429,
    Code.CREDENTIAL_UNAVAILABLE: 503,
    Code.AUDIT_UNAVAILABLE: 503,
    Code.UPSTREAM_FAILED: 502,
    Code.INTERNAL: 502,
}
_PROXY_ERROR: Mapping[Code, str] = {
    **dict.fromkeys(Code, "http_request_denied"),
    Code.AMBIGUOUS: "http_request_error",
    Code.BODY_TOO_LARGE: "http_request_error",
    Code.HEAD_TOO_LARGE: "http_request_error",
    Code.ADDRESS_DENIED: "destination_ip_prohibited",
    Code.LOOP: "proxy_loop_detected",
    Code.CREDENTIAL_UNAVAILABLE: "proxy_configuration_error",
    Code.AUDIT_UNAVAILABLE: "proxy_internal_error",
    Code.UPSTREAM_FAILED: "destination_unavailable",
    Code.INTERNAL: "proxy_internal_error",
}
_RETRY = frozenset({Code.RATE_LIMITED, Code.CREDENTIAL_UNAVAILABLE, Code.AUDIT_UNAVAILABLE, Code.UPSTREAM_FAILED})


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and a port; what a request is addressed to (A), or what it is sent to (U)."""

    host: CanonicalHost
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The line of the policy that decided, or came nearest."""

    file: str
    """The policy file's base name."""
    line: int
    """From 1; 0 stands for the end of a list that holds no such line."""
    text: str
    """The entry as one line of YAML flow style."""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing goes upstream, in words for a person or a model."""

    code: Code
    reason: str
    """One clause without a full stop, canonical values only: `api.foo.com is not in egress`."""
    todo: str
    """One clause that says what to do: `add {host: api.foo.com} to egress in policy.yaml`."""
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of the precedence table."""

    result: Literal["allow", "passthrough", "refuse"]
    rule: Rule | None
    """The first line that matches; for a refusal, the nearest miss."""
    reason: str
    refusal: Refusal | None = None
    would_refuse: Code | None = None
    """Set under `mode: observe` where enforce would have refused; such a request never gets a credential."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who is asking, until when, with which profile."""

    id: SessionId
    profile: str
    seed: bytes = field(repr=False)
    """What this session's placeholders are derived from: random for a minted one, its name for a standing one."""
    expires_at: float | None = None
    """Unix seconds; None for a standing session."""
    tenant: str = ""
    run_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    standing: bool = False


@dataclass(frozen=True, slots=True)
class PlaceholderShape:
    """What a client accepts as a key: `prefix` + random of `alphabet` + a keyed check + `suffix`, `length` in all."""

    prefix: str
    length: int
    suffix: str = ""
    alphabet: str = BASE62
    value: PlaceholderText | None = None
    """A fixed placeholder, the same in every session."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one request as the client sent it, before anything was changed."""

    version: str
    """`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`."""
    method: bytes
    scheme: Scheme
    authority: bytes
    """The authority of an absolute-form target or of `:authority`; empty where there is none."""
    path: bytes
    """Path and query, as sent."""
    fields: Fields


@dataclass(frozen=True, slots=True)
class Finding:
    """One value in a request's head that looks like a credential."""

    kind: Literal["own", "unknown", "other"]
    """own: a placeholder of this session. unknown: ours by its check, but not of this session. other: not ours at all,
    in a header that a credential of this destination owns."""
    place: str
    """`header:x-api-key`, `basic:user`, `basic:password`, `query`, `path`, `header:cookie`…, in lower case."""
    credential: CredentialName | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """All that the precedence table needs to know about one CONNECT or one request."""

    stage: Stage
    scheme: Scheme
    authority: Authority | None
    """A. None only where it could not be read, and then `problem` says why."""
    problem: Refusal | None = None
    """Row 1: why the head cannot be read in one way only, or is over a limit."""
    session: Session | None = None
    own: bool = False
    """Row 3: A names one of our own listeners."""
    claims: tuple[tuple[str, Authority | None], ...] = ()
    """Row 7: what else names the destination (`SNI`, `Host`, `:authority`, `target`); None: absent or unreadable."""
    method: str = "GET"
    path: bytes = b"/"
    """Path and query as sent; only the path is matched."""
    upgrade: bool = False
    """The request asks for another protocol (websocket)."""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """One release: this credential's value goes into this place of this request."""

    credential: CredentialName
    version: int
    """Which value of the source, counted from 1 since this process started."""
    fingerprint: str
    """A keyed hash that tells versions of a secret apart without telling the secret."""
    place: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a request is really sent (U)."""

    scheme: Scheme
    authority: Authority


class Exchange:
    """The notebook of one request. Each step writes its own values, once; writing a second time is a bug and raises.

    Identify writes `session`, Guard `decision`, Route `upstream`, Swap `grants` and `fields`, Release `released`.
    A request without `released` never leaves.
    """

    __slots__ = (
        "ask", "client", "decision", "fields", "generation", "grants", "head", "id", "refusal", "released", "session",
        "started", "upstream",
    )  # fmt: skip

    id: str
    client: str
    started: float
    """Monotonic seconds."""
    generation: int
    """The policy this request was judged by."""
    head: Head
    ask: Ask
    session: Session
    decision: Decision
    refusal: Refusal
    upstream: Upstream
    grants: tuple[Grant, ...]
    fields: Fields
    """The header fields that go upstream; real values in them once Swap is through."""
    released: bool

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise AttributeError(f"{name} was already written")
        object.__setattr__(self, name, value)

    def get(self, name: str) -> object | None:
        """The value of `name`, or None where its step has not run."""
        return getattr(self, name, None)
