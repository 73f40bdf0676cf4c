"""A real keyswap in the test's own loop: policy on disk, CA, state, listener; and a provider behind it.

async with House(tmp_path, provider) as house:
    session = house.mint()
    async with house.tunnel("api.demo.example", session) as wire:
        answer = await wire.request("GET", "/echo", "api.demo.example", [("X-Api-Key", session.placeholder("demo"))])
"""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keyswap.addons.proxy import Proxy, open_proxy
from keyswap.certs import ca
from keyswap.exchange import CredentialName, Session
from keyswap.settings import Listen, Settings
from support.provider import Provider
from support.wire import Wire

HOST = "api.demo.example"

POLICY = """\
version: 1
mode: enforce
credentials:
  demo:
    hosts: [{host}]
    headers: [X-Api-Key, Authorization]
    placeholder: {{prefix: demo-, length: 40}}
    env: [DEMO_API_KEY]
    source: file:demo.key
egress:
  - {{host: {host}, pin: "{address}", ca_file: "{ca}"}}
  - {{host: plain.example.com, pin: "{address}", ca_file: "{ca}"}}
"""


@dataclass(frozen=True, slots=True)
class Minted:
    """A session and what stands for each credential in it."""

    session: Session
    token: str
    placeholders: Mapping[CredentialName, str]

    @property
    def id(self) -> str:
        return self.session.id

    def placeholder(self, name: str) -> str:
        return self.placeholders[CredentialName(name)]


class House:
    """One proxy. `policy` is text with {host}, {address} and {ca} in it; `key` is the real value of `demo`."""

    def __init__(
        self,
        folder: Path,
        provider: Provider,
        policy: str = POLICY,
        *,
        key: bytes | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.provider = provider
        self.key = key if key is not None else f"real-{secrets.token_hex(24)}".encode()
        self.environ = dict(environ or {})
        self.policy_file = folder / "policy" / "policy.yaml"
        self.key_file = folder / "policy" / "demo.key"
        self.state_dir = folder / "state"
        self.certs_dir = folder / "ca"
        self.proxy: Proxy | None = None
        (folder / "policy").mkdir(mode=0o700, exist_ok=True)
        self.write_policy(policy)
        self.write_key(self.key)

    def write_policy(self, text: str) -> None:
        """Replace the policy's text, as an editor does: a new file is moved into its place."""
        filled = text.format(host=HOST, address=self.provider.address, ca=self.provider.ca_pem)
        draft = self.policy_file.with_suffix(".new")
        draft.write_text(filled)
        draft.chmod(0o600)
        draft.replace(self.policy_file)

    def write_key(self, value: bytes) -> None:
        """Replace the real value of `demo`; the provider accepts it from now on."""
        self.key = value
        self.provider.keys.add(value)
        draft = self.key_file.with_suffix(".new")
        draft.write_bytes(value + b"\n")
        draft.chmod(0o600)
        draft.replace(self.key_file)

    async def __aenter__(self) -> Self:
        if not (self.certs_dir / "ca.pem").exists():
            ca.create(self.certs_dir)
        self.proxy = await open_proxy(self.settings, self.environ)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.proxy is not None:
            await self.proxy.stop(drain=0)

    @property
    def settings(self) -> Settings:
        return Settings(
            policy=self.policy_file, state_dir=self.state_dir, certs_dir=self.certs_dir, listen=Listen("127.0.0.1", 0)
        )

    @property
    def running(self) -> Proxy:
        assert self.proxy is not None
        return self.proxy

    @property
    def ca_pem(self) -> Path:
        return self.certs_dir / "ca.pem"

    def mint(self, profile: str = "default", ttl: float = 3600, **details: Any) -> Minted:
        """A new session."""
        runtime = self.running.runtime
        session, token = runtime.sessions.mint(profile, ttl, **details)
        return Minted(session, token, runtime.placeholders(session))

    async def wire(self) -> Wire:
        """A connection to the proxy, nothing sent yet."""
        return await Wire.connect(*self.running.address)

    @contextlib.asynccontextmanager
    async def tunnel(
        self, host: str, session: Minted | None, *, port: int = 443, sni: str | None = None, alpn: str = "http/1.1"
    ) -> AsyncIterator[Wire]:
        """A TLS tunnel to `host` as that session; its CONNECT is expected to pass."""
        async with await self.wire() as wire:
            answer = await wire.connect_tunnel(f"{host}:{port}", session.token if session else None)
            assert answer.status == 200, answer.everything
            await wire.tls(host if sni is None else sni, [alpn], self.ca_pem if sni is None else None)
            yield wire

    def records(self, event: str | None = None) -> list[dict[str, Any]]:
        """The audit so far."""
        lines = (self.state_dir / "audit.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [record for record in found if event is None or record["event"] == event]
