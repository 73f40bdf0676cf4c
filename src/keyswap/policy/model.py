"""The compiled policy: what the YAML means, ready to be asked. Immutable; a reload makes a new one.

`load` builds it and `decide` asks it. Nothing here reads, waits or knows the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from keyswap.exchange import CanonicalHost, CredentialName, PlaceholderShape, Rule, Scheme
from keyswap.policy.hosts import HostIndex, HostPattern
from keyswap.policy.paths import PathPattern

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `egress` or `deny`."""

    rule: Rule
    host: HostPattern
    ports: frozenset[int]
    """Empty in `deny`: any port."""
    schemes: frozenset[Scheme]
    """Empty in `deny`: any scheme."""
    methods: frozenset[str] | None = None
    """Upper case; None: any. HEAD follows GET."""
    paths: tuple[PathPattern, ...] | None = None
    """None: any."""
    passthrough: bool = False
    """`tls: passthrough`: relayed without looking inside; never carries a credential."""
    encoded_slash: bool = False
    """`encoded_slash: segment`: `%2F` is an ordinary character inside one segment."""
    private: tuple[Network, ...] = ()
    """Denied ranges that this name may resolve to. Metadata addresses never open."""
    pin: Address | None = None
    """The address to dial, without DNS."""
    pin_port: int | None = None
    """The port to dial at `pin`, where it differs from the one addressed."""
    ca_file: str | None = None
    """Absolute path of the PEM file that this host's certificate must chain to, instead of the public roots."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One key: where it comes from, where it may go, what stands for it in the sandbox."""

    name: CredentialName
    rule: Rule
    hosts: tuple[tuple[HostPattern, int], ...]
    """What it is bound to: pattern and port."""
    headers: tuple[str, ...]
    """Declared headers in lower case, in order of preference. `authorization` includes both halves of Basic."""
    shape: PlaceholderShape
    source: str
    """`env:NAME` or `file:/absolute/path`."""
    env: tuple[str, ...] = ()
    """The variables a sandbox is given the placeholder in."""
    dialect: Literal["", "anthropic", "openai", "gemini"] = ""
    """Whose error bodies the clients of these hosts understand."""
    preset: str = ""
    optional: bool = False
    """A missing value is 503 a request instead of a start error."""
    plaintext: bool = False
    """May be released over http to its own hosts."""
    foreign: Literal["refuse", "allow"] = "refuse"
    """What happens to a value in its headers that is not ours."""

    @property
    def places(self) -> frozenset[str]:
        """The places searched and changed, in the words of `Finding.place`."""
        basic = ("basic:user", "basic:password") if "authorization" in self.headers else ()
        return frozenset((*(f"header:{name}" for name in self.headers), *basic))

    def bound_to(self, host: CanonicalHost, port: int) -> bool:
        """Whether this credential may be released to that destination."""
        return any(pattern.matches(host) and port == bound for pattern, bound in self.hosts)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a session may use; a profile only narrows."""

    name: str
    credentials: frozenset[CredentialName]
    egress: tuple[Entry, ...]
    index: HostIndex[Entry] = field(init=False, repr=False, compare=False)
    """`egress` by host."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", index_of(self.egress))


@dataclass(frozen=True, slots=True)
class StandingSession:
    """A session that the policy names: known by its network, or by a token kept in a file or variable."""

    name: str
    profile: str
    source: tuple[Network, ...] = ()
    token: str | None = None
    """`file:` or `env:` reference; None: the network is enough."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds; None: no limit."""

    head: int = 64 * 1024
    headers: int = 200
    body: int | None = None
    answer_head: int = 256 * 1024
    client_head: float = 10.0
    connect: float = 10.0
    first_byte: float = 20 * 60.0
    idle: float = 3600.0
    connections_per_session: int = 512
    drain: float = 30.0


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where and how durably the audit is written."""

    path: str = "audit.jsonl"
    """Relative to the state directory."""
    durability: Literal["process", "machine"] = "process"
    rotate: int = 256 * 1024 * 1024
    """Bytes after which a new file is begun."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One whole policy."""

    file: str
    """Absolute path of the file it came from."""
    sha256: str
    generation: int
    """Counts the policies this process has loaded, from 1."""
    mode: Literal["enforce", "observe"]
    credentials: Mapping[CredentialName, Credential]
    egress: tuple[Entry, ...]
    deny: tuple[Entry, ...]
    profiles: Mapping[str, Profile]
    sessions: Mapping[str, StandingSession]
    limits: Limits = field(default_factory=Limits)
    audit: AuditSettings = field(default_factory=AuditSettings)
    warnings: tuple[str, ...] = ()
    """`file:line:column: what, and what to write instead`, for what loads but is unwise."""
    files: tuple[str, ...] = ()
    """Absolute paths of all files whose change may change this policy (itself, CA files)."""
    egress_line: int = 0
    """The line of the `egress:` key, which a refusal cites where no entry comes near; 0: there is none."""
    egress_index: HostIndex[Entry] = field(init=False, repr=False, compare=False)
    deny_index: HostIndex[Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "egress_index", index_of(self.egress))
        object.__setattr__(self, "deny_index", index_of(self.deny))


def index_of(entries: tuple[Entry, ...]) -> HostIndex[Entry]:
    """The entries by host, so that a thousand of them cost a request what one does."""
    return HostIndex((entry.host, entry) for entry in entries)
