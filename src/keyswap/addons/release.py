"""Release: the positive gate, last in the chain. Nothing leaves without its word.

A refusal becomes an answer. A request that every step has agreed to is written into the audit, and then, in one block,
its new head is put into the flow (S33). A request without a complete notebook is refused, whatever went wrong before.
"""

import asyncio

from mitmproxy import http

from keyswap.addons import answer
from keyswap.addons.flight import Flight, flight_of
from keyswap.addons.record import Recorder, body_too_large
from keyswap.addons.runtime import Runtime
from keyswap.errors import AuditError
from keyswap.exchange import Code, Refusal, Session
from keyswap.rewrite.read import declared_length

RELEASED = "keyswap.released"
"""Set in a flow's metadata by this step only; the dial hook asks for it."""

LINGER = 3.0
"""Seconds a client has to read its refusal before its connection is closed; closing at once could lose the answer."""

SESSION_ENDED = Refusal(Code.SESSION_REQUIRED, "the session has ended", "mint a new one")

_UPSTREAM = Refusal(
    Code.UPSTREAM_FAILED,
    "the upstream could not be reached, or its answer could not be read",
    "try again, and look at the proxy's audit for this request id",
)
_NO_DESTINATION = Refusal(Code.AMBIGUOUS, "the request names no destination", "send a Host header")
_NO_AUDIT = Refusal(Code.AUDIT_UNAVAILABLE, "the audit cannot be written", "look at the proxy's disk and log")


class Release:
    """The last step of the flow."""

    def __init__(self, runtime: Runtime, recorder: Recorder) -> None:
        self.runtime = runtime
        self.recorder = recorder

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Answer a CONNECT that is refused; let the others pass with the canonical destination in place."""
        flight = flight_of(flow)
        exchange = flight.exchange if flight is not None else None
        decision = exchange.get("decision") if exchange is not None else None
        if flight is None or exchange is None or decision is None or exchange.ask.authority is None:
            self._refuse(flow, flight, self._refusal_of(flight))
        elif exchange.get("refusal") is not None:
            self._refuse(flow, flight, exchange.refusal)
        else:
            flow.request.data.host = exchange.ask.authority.host
            flow.request.data.port = exchange.ask.authority.port

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Let a request go, or answer it."""
        flight = flight_of(flow)
        if flight is not None and flight.exchange.get("refusal") is None:
            late = self._over_body_limit(flight) or self._ended(flight)
            if late is not None:
                flight.exchange.refusal = late
        if flow.error is not None or flight is None or not self._complete(flight):
            self._refuse(flow, flight, self._refusal_of(flight))
            return
        try:
            seq = self.recorder.start(flight)
            await self.runtime.audit.durable(seq)
        except AuditError:
            self.runtime.metrics.audit_failures.inc()
            self._refuse(flow, flight, _NO_AUDIT)
            return
        self._let_go(flow, flight)

    def failed_here(self, flow: http.HTTPFlow) -> http.Response:
        """The answer to a request that an internal error stopped."""
        return self._answer(flow, self._id(flow), answer.FAILED, close=True)

    def failed_below(self, flow: http.HTTPFlow) -> http.Response:
        """The answer where the engine itself gives a request up: the request cannot be read, or its upstream failed."""
        flight, request_id = flight_of(flow), self._id(flow)
        if flight is None:  # the engine found no destination, and no step has heard of this request
            self.recorder.refused(flow, None, _NO_DESTINATION, request_id)
            refusal = _NO_DESTINATION
        elif flight.over is not None:
            refusal = flight.over
        elif flight.exchange.get("released") is not None:
            refusal = _UPSTREAM
        else:
            refusal = self._refusal_of(flight)
        return self._answer(flow, request_id, refusal, close=True)

    def _id(self, flow: http.HTTPFlow) -> str:
        flight = flight_of(flow)
        return flight.exchange.id if flight is not None else self.runtime.new_id()

    def _answer(self, flow: http.HTTPFlow, request_id: str, refusal: Refusal, *, close: bool) -> http.Response:
        return answer.response(
            refusal,
            request_id,
            dialect="" if flow.request.method == "CONNECT" else self._dialect(flight_of(flow)),
            close=close and not flow.request.is_http2,
            bodiless=flow.request.method == "HEAD",
        )

    @staticmethod
    def _complete(flight: Flight) -> bool:
        exchange = flight.exchange
        return (
            exchange.get("refusal") is None
            and exchange.get("fields") is not None
            and exchange.decision.result == "allow"
        )

    @staticmethod
    def _refusal_of(flight: Flight | None) -> Refusal:
        found = flight.exchange.get("refusal") if flight is not None else None
        return found if isinstance(found, Refusal) else answer.FAILED

    def _ended(self, flight: Flight) -> Refusal | None:
        """Whether the session has ended while the destination was looked up (S32)."""
        session = flight.exchange.get("session")
        if isinstance(session, Session) and not self.runtime.alive(session):
            return SESSION_ENDED
        return None

    def _over_body_limit(self, flight: Flight) -> Refusal | None:
        limit = flight.situation.policy.limits.body
        if limit is None or flight.exchange.get("head") is None:
            return None
        length = declared_length(flight.exchange.head)
        if length is None or length <= limit:
            return None
        return body_too_large(limit)

    def _let_go(self, flow: http.HTTPFlow, flight: Flight) -> None:
        request, exchange = flow.request, flight.exchange
        exchange.released = True
        flight.counters.released = self.runtime.clock()
        counted = self.recorder.counting_body(flow, flight)
        # One block, no call that could fail between its lines; the real value comes last.
        request.stream = counted
        if not request.is_http2:
            request.data.authority = b""
        request.data.host, request.data.port = exchange.upstream.authority.host, exchange.upstream.authority.port
        request.data.headers = http.Headers(exchange.fields)
        flow.metadata[RELEASED] = True

    def _refuse(self, flow: http.HTTPFlow, flight: Flight | None, refusal: Refusal) -> None:
        request_id = self._id(flow)
        self.recorder.refused(flow, flight, refusal, request_id)
        flow.request.data.headers.pop("expect", None)  # else the engine would first ask for the body
        has_body = any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in flow.request.data.headers.fields
        )
        if flow.error is None:
            flow.request.stream = False
            flow.response = self._answer(flow, request_id, refusal, close=has_body)
            if has_body and not flow.request.is_http2:
                # It has been told that the connection ends; one that goes on sending is not listened to for ever (S38).
                asyncio.get_running_loop().call_later(LINGER, self.recorder.abort, flow.client_conn)

    def _dialect(self, flight: Flight | None) -> answer.Dialect:
        ask = flight.exchange.get("ask") if flight is not None else None
        authority = getattr(ask, "authority", None)
        if authority is None or flight is None:
            return ""
        bound = flight.situation.credentials_at(authority)
        return next((credential.dialect for credential in bound if credential.dialect), "")
