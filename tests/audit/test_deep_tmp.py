"""Whatever is done to a log: what was changed is found, and nothing else."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keyswap.audit.checkpoint import read_head
from keyswap.audit.names import parts
from keyswap.audit.verify import verify
from keyswap.audit.writer import AuditWriter

from .conftest import Log

Found = list[tuple[str, str, int, int]]


class Copy:
    """A closed log of three files as one list of lines, to be changed and judged."""

    def __init__(self, log: Log) -> None:
        self.directory = log.directory
        self.original = {path: path.read_bytes().splitlines(keepends=True) for path in log.files()}
        self.reset()

    def reset(self) -> None:
        self.lines = [(path, line) for path, lines in self.original.items() for line in lines]

    def place(self, at: int) -> tuple[str, int]:
        """File and number of the line at that position of the whole."""
        path = self.lines[at][0]
        return path.name, sum(1 for other, _ in self.lines[: at + 1] if other == path)

    def kinds(self) -> Found:
        for path in self.original:
            path.write_bytes(b"".join(line for other, line in self.lines if other == path))
        flaws = verify(self.directory / "audit.jsonl", state_dir=self.directory).flaws
        return [(flaw.kind, flaw.file, flaw.line, flaw.seq) for flaw in flaws]


def one_change(data: st.DataObject, copy: Copy) -> list[Found]:
    """Change one thing; what may be found, where several reports are equally true."""
    count = len(copy.lines)
    what = data.draw(st.sampled_from(["edit", "remove", "swap", "copy", "junk", "move"]))
    at = data.draw(st.integers(0, count - 1))
    path, line = copy.lines[at]
    if what == "edit":
        offset = data.draw(st.integers(0, len(line) - 2))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value not in (line[offset], 0x0A)))
        copy.lines[at] = (path, line[:offset] + bytes([byte]) + line[offset + 1 :])
        return [[("edited", *copy.place(at), at + 1)]]
    if what == "remove":
        del copy.lines[at]
        if at == count - 1:
            return [[("cut", *copy.place(at - 1), at + 1)]]
        return [[("removed", *copy.place(at), at + 1)]]
    if what == "swap":
        at = min(at, count - 2)
        (one, first), (other, second) = copy.lines[at : at + 2]
        copy.lines[at : at + 2] = [(one, second), (other, first)]
        return [[("reordered", *copy.place(at), at + 2)]]
    to = data.draw(st.integers(0, count - 1))
    if what == "move":
        contents = [line for _, line in copy.lines]
        contents.insert(to, contents.pop(at))
        copy.lines = [(where, content) for (where, _), content in zip(copy.lines, contents, strict=True)]
        if to == at:
            return [[]]
        if abs(to - at) == 1:
            # Two neighbours changed places: the later one is told, whichever was moved.
            return [[("reordered", *copy.place(min(at, to)), min(at, to) + 2)]]
        return [[("reordered", *copy.place(to), at + 1)]]
    target = copy.lines[to][0]
    if what == "copy":
        copy.lines.insert(to, (target, line))
        return [[("inserted", *copy.place(beside), at + 1)] for beside in (to, to + 1) if copy.lines[beside][1] == line]
    junk = data.draw(st.binary(max_size=40)).replace(b"\n", b"?") + b"\n"
    copy.lines.insert(to, (target, junk))
    return [[("inserted", *copy.place(to), to + 1)]]


@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_S45_one_change_is_found_where_it_is_and_nothing_else(log: Log, data: st.DataObject) -> None:
    if not log.files():
        log.filled(14, rotate=1500)
        log.copy = Copy(log)  # type: ignore[attr-defined]
    copy: Copy = log.copy  # type: ignore[attr-defined]
    copy.reset()
    assert len(copy.original) > 2
    allowed = one_change(data, copy)
    assert copy.kinds() in allowed


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_S45_a_cut_at_any_byte_is_found(log: Log, share: float) -> None:
    if not log.files():
        log.filled(5)
        log.text = log.path.read_bytes()  # type: ignore[attr-defined]
    text: bytes = log.text  # type: ignore[attr-defined]
    kept = text[: round(share * len(text))]
    log.path.write_bytes(kept)
    whole = kept.count(b"\n")
    assert log.kinds() == ([] if kept == text else [("cut", "audit.jsonl", whole, whole + 1)])


class Life(RuleBasedStateMachine):
    """A log that is written, rotated, killed, torn, cut behind its back, and started again."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log(Path(tempfile.mkdtemp()))
        self.writer: AuditWriter = self.log.open()
        self.present: list[int] = []

    def teardown(self) -> None:
        self.writer.close()
        shutil.rmtree(self.log.directory)

    def _seqs(self) -> list[int]:
        """What the files hold, told by nothing but their lines."""
        texts = b"".join(path.read_bytes() for path in parts(self.log.path))
        return [int(line.split(b'"seq":')[1].split(b",")[0]) for line in texts.split(b"\n")[:-1]]

    @rule(count=st.integers(1, 4))
    def write(self, count: int) -> None:
        for _ in range(count):
            self.log.clock.now += 0.001
            before = self.present[-1] if self.present else 0
            assert self.writer.write("request", id="r") > before
            self.present = self._seqs()

    @rule()
    def rotate(self) -> None:
        if self.writer._file.size:
            self.writer._rotate()
            self.present = self._seqs()

    @rule()
    def refresh_the_head(self) -> None:
        self.writer._save_head()

    @rule()
    def stop_and_start(self) -> None:
        self.writer.close()
        self._start()

    @rule(torn=st.binary(max_size=30))
    def kill(self, torn: bytes) -> None:
        self.log.crash(self.writer)
        with self.log.path.open("ab") as file:
            file.write(torn.replace(b"\n", b""))
        self._start()

    @precondition(lambda self: self.log.path.exists() and self.log.path.stat().st_size)
    @rule(share=st.floats(0, 1))
    def kill_and_cut(self, share: float) -> None:
        self.log.crash(self.writer)
        os.truncate(self.log.path, round(share * self.log.path.stat().st_size))
        self.present = self._seqs()
        self.finds_exactly_what_is_missing()
        self._start()

    @rule(share=st.floats(0, 1))
    def cut_while_it_is_written(self, share: float) -> None:
        """What is gone shows as a gap up to the last record this process wrote."""
        os.truncate(self.log.path, round(share * self.log.path.stat().st_size))
        self.log.clock.now += 0.001
        self.writer.write("request", id="r")
        self.present = self._seqs()

    def _start(self) -> None:
        self.log.clock.now += 1
        self.writer = self.log.open()
        self.present = self._seqs()

    @invariant()
    def finds_exactly_what_is_missing(self) -> None:
        expected = []
        for before, after in zip([0, *self.present], self.present, strict=False):
            assert after > before
            if after > before + 1:
                expected.append(("removed", before + 1))
        head = read_head(self.log.path)
        assert head is not None
        last = self.present[-1] if self.present else 0
        if head.link.seq > last:
            expected.append(("cut", last + 1))
        assert [(flaw.kind, flaw.seq) for flaw in self.log.verify().flaws] == expected


Life.TestCase.settings = settings(max_examples=1500, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
