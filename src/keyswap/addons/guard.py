"""Guard: may it go there. Writes `head`, `ask` and `decision`, or `refusal`.

All of the judging is `policy.decide`, one pure function; this step gathers what it asks about. Nothing is resolved or
dialled before it has answered (S3).
"""

from mitmproxy import http

from keyswap.addons.flight import Clients, ClientState, Flight, flight_of
from keyswap.addons.read import DEFAULT_PORT, authority_of, claims_of, head_of, problem_of, read_authority
from keyswap.addons.runtime import Runtime
from keyswap.addons.situation import Situation
from keyswap.exchange import Ask, Authority, Code, Exchange, Finding, Head, Refusal, Session, Stage
from keyswap.policy.decide import decide, entry_for
from keyswap.rewrite.search import search


class Guard:
    """The second step of the flow."""

    def __init__(self, runtime: Runtime, clients: Clients) -> None:
        self.runtime = runtime
        self.clients = clients

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Judge a CONNECT."""
        flight = flight_of(flow)
        if flight is None:
            return
        client = self.clients.of(flow.client_conn)
        head = head_of(flow.request, tunnel=True)
        authority, problem = read_authority(head.authority, DEFAULT_PORT["https"])
        if self.runtime.draining:
            problem = Refusal(Code.UPSTREAM_FAILED, "this proxy is shutting down", "connect again in a moment")
        elif any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in head.fields):
            # Its bytes are the tunnel's to one reader, and come before the tunnel's to another.
            problem = Refusal(Code.AMBIGUOUS, "a CONNECT has no body", "leave its length out")
        ask = Ask(
            stage=Stage.CONNECT,
            scheme="https",
            authority=authority,
            problem=problem,
            session=_session(flight.exchange),
            own=authority is not None and self.is_own(authority),
        )
        self._judge(flight, head, ask)
        session = _session(flight.exchange)
        if flight.exchange.get("refusal") is None and session is not None and authority is not None:
            self._admit(flight, client, session)

    def _admit(self, flight: Flight, client: ClientState, session: Session) -> None:
        if not self._counted(flight, client, session):
            return
        client.session = session
        client.authority = flight.exchange.ask.authority
        client.ask = flight.exchange.ask
        client.connect = flight.exchange.decision
        client.connect_entry = flight.entry

    def _counted(self, flight: Flight, client: ClientState, session: Session) -> bool:
        limit = flight.situation.policy.limits.connections_per_session
        if self.clients.count(client, session, limit):
            return True
        if flight.exchange.get("refusal") is None:
            flight.exchange.refusal = Refusal(
                Code.RATE_LIMITED,
                f"this session has {limit} connections open (limits.connections_per_session)",
                "close some, or raise the limit",
            )
        return False

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Judge a request."""
        flight = flight_of(flow)
        if flight is None:
            return
        client = self.clients.of(flow.client_conn)
        head = head_of(flow.request, tunnel=client.tunnel)
        problem = problem_of(head, flight.situation.policy.limits)
        if flow.error is not None:  # the engine's own checks came first; their text may quote the client's bytes
            problem = problem or Refusal(
                Code.AMBIGUOUS, "the request cannot be read in one way only", "send plain HTTP"
            )
        authority, unreadable = (client.authority, None) if client.tunnel else authority_of(head)
        session = _session(flight.exchange)
        ask = Ask(
            stage=Stage.REQUEST,
            scheme=head.scheme,
            authority=authority,
            problem=problem or unreadable,
            session=session,
            own=authority is not None and self.is_own(authority),
            claims=claims_of(head, client, flow.client_conn.sni),
            method=head.method.decode("ascii", "replace"),
            path=head.path,
            upgrade=_upgrades(head),
            findings=self._findings(flight.situation, head, authority, session) if problem is None else (),
        )
        self._judge(flight, head, ask)
        if session is not None and not client.tunnel:
            self._counted(flight, client, session)

    def _judge(self, flight: Flight, head: Head, ask: Ask) -> None:
        exchange = flight.exchange
        exchange.head = head
        exchange.ask = ask
        policy = flight.situation.policy
        decision = decide(policy, ask)
        exchange.decision = decision
        if decision.refusal is not None:
            exchange.refusal = decision.refusal
        else:
            flight.entry = entry_for(policy, ask)

    def _findings(
        self, situation: Situation, head: Head, authority: Authority | None, session: Session | None
    ) -> tuple[Finding, ...]:
        if authority is None or session is None:
            return ()
        owned = {
            header: credential.name
            for credential in situation.credentials_at(authority)
            for header in credential.headers
        }
        return search(head, self.runtime.book(situation, session), owned=owned)

    def is_own(self, authority: Authority) -> bool:
        """Row 3: whether A names a listener of ours, or a name that is ours alone."""
        host = authority.host
        if host == "keyswap.internal" or (host.endswith(".keyswap.internal") and host != "llm.keyswap.internal"):
            return True
        return (host, authority.port) in self.runtime.own_names


def _session(exchange: Exchange) -> Session | None:
    found = exchange.get("session")
    return found if isinstance(found, Session) else None


def _upgrades(head: Head) -> bool:
    """Whether the client asks to speak something else from here on; `h2c` is an offer that may be ignored."""
    return any(
        name.lower() == b"upgrade" and value.strip().lower() not in (b"", b"h2c") for name, value in head.fields
    ) or any(name == b":protocol" for name, _ in head.fields)
