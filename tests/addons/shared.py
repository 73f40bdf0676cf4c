"""One house for a whole module of tests, and a way to ask it for a URL as a client would.

A module that shares its house says so once:

    pytestmark = pytest.mark.asyncio(loop_scope="module")
    house = shared_house()
"""

import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
import yaml

from support.house import POLICY, House, Minted
from support.provider import Provider
from support.wire import Wire, WireResponse, basic
from support.wire_h2 import Wire2

H1, H2 = "http/1.1", "h2"
VERSIONS = (H1, H2)

Version = Literal["http/1.1", "h2"]
Pairs = Sequence[tuple[str, str]]


@contextlib.asynccontextmanager
async def open_house(folder: Path, policy: str = POLICY, **options: Any) -> AsyncIterator[House]:
    """A provider, and a house in front of it."""
    with Provider(folder / "provider") as provider:
        async with House(folder, provider, policy, **options) as house:
            yield house


def shared_house(policy: str = POLICY, **options: Any) -> Any:
    """The fixture of a module whose tests share one house; what reached the provider is forgotten between them."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
        async with open_house(tmp_path_factory.mktemp("house"), policy, **options) as running:
            yield running

    return house


class News:
    """What a house has written and its provider has received since this was made."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._seen = len(house.records())
        house.provider.recorder.forget()

    def records(self, *events: str) -> list[dict[str, Any]]:
        """The audit lines since then, of these events or of all."""
        fresh = self.house.records()[self._seen :]
        return [record for record in fresh if not events or record["event"] in events]

    @property
    def refusal(self) -> dict[str, Any]:
        """The one refusal since then, as recorded."""
        [record] = self.records("refused", "placeholder_misuse")
        return record

    def refused(self, code: str) -> bool:
        """Whether exactly one refusal was recorded, with this code, and nothing reached the provider."""
        return bool(self.refusal["decision"]["code"] == code) and self.nothing_left

    @property
    def nothing_left(self) -> bool:
        """Whether the provider has seen no connection at all."""
        return not self.house.provider.connections and not self.house.provider.requests


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer, and which question it answers."""

    answer: WireResponse
    at: Literal["connect", "request"]
    relayed: bool = False
    """The certificate shown was the provider's own."""

    @property
    def code(self) -> str | None:
        """The code of a refusal of ours; None for an answer of the provider."""
        found = re.match(r'keyswap; error=\w+; details="(\w+): ', self.answer.header("proxy-status") or "")
        return found[1] if found else None


async def ask(
    house: House,
    url: str,
    session: Minted | None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Pairs = (),
    body: bytes = b"",
    version: Version = "http/1.1",
    sni: str | None = None,
    announced: bool = True,
) -> Asked:
    """Ask for a URL as it stands: CONNECT and TLS for https, absolute-form for http. A Host given replaces ours.

    `announced` False: on HTTP/2, a body without Content-Length.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    scheme, authority, path = _split(url)
    token = session.token if session else None
    async with await house.wire() as wire:
        if scheme == "http":
            return Asked(await _plain(wire, url, authority, token, method, pairs, body), "request")
        answer = await wire.connect_tunnel(_with_port(authority), token)
        if answer.status != 200:
            return Asked(answer, "connect")
        name = _without_port(authority).strip("[]").rstrip(".").lower() if sni is None else sni
        await wire.tls(name, [version])
        relayed = _is_of(wire, house)
        if version == H2:
            pairs += [("content-length", str(len(body)))] if body and announced else []
            answer = await (await Wire2.start(wire)).request(method, path, authority, _lower(pairs), body)
        else:
            answer = await wire.request(method, path, *_host(authority, pairs), body)
        return Asked(answer, "request", relayed)


async def _plain(
    wire: Wire, url: str, authority: str, token: str | None, method: str, pairs: list[tuple[str, str]], body: bytes
) -> WireResponse:
    credentials = [("Proxy-Authorization", basic(token))] if token else []
    host, rest = _host(authority, pairs)
    return await wire.request(method, url, host, [*credentials, *rest], body)


def _split(url: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"(https?)://([^/?#]*)(.*)", url, re.DOTALL)
    assert found, url
    path = found[3] if found[3].startswith("/") else f"/{found[3]}"
    return found[1], found[2], path


def _with_port(authority: str) -> str:
    return authority if re.search(r"(?<!:):\d*$|\]:\d*$", authority) else f"{authority}:443"


def _without_port(authority: str) -> str:
    return re.sub(r":\d*$", "", authority) if authority.count(":") == 1 or "]:" in authority else authority


def _host(authority: str, pairs: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    hosts = [value for name, value in pairs if name.lower() == "host"]
    return (hosts or [authority])[0], [pair for pair in pairs if pair[0].lower() != "host"]


def _lower(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in pairs]


def _is_of(wire: Wire, house: House) -> bool:
    shown = wire.ssl_object.getpeercert(binary_form=True) or b""
    return b"provider test CA" in shown


def pinned(text: str, provider_address: str = "{address}", ca: str = "{ca}") -> str:
    """A policy's text with every egress entry sent to the local provider; no line moves, so rules keep their numbers.

    The result is a template for House: braces of YAML are doubled.
    """
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    entries: Iterator[yaml.Node] = (
        entry for key, value in root.value if key.value == "egress" for entry in value.value
    )
    ends = [entry.end_mark.index - 1 for entry in entries]
    pieces, at = [], 0
    for end in ends:
        assert text[end] == "}", "entries are written in flow style"
        passthrough = "tls: passthrough" in text[at:end].rpartition("{host")[2]
        pin = f', pin: "{provider_address}"' + ("" if passthrough else f', ca_file: "{ca}"')
        pieces += [text[at:end].replace("{", "{{").replace("}", "}}"), pin]
        at = end
    return "".join([*pieces, text[at:].replace("{", "{{").replace("}", "}}")])


def template(text: str, **marks: str) -> str:
    """A policy as House takes it: braces are YAML's own; `@local`, `@ca` and the marks given are filled in."""
    text = text.replace("{", "{{").replace("}", "}}")
    for mark, value in marks.items():
        text = text.replace(f"@{mark}", value)
    return text.replace("@local", "{address}").replace("@ca", "{ca}")


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of loopback on which nobody listens for as long as this is entered."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
