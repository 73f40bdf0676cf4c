"""S31 with real files: whatever way an edit is made, it is live within a second, or told and without effect."""

import asyncio
import contextlib
import os
import shutil
import time

import pytest

from keyswap.errors import CredentialError
from keyswap.policy import watch
from keyswap.policy.load import load
from keyswap.policy.watch import Watcher

SECOND = 1.0


def text(host):
    return f"version: 1\negress:\n  - {{host: {host}}}\n"


def replaced(path, content):
    """As editors and deployments write: a new file renamed over the old one."""
    new = path.with_name(path.name + ".new")
    new.write_text(content)
    new.rename(path)


class Run:
    """A watcher at work, and what it said."""

    def __init__(self, path, **kwargs):
        self.path = path
        self.loaded = []
        self.rejected = []
        self.watcher = Watcher(path, lambda: load(path), self.loaded.append, self.rejected.append, **kwargs)

    @property
    def live(self):
        return self.loaded[-1].egress[0].host.text if self.loaded else None

    async def until(self, condition, within=SECOND):
        """The seconds until the condition holds; fails after `within` and a little for a busy machine."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < within * 3, (self.live, self.rejected)
            await asyncio.sleep(0.01)
        return time.monotonic() - begin


@contextlib.asynccontextmanager
async def watching(path, *, settle=True, **kwargs):
    run = Run(path, **kwargs)
    task = asyncio.create_task(run.watcher.run())
    try:
        if settle:
            await run.until(lambda: run.loaded or run.rejected)
        yield run
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(text("first.example.com"))
    return file


@pytest.fixture(params=["events", "poll"])
def ways(request, monkeypatch):
    """With events of the file system, and where there are none."""
    if request.param == "poll":

        async def silent(folders):
            await asyncio.Event().wait()
            yield

        monkeypatch.setattr(watch, "_events", silent)


async def test_S31_an_atomic_rename_is_live_within_a_second(path, ways):
    async with watching(path) as run:
        assert run.live == "first.example.com"
        replaced(path, text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")
        assert run.rejected == []


async def test_S31_a_rewrite_in_place_is_live_within_a_second(path, ways):
    async with watching(path) as run:
        path.write_text(text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")


async def test_S31_an_edit_is_live_well_within_a_second_where_events_come(path):
    async with watching(path) as run:
        await asyncio.sleep(0.1)
        replaced(path, text("second.example.com"))
        assert await run.until(lambda: run.live == "second.example.com") < SECOND


async def test_S31_the_link_that_kubernetes_swaps_is_followed(tmp_path, ways):
    for name in ("one", "two"):
        (tmp_path / f"..{name}").mkdir()
        (tmp_path / f"..{name}" / "policy.yaml").write_text(text(f"{name}.example.com"))
    (tmp_path / "..data").symlink_to("..one")
    path = tmp_path / "policy.yaml"
    path.symlink_to("..data/policy.yaml")
    async with watching(path) as run:
        assert run.live == "one.example.com"
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..one")
        await run.until(lambda: run.live == "two.example.com")
        assert run.rejected == []


async def test_S31_deleting_and_writing_anew_is_one_edit(path, ways):
    async with watching(path) as run:
        path.unlink()
        await asyncio.sleep(0.1)
        path.write_text(text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")
        assert run.rejected == []


async def test_S31_a_vanished_policy_is_told_and_the_last_good_one_stays(path):
    async with watching(path) as run:
        path.unlink()
        await run.until(lambda: run.rejected)
        assert "the policy does not exist" in str(run.rejected[0])
        assert run.live == "first.example.com"
        await asyncio.sleep(2 * watch.POLL)
        assert len(run.rejected) == 1
        path.write_text(text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")


async def test_S31_a_folder_made_anew_is_watched_again(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "policy.yaml"
    path.write_text(text("first.example.com"))
    async with watching(path) as run:
        shutil.rmtree(folder)
        await run.until(lambda: run.rejected)
        folder.mkdir()
        path.write_text(text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")
        await asyncio.sleep(1.5)
        replaced(path, text("third.example.com"))
        await run.until(lambda: run.live == "third.example.com")


async def test_S31_a_broken_edit_keeps_the_last_good_policy_and_is_told_once(path):
    async with watching(path) as run:
        replaced(path, "version: 1\negres: []\n")
        await run.until(lambda: run.rejected)
        assert str(run.rejected[0]).endswith("policy.yaml:2:1: this key is not known here; did you mean `egress`?")
        await asyncio.sleep(2 * watch.POLL)
        assert (len(run.loaded), len(run.rejected)) == (1, 1)


async def test_S31_the_next_good_edit_wins_even_if_it_is_the_old_text(path):
    async with watching(path) as run:
        replaced(path, "broken")
        await run.until(lambda: run.rejected)
        replaced(path, text("first.example.com"))
        await run.until(lambda: len(run.loaded) == 2)


async def test_S31_of_quick_edits_the_last_one_wins(path, ways):
    async with watching(path) as run:
        for number in range(40):
            replaced(path, text(f"n{number}.example.com") if number % 3 else "broken: [")
            await asyncio.sleep(0.01)
        replaced(path, text("last.example.com"))
        await run.until(lambda: run.live == "last.example.com")
        await asyncio.sleep(2 * watch.POLL)
        assert run.live == "last.example.com"


async def test_S31_edits_without_end_do_not_keep_the_policy_from_changing(path):
    async with watching(path) as run:
        number = 0
        begin = time.monotonic()
        while len(run.loaded) < 3:
            number += 1
            assert time.monotonic() - begin < 6
            path.write_text(text(f"n{number}.example.com"))
            await asyncio.sleep(0.02)


async def test_S31_a_half_written_policy_is_not_taken_for_one(path):
    whole = text("second.example.com") + "deny:\n  - {host: admin.example.com}\n"
    async with watching(path) as run:
        with path.open("w") as file:
            for line in whole.splitlines(keepends=True):
                file.write(line)
                file.flush()
                await asyncio.sleep(0.03)
        await run.until(lambda: run.live == "second.example.com")
        assert all(policy.deny for policy in run.loaded if policy.egress[0].host.text == "second.example.com")
        assert run.rejected == []


async def test_a_touch_and_other_files_are_no_edits(path):
    async with watching(path) as run:
        os.utime(path)
        (path.parent / "other.yaml").write_text("x")
        await asyncio.sleep(2 * watch.POLL)
        assert (len(run.loaded), len(run.rejected)) == (1, 0)


async def test_S43_a_policy_that_becomes_writable_by_others_is_told(path):
    async with watching(path) as run:
        path.chmod(0o666)
        await run.until(lambda: run.rejected)
        path.chmod(0o644)
        await run.until(lambda: len(run.loaded) == 2)


async def test_a_file_that_the_policy_names_is_watched_even_before_it_exists(path, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    token = others / "token"
    named = text("second.example.com") + "sessions:\n  box: {token: file:others/token}\n"
    async with watching(path) as run:
        replaced(path, named)
        await run.until(lambda: run.live == "second.example.com")
        count = len(run.loaded)
        token.write_text("one")
        await run.until(lambda: len(run.loaded) == count + 1)
        replaced(token, "two")
        await run.until(lambda: len(run.loaded) == count + 2)


async def test_a_ca_file_that_is_made_later_repairs_the_policy(path, tmp_path):
    certs = tmp_path / "certs"
    certs.mkdir()
    replaced(path, "version: 1\negress:\n  - {host: ca.example.com, ca_file: certs/ca.pem}\n")
    async with watching(path) as run:
        assert "the CA file does not exist" in str(run.rejected[0])
        (certs / "ca.pem").write_text("nothing")
        await run.until(lambda: len(run.rejected) == 2)
        assert "holds no PEM certificate" in str(run.rejected[1])


async def test_the_policy_that_is_live_already_is_not_loaded_again(path):
    current = load(path)
    async with watching(path, settle=False, current=current) as run:
        await asyncio.sleep(1)
        assert (run.loaded, run.rejected) == ([], [])
        replaced(path, text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")


async def test_S31_an_edit_between_loading_and_watching_is_not_missed(path):
    current = load(path)
    replaced(path, text("second.example.com"))
    async with watching(path, current=current) as run:
        assert run.live == "second.example.com"


async def test_a_reload_that_a_credential_refuses_is_a_rejection(path):
    said = []

    def refuse():
        raise CredentialError("the source of key is empty", "write the key into it")

    watcher = Watcher(path, refuse, said.append, said.append)
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(0.8)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [str(error) for error in said] == ["the source of key is empty: write the key into it"]


@pytest.mark.parametrize("where", ["load", "loaded"])
async def test_S42_an_unexpected_error_is_told_by_its_type_alone(path, where):
    said = []

    def fail(*_):
        raise ValueError("sk-secret")

    watcher = Watcher(path, fail if where == "load" else lambda: load(path), fail, said.append)
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(0.8)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (error,) = said
    assert "could not be judged (ValueError)" in str(error)
    assert "sk-secret" not in str(error)


async def test_S31_the_poll_remains_where_events_fail(path, monkeypatch):
    calls = []

    async def failing(folders):
        calls.append(folders)
        raise OSError("no more watches")
        yield

    monkeypatch.setattr(watch, "_events", failing)
    async with watching(path) as run:
        replaced(path, text("second.example.com"))
        await run.until(lambda: run.live == "second.example.com")
        assert calls


async def test_the_loop_is_not_held_up_by_a_slow_load(path):
    def slow():
        time.sleep(0.5)
        return load(path)

    said = []
    task = asyncio.create_task(Watcher(path, slow, said.append, said.append).run())
    longest, last = 0.0, time.monotonic()
    while not said:
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert longest < 0.4
