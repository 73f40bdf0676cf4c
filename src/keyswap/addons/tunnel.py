"""What happens below HTTP: which layer a connection gets, what passes through unopened, how an upstream is verified."""

import functools
import ipaddress
import os
import ssl
from collections.abc import Callable
from typing import Any

import certifi
from mitmproxy import tls
from mitmproxy.connection import Client, Server
from mitmproxy.proxy import layer, layers, server_hooks
from mitmproxy.proxy.layers.http import HTTPMode
from OpenSSL import SSL

from keyswap.addons.dial import Dialer
from keyswap.addons.flight import Clients, ClientState, Flight
from keyswap.addons.record import Recorder
from keyswap.addons.release import RELEASED, SESSION_ENDED
from keyswap.addons.runtime import Runtime
from keyswap.exchange import Code, Exchange, Refusal
from keyswap.policy.hosts import HostError, canonical_host, is_ip

# From OpenSSL's x509_vfy.h; pyOpenSSL has no name for them.
_NO_PARTIAL_WILDCARDS = 0x4
_NEVER_CHECK_SUBJECT = 0x20


class Tunnel:
    """The hooks of connections."""

    def __init__(
        self, runtime: Runtime, clients: Clients, dialer: Dialer, recorder: Recorder, abort: Callable[..., None]
    ) -> None:
        self.runtime = runtime
        self.clients = clients
        self.dialer = dialer
        self.recorder = recorder
        self.abort = abort

    def client_connected(self, client: Client) -> None:
        """Know the connection from its first moment, so that its limits run."""
        self.clients.of(client)
        self.runtime.metrics.connections.set(len(self.clients))

    def client_disconnected(self, client: Client) -> None:
        """Drop what was kept for the connection."""
        self.dialer.forget(client.id)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Nothing but HTTP and TLS is relayed (S8): a layer that would pass raw bytes becomes an HTTP reader."""
        chosen = nextlayer.layer
        if isinstance(chosen, (layers.TCPLayer, layers.UDPLayer, layers.DNSLayer, layers.RawQuicLayer)):
            nextlayer.layer = layers.HttpLayer(nextlayer.context, HTTPMode.transparent)

    async def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Relay a passthrough host unopened, if SNI and CONNECT name the same host; open every other one."""
        data.ignore_connection = False
        state = self.clients.of(data.context.client)
        if state.connect is None or state.connect.result != "passthrough":
            return
        if await self._passes(state, data.client_hello.sni):
            data.ignore_connection = True
        else:
            self.abort(data.context.client)

    async def _passes(self, state: ClientState, sni: str | None) -> bool:
        if state.authority is None or state.connect_entry is None or state.session is None:
            return False
        flight = self._flight(state)
        request_id = flight.exchange.id
        refusal = self._mismatch(state, sni)
        if refusal is None and not self.runtime.alive(state.session):
            refusal = SESSION_ENDED
        if refusal is None:
            refusal = await self.dialer.permit(state.id, state.authority, state.connect_entry)
        if refusal is not None:
            self.recorder.refused(None, flight, refusal, request_id)
            return False
        self.recorder.passthrough(flight)
        return True

    def _flight(self, state: ClientState) -> Flight:
        exchange, situation = Exchange(), self.runtime.situation
        exchange.id, exchange.client = self.runtime.new_id(), state.peer
        exchange.started, exchange.generation = self.runtime.clock(), situation.policy.generation
        if state.session is not None:
            exchange.session = state.session
        if state.connect is not None:
            exchange.decision = state.connect
        if state.ask is not None:
            exchange.ask = state.ask
        return Flight(exchange, situation, state.connect_entry)

    @staticmethod
    def _mismatch(state: ClientState, sni: str | None) -> Refusal | None:
        if state.authority is None:
            return Refusal(Code.AUTHORITY_MISMATCH, "there is no CONNECT", "open a tunnel first")
        host = state.authority.host
        if sni is None and is_ip(host):
            return None
        try:
            same = sni is not None and canonical_host(sni) == host
        except HostError:
            same = False
        if same:
            return None
        return Refusal(Code.AUTHORITY_MISMATCH, f"SNI is not {host}", "use one name for CONNECT and TLS")

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """No permit and nothing released, no dial; the dial guard asks for the permit once more."""
        address = data.server.address
        permit = self.dialer.permitted(data.client.id, data.server)
        if address is None or permit is None or not self._released(data.client, address):
            data.server.error = "not permitted"
        else:
            data.server.sni = address[0]  # the client's spelling may be one that the engine's TLS addon cannot take

    def _released(self, client: Client, address: Any) -> bool:
        """Whether a request that has passed the gate is to go there; what is relayed unopened has no requests."""
        state = self.clients.of(client)
        if state.connect is not None and state.connect.result == "passthrough":
            return True
        return any(
            flow.metadata.get(RELEASED) is True and (flow.request.data.host, flow.request.data.port) == address[:2]
            for flow in state.flights.values()
        )

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """The engine keeps a failure for the life of the client's connection; the next request shall try again."""
        data.server.error = None

    def tls_start_server(self, data: tls.TlsData) -> None:
        """Verify an upstream against the public roots, or against its entry's own CA file (S11)."""
        server = data.conn
        address = server.address if isinstance(server, Server) else None
        permit = self.dialer.permitted(data.context.client.id, server) if isinstance(server, Server) else None
        if address is None or permit is None:
            raise PermissionError
        host = address[0]
        offers = tuple(data.context.client.alpn_offers) or ()
        server.alpn_offers = [offer for offer in offers if offer in (b"h2", b"http/1.1")]
        server.sni = host
        data.ssl_conn = upstream_connection(host, permit.entry.ca_file, tuple(server.alpn_offers))

    def tls_failed_server(self, data: tls.TlsData) -> None:
        """As `server_connect_error`, for a handshake."""
        data.conn.error = None


def upstream_connection(host: str, ca_file: str | None, alpn: tuple[bytes, ...]) -> SSL.Connection:
    """A client-side TLS connection that verifies chain and name; there is no way to switch that off."""
    connection = SSL.Connection(_context(ca_file, _modified(ca_file)))
    lib: Any = SSL._lib  # type: ignore[attr-defined]  # pyOpenSSL has no public call for host verification
    param = lib.SSL_get0_param(connection._ssl)
    lib.X509_VERIFY_PARAM_set_hostflags(param, _NO_PARTIAL_WILDCARDS | _NEVER_CHECK_SUBJECT)
    try:
        packed = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.encode("ascii")
        connection.set_tlsext_host_name(name)
        done = lib.X509_VERIFY_PARAM_set1_host(param, name, len(name))
    else:
        done = lib.X509_VERIFY_PARAM_set1_ip(param, packed, len(packed))
    if done != 1:
        raise ssl.SSLError("the host name cannot be verified")
    if alpn:
        connection.set_alpn_protos(list(alpn))
    connection.set_connect_state()
    return connection


@functools.lru_cache(maxsize=256)
def _context(ca_file: str | None, modified: int) -> SSL.Context:
    """One context per CA file and version of it; making one parses some 140 roots."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_IGNORE_UNEXPECTED_EOF)
    context.set_verify(SSL.VERIFY_PEER, _keep_verdict)
    context.load_verify_locations(ca_file or certifi.where())
    return context


def _keep_verdict(connection: SSL.Connection, certificate: object, error: int, depth: int, ok: int) -> bool:
    return bool(ok)


def _modified(ca_file: str | None) -> int:
    return os.stat(ca_file).st_mtime_ns if ca_file is not None else 0
