"""The LLM routes of the provider: Anthropic Messages, OpenAI Chat Completions and Responses, and both lists of models.

The text is `WORDS`. A prompt that holds `ECHO` gets the key it was sent with as well, in one event whose bytes are sent
in two parts, cut inside the key: an upstream may echo what it was sent, and the network splits where it likes.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from support import llm_shapes as shapes
from support.call import Call, Handler
from support.routes import JSON

WORDS = ("one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ")
TEXT = "".join(WORDS)
ECHO = "echo the key"

Body = dict[str, Any]
Dialect = tuple[Callable[[str, str], shapes.Event], Callable[[Sequence[str], str], Iterator[bytes]]]

_DIALECTS: dict[str, Dialect] = {
    "/v1/messages": (shapes.message, shapes.message_events),
    "/v1/chat/completions": (shapes.completion, shapes.completion_events),
    "/v1/responses": (shapes.response, shapes.response_events),
}


def routes(keys: AbstractSet[bytes], delay: Callable[[], float]) -> Iterable[tuple[str, Handler]]:
    """Path and handler; `keys` are the ones accepted, `delay` says the seconds between two events."""

    async def guarded(call: Call) -> None:
        if keys.isdisjoint(call.request.keys):
            await _whole(call, 401, shapes.unauthorised(anthropic=_is_anthropic(call)))
        elif call.request.path == "/v1/models":
            await _whole(call, 200, shapes.model_list(anthropic=_is_anthropic(call)))
        else:
            await _generate(call, delay())

    return [(path, guarded) for path in (*_DIALECTS, "/v1/models")]


def _is_anthropic(call: Call) -> bool:
    return call.request.path == "/v1/messages" or call.request.header("anthropic-version") is not None


async def _generate(call: Call, delay: float) -> None:
    try:
        asked: Body = json.loads(call.request.body)
    except ValueError:
        await _whole(call, 400, {"error": {"message": "not JSON", "type": "invalid_request_error"}})
        return
    whole, stream = _DIALECTS[call.request.path]
    pieces, model = _pieces(call), str(asked.get("model", shapes.MODEL))
    if not asked.get("stream"):
        await _whole(call, 200, whole("".join(pieces), model))
        return
    await call.start(200, [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")])
    for event in stream(pieces, model):
        for part in _cut(event, call.request.keys):
            await call.send(part)
            await asyncio.sleep(delay)
    await call.end()


def _cut(event: bytes, keys: Sequence[bytes]) -> list[bytes]:
    """An event as it is sent: in two parts where a key is in it, cut in the middle of the key."""
    key = next((key for key in keys if key and key in event), None)
    if key is None:
        return [event]
    at = event.index(key) + len(key) // 2
    return [event[:at], event[at:]]


def _pieces(call: Call) -> list[str]:
    if ECHO.encode() not in call.request.body:
        return list(WORDS)
    return [*WORDS, b" ".join(call.request.keys).decode("latin-1")]


async def _whole(call: Call, status: int, answer: shapes.Event) -> None:
    await call.whole(status, json.dumps(answer).encode(), JSON, [(b"request-id", b"req_test")])
