"""The shapes of the Anthropic and OpenAI APIs, as far as their SDKs insist on them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

Event = dict[str, Any]

MODEL = "test-model"
CREATED = 1_700_000_000


def sse(name: str | None, data: Event) -> bytes:
    """One event of a stream."""
    head = b"" if name is None else b"event: %b\n" % name.encode()
    return head + b"data: %b\n\n" % json.dumps(data).encode()


def message(text: str, model: str) -> Event:
    """The answer of Anthropic's Messages."""
    return {
        "id": "msg_01test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 8},
    }


def message_events(pieces: Sequence[str], model: str) -> Iterator[bytes]:
    """The same as a stream, one event an item."""
    opening = message("", model) | {"content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    yield sse("message_start", {"type": "message_start", "message": opening})
    yield sse("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block})
    yield sse("ping", {"type": "ping"})
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield sse("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})
    yield sse("content_block_stop", {"type": "content_block_stop", "index": 0})
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    yield sse("message_delta", {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 8}})
    yield sse("message_stop", {"type": "message_stop"})


def completion(text: str, model: str) -> Event:
    """The answer of OpenAI's Chat Completions."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def completion_events(pieces: Sequence[str], model: str) -> Iterator[bytes]:
    """The same as a stream, one event an item."""
    head = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": CREATED, "model": model}

    def chunk(delta: Event, finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(None, head | {"choices": [choice]})

    yield chunk({"role": "assistant", "content": ""}, None)
    for piece in pieces:
        yield chunk({"content": piece}, None)
    yield chunk({}, "stop")
    yield b"data: [DONE]\n\n"


def response(text: str, model: str, status: str = "completed") -> Event:
    """The answer of OpenAI's Responses."""
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }
    return {
        "id": "resp_test",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [_item(text)] if status == "completed" else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if status == "completed" else None,
    }


def _item(text: str) -> Event:
    return {"id": "msg_test", "type": "message", "role": "assistant", "status": "completed", "content": [_part(text)]}


def _part(text: str) -> Event:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_events(pieces: Sequence[str], model: str) -> Iterator[bytes]:
    """The same as a stream, one event an item."""
    text = "".join(pieces)
    at = {"item_id": "msg_test", "output_index": 0, "content_index": 0}
    opening = _item("") | {"status": "in_progress", "content": []}
    events: list[tuple[str, Event]] = [
        ("response.created", {"response": response("", model, "in_progress")}),
        ("response.in_progress", {"response": response("", model, "in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": opening}),
        ("response.content_part.added", at | {"part": _part("")}),
        *(("response.output_text.delta", at | {"delta": piece, "logprobs": []}) for piece in pieces),
        ("response.output_text.done", at | {"text": text, "logprobs": []}),
        ("response.content_part.done", at | {"part": _part(text)}),
        ("response.output_item.done", {"output_index": 0, "item": _item(text)}),
        ("response.completed", {"response": response(text, model)}),
    ]
    for number, (name, data) in enumerate(events):
        yield sse(name, {"type": name, "sequence_number": number} | data)


def model_list(*, anthropic: bool) -> Event:
    """The answer of /v1/models in either dialect."""
    if anthropic:
        item = {"type": "model", "id": MODEL, "display_name": "Test", "created_at": "2026-01-01T00:00:00Z"}
        return {"data": [item], "has_more": False, "first_id": MODEL, "last_id": MODEL}
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": CREATED, "owned_by": "test"}]}


def unauthorised(*, anthropic: bool) -> Event:
    """The 401 of either dialect, for a key that is wrong or missing."""
    if anthropic:
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return {"type": "error", "error": error, "request_id": "req_test"}
    text = "Incorrect API key provided."
    return {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}
