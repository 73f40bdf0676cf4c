"""Counters for what must not happen: a question to a resolver, a connection to a socket."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self


class CountingResolver:
    """Takes the place of `loop.getaddrinfo` while it is entered; nothing is ever asked of a real resolver.

    `answers`: host → its addresses; a list of lists answers the first, second… question with its own, the last one from
    then on. Address literals resolve to themselves and are not counted; any other name does not exist.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: Mapping[str, Sequence[str] | Sequence[Sequence[str]]] | None = None,
    ) -> None:
        self._loop: Any = loop
        self._answers = {host: _turns(addresses) for host, addresses in (answers or {}).items()}
        self.questions: list[str] = []
        """Every name asked for, in order."""

    @property
    def count(self) -> int:
        return len(self.questions)

    def __enter__(self) -> Self:
        self._loop.getaddrinfo = self._getaddrinfo
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._loop.getaddrinfo

    async def _getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, proto: int = 0, flags: int = 0, **kind: int
    ) -> list[tuple[Any, ...]]:
        name = host.decode() if isinstance(host, bytes) else host
        addresses = [name] if _is_literal(name) else self._answer(name)
        found = [_info(address, port, kind.get("type", 0)) for address in addresses]
        wanted = [info for info in found if family in (0, info[0])]
        if not wanted:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return wanted

    def _answer(self, name: str) -> Sequence[str]:
        self.questions.append(name)
        turns = self._answers.get(name, [[]])
        return turns.pop(0) if len(turns) > 1 else turns[0]


def _turns(addresses: Sequence[str] | Sequence[Sequence[str]]) -> list[Sequence[str]]:
    lists = [item for item in addresses if not isinstance(item, str)]
    return lists or [[item for item in addresses if isinstance(item, str)]]


def _is_literal(name: str | None) -> bool:
    try:
        ipaddress.ip_address((name or "::").partition("%")[0])
    except ValueError:
        return False
    return True


def _info(address: str, port: Any, kind: int) -> tuple[Any, ...]:
    v6 = ":" in address
    where = (address, int(port or 0), 0, 0) if v6 else (address, int(port or 0))
    return (socket.AF_INET6 if v6 else socket.AF_INET, kind or socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)


class CountingListener:
    """A TCP listener that accepts, counts, keeps what it is sent and never says a word."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._open: list[socket.socket] = []
        self._probe: object = None
        self._probed = threading.Event()
        self.host = host
        self.port: int = self._listener.getsockname()[1]

    @property
    def count(self) -> int:
        """Connections made so far: the queue is accepted in order, so one of our own, not counted, tells the rest."""
        with socket.socket(self._listener.family) as probe:
            probe.bind((self.host, 0))
            self._probe = probe.getsockname()
            self._probed.clear()
            probe.connect((self.host, self.port))
            if not self._probed.wait(5):
                raise TimeoutError("the listener accepts no more")
        return len(self._open)

    def received(self) -> bytes:
        """What was sent to it so far."""
        return b"".join(_drain(connection) for connection in self._open)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A blocked accept wakes up by shutdown; close alone leaves it sleeping on Linux.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._listener.accept()
                if peer == self._probe:
                    connection.close()
                    self._probed.set()
                else:
                    self._open.append(connection)


def _drain(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    data = b""
    with contextlib.suppress(BlockingIOError, ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data
