"""What a refused client is told: JSON with a stable code, a sentence that says what to do, and the request id.

On hosts of language models the JSON has the shape of that provider's errors, so that SDKs show the sentence. Whatever
the shape, `code`, `message` and `request_id` stand at the top level too, so that a script needs to know one form only.
"""

import json
from typing import Any, Literal

from mitmproxy import http

from keyswap.exchange import Code, Refusal

Dialect = Literal["", "anthropic", "openai", "gemini"]

REASON_LIMIT = 120
"""Bytes of a reason phrase: clients that hide the body of a refused CONNECT print this much without wrapping oddly."""

FAILED = Refusal(Code.INTERNAL, "an internal error stopped this request", "look at the proxy's log")

_ANTHROPIC_TYPE = {
    400: "invalid_request_error",
    407: "authentication_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    407: "UNAUTHENTICATED",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
}


def sentence(refusal: Refusal) -> str:
    """`keyswap: api.foo.com is not in egress (policy.yaml:14). Add {host: api.foo.com} to egress in policy.yaml.`"""
    where = f" ({refusal.rule.where})" if refusal.rule is not None else ""
    todo = f" {refusal.todo[:1].upper()}{refusal.todo[1:]}." if refusal.todo else ""
    return f"keyswap: {refusal.reason}{where}.{todo}"


def body(refusal: Refusal, request_id: str, dialect: Dialect = "") -> bytes:
    """The JSON body in the caller's dialect."""
    code, message, status = refusal.code.value, sentence(refusal), refusal.code.status
    common: dict[str, Any] = {"code": code, "message": message, "request_id": request_id}
    if dialect == "anthropic":
        kind = _ANTHROPIC_TYPE.get(status, "permission_error" if status < 500 else "api_error")
        shaped: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    elif dialect == "gemini":
        word = _GEMINI_STATUS.get(status, "PERMISSION_DENIED")
        shaped = {"error": {"code": status, "message": message, "status": word}}
    else:
        shaped = {"error": {"message": message, "type": "keyswap_refused", "param": None, "code": code}}
    return json.dumps({**shaped, **common}, ensure_ascii=True).encode("ascii") + b"\n"


def reason_phrase(refusal: Refusal) -> str:
    """`keyswap host_not_listed: api.foo.com is not in egress (policy.yaml:14)`; ASCII, at most 120 bytes."""
    where = f" ({refusal.rule.where})" if refusal.rule is not None else ""
    text = f"keyswap {refusal.code.value}: {refusal.reason}"
    room = REASON_LIMIT - len(where)
    if len(text) > room:
        text = text[: room - 3] + "..."
    return "".join(char if " " <= char <= "~" else "?" for char in text + where)


def response(
    refusal: Refusal, request_id: str, *, dialect: Dialect = "", close: bool = False, bodiless: bool = False
) -> http.Response:
    """The whole answer. `close`: the client goes on sending a body that nobody reads. `bodiless`: it answers HEAD."""
    status = refusal.code.status
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Proxy-Status", _proxy_status(refusal)),
        (b"X-Keyswap-Request-Id", request_id.encode("ascii")),
        (b"Cache-Control", b"no-store"),
    ]
    if status == 407:
        headers.append((b"Proxy-Authenticate", b'Basic realm="keyswap"'))
    if not refusal.code.retry_helps:
        headers.append((b"X-Should-Retry", b"false"))
    elif refusal.code is Code.RATE_LIMITED:
        headers.append((b"Retry-After", b"1"))
    if close:
        headers.append((b"Connection", b"close"))
    content = body(refusal, request_id, dialect)
    headers.append((b"Content-Length", b"%d" % len(content)))
    if bodiless:
        content = b""
    return http.Response(
        b"HTTP/1.1", status, reason_phrase(refusal).encode("ascii"), http.Headers(headers), content, None, 0.0, 0.0
    )


def _proxy_status(refusal: Refusal) -> bytes:
    details = reason_phrase(refusal).removeprefix("keyswap ").replace("\\", "").replace('"', "'")
    return f'keyswap; error={refusal.code.proxy_error}; details="{details}"'.encode("ascii")


def engine_error(status: int) -> bytes:
    """The body of an error that the engine itself answers; holds nothing that a peer sent."""
    code = {400: Code.AMBIGUOUS, 413: Code.BODY_TOO_LARGE, 431: Code.HEAD_TOO_LARGE}.get(status, Code.UPSTREAM_FAILED)
    if code is Code.UPSTREAM_FAILED:
        words = "the upstream could not be reached, or its answer could not be read"
    else:
        words = "the request could not be read in one way only"
    return body(Refusal(code, words, ""), "")
