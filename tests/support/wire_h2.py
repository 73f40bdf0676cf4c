"""HTTP/2 on a `Wire`: header lists go out unchecked, so that a test can say what no client library would."""

from collections.abc import Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from support.wire import PATIENCE, Closed, Fields, Wire, WireResponse

Pair = tuple[str | bytes, str | bytes]


class StreamBroken(Exception):
    """The stream (or, with stream 0, the connection) was ended by an error. `code` is HTTP/2's."""

    def __init__(self, stream: int, code: int) -> None:
        super().__init__(f"stream {stream} was reset with {code}")
        self.stream = stream
        self.code = code


class Wire2:
    """`client = await Wire2.start(wire)` on a wire whose ALPN is h2."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._parts: dict[int, _Parts] = {}
        self._ended: StreamBroken | None = None
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )

    @classmethod
    async def start(cls, wire: Wire) -> "Wire2":
        client = cls(wire)
        client.protocol.initiate_connection()
        await client._flush()
        return client

    async def open(self, fields: Sequence[Pair], body: bytes | None = b"") -> int:
        """Sends a header list as it is, pseudo-headers included; `body` None leaves the stream open. Its number."""
        stream = self.protocol.get_next_available_stream_id()
        self._parts[stream] = _Parts()
        encoded = [(_bytes(name), _bytes(value)) for name, value in fields]
        self.protocol.send_headers(stream, encoded, end_stream=body == b"")
        await self._flush()
        if body:
            await self.send(stream, body, end=True)
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Body bytes, waiting for the other side's window."""
        view = memoryview(data)
        while view:
            room = min(self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size)
            if room <= 0:
                await self._pump(PATIENCE)
                continue
            self.protocol.send_data(stream, view[:room].tobytes())
            view = view[room:]
            await self._flush()
        if end:
            self.protocol.end_stream(stream)
            await self._flush()

    async def request(
        self, method: str, path: str, authority: str, fields: Sequence[Pair] = (), body: bytes = b""
    ) -> WireResponse:
        """One well-formed request and its answer."""
        pseudo: list[Pair] = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        return await self.response(await self.open([*pseudo, *fields], body))

    async def response(self, stream: int, timeout: float = PATIENCE) -> WireResponse:
        """The whole answer; StreamBroken where it was reset before its head, Closed where the connection ended."""
        parts = self._parts[stream]
        while not parts.done:
            if self._ended:
                raise self._ended
            await self._pump(timeout)
        if parts.code is not None and not parts.fields:
            raise StreamBroken(stream, parts.code)
        return parts.response()

    async def head(self, stream: int, timeout: float = PATIENCE) -> Fields:
        """The header list of the answer, once it is there."""
        while not (self._parts[stream].fields or self._parts[stream].done):
            await self._pump(timeout)
        return self._parts[stream].fields

    async def reset(self, stream: int) -> None:
        """Gives a stream up."""
        self.protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        await self._flush()

    async def _flush(self) -> None:
        if data := self.protocol.data_to_send():
            await self._wire.send(data)

    async def _pump(self, timeout: float) -> None:
        data = await self._wire.receive(timeout)
        if not data:
            raise Closed(self._wire.everything)
        try:
            events = self.protocol.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self._ended = StreamBroken(0, int(error.error_code))
            return
        for event in events:
            self._on_event(event)
        await self._flush()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._ended = StreamBroken(0, int(event.error_code or 0))
        parts = self._parts.get(getattr(event, "stream_id", 0) or 0)
        if parts is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            parts.fields = _fields(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            parts.body += event.data
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            parts.trailers = _fields(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            parts.done = parts.complete = True
        elif isinstance(event, h2.events.StreamReset):
            parts.done, parts.code = True, int(event.error_code)


class _Parts:
    """What has come of one answer."""

    def __init__(self) -> None:
        self.fields: Fields = ()
        self.body = bytearray()
        self.trailers: Fields = ()
        self.done = False
        self.complete = False
        self.code: int | None = None

    def response(self) -> WireResponse:
        status = int(next(value for name, value in self.fields if name == b":status"))
        plain = tuple(pair for pair in self.fields if not pair[0].startswith(b":"))
        return WireResponse(status, "", plain, bytes(self.body), b"", self.trailers, self.complete)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _fields(headers: object) -> Fields:
    assert isinstance(headers, list | tuple)
    return tuple((bytes(name), bytes(value)) for name, value in headers)
