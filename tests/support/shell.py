"""A shell that a person would paste lines into: it keeps its variables, and tells what each block printed."""

import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ENDING = 15.0
"""Seconds that what was left running has to end after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a block printed, both streams as they came, and the exit code of its last command."""

    text: str
    code: int


class Shell:
    """`with Shell(folder, environment) as shell:` is one `sh`; leaving it ends all that it started."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = bytearray()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["sh"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._reader is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        self.signal(signal.SIGTERM)
        self._reader.join(ENDING)
        if self._reader.is_alive():
            self.signal(signal.SIGKILL)
            self._reader.join(ENDING)
        self._process.wait(ENDING)
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def printed(self) -> str:
        """All that was printed so far."""
        return self._printed.decode("utf-8", "replace")

    def run(self, block: str, *, timeout: float = 60) -> Said:
        """Paste a block and wait for its end."""
        mark = f"end-{secrets.token_hex(8)}"
        start = len(self._printed)
        self.start(f"{block}\nprintf '\\n%s %s\\n' {mark} $?\n")
        found = self.wait(rf"\n{mark} (\d+)\n", start, timeout)
        return Said(found.string[: found.start()], int(found[1]))

    def start(self, block: str) -> None:
        """Paste a block that stays up."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(block.encode())
        self._process.stdin.flush()

    def wait(self, pattern: str, start: int = 0, timeout: float = 30) -> re.Match[str]:
        """Wait until what was printed from `start` on holds `pattern`."""
        deadline = time.monotonic() + timeout
        while True:
            over = self._reader is None or not self._reader.is_alive() or time.monotonic() > deadline
            text = bytes(self._printed[start:]).decode("utf-8", "replace")
            found = re.search(pattern, text)
            if found:
                return found
            assert not over, f"waited for {pattern!r}, and there was: {text[-3000:]}"
            time.sleep(0.02)

    def ended(self) -> None:
        """Wait until nothing that was started here is left to print anything."""
        assert self._reader is not None
        self._reader.join(ENDING)
        assert not self._reader.is_alive(), f"still up after {ENDING:g} s: {self.printed[-1000:]}"

    def signal(self, number: int) -> None:
        """Send a signal to the shell and all that it started, as a terminal does."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 65536):
            self._printed += data
