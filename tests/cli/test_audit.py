"""`keyswap audit`: read it, follow it, prove it."""

import json
import threading
import time
from pathlib import Path

import pytest

from cli.conftest import Run
from keyswap.audit.writer import AuditWriter
from keyswap.store.state import State


@pytest.fixture
def log(state: Path) -> Path:
    """A log of two requests of two sessions, and a refusal."""
    State.open(state)
    writer = AuditWriter(state / "audit.jsonl", state_dir=state, node="here")
    for number, (session, host) in enumerate((("s-one", "api.demo.example"), ("s-two", "other.example.com"))):
        told = {"id": session, "tenant": "", "profile": "default", "labels": {}}
        for event in ("request", "response"):
            writer.write(event, id=f"req_{number}", session=told, method="GET", scheme="https", host=host, port=443)
    writer.write("refused", id="req_9", decision={"result": "refuse", "code": "host_not_listed", "reason": "no"})
    writer.close()
    return state / "audit.jsonl"


def test_verify_says_so_where_nothing_was_changed(run: Run, log: Path) -> None:
    done = run("audit", "verify")
    assert done.code == 0
    assert "6 records" in done.out
    assert "nothing was changed" in done.out
    told = run("audit", "verify", "--json").json
    assert (told["ok"], told["records"], told["flaws"]) == (True, 6, [])


@pytest.mark.parametrize("harm", ["edit", "remove", "swap", "repeat", "cut"])
def test_S45_verify_names_the_line_that_was_changed(run: Run, log: Path, harm: str) -> None:
    lines = log.read_text().splitlines(keepends=True)
    changed = {
        "edit": [lines[0], lines[1].replace("api.demo", "api.evil"), *lines[2:]],
        "remove": [lines[0], *lines[2:]],
        "swap": [lines[1], lines[0], *lines[2:]],
        "repeat": [lines[0], lines[1], lines[1], *lines[2:]],
        "cut": lines[:-2],
    }[harm]
    log.write_text("".join(changed))
    done = run("audit", "verify")
    assert done.code == 1
    assert "audit.jsonl" in done.out
    if harm in ("edit", "remove"):
        assert "2" in done.out.splitlines()[0]
    told = run("audit", "verify", "--json")
    assert told.code == 1
    assert told.json["ok"] is False
    assert told.json["flaws"]


def test_S45_a_missing_head_is_a_flaw(run: Run, log: Path) -> None:
    log.with_name("audit.jsonl.head").unlink(missing_ok=True)
    for head in log.parent.glob("*.head"):
        head.unlink()
    assert run("audit", "verify").code == 1


def test_verify_of_no_log_is_told(run: Run, state: Path, tmp_path: Path) -> None:
    assert "no audit" in run("audit", "verify").failed()
    assert "no audit" in run("audit", "verify", str(tmp_path / "none.jsonl")).failed()
    (tmp_path / "some.jsonl").write_text("{}\n")
    assert run("audit", "verify", str(tmp_path / "some.jsonl")).code in (1, 2)


def test_show_prints_a_line_a_record(run: Run, log: Path) -> None:
    assert len(run("audit", "show").out.splitlines()) == 6
    assert "host_not_listed" in run("audit", "show", "--event", "refused").out
    assert run("audit", "show", str(log)).out == run("audit", "show").out


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--session", "s-one"], 2),
        (["--host", "other.example.com"], 2),
        (["--event", "request"], 2),
        (["--id", "req_9"], 1),
        (["--session", "s-one", "--event", "response"], 1),
        (["--session", "nobody"], 0),
    ],
)
def test_show_filters(run: Run, log: Path, filters: list[str], count: int) -> None:
    lines = run("audit", "show", "--json", *filters).out.splitlines()
    assert len(lines) == count
    assert all(json.loads(line)["v"] == 1 for line in lines)


def test_show_of_a_log_with_junk_in_it_is_told(run: Run, log: Path) -> None:
    with log.open("a") as file:
        file.write("this is no record\n")
    done = run("audit", "show")
    assert "Traceback" not in done.err
    assert "host_not_listed" in done.out


def test_tail_prints_what_comes(run: Run, log: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended here as Ctrl-C ends it, after the second record."""
    from keyswap.audit import show

    followed = show.follow

    def write() -> None:
        time.sleep(0.3)
        writer = AuditWriter(log, state_dir=state, node="here")
        for number in range(2):
            writer.write("refused", id=f"req_new{number}")
        writer.close()

    def some(path: Path) -> object:
        for number, record in enumerate(followed(path)):
            yield record
            if number == 1:
                return

    monkeypatch.setattr(show, "follow", some)
    thread = threading.Thread(target=write)
    thread.start()
    done = run("audit", "tail", "--json")
    thread.join()
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["req_new0", "req_new1"]


def test_the_policys_own_path_is_used(run: Run, policy: Path, state: Path) -> None:
    policy.write_text(policy.read_text() + "audit: {path: elsewhere.jsonl}\n")
    State.open(state)
    writer = AuditWriter(state / "elsewhere.jsonl", state_dir=state, node="here")
    writer.write("started")
    writer.close()
    assert "2 records" in run("audit", "verify").out
