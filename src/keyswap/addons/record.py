"""Record: one line before anything leaves, one when it is over, one for each refusal (S46)."""

import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client

from keyswap.addons.answer import FAILED
from keyswap.addons.flight import Clients, Flight, flight_of
from keyswap.addons.runtime import Runtime
from keyswap.errors import AuditError
from keyswap.exchange import Code, CredentialName, Exchange, Refusal, Session
from keyswap.policy.paths import display

logger = logging.getLogger(__name__)

_HIDDEN = "*"
"""Stands in a record for a part of the target that holds a placeholder."""
_LONGEST_WORD = 21
"""Characters that no placeholder is as short as: it has 22 random ones at least (S18)."""


def body_too_large(limit: int) -> Refusal:
    """What is said of a body over `limits.body` (bytes), announced or found."""
    return Refusal(Code.BODY_TOO_LARGE, f"the body is over limits.body ({limit} bytes)", "send a smaller body")


class Recorder:
    """Writes the audit lines of requests. Raises AuditError only from `start`, which a release waits for."""

    def __init__(self, runtime: Runtime, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.abort = abort

    def start(self, flight: Flight) -> int:
        """The line of a request that is about to leave; its sequence number."""
        exchange = flight.exchange
        seq = self.runtime.audit.write(
            "request",
            **self._who_and_what(flight),
            decision=self._decision(exchange, None),
            swaps=[
                {
                    "credential": grant.credential,
                    "version": grant.version,
                    "place": grant.place,
                    "fingerprint": grant.fingerprint,
                }
                for grant in exchange.grants
            ],
        )
        metrics = self.runtime.metrics
        for grant in exchange.grants:
            metrics.swaps.labels(grant.credential).inc()
        return seq

    def refused(self, flow: http.HTTPFlow | None, flight: Flight | None, refusal: Refusal, request_id: str) -> None:
        """The line of a refusal. A disk that is full does not let anything through, so nothing waits for it."""
        if flight is not None:
            if flight.recorded:
                return
            flight.recorded = True
        metrics = self.runtime.metrics
        metrics.refusals.labels(refusal.code.value).inc()
        metrics.requests.labels("refused").inc()
        event = "placeholder_misuse" if refusal.code is Code.PLACEHOLDER_MISUSE else "refused"
        if event == "placeholder_misuse":
            metrics.misuse.inc()
        fields: dict[str, Any] = {"id": request_id}
        if flight is not None:
            fields.update(self._who_and_what(flight))
        elif flow is not None and flow.client_conn.peername:
            fields["client"] = flow.client_conn.peername[0]
        self._try(event, **fields, decision=self._decision(flight.exchange if flight else None, refusal))

    def failed(self, hook: str, about: object) -> None:
        """The line of a request that an internal error stopped. Raises nothing: there is nobody left to tell."""
        self.runtime.metrics.hook_failures.inc()
        if not isinstance(about, http.HTTPFlow):
            return
        flight = flight_of(about)
        try:
            if flight is not None and flight.exchange.get("released") is not None:
                self.end(about, flight, "internal error")
            else:
                told = about.response.headers.get("x-keyswap-request-id") if about.response is not None else None
                request_id = flight.exchange.id if flight is not None else told or self.runtime.new_id()
                self.refused(about, flight, FAILED, request_id)
        except Exception as error:
            logger.error("the record of a failed %s failed: %s", hook, type(error).__name__)

    def credential_failed(self, name: CredentialName, what: str) -> None:
        """The line of a source that has begun to fail; `what` are the room's own words, which quote no value."""
        self._try("credential_failed", notes=[f"credential {name}: {what}"])

    def unreadable(self, client: Client, refusal: Refusal, request_id: str) -> None:
        """The line of bytes that never became a request."""
        self.runtime.metrics.refusals.labels(refusal.code.value).inc()
        self.runtime.metrics.requests.labels("refused").inc()
        peer = client.peername[0] if client.peername else ""
        self._try("refused", id=request_id, client=peer, decision=self._decision(None, refusal))

    def end(self, flow: http.HTTPFlow, flight: Flight, failure: str = "") -> None:
        """The line of an answer's end; at most once a request."""
        if flight.recorded or flight.exchange.get("released") is None:
            return
        flight.recorded = True
        exchange, counters = flight.exchange, flight.counters
        told: dict[str, Any] = {}
        if flight.over is not None:
            failure, told = flight.over.reason, {"decision": self._decision(exchange, flight.over)}
        now = self.runtime.clock()
        status = flow.response.status_code if flow.response is not None else None
        peer = flow.server_conn.peername
        milliseconds: dict[str, float] = {"total": round((now - exchange.started) * 1000, 3)}
        if counters.first_byte is not None:
            milliseconds["first_byte"] = round((counters.first_byte - exchange.started) * 1000, 3)
        outcome = "failed" if failure else "answered"
        self.runtime.metrics.requests.labels(outcome).inc()
        self.runtime.metrics.duration.observe(now - exchange.started)
        if counters.scrubbed:
            self.runtime.metrics.scrubbed.inc(counters.scrubbed)
        self._try(
            "response",
            **self._who_and_what(flight),
            **told,
            upstream={
                "address": peer[0] if peer else None,
                "http": flow.response.http_version if flow.response is not None else None,
                "status": status,
                **({"error": failure} if failure else {}),
            },
            bytes={"in": counters.bytes_in, "out": counters.bytes_out},
            ms=milliseconds,
            scrubbed=counters.scrubbed,
        )

    def passthrough(self, flight: Flight) -> None:
        """The one line of a connection that is relayed without looking inside. Raises AuditError."""
        exchange = flight.exchange
        self.runtime.audit.write("request", **self._who_and_what(flight), decision=self._decision(exchange, None))

    def counting_body(self, flow: http.HTTPFlow, flight: Flight) -> Callable[[bytes], list[bytes]]:
        """A stream callable that counts a request's body, and breaks it off upstream over `limits.body` (S16)."""
        limit = flight.situation.policy.limits.body
        counters = flight.counters

        def count(chunk: bytes) -> list[bytes]:
            counters.bytes_in += len(chunk)
            if limit is not None and counters.bytes_in > limit:
                # The upstream sees a broken request; the client is told, where no answer has begun.
                flight.over = flight.over or body_too_large(limit)
                self.abort(flow.client_conn, flow.server_conn, spare_client=True)
                return []
            # An empty chunk would end a chunked body early and let the rest be read as a request.
            return [chunk] if chunk else []

        return count

    def _who_and_what(self, flight: Flight) -> dict[str, Any]:
        exchange = flight.exchange
        fields: dict[str, Any] = {"id": exchange.id, "client": exchange.client}
        session = exchange.get("session")
        if isinstance(session, Session):
            fields["session"] = {
                "id": session.id,
                "tenant": session.tenant,
                "profile": session.profile,
                "labels": dict(session.labels),
            }
        ask = exchange.get("ask")
        if ask is None:
            return fields
        fields["method"] = exchange.ask.method if exchange.ask.stage == "request" else "CONNECT"
        fields["scheme"] = exchange.ask.scheme
        if exchange.ask.authority is not None:
            fields["host"], fields["port"] = exchange.ask.authority.host, exchange.ask.authority.port
        if exchange.ask.stage == "request":
            path, _, query = exchange.head.path.partition(b"?")
            places = {finding.place for finding in exchange.ask.findings if finding.kind != "other"}
            fields["path"] = _HIDDEN if "path" in places else display(path)
            fields["query_keys"] = _query_keys(query, hide="query" in places)
        policy = flight.situation.policy
        fields["policy"] = {"sha256": policy.sha256, "generation": exchange.generation}
        return fields

    @staticmethod
    def _decision(exchange: Exchange | None, refusal: Refusal | None) -> dict[str, Any]:
        if refusal is not None:
            rule, result, code, reason = refusal.rule, "refuse", refusal.code.value, refusal.reason
        elif exchange is not None:
            decision = exchange.decision
            rule, result, code, reason = decision.rule, decision.result, None, decision.reason
        else:
            return {}
        told: dict[str, Any] = {"result": result, "code": code, "rule": None, "reason": reason}
        if rule is not None:
            told["rule"] = {"where": rule.where, "text": rule.text}
        decided = exchange.get("decision") if exchange is not None else None
        would = getattr(decided, "would_refuse", None)
        if would is not None:
            told["would_refuse"] = would.value
        return told

    def _try(self, event: str, **fields: Any) -> None:
        try:
            self.runtime.audit.write(event, **fields)
        except AuditError:
            self.runtime.metrics.audit_failures.inc()


class Record:
    """The hooks that notice the end of a request."""

    def __init__(self, recorder: Recorder, clients: Clients) -> None:
        self.recorder = recorder
        self.clients = clients

    def response(self, flow: http.HTTPFlow) -> None:
        """The answer is complete, unless a step has given it up."""
        self._end(flow, "connection ended early" if flow.error is not None else "")

    def error(self, flow: http.HTTPFlow) -> None:
        """The answer will never be complete. The engine's words may quote a peer, so only their kind is kept."""
        self._end(flow, "connection ended early")

    def _end(self, flow: http.HTTPFlow, failure: str) -> None:
        flight = flight_of(flow)
        if flight is not None:
            self.recorder.end(flow, flight, failure)
        self.clients.landed(flow)

    def client_disconnected(self, client: Client) -> None:
        """Whatever has no end yet ends here."""
        state = self.clients.forget(client)
        self.recorder.runtime.metrics.connections.set(len(self.clients))
        for flow in list(state.flights.values()) if state is not None else ():
            flight = flight_of(flow)
            if flight is not None:
                self.recorder.end(flow, flight, "connection ended early")


def _query_keys(query: bytes, *, hide: bool) -> list[str]:
    """The keys of a query string, bounded; values are never written (S42). `hide`: a placeholder may be one of them."""
    keys = [display(pair.partition(b"=")[0]) for pair in query.split(b"&")[:20] if pair]
    return [_HIDDEN if hide and len(key) > _LONGEST_WORD else key[:64] for key in keys]
