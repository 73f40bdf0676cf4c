"""`keyswap session`: the token is told once, and no key ever."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from cli.conftest import BOX_TOKEN, REAL, Run
from keyswap.identity.token import token_hash


def files_of(state: Path) -> bytes:
    return b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())


def test_mint_tells_the_token_once(run: Run, state: Path) -> None:
    done = run("session", "mint", "--id", "s-one")
    assert done.code == 0
    token = next(line.split()[1] for line in done.out.splitlines() if line.startswith("token"))
    assert token.startswith("ks_")
    assert f"proxy    http://keyswap:{token}@127.0.0.1:8080" in done.out
    assert "ends in 1d 0h" in done.out
    assert "cannot be shown again" in done.err
    assert token.encode() not in files_of(state)
    assert token not in run("session", "list").out + run("session", "env", "s-one").out
    assert token_hash(token) in files_of(state)


def test_mint_as_json_holds_all_a_sandbox_needs(run: Run, home: Path) -> None:
    made = run(
        "session", "mint", "--json", "--profile", "narrow", "--ttl", "15m", "--tenant", "acme",
        "--label", "team=search", "--label", "a=b=c", "--run-id", "r1", "--proxy", "http://10.0.0.1:3128",
    ).json  # fmt: skip
    assert made["profile"] == "narrow"
    assert made["proxy_url"] == f"http://keyswap:{made['token']}@10.0.0.1:3128"
    assert made["expires_at"] == pytest.approx(time.time() + 900, abs=20)
    env = made["env"]
    assert env["HTTPS_PROXY"] == made["proxy_url"]
    assert env["DEMO_API_KEY"].startswith("demo-")
    assert len(env["DEMO_API_KEY"]) == 40
    assert "OTHER_API_KEY" not in env, "the profile has no such credential"
    assert env["NODE_EXTRA_CA_CERTS"] == str(home / "ca" / "ca.pem")
    assert env["SSL_CERT_FILE"] == str(home / "ca" / "bundle.pem")
    [row] = run("session", "list", "--json").json
    assert (row["tenant"], row["run_id"], row["labels"]) == ("acme", "r1", {"team": "search", "a": "b=c"})


def test_two_sessions_have_placeholders_of_their_own(run: Run) -> None:
    one, two = (run("session", "mint", "--json").json for _ in range(2))
    assert one["env"]["DEMO_API_KEY"] != two["env"]["DEMO_API_KEY"]
    assert one["token"] != two["token"]


def test_what_is_printed_for_a_shell_can_be_sourced(run: Run) -> None:
    done = run("session", "mint", "--format", "sh")
    script = done.out + 'printf "%s\\n" "$HTTPS_PROXY" "$DEMO_API_KEY" "$OTHER_API_KEY"'
    said = subprocess.run(
        ["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    url, demo, other = said.stdout.splitlines()
    assert url.startswith("http://keyswap:ks_")
    assert (demo[:5], other[:5]) == ("demo-", "othr-")


def test_list_shows_the_living_ones(run: Run) -> None:
    assert "no living sessions" in run("session", "list").out
    run("session", "mint", "--id", "s-one")
    run("session", "mint", "--id", "s-two")
    assert run("session", "revoke", "s-one").out == "session s-one has ended\n"
    listed = run("session", "list").out
    assert ("s-two" in listed, "s-one" in listed) == (True, False)
    every = {row["id"]: row for row in run("session", "list", "--all", "--json").json}
    assert (every["s-one"]["living"], every["s-two"]["living"]) == (False, True)
    assert "ended" in run("session", "list", "--all").out


def test_revoke_of_nobody_is_told(run: Run) -> None:
    said = run("session", "revoke", "s-none").failed()
    assert "no living session is called 's-none'" in said
    assert "keyswap session list" in said


def test_env_of_a_minted_session_has_no_token(run: Run) -> None:
    made = run("session", "mint", "--json", "--id", "s-one").json
    found = run("session", "env", "s-one", "--format", "json").json
    assert found["HTTPS_PROXY"] == "http://127.0.0.1:8080"
    assert {name: value for name, value in found.items() if "PROXY" not in name.upper()} == {
        name: value for name, value in made["env"].items() if "PROXY" not in name.upper()
    }


def test_env_of_a_standing_session_is_the_same_every_time(run: Run) -> None:
    first, second = (run("session", "env", "ci").out for _ in range(2))
    assert first == second
    assert "export DEMO_API_KEY=demo-" in first
    assert "OTHER_API_KEY" not in first
    box = run("session", "env", "box", "--format", "json").json
    assert box["HTTPS_PROXY"] == f"http://keyswap:{BOX_TOKEN}@127.0.0.1:8080"
    assert box["DEMO_API_KEY"] not in first


def test_env_of_an_ended_or_unknown_session_is_told(run: Run) -> None:
    run("session", "mint", "--id", "s-one")
    run("session", "revoke", "s-one")
    for name in ("s-one", "nobody"):
        assert f"no session is called '{name}'" in run("session", "env", name).failed()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "wide"], "no profile is called wide"),
        (["--profile", "wide"], "the policy has default, narrow"),
        (["--ttl", "31d"], "30"),
        (["--ttl", "soon"], "write for example 90s"),
        (["--ttl", "0s"], "0"),
        (["--label", "nothing"], "key=value"),
        (["--id", "no spaces please"], "id"),
        (["--id", "x" * 200], "id"),
        (["--proxy", "ftp://x"], "http://host:port"),
        (["--proxy", "http://x:99999"], "http://host:port"),
        (["--proxy", "http://[::1"], "http://host:port"),
        (["--proxy", "nonsense"], "http://host:port"),
    ],
)
def test_what_cannot_be_minted_is_told(run: Run, arguments: list[str], words: str) -> None:
    said = run("session", "mint", *arguments).failed()
    assert words in said
    assert run("session", "list", "--json").json == []


def test_the_same_id_is_not_minted_twice(run: Run) -> None:
    run("session", "mint", "--id", "s-one")
    assert "s-one" in run("session", "mint", "--id", "s-one").failed()
    run("session", "revoke", "s-one")
    assert run("session", "mint", "--id", "s-one").code == 0


def test_without_a_policy_nothing_is_minted(run: Run, policy: Path) -> None:
    policy.unlink()
    said = run("session", "mint").failed()
    assert "no policy found" in said
    assert "keyswap init" in said


def test_usage_errors_are_exit_code_2(run: Run) -> None:
    assert run("session", "mint", "--no-such-option").failed(2)
    assert run("session", "mint", "--format", "xml").failed(2)
    assert "Usage" in run("session", "revoke").failed(2)


def test_no_real_value_is_read_for_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minting needs names and shapes; the machine that mints need not have the keys."""
    for name in REAL:
        monkeypatch.delenv(name)
    assert json.loads(run("session", "mint", "--json").out)["env"]["DEMO_API_KEY"]
