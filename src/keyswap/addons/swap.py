"""Swap: which values go where. Writes `grants` and `fields`; touches nothing of the request itself."""

from mitmproxy import http

from keyswap.addons.flight import Flight, flight_of
from keyswap.addons.record import Recorder
from keyswap.addons.runtime import Runtime
from keyswap.credentials.history import Value
from keyswap.errors import CredentialError, RewriteError
from keyswap.exchange import Code, CredentialName, Fields, Grant, Refusal
from keyswap.rewrite.fill import fill
from keyswap.rewrite.headers import strip


class Swap:
    """The fourth step of the flow."""

    def __init__(self, runtime: Runtime, recorder: Recorder) -> None:
        self.runtime = runtime
        self.recorder = recorder
        self._failing: set[CredentialName] = set()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Look the values up and compute the header fields that go upstream."""
        flight = flight_of(flow)
        if flight is None or flight.exchange.get("refusal") is not None or flight.exchange.get("upstream") is None:
            return
        try:
            grants = self._grants(flight)
            fields = self._fields(flight, grants)
        except CredentialError as error:
            flight.exchange.refusal = Refusal(
                Code.CREDENTIAL_UNAVAILABLE, error.what, error.todo, flight.exchange.decision.rule
            )
            return
        except RewriteError as error:
            flight.exchange.refusal = Refusal(
                Code.PLACEHOLDER_MISUSE, error.what, error.todo, flight.exchange.decision.rule
            )
            return
        flight.exchange.grants = grants
        flight.exchange.fields = fields

    def _grants(self, flight: Flight) -> tuple[Grant, ...]:
        grants = []
        for finding in flight.exchange.ask.findings:
            if finding.kind != "own" or finding.credential is None:
                continue
            self._check_source(flight, finding.credential)
            value = self._value(finding.credential)
            grants.append(Grant(finding.credential, value.version, value.fingerprint, finding.place, value.secret))
        return tuple(grants)

    def _value(self, name: CredentialName) -> Value:
        """The value to release; the audit is told once when a source fails, however many requests meet it."""
        try:
            value = self.runtime.keyring.current(name)
        except CredentialError as error:
            if name not in self._failing:
                self._failing.add(name)
                self.recorder.credential_failed(name, error.what)
            raise
        self._failing.discard(name)
        return value

    def _check_source(self, flight: Flight, name: CredentialName) -> None:
        """Raise CredentialError where a reload has given this name another source since the request was judged.

        The keyring follows the policy in force; the key of another place must not go where the old one was bound to.
        """
        judged, now = (policy.credentials.get(name) for policy in (flight.situation.policy, self.runtime.policy))
        if judged is None or now is None or judged.source != now.source:
            raise CredentialError(f"credential {name} has just been changed in the policy", "send the request again")

    def _fields(self, flight: Flight, grants: tuple[Grant, ...]) -> Fields:
        exchange = flight.exchange
        bound = flight.situation.credentials_at(exchange.upstream.authority)
        fields = strip(
            exchange.head.fields,
            version=exchange.head.version,
            method_restricted=flight.entry is not None and flight.entry.methods is not None,
            identity_encoding=bool(bound),
            keep=frozenset(name for credential in bound for name in credential.headers),
        )
        if not grants:
            return fields
        return fill(fields, grants, self.runtime.book(flight.situation, exchange.session))
