"""`keyswap serve` as a process: how it starts, what it tells, how it ends (S34, S42)."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.served import COMMAND, Minted, Served
from keyswap.audit.verify import verify
from keyswap.certs import ca
from support.house import HOST, POLICY
from support.provider import Provider

KEY = b"real-key-of-the-served-proxy-0123456789"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("provider"), keys={KEY}) as running:
        yield running


@pytest.fixture
def policy(tmp_path: Path, provider: Provider) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir(mode=0o700)
    file = folder / "policy.yaml"
    file.write_text(POLICY.format(host=HOST, address=provider.address, ca=provider.ca_pem) + "limits: {drain: 10s}\n")
    (folder / "demo.key").write_bytes(KEY)
    for one in (file, folder / "demo.key"):
        one.chmod(0o600)
    return file


@pytest.fixture
def served(tmp_path: Path, policy: Path) -> Iterator[Served]:
    with Served(policy, tmp_path / "state") as running:
        yield running


@contextlib.contextmanager
def connection(served: Served, session: Minted) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cafile=str(served.ca_pem))
    made = http.client.HTTPSConnection("127.0.0.1", served.port, context=context, timeout=20)
    signed = base64.b64encode(f"keyswap:{session.token}".encode()).decode()
    made.set_tunnel(HOST, 443, {"Proxy-Authorization": f"Basic {signed}"})
    try:
        yield made
    finally:
        made.close()


def get(served: Served, session: Minted, path: str = "/echo?form=raw") -> tuple[int, bytes]:
    with connection(served, session) as made:
        made.request("GET", path, headers={"X-Api-Key": session.variables["DEMO_API_KEY"]})
        answer = made.getresponse()
        return answer.status, answer.read()


def status(served: Served, path: str) -> tuple[int, str]:
    host, _, port = served.status.rpartition(":")
    made = http.client.HTTPConnection(host, int(port), timeout=10)
    made.request("GET", path)
    answer = made.getresponse()
    found = answer.status, answer.read().decode()
    made.close()
    return found


def records(served: Served) -> list[dict[str, object]]:
    return [json.loads(line) for line in (served.state_dir / "audit.jsonl").read_text().splitlines()]


def process_of(served: Served) -> "subprocess.Popen[bytes]":
    assert served._process is not None
    return served._process


def test_it_serves_tells_its_health_and_says_no_secret(served: Served, tmp_path: Path) -> None:
    session = served.mint()
    code, body = get(served, session)
    assert code == 200
    assert session.variables["DEMO_API_KEY"].encode()[: len(KEY)] in body
    assert status(served, "/healthz") == (200, "ok\n")
    assert status(served, "/readyz") == (200, "policy: ok\nca: ok\naudit: ok\nserving: ok\n")
    code, metrics = status(served, "/metrics")
    assert code == 200
    assert 'keyswap_swaps_total{credential="demo"} 1.0' in metrics
    assert "keyswap_policy_generation 1.0" in metrics
    ready = json.loads((tmp_path / "state.ready").read_text())
    assert ready == {"listen": served.listen, "status": served.status, "pid": process_of(served).pid}

    own = Path(f"/proc/{process_of(served).pid}")
    for secret in (KEY, session.token.encode(), session.variables["DEMO_API_KEY"].encode()):
        assert secret not in (own / "cmdline").read_bytes()
        assert secret not in (own / "environ").read_bytes()
        assert secret not in served.log
        assert secret not in metrics.encode()
    [core] = [line for line in (own / "limits").read_text().splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_S10_its_own_listeners_are_refused_through_it(served: Served) -> None:
    session = served.mint()
    signed = base64.b64encode(f"keyswap:{session.token}".encode()).decode()
    for listener in (served.listen, served.status):
        with socket.create_connection(("127.0.0.1", served.port), 10) as made:
            head = f"GET http://{listener}/metrics HTTP/1.1\r\nHost: {listener}\r\n"
            made.sendall(f"{head}Proxy-Authorization: Basic {signed}\r\n\r\n".encode())
            assert b"403 keyswap own_address" in made.recv(65536)


def test_S32_revoking_by_command_ends_a_stream_within_a_second(served: Served) -> None:
    session = served.mint("--id", "s-revoked")
    with connection(served, session) as made:
        made.request("GET", "/sse?n=200&delay=0.05", headers={"X-Api-Key": session.variables["DEMO_API_KEY"]})
        answer = made.getresponse()
        answer.readline()
        served.keyswap("session", "revoke", "s-revoked", "--state-dir", str(served.state_dir))
        began = time.monotonic()
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError, ssl.SSLError):
            answer.read()
        assert time.monotonic() - began < 1.5
    assert "s-revoked" in str([record for record in records(served) if record["event"] == "session_revoked"])


def test_S34_sigterm_lets_open_requests_finish_and_takes_no_new_ones(served: Served) -> None:
    session = served.mint()
    with connection(served, session) as made:
        made.request("GET", "/sse?n=20&delay=0.1", headers={"X-Api-Key": session.variables["DEMO_API_KEY"]})
        answer = made.getresponse()
        first = answer.readline()
        process_of(served).send_signal(signal.SIGTERM)
        time.sleep(0.4)
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", served.port), 2):
            pass
        rest = answer.read()
    assert first.startswith(b"id: 0")
    assert rest.count(b"data: ") == 20
    assert process_of(served).wait(5) == 0
    events = [record["event"] for record in records(served)]
    assert events[-2:] == ["stopped", "checkpoint"]
    assert events.count("request") == events.count("response") == 1
    assert verify(served.state_dir / "audit.jsonl", state_dir=served.state_dir).ok


def test_S34_a_drain_has_an_end(tmp_path: Path, policy: Path) -> None:
    policy.write_text(policy.read_text().replace("drain: 10s", "drain: 1s"))
    with Served(policy, tmp_path / "state") as served:
        session = served.mint()
        with connection(served, session) as made:
            made.request("GET", "/sse?n=200&delay=0.1", headers={"X-Api-Key": session.variables["DEMO_API_KEY"]})
            answer = made.getresponse()
            answer.readline()
            began = time.monotonic()
            process_of(served).send_signal(signal.SIGTERM)
            assert process_of(served).wait(10) == 0
            assert 0.8 < time.monotonic() - began < 4
    assert [record["event"] for record in records(served)][-3:] == ["response", "stopped", "checkpoint"]


def test_S34_kill_9_under_load_leaves_a_log_that_verifies_and_goes_on(tmp_path: Path, policy: Path) -> None:
    state = tmp_path / "state"
    answered = 0
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            served = _again(Served(policy, state)) if (state / "audit.jsonl").exists() else Served(policy, state)
            stack.enter_context(served)
            session = served.mint()
            stop = threading.Event()

            def load(served: Served = served, session: Minted = session, stop: threading.Event = stop) -> None:
                nonlocal answered
                with contextlib.suppress(OSError, http.client.HTTPException), connection(served, session) as made:
                    while not stop.is_set():
                        made.request("GET", "/echo", headers={"X-Api-Key": session.variables["DEMO_API_KEY"]})
                        made.getresponse().read()
                        answered += 1

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.8)
            process_of(served).kill()
            stop.set()
            for thread in threads:
                thread.join()
            process_of(served).wait()
            report = verify(state / "audit.jsonl", state_dir=state)
            assert report.ok, report.flaws
            released = sum(record["event"] == "request" for record in records(served))
            assert released >= answered > 0, "each was written before it left"
    with _again(Served(policy, state)) as served:
        assert get(served, served.mint())[0] == 200
    assert verify(state / "audit.jsonl", state_dir=state).ok
    assert [record["event"] for record in records(served)].count("started") == 3


def _again(served: Served) -> Served:
    """The same state once more; its CA is there already."""
    original = served.keyswap

    def keyswap(*arguments: str) -> str:
        return "" if arguments[:2] == ("ca", "init") else original(*arguments)

    served.keyswap = keyswap  # type: ignore[method-assign]
    served._ready.unlink(missing_ok=True)
    return served


def start(home: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [COMMAND, "serve", "--listen", "127.0.0.1:0", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ([], {}, "no policy found"),
        (["--policy", "{policy}", "--certs-dir", "{home}/none"], {}, "keyswap ca init"),
        (["--policy", "{policy}", "--status", "127.0.0.1"], {}, "--status"),
        (
            ["--policy", "{policy}", "--certs-dir", "{ca}", "--status", "192.0.2.1:1"],
            {},
            "cannot listen on 192.0.2.1:1",
        ),
    ],
)
def test_what_is_not_right_is_told_in_two_lines(
    tmp_path: Path, policy: Path, arguments: list[str], environ: dict[str, str], words: str
) -> None:
    ca.create(tmp_path / "ca")
    filled = [one.format(policy=policy, home=tmp_path, ca=tmp_path / "ca") for one in arguments]
    done = start(tmp_path / "home", *filled, **environ)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "keyswap: " in done.stderr


def test_S42_the_keys_of_tls_are_not_logged_whoever_asks(tmp_path: Path, policy: Path) -> None:
    """SSLKEYLOGFILE in the proxy's own environment would write the secrets of both sides."""
    ca.create(tmp_path / "ca")
    secrets = tmp_path / "secrets"
    ready = tmp_path / "ready"
    files = ["--policy", str(policy), "--state-dir", str(tmp_path / "s"), "--certs-dir", str(tmp_path / "ca")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, "serve", "--listen", "127.0.0.1:0", *files, "--ready-file", str(ready)],
            env={
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "SSLKEYLOGFILE": str(secrets),
                "MITMPROXY_SSLKEYLOGFILE": str(secrets),
            },
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        for _ in range(300):
            if ready.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        port = int(json.loads(ready.read_text())["listen"].rpartition(":")[2])
        done = subprocess.run(
            [COMMAND, "session", "mint", "--json", *files], env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        minted = json.loads(done.stdout)
        asked = subprocess.run(
            ["curl", "-q", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--proxy",
             f"http://keyswap:{minted['token']}@127.0.0.1:{port}", "--cacert", str(tmp_path / "ca" / "ca.pem"),
             "-H", f"X-Api-Key: {minted['env']['DEMO_API_KEY']}", f"https://{HOST}/echo"],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        assert asked.stdout == "200", asked.stderr
    finally:
        process.terminate()
        process.wait(15)
    assert not secrets.exists()
    assert "SSLKEYLOGFILE is ignored" in (tmp_path / "log").read_text()


def test_the_demo_shows_one_swapped_request_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "demo", "--once"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    sent, received, back, audit = (part for part in done.stdout.split("╭") if part.strip())
    assert "demo-placeholder-not-a-key" in sent
    assert "demo-real-key-kept-outside-the-sandbox" in received
    assert "demo-placeholder-not-a-key" not in received
    assert "demo-placeholder-not-a-key" in back
    assert "demo-real-key-kept-outside-the-sandbox" not in back + sent + audit
    assert "fingerprint" in audit
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_it_can_be_run_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keyswap.cli", "policy", "schema"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["properties"]
