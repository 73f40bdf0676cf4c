"""Scrub: the answer, on its way back, with every real value overwritten (S26).

The one stream callable that the engine allows is a small pipeline: count, decode where the upstream compressed in spite
of being asked not to, overwrite, hand on. An exception in it would make the engine drop one chunk and go on, so here it
ends the connection instead (S30).
"""

from collections.abc import Callable, Iterable, Iterator

from mitmproxy import http

from keyswap.addons import answer
from keyswap.addons.flight import Flight, flight_of
from keyswap.addons.runtime import Runtime
from keyswap.errors import RewriteError
from keyswap.exchange import Code, Refusal
from keyswap.rewrite.encodings import Decoder, decoder_for
from keyswap.rewrite.scrub import Masker

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that are never scrubbed, so that framing stays right (S28). The engine has checked that nothing else is in
them; every other header may hold whatever an upstream likes, a key included."""

_CONTROLS = bytes(0x20 if byte in (0x00, 0x0A, 0x0D) else byte for byte in range(256))
"""NUL, CR and LF become spaces in a header's value (RFC 9110, section 5.5): a client may read them as a new line."""

_OUR_OWN = frozenset({b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"})
"""An upstream that asks for proxy credentials asks for the session token."""

_UNDECODABLE = Refusal(
    Code.UPSTREAM_FAILED,
    "the upstream's answer is encoded in a way that cannot be searched for keys",
    "ask the upstream for identity, gzip, deflate, br or zstd",
)


class Scrub:
    """The step behind the upstream."""

    def __init__(self, runtime: Runtime, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.abort = abort

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Scrub the head, and put the stream callable in place."""
        flight = flight_of(flow)
        if flow.response is None or flight is None or flight.exchange.get("released") is None:
            return  # our own refusal
        flight.counters.first_byte = self.runtime.clock()
        if self.runtime.draining and flow.client_conn.alpn != b"h2":
            flow.response.headers["connection"] = "close"  # this answer is the connection's last
        masker = self.runtime.masker(flight.situation, flight.exchange.upstream.authority, flight.exchange.session)
        self._head(flow.response, masker, flight)

        def abort() -> None:
            self.abort(flow.client_conn, flow.server_conn)

        try:
            decoder = None if masker.idle else self._decoder(flow)
        except RewriteError:
            self._replace(flow, flight, abort)
            return
        flow.response.stream = _Pipeline(masker, decoder, flight, abort)

    def _replace(self, flow: http.HTTPFlow, flight: Flight, abort: Callable[[], None]) -> None:
        """Give the client our words instead of an answer that cannot be searched, and end the connection."""
        ours = answer.response(_UNDECODABLE, flight.exchange.id, close=flow.client_conn.alpn != b"h2")
        response = flow.response
        if response is None:
            return
        response.status_code, response.data.reason = ours.status_code, ours.data.reason
        response.data.headers = ours.data.headers
        # Where the upstream's answer has no body, the engine does not ask for these words either.
        response.data.headers.pop("content-length", None)
        words = [ours.raw_content or b""]

        def stream(chunk: bytes) -> list[bytes]:
            out, words[:] = list(words), []
            abort()
            return out

        response.stream = stream

    def _head(self, response: http.Response, masker: Masker, flight: Flight) -> None:
        fields = [
            (name, value.translate(_CONTROLS))
            for name, value in response.data.headers.fields
            if name.lower() not in _OUR_OWN
        ]
        response.data.reason = response.data.reason.translate(_CONTROLS)
        if not masker.idle:
            fields, hits = scrub_fields(fields, masker)
            response.data.reason, more = masker.field(response.data.reason)
            flight.counters.scrubbed += hits + more
        response.data.headers = http.Headers(fields)

    def _decoder(self, flow: http.HTTPFlow) -> Decoder | None:
        response = flow.response
        if response is None:
            return None
        if flow.request.method == "HEAD" or response.status_code in (204, 304):
            return None
        if response.headers.get("transfer-encoding", "").strip().lower() not in ("", "chunked", "identity"):
            raise RewriteError("the answer is compressed on its way", "send no transfer coding but chunked")
        coding = ",".join(response.headers.get_all("content-encoding"))
        if not coding:
            return None
        decoder = decoder_for(coding)
        if decoder is not None:
            reframe(flow)
        return decoder

    def response(self, flow: http.HTTPFlow) -> None:
        """Scrub HTTP/2 trailers; and let no answer end well whose scrubbing failed."""
        flight = flight_of(flow)
        stream = flow.response.stream if flow.response is not None else None
        if isinstance(stream, _Pipeline) and stream.dead and flow.killable:
            flow.kill()
            return
        if flow.response is None or flow.response.trailers is None or flight is None:
            return
        if flight.exchange.get("released") is None:
            return
        masker = self.runtime.masker(flight.situation, flight.exchange.upstream.authority, flight.exchange.session)
        if not masker.idle:
            fields, hits = scrub_fields(flow.response.trailers.fields, masker)
            flow.response.trailers = http.Headers(fields)
            flight.counters.scrubbed += hits


def scrub_fields(fields: Iterable[tuple[bytes, bytes]], masker: Masker) -> tuple[list[tuple[bytes, bytes]], int]:
    """The fields with every real value overwritten, framing ones as they are; and how many were found.

    A field whose name holds one is left out.
    """
    out: list[tuple[bytes, bytes]] = []
    fields = list(fields)
    _, hits = masker.field(b"\n".join([name for name, _ in fields]))
    named = hits > 0
    for name, value in fields:
        if named and masker.field(name)[1]:
            continue
        if name.lower() not in FRAMING:
            value, found = masker.field(value)
            hits += found
        out.append((name, value))
    return out, hits


def reframe(flow: http.HTTPFlow) -> None:
    """Make an answer's head right for a body whose length is no longer known and that is no longer encoded."""
    response = flow.response
    if response is None:
        return
    headers = response.headers
    for name in ("content-encoding", "content-length", "content-md5", "digest", "repr-digest", "etag"):
        headers.pop(name, None)
    if flow.client_conn.alpn == b"h2":
        headers.pop("transfer-encoding", None)
    elif flow.request.http_version == "HTTP/1.1":
        headers["transfer-encoding"] = "chunked"


class _Pipeline:
    """The stream callable of one answer."""

    __slots__ = ("_abort", "_decoder", "_flight", "_stream", "dead")

    def __init__(self, masker: Masker, decoder: Decoder | None, flight: Flight, abort: Callable[[], None]) -> None:
        self._stream = None if masker.idle else masker.stream()
        self._decoder = decoder
        self._flight = flight
        self._abort = abort
        self.dead = False

    def __call__(self, chunk: bytes) -> list[bytes]:
        """The chunk as the client gets it; `b""` is the end. Never an empty piece: it would end a chunked body."""
        if self.dead:
            return []
        try:
            return self._through(chunk)
        except Exception:  # whatever it was, a broken scrubber must not go on (S30)
            self.dead = True
            self._abort()
            return []

    def _through(self, chunk: bytes) -> list[bytes]:
        counters = self._flight.counters
        pieces = [piece for piece in self._pieces(chunk) if piece]
        counters.bytes_out += sum(map(len, pieces))
        return pieces

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        if self._stream is None:
            yield chunk
            return
        if self._decoder is None:
            yield self._stream.feed(chunk) if chunk else b""
        elif chunk:
            for plain in self._decoder.feed(chunk):
                yield self._stream.feed(plain)
        else:
            self._decoder.end()
        if not chunk:
            held_back = self._stream.end()
            self._flight.counters.scrubbed += self._stream.count
            yield held_back
