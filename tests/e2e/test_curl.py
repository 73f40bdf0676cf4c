"""curl behind the proxy: both HTTP versions, uploads, ranges, resumption, 100-continue, compression."""

import hashlib
import json
import re

import pytest

from e2e.check import Key, assert_no_session_token, assert_one_by_one, assert_swapped, lines
from e2e.conftest import PLAIN_HOST
from e2e.served import Minted, Served
from support.clients import Clients, Outcome
from support.provider import Provider
from support.routes import pattern

pytestmark = pytest.mark.e2e

API = "https://api.anthropic.com"
VERSIONS = [pytest.param("--http1.1", "HTTP/1.1", id="h1"), pytest.param("--http2", "HTTP/2.0", id="h2")]
UPLOAD = 8 * 1024 * 1024


def keyed(key: Key) -> tuple[str, str]:
    return ("-H", f"x-api-key: {key.placeholder}")


def headers_of(outcome: Outcome) -> dict[str, str]:
    """The header fields of the last answer in what `curl -D -` printed, lower case."""
    head = outcome.text.rpartition("\r\n\r\n")[0].rpartition("\r\n\r\n")[2]
    return dict(re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head.lower()))


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_a_request_is_swapped_on_the_way_out_and_scrubbed_on_the_way_back(
    clients: Clients, provider: Provider, anthropic_key: Key, session: Minted, flag: str, version: str
) -> None:
    outcome = clients.curl(flag, "-D", "-", f"{API}/echo", *keyed(anthropic_key))
    assert outcome.code == 0, outcome.errors
    assert headers_of(outcome)["x-seen-key"] == anthropic_key.returned.lower()
    assert json.loads(outcome.text.rpartition("\r\n\r\n")[2])["keys"] == [anthropic_key.returned]
    assert [request.version for request in provider.requests] == [version]
    assert_swapped(provider, outcome, anthropic_key, clients.home)
    assert_no_session_token(provider, session.token)


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_a_stream_arrives_event_by_event(
    clients: Clients, provider: Provider, anthropic_key: Key, flag: str, version: str
) -> None:
    body = json.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": [{"content": "echo the key"}]})
    outcome = clients.curl(flag, "-N", f"{API}/v1/messages", *keyed(anthropic_key), "--data", body)
    assert outcome.code == 0, outcome.errors
    deltas = re.findall(r'"text_delta", "text": "(.*?)"', outcome.text)
    assert "".join(deltas).endswith("eight " + anthropic_key.returned)
    assert_one_by_one([at for at, _ in outcome.arrivals], provider.delay)
    assert provider.requests[0].version == version
    assert_swapped(provider, outcome, anthropic_key, clients.home)


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_an_upload_of_8_mib_arrives_unharmed(
    clients: Clients, provider: Provider, anthropic_key: Key, flag: str, version: str
) -> None:
    content = pattern(0, UPLOAD)
    (clients.home / "big").write_bytes(content)
    outcome = clients.curl(flag, f"{API}/upload", *keyed(anthropic_key), "--data-binary", "@big")
    (answer,) = lines(outcome)
    assert (answer["bytes"], answer["sha256"]) == (UPLOAD, hashlib.sha256(content).hexdigest())
    assert provider.requests[0].version == version
    assert_swapped(provider, outcome, anthropic_key, clients.home)


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_an_upload_without_a_length_arrives_unharmed(
    clients: Clients, provider: Provider, anthropic_key: Key, flag: str, version: str
) -> None:
    content = pattern(0, 300_001)
    (clients.home / "big").write_bytes(content)
    chunked = ("-H", "Transfer-Encoding: chunked") if version == "HTTP/1.1" else ("-H", "Content-Length:")
    outcome = clients.curl(flag, f"{API}/upload", *keyed(anthropic_key), *chunked, "--data-binary", "@big")
    (answer,) = lines(outcome)
    assert answer["sha256"] == hashlib.sha256(content).hexdigest()
    assert_swapped(provider, outcome, anthropic_key, clients.home)


