"""HTTP/2 as a server: every header list as it came, flow control honoured, one task a stream."""

import asyncio
import contextlib
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from support.call import Call, Cut, Handler
from support.received import ConnectionSeen, Fields, Received, Recorder

WINDOW = 4 * 1024 * 1024


class H2Connection:
    """Serves one connection until either side ends it. Validation is off: what came is recorded, right or wrong."""

    def __init__(
        self,
        seen: ConnectionSeen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        recorder: Recorder,
        handler: Handler,
        tells: bool,
    ) -> None:
        self._seen = seen
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._tells = tells
        self._calls: dict[int, H2Call] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.recorder = recorder
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.window = asyncio.Condition()
        """Notified when the client lets us send more."""

    async def serve(self) -> None:
        self.protocol.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        )
        self.protocol.initiate_connection()
        self.protocol.increment_flow_control_window(WINDOW)
        try:
            await self.flush()
            while data := await self._reader.read(65536):
                self._seen.bytes_in += len(data)
                for event in self.protocol.receive_data(data):
                    await self._on_event(event)
                await self.flush()
        except (OSError, h2.exceptions.ProtocolError) as error:
            raise Cut from error
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def flush(self) -> None:
        if data := self.protocol.data_to_send():
            self._writer.write(data)
            try:
                await self._writer.drain()
            except OSError as error:
                raise Cut from error

    async def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open(event)
        elif isinstance(event, h2.events.DataReceived):
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._calls[event.stream_id].request.body += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            self._calls[event.stream_id].request.trailers = tuple(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.recorder.completed(self._calls[event.stream_id].request)
            self._calls[event.stream_id].ended.set()
        elif isinstance(event, h2.events.StreamReset):
            self._tasks[event.stream_id].cancel()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            async with self.window:
                self.window.notify_all()

    def _open(self, event: h2.events.RequestReceived) -> None:
        fields: Fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
        pseudo = {name: value for name, value in fields if name.startswith(b":")}
        request = Received(
            connection=self._seen.id,
            sni=self._seen.sni,
            scheme="https" if self._seen.tls else "http",
            version="HTTP/2.0",
            method=pseudo.get(b":method", b"").decode("latin-1"),
            target=pseudo.get(b":path", b""),
            fields=fields,
            raw_head=b"",
            at=time.monotonic(),
        )
        self.recorder.add(request)
        call = self._calls[event.stream_id] = H2Call(self, event.stream_id, request, tells=self._tells)
        self._tasks[event.stream_id] = asyncio.create_task(self._answer(call))

    async def _answer(self, call: "H2Call") -> None:
        with contextlib.suppress(Cut, h2.exceptions.ProtocolError):
            await self._handler(call)


class H2Call(Call):
    """One stream."""

    def __init__(self, connection: H2Connection, stream: int, request: Received, *, tells: bool) -> None:
        super().__init__(request, tells=tells)
        self.ended = asyncio.Event()
        self._connection = connection
        self._stream = stream

    async def read(self) -> bytes:
        if not self.ended.is_set() and self.request.header("expect") == b"100-continue":
            self.continued = True
            self._connection.protocol.send_headers(self._stream, [(b":status", b"100")])
            await self._connection.flush()
        await self.ended.wait()
        return bytes(self.request.body)

    async def send(self, data: bytes) -> None:
        view = memoryview(b"" if self.request.method == "HEAD" else data)
        while view:
            size = await self._room(len(view))
            self._connection.protocol.send_data(self._stream, view[:size].tobytes())
            await self._connection.flush()
            view = view[size:]

    async def end(self, trailers: Fields = ()) -> None:
        if trailers:
            self._connection.protocol.send_headers(self._stream, list(trailers), end_stream=True)
        else:
            self._connection.protocol.end_stream(self._stream)
        if not self.ended.is_set():
            self._connection.protocol.reset_stream(self._stream, h2.errors.ErrorCodes.NO_ERROR)
        await self._connection.flush()

    async def drop(self) -> None:
        self._connection.protocol.reset_stream(self._stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        await self._connection.flush()
        raise Cut

    async def garbage(self, http1: bytes, http2: Fields) -> None:
        self._connection.protocol.send_headers(self._stream, list(http2), end_stream=True)
        await self._connection.flush()

    async def _start(self, status: int, fields: Fields) -> None:
        self._connection.protocol.send_headers(self._stream, [(b":status", b"%d" % status), *fields])
        await self._connection.flush()

    async def _room(self, wanted: int) -> int:
        """How many bytes may be sent now, at most `wanted`; waits until there is room for one."""
        protocol = self._connection.protocol
        async with self._connection.window:
            await self._connection.window.wait_for(lambda: protocol.local_flow_control_window(self._stream) > 0)
        return min(wanted, protocol.local_flow_control_window(self._stream), protocol.max_outbound_frame_size)
