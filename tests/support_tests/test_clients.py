"""Child processes get what they are given and nothing else; their output keeps its times."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.clients import Clients, client_environment


def test_only_the_given_variables_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "of the developer")
    clients = Clients(tmp_path / "home", {"GIVEN": "1"})
    outcome = clients.run(["env"], extra={"MORE": "2"})
    names = {line.partition("=")[0] for line in outcome.text.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "HOME", "LANG", "GIVEN", "MORE"}
    assert list(clients.home.iterdir()) == []


def test_the_variables_name_the_proxy_and_the_right_certificates(tmp_path: Path) -> None:
    variables = client_environment("http://p", tmp_path / "ca.pem", tmp_path / "bundle.pem", {"KEY": "k"})
    assert {variables[name] for name in ("HTTPS_PROXY", "https_proxy", "http_proxy")} == {"http://p"}
    assert variables["NODE_EXTRA_CA_CERTS"].endswith("ca.pem")
    assert variables["SSL_CERT_FILE"].endswith("bundle.pem")
    assert variables["KEY"] == "k"


def test_the_outcome_tells_both_outputs_the_code_and_the_times(tmp_path: Path) -> None:
    program = "import sys, time; print('a', flush=True); time.sleep(.2); print('b'); sys.stderr.write('c'); sys.exit(3)"
    outcome = Clients(tmp_path, {}).run([sys.executable, "-c", program])
    assert (outcome.code, outcome.text, outcome.errors, outcome.everything) == (3, "a\nb\n", "c", b"a\nb\nc")
    assert outcome.arrivals[-1][0] - outcome.arrivals[0][0] > 0.1


def test_a_client_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as hung:
        Clients(tmp_path, {}).run(["sh", "-c", "echo before; sleep 60; echo after"], timeout=0.5)
    assert hung.value.output == b"before\n"
