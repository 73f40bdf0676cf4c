"""What the provider answers beside the LLM routes: echoes, bytes, uploads, streams, and misbehaviour of several kinds.

Queries: /echo takes `form`, `in`, `split`, `status`, `gzip=1|br=1|zstd=1|deflate=1`; see `echo`.
"""

import asyncio
import base64
import json
import re
import time

from support.call import Call, Handler
from support.encode import CODINGS, FORMS, coding_accepted
from support.received import Fields

JSON = b"application/json"
OCTETS = b"application/octet-stream"
_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")


async def echo(call: Call) -> None:
    """Hands back what it was sent.

    Without `form`: a JSON object of the request. With `form` (a name of `encode.FORMS`): the presented keys in that
    form. `in` says where: body (default), header (X-Echo), trailer (X-Echo) or location (a 302). `split=n` sends the
    body in pieces of n bytes. A coding comes as `gzip=1`, or by Accept-Encoding where the query says `negotiate=1`.
    """
    query = call.request.query
    place = query.get("in", "body")
    said = _said(call)
    if place == "location":
        await call.whole(302, b"", b"text/plain", [(b"location", b"https://elsewhere.example.com/next?key=" + said)])
        return
    status = int(query.get("status", "200"))
    text = said if place == "body" else b"see " + place.encode()
    coding = _coding(call)
    head = [(b"content-type", b"text/plain" if "form" in query else JSON)]
    if coding:
        head.append((b"content-encoding", coding.encode()))
        text = CODINGS[coding](text)
    if place == "header":
        head.append((b"x-echo", said))
    if place != "trailer" and "split" not in query:
        head.append((b"content-length", b"%d" % len(text)))
    await call.start(status, head)
    await _send_split(call, text, int(query.get("split", "0")))
    await call.end(((b"x-echo", said),) if place == "trailer" else ())


def _said(call: Call) -> bytes:
    form = call.request.query.get("form")
    if form is None:
        return _described(call)
    return b"; ".join(FORMS[form](key) for key in call.request.keys if key)


def _described(call: Call) -> bytes:
    request = call.request
    return json.dumps(
        {
            "method": request.method,
            "target": request.target.decode("latin-1"),
            "version": request.version,
            "sni": request.sni,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.fields],
            "keys": [key.decode("latin-1") for key in request.keys],
            "body": base64.b64encode(request.body).decode() if "body64" in request.query else _text(request.body),
            "sha256": request.sha256,
        }
    ).encode()


def _text(body: bytearray) -> str:
    return body[:4096].decode("latin-1")


def _coding(call: Call) -> str | None:
    query = call.request.query
    if "negotiate" in query:
        return coding_accepted((call.request.header("accept-encoding") or b"").decode("latin-1"))
    return next((name for name in CODINGS if query.get(name) == "1"), None)


async def _send_split(call: Call, text: bytes, size: int) -> None:
    for at in range(0, len(text), size or max(len(text), 1)):
        await call.send(text[at : at + size] if size else text)
        if size:
            await asyncio.sleep(0.001)


