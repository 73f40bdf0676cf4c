"""What has to be right before a port is opened (S31, S41, S42)."""

import importlib.metadata
import os
import resource
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from addons.logged import logged
from addons.test_leaves import authority, shown
from keyswap.addons import attach, selftest
from keyswap.addons.engine import EngineError
from keyswap.addons.proxy import open_proxy
from keyswap.addons.startup import own_names
from keyswap.certs import ca
from keyswap.errors import AuditError, CertificateError, Error, SettingsError, StoreError
from keyswap.settings import Listen
from support.house import HOST, House
from support.provider import Provider


async def test_S41_without_a_ca_there_is_no_start_and_none_is_made(
    tmp_path: Path,
) -> None:
    folder = tmp_path
    with Provider(folder / "own") as provider:
        other = House(folder, provider)
        with pytest.raises(CertificateError, match="keyswap ca init"):
            await open_proxy(other.settings, {})
        assert not other.certs_dir.exists()


@pytest.mark.parametrize("harm", ["no key", "open key", "junk", "another key"])
async def test_S41_with_a_ca_that_is_not_right_there_is_no_start(tmp_path: Path, harm: str) -> None:
    folder = tmp_path
    with Provider(folder / "own") as provider:
        other = House(folder, provider)
        ca.create(other.certs_dir)
        file = other.certs_dir / "mitmproxy-ca.pem"
        if harm == "no key":
            file.write_bytes((other.certs_dir / "ca.pem").read_bytes())
        elif harm == "open key":
            file.chmod(0o644)
        elif harm == "junk":
            file.write_bytes(os.urandom(200))
        else:
            stranger = folder / "stranger"
            ca.create(stranger)
            certificate = (other.certs_dir / "ca.pem").read_bytes()
            key = (stranger / "mitmproxy-ca.pem").read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
            file.write_bytes(key + certificate)
        with pytest.raises(CertificateError):
            await open_proxy(other.settings, {})


async def test_S41_a_passphrase_is_asked_for_and_used(tmp_path: Path) -> None:
    folder = tmp_path
    with Provider(folder / "own") as provider:
        other = House(folder, provider)
        ca.create(other.certs_dir, passphrase=b"a long passphrase")
        with pytest.raises(CertificateError, match="passphrase"):
            await open_proxy(other.settings, {})
        settings = replace(other.settings, ca_passphrase="env:PHRASE")
        with pytest.raises(CertificateError):
            await open_proxy(settings, {"PHRASE": "a wrong passphrase"})
        proxy = await open_proxy(settings, {"PHRASE": "a long passphrase"})
        other.proxy = proxy
        try:
            leaf = await shown(other, HOST)
            leaf.verify_directly_issued_by(authority(other))
        finally:
            await proxy.stop(drain=0)
        assert "a long passphrase" not in repr(proxy.runtime)


async def test_S42_a_running_proxy_dumps_no_core(house: House) -> None:
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


async def test_S38_a_running_proxy_may_open_many_files(house: House) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= min(hard, 65536)


async def test_a_port_in_use_is_told_and_leaves_nothing_behind(tmp_path: Path, provider: Provider) -> None:
    other = House(tmp_path, provider)
    ca.create(other.certs_dir)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(other.settings, listen=Listen("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(SettingsError, match="cannot listen on"):
            await open_proxy(settings, {})
    async with other:  # the audit is not locked, the patches are gone, the engine starts again
        session = other.mint()
        async with other.tunnel(HOST, session) as wire:
            assert (await wire.request("GET", "/echo", HOST)).status == 200


async def test_a_second_proxy_on_the_same_state_is_told_so(tmp_path: Path, provider: Provider, house: House) -> None:
    other = House(tmp_path / "other", provider) if (tmp_path / "other").mkdir() is None else house
    ca.create(other.certs_dir)
    with pytest.raises(AuditError):
        await open_proxy(replace(other.settings, state_dir=house.state_dir), {})


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o770])
async def test_S43_a_state_directory_open_to_others_is_no_start(tmp_path: Path, provider: Provider, mode: int) -> None:
    other = House(tmp_path, provider)
    ca.create(other.certs_dir)
    other.state_dir.mkdir()
    other.state_dir.chmod(mode)
    with pytest.raises(StoreError):
        await open_proxy(other.settings, {})


@pytest.mark.parametrize("which", ["policy", "key"])
async def test_S43_a_file_that_others_may_write_is_no_start(tmp_path: Path, provider: Provider, which: str) -> None:
    other = House(tmp_path, provider)
    ca.create(other.certs_dir)
    (other.policy_file if which == "policy" else other.key_file).chmod(0o666)
    with pytest.raises(Error, match="writ"):
        await open_proxy(other.settings, {})


def test_S10_every_name_of_a_listener_is_known() -> None:
    assert own_names([("127.0.0.1", 8080)])[0] == ("127.0.0.1", 8080)
    assert ("localhost", 8080) in own_names([("127.0.0.1", 8080)])
    everywhere = own_names([("0.0.0.0", 8080), ("::", 8080)])
    assert {("localhost", 8080), ("::1", 8080), (socket.gethostname().lower(), 8080)} <= set(everywhere)
    assert own_names([("192.0.2.1", 80)]) == (("192.0.2.1", 80),)


# -- the self-test ------------------------------------------------------------------------------------------------


async def test_S30_a_failing_selftest_is_no_start(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*about: object) -> None:
        raise EngineError("self-test: a raising hook was not refused")

    other = House(tmp_path, provider)
    with monkeypatch.context() as patched, logged():
        patched.setattr(attach, "check_fails_closed", fails)
        with pytest.raises(EngineError, match="self-test"):
            await other.__aenter__()
    assert other.proxy is None
    async with other:  # and leaves nothing behind
        assert [record["event"] for record in other.records()].count("started") == 1


async def test_S30_a_start_that_fails_otherwise_is_told_by_its_type(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*about: object) -> None:
        raise ZeroDivisionError("a-secret-in-the-text")

    monkeypatch.setattr(attach, "check_fails_closed", fails)
    with logged() as log, pytest.raises(EngineError, match=r"the start failed \(ZeroDivisionError\)"):
        async with House(tmp_path, provider):
            pass
    assert "a-secret-in-the-text" not in log.getvalue()


async def test_an_engine_without_a_name_we_replace_is_no_start(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "contract", lambda: iter([(selftest, "a_name_it_lost")]))
    with pytest.raises(EngineError, match="a_name_it_lost"):
        async with House(tmp_path, provider):
            pass


def test_an_h2_with_a_known_hole_is_no_start_unless_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.3.0")
    with pytest.raises(EngineError, match="request-smuggling"):
        selftest.check_versions(accept_old_h2=False)
    selftest.check_versions(accept_old_h2=True)
