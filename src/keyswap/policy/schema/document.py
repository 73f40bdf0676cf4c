"""The policy file, version 1, as types: plain data, as written. What the names and patterns mean is compiled later."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from keyswap.policy.schema.values import Duration, Names, Port, Size, Texts, Version

PresetName = Literal[
    "anthropic", "openai", "gemini", "openrouter", "deepseek", "mistral", "groq", "xai",
    "github", "gitlab", "slack", "stripe", "huggingface",
]  # fmt: skip


class Part(BaseModel):
    """Strict: nothing is converted, and a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Placeholder(Part):
    """What stands for the real key in a sandbox: a shape that is filled per session, or one fixed value."""

    prefix: str = ""
    """How the client expects a key to begin."""
    length: Annotated[int, Field(ge=1, le=512)] | None = None
    """Characters in all; 22 of them must be left for randomness (32 with `alphabet: hex`), better 29 (42)."""
    suffix: str = ""
    """How it ends."""
    alphabet: Literal["base62", "base36", "hex"] = "base62"
    """The characters between prefix and suffix: 0-9A-Za-z, 0-9a-z or 0-9a-f."""
    value: Annotated[str, Field(min_length=16, max_length=512)] | None = None
    """A fixed placeholder, the same in every session; stands alone, and is warned about."""


class Credential(Part):
    """One real key: where it comes from, where it may go, what stands for it in a sandbox."""

    preset: PresetName | None = None
    """A known provider; gives hosts, headers, placeholder and env, each of which may be written here instead."""
    hosts: Texts | None = None
    """The only destinations it is released to, each `host`, `host:port` or `*.example.com`; port 443 unless written."""
    headers: Texts | None = None
    """The headers it travels in, the preferred one first; Authorization includes user and password of Basic."""
    placeholder: Placeholder | None = None
    """The shape of what a sandbox is given instead."""
    env: list[str] | None = None
    """The variables a sandbox is given the placeholder in."""
    source: str
    """Where the real key is: `env:NAME` or `file:PATH` (relative to this file's folder). Never the key itself."""
    optional: bool = False
    """A missing value refuses each request (503) instead of the start."""
    plaintext: bool = False
    """It may also be released over http, unencrypted, to its own hosts."""
    foreign: Literal["refuse", "allow"] = "refuse"
    """What happens to another value in its headers on its hosts."""


class Matcher(Part):
    """What an entry of `egress` and one of `deny` have in common."""

    host: str
    """One host, or `*.example.com`: any depth below, not example.com itself."""
    methods: Texts | None = None
    """The methods meant; any if left out. HEAD follows GET."""
    paths: Texts | None = None
    """The paths meant, without query; `*` is one segment, `**` any number; any path if left out."""
    ports: Annotated[list[Port], Field(min_length=1)] | None = None
    """The ports meant. In egress 443 (80 for http) if left out, in deny any."""
    schemes: Annotated[list[Literal["https", "http"]], Field(min_length=1)] | None = None
    """https if left out, in deny any. An http entry carries no credential unless that says `plaintext: true`."""
    encoded_slash: Literal["segment"] | None = None
    """`segment`: %2F is an ordinary character inside one segment of a path."""


class Entry(Matcher):
    """One line of what clients may address."""

    tls: Literal["passthrough"] | None = None
    """`passthrough`: relayed without looking inside, on https; nothing is swapped or checked in it."""
    private: Texts | None = None
    """Ranges of addresses, denied otherwise, that this name may resolve to. Metadata addresses never open."""
    pin: str | None = None
    """The address to dial without DNS: `IP`, or `IP:port` (`[IPv6]:port`) to dial another port than the one addressed,
    which lets a local service answer under a real name."""
    ca_file: str | None = None
    """The CA certificates (PEM) this host must chain to, instead of the public ones; relative to this file's folder."""


class Deny(Matcher):
    """One line of what clients may not address, whatever egress says."""


class Profile(Part):
    """What a session may use of all this; what is left out is none."""

    credentials: Names = ()
    """Names of credentials, or `all`."""
    egress: Names = ()
    """Host texts of egress entries, or `all`."""


class Session(Part):
    """A standing session: known by its network, or by a token kept elsewhere. It ends when it is removed here."""

    profile: str | None = None
    """`default` if left out."""
    source: Texts | None = None
    """Networks, or addresses, whose clients are this session."""
    token: str | None = None
    """Where its token is: `env:NAME` or `file:PATH` (relative to this file's folder). Never the token itself."""


class Limits(Part):
    """Sizes and times; each has a default."""

    head: Annotated[Size, Field(ge=1024)] | None = None
    """Bytes of a request's head (64KiB)."""
    headers: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Header fields of a request (200)."""
    body: Annotated[Size, Field(ge=0)] | None = None
    """Bytes of a request's body (no limit)."""
    answer_head: Annotated[Size, Field(ge=1024)] | None = None
    """Bytes of an answer's head (256KiB)."""
    client_head: Duration | None = None
    """How long a client may take to send a head (10s)."""
    connect: Duration | None = None
    """How long a connection to an upstream may take (10s)."""
    first_byte: Duration | None = None
    """How long an upstream may take to begin its answer (20m)."""
    idle: Duration | None = None
    """How long nothing may happen on a connection (1h)."""
    connections_per_session: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Open connections of one session (512)."""
    drain: Duration | None = None
    """How long open requests may go on once the proxy is told to stop (30s)."""


class Audit(Part):
    """Where and how durably it is written down."""

    path: Annotated[str, Field(min_length=1)] | None = None
    """The file, relative to the state directory (audit.jsonl)."""
    durability: Literal["process", "machine"] | None = None
    """What a record survives before the value leaves: the death of the process (default), or of the machine."""
    rotate: Annotated[Size, Field(ge=64 * 1024)] | None = None
    """Bytes after which a new file is begun (256MiB)."""


class Document(Part):
    """A keyswap policy."""

    version: Version
    """The version of this format."""
    mode: Literal["enforce", "observe"] = "enforce"
    """`observe` lets through what is merely not listed, without credentials, and records it."""
    credentials: dict[str, Credential] = {}
    """The real keys, by name."""
    egress: list[Entry] = []
    """The only list of what a client may address; a union."""
    deny: list[Deny] = []
    """Beats egress; a union."""
    profiles: dict[str, Profile] | None = None
    """What sessions may use. Without this key there is one, `default`, with everything."""
    sessions: dict[str, Session] = {}
    """Standing sessions, by name; the others are minted."""
    limits: Limits = Limits()
    """Sizes and times."""
    audit: Audit = Audit()
    """The audit file."""