def pattern(start: int, end: int) -> bytes:
    """The bytes [start, end) of an endless file in which every eight bytes tell their own offset."""
    first = start // 8
    blocks = b"".join((number * 8).to_bytes(8, "big") for number in range(first, (end + 7) // 8))
    return blocks[start - first * 8 : end - first * 8]


async def serve_bytes(call: Call) -> None:
    """/bytes/N: N bytes of `pattern`, with ETag, Range (one), If-Range and 416."""
    size = int(call.request.path.rpartition("/")[2])
    etag = b'"bytes-%d"' % size
    fields = [(b"etag", etag), (b"accept-ranges", b"bytes"), (b"content-type", OCTETS)]
    if_range = call.request.header("if-range")
    span = _span(call.request.header("range"), size) if if_range in (None, etag) else None
    if span == (0, 0):
        await call.whole(416, b"", b"text/plain", [(b"content-range", b"bytes */%d" % size)])
        return
    start, end = span or (0, size)
    if span:
        fields.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
    await call.start(206 if span else 200, [*fields, (b"content-length", b"%d" % (end - start))])
    for at in range(start, end, 65536):
        await call.send(pattern(at, min(at + 65536, end)))
    await call.end()


def _span(value: bytes | None, size: int) -> tuple[int, int] | None:
    """Start and end of the one range asked for; None: all of it; (0, 0): not satisfiable."""
    match = _RANGE.fullmatch(value or b"")
    if match is None or match.groups() == (b"", b""):
        return None
    if not match[1]:
        return (max(0, size - int(match[2])), size)
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    return (start, end) if start < end else (0, 0)


async def upload(call: Call) -> None:
    """Counts and hashes the body; `continued` says that the client waited for `100 Continue` and got it."""
    body = await call.read()
    answer = {"bytes": len(body), "sha256": call.request.sha256, "continued": call.continued}
    await call.whole(200, json.dumps(answer).encode(), JSON)


async def sse(call: Call) -> None:
    """`n` events, `delay` seconds apart, each with its number and the monotonic time of its sending."""
    query = call.request.query
    await call.start(200, [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")])
    for number in range(int(query.get("n", "10"))):
        event = {"i": number, "at": time.monotonic()}
        await call.send(b"id: %d\ndata: %b\n\n" % (number, json.dumps(event).encode()))
        await asyncio.sleep(float(query.get("delay", "0.05")))
    await call.end()


async def redirect(call: Call) -> None:
    """A redirect to `to` (default /echo) with `status` (default 302)."""
    query = call.request.query
    fields = [(b"location", query.get("to", "/echo").encode())]
    await call.whole(int(query.get("status", "302")), b"", b"text/plain", fields)


async def status(call: Call) -> None:
    """/status/N."""
    code = int(call.request.path.rpartition("/")[2])
    await call.whole(code, b"status %d\n" % code, b"text/plain")


async def slow_head(call: Call) -> None:
    """Answers after `delay` seconds (default 1)."""
    await asyncio.sleep(float(call.request.query.get("delay", "1")))
    await call.whole(200, b"slow\n", b"text/plain")


async def drop(call: Call) -> None:
    """Promises 1000 bytes, sends 500 and breaks off."""
    await call.start(200, [(b"content-type", OCTETS), (b"content-length", b"1000")])
    await call.send(bytes(500))
    await call.drop()


async def malformed(call: Call) -> None:
    """An answer that is not well-formed and shows the key; `kind`: header, status, chunk, extra."""
    key = b"".join(call.request.keys)
    kinds: dict[str, bytes] = {
        "header": b"HTTP/1.1 200 OK\r\nthe key is %b\r\n\r\n" % key,
        "status": b"%b is no status line\r\n\r\n" % key,
        "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%b\r\n\r\n" % key,
        "extra": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok%b\r\n" % key,
    }
    fields: Fields = ((b":status", b"200"), (b"the key is " + key, b"Bad\r\nName"))
    await call.garbage(kinds[call.request.query.get("kind", "header")], fields)


async def early_401(call: Call) -> None:
    """Refuses before it has read any of the body."""
    await call.whole(401, b'{"error": "early"}', JSON, [(b"www-authenticate", b'Basic realm="early"')], last=True)


ROUTES: tuple[tuple[str, Handler], ...] = (
    ("/echo", echo),
    ("/bytes/", serve_bytes),
    ("/sse", sse),
    ("/redirect", redirect),
    ("/status/", status),
    ("/slow-head", slow_head),
    ("/drop", drop),
    ("/malformed", malformed),
)
"""Path and handler, called when the whole body has arrived; a path that ends in `/` is a prefix."""

EARLY_ROUTES: tuple[tuple[str, Handler], ...] = (("/upload", upload), ("/early-401", early_401))
"""The same, called before any of the body has been read."""