def test_expect_100_continue_is_answered_before_the_body_is_sent(
    clients: Clients, provider: Provider, anthropic_key: Key
) -> None:
    (clients.home / "body").write_bytes(pattern(0, 100_000))
    waiting = ("--http1.1", "-v", "--expect100-timeout", "20", "-H", "Expect: 100-continue", "-T", "body")
    outcome = clients.curl(*waiting, f"{API}/upload", *keyed(anthropic_key))
    assert "< HTTP/1.1 100" in outcome.errors
    assert outcome.errors.index("< HTTP/1.1 100") < outcome.errors.index("We are completely uploaded and fine")
    assert lines(outcome)[0]["bytes"] == 100_000
    assert_swapped(provider, outcome, anthropic_key, clients.home)


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_a_range_is_answered_with_exactly_that_range(
    clients: Clients, provider: Provider, anthropic_key: Key, flag: str, version: str
) -> None:
    ranged = ("-r", "1000-1999", "-o", "part", "-w", "%{http_code} %header{content-range}")
    outcome = clients.curl(flag, *ranged, f"{API}/bytes/50000", *keyed(anthropic_key))
    assert outcome.text == "206 bytes 1000-1999/50000"
    assert (clients.home / "part").read_bytes() == pattern(1000, 2000)
    assert provider.requests[0].header("range") == b"bytes=1000-1999"
    assert_swapped(provider, outcome, anthropic_key, clients.home)


@pytest.mark.parametrize(("flag", "version"), VERSIONS)
def test_a_broken_download_is_resumed(
    clients: Clients, provider: Provider, anthropic_key: Key, flag: str, version: str
) -> None:
    (clients.home / "big").write_bytes(pattern(0, 123_456))
    outcome = clients.curl(flag, "-C", "-", "-o", "big", f"{API}/bytes/1000000", *keyed(anthropic_key))
    assert outcome.code == 0, outcome.errors
    assert (clients.home / "big").read_bytes() == pattern(0, 1_000_000)
    assert provider.requests[0].header("range") == b"bytes=123456-"
    assert_swapped(provider, outcome, anthropic_key, clients.home)


def test_a_range_beyond_the_end_is_told(clients: Clients, provider: Provider, anthropic_key: Key) -> None:
    outcome = clients.curl("-r", "90-", "-w", "%{http_code}", f"{API}/bytes/50", *keyed(anthropic_key))
    assert outcome.text == "416"
    assert_swapped(provider, outcome, anthropic_key, clients.home)


@pytest.mark.parametrize("asked", ["negotiate=1", "gzip=1"])
def test_a_client_that_accepts_gzip_gets_its_answer_without_the_key(
    clients: Clients, provider: Provider, anthropic_key: Key, asked: str
) -> None:
    """Whether the provider compresses when asked to, or although nobody asked."""
    outcome = clients.curl("--compressed", f"{API}/echo?{asked}", *keyed(anthropic_key))
    assert lines(outcome)[0]["keys"] == [anthropic_key.returned]
    assert_swapped(provider, outcome, anthropic_key, clients.home)


def test_gzip_from_a_host_without_a_credential_is_passed_on(clients: Clients, provider: Provider) -> None:
    outcome = clients.curl(
        "--compressed", "-D", "-", "-H", "Accept-Encoding: gzip", f"https://{PLAIN_HOST}/echo?negotiate=1"
    )
    assert headers_of(outcome)["content-encoding"] == "gzip"
    assert json.loads(outcome.text.rpartition("\r\n\r\n")[2])["target"] == "/echo?negotiate=1"
    assert len(provider.requests) == 1


def test_nothing_the_proxy_wrote_holds_a_real_value(
    clients: Clients, provider: Provider, anthropic_key: Key, session: Minted, keyswap_proxy: Served
) -> None:
    """S42, S47: not its log, not its state, not its audit; and the session's token is in none of them either."""
    for flag in ("--http1.1", "--http2"):
        assert anthropic_key.real not in clients.curl(flag, "-i", f"{API}/malformed", *keyed(anthropic_key)).everything
    assert clients.curl(f"{API}/echo?q={anthropic_key.placeholder[:20]}", *keyed(anthropic_key)).code == 0
    written = [path for path in keyswap_proxy.state_dir.rglob("*") if path.is_file()]
    assert [path.name for path in written if "audit" in path.name]
    for text in (keyswap_proxy.log, *(path.read_bytes() for path in written)):
        assert anthropic_key.real not in text
        assert session.token.encode() not in text


def test_the_session_command_prints_the_same_placeholders_again(session: Minted, keyswap_proxy: Served) -> None:
    again = keyswap_proxy.variables(session.id)
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN"):
        assert again[name] == session.variables[name]
