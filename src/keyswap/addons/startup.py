"""From settings to a Runtime: everything that can be wrong is found here, before a port is opened (S31)."""

import ipaddress
import resource
import socket
import time
from collections.abc import Iterable, Mapping

from keyswap.addons.runtime import Runtime
from keyswap.addons.situation import Situation
from keyswap.audit.writer import AuditWriter
from keyswap.certs import ca
from keyswap.credentials import read_token, source_for
from keyswap.credentials.cache import Keyring
from keyswap.credentials.interface import Source
from keyswap.errors import Error
from keyswap.exchange import CredentialName
from keyswap.identity.sessions import Sessions
from keyswap.identity.standing import Standing
from keyswap.identity.throttle import Throttle
from keyswap.metrics import Metrics
from keyswap.policy.load import load
from keyswap.policy.model import Policy
from keyswap.settings import Settings
from keyswap.store.sqlite import SqliteStore
from keyswap.store.state import FINGERPRINTS, PLACEHOLDERS, State

DESCRIPTORS = 65536
"""Open files a proxy asks for: two a connection, and shells start with 1,024 (S38)."""


def start(settings: Settings, environ: Mapping[str, str]) -> Runtime:
    """Read the policy, the state, the keys and the CA; raises keyswap.errors.Error for whatever is not right."""
    policy = load(settings.policy, generation=1, environ=environ)
    standing = standing_of(policy, environ)
    sources = sources_of(policy, environ)
    passphrase = read_token(settings.ca_passphrase, environ=environ).encode("ascii") if settings.ca_passphrase else None
    ca.load(settings.certs_dir, passphrase=passphrase)
    state = State.open(settings.state_dir)
    keyring = Keyring(sources, fingerprint_key=state.subkey(FINGERPRINTS), clock=time.monotonic)
    keyring.check(optional_of(policy))
    sessions = Sessions(SqliteStore(state.path / "sessions.db"), clock=time.time)
    try:
        audit = _audit(settings, state, policy)
    except Error:
        sessions.close()
        raise
    protect_process()
    return Runtime(
        settings=settings,
        state=state,
        situation=Situation(policy, standing, state.subkey(PLACEHOLDERS)),
        keyring=keyring,
        sessions=sessions,
        throttle=Throttle(time.monotonic),
        audit=audit,
        metrics=Metrics(),
        environ=environ,
        ca_passphrase=passphrase,
    )


def _audit(settings: Settings, state: State, policy: Policy) -> AuditWriter:
    return AuditWriter(
        state.path / policy.audit.path,
        state_dir=state.path,
        durability=policy.audit.durability,
        rotate=policy.audit.rotate,
        node=settings.node or socket.gethostname(),
        worker=0,
        clock=time.time,
    )


def standing_of(policy: Policy, environ: Mapping[str, str]) -> Standing:
    """The policy's standing sessions, their tokens read."""
    return Standing(
        (one.name, one.profile, one.source, read_token(one.token, environ=environ) if one.token else None)
        for one in policy.sessions.values()
    )


def sources_of(policy: Policy, environ: Mapping[str, str]) -> dict[CredentialName, Source]:
    """Where each credential's value comes from."""
    return {one.name: source_for(one.source, environ=environ) for one in policy.credentials.values()}


def optional_of(policy: Policy) -> frozenset[CredentialName]:
    """The credentials whose absence is no start error."""
    return frozenset(one.name for one in policy.credentials.values() if one.optional)


def protect_process() -> None:
    """No core dump holds a key (S42), and connections do not run out of descriptors."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def own_names(listeners: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Every host text and port by which a client could address one of these listeners (S10)."""
    names: list[tuple[str, int]] = []
    for host, port in listeners:
        names.append((host, port))
        address = ipaddress.ip_address(host)
        if address.is_loopback or address.is_unspecified:
            names.extend((own, port) for own in ("localhost", "127.0.0.1", "::1"))
        if address.is_unspecified:
            names.extend((own, port) for own in (socket.gethostname().lower(), *_addresses()))
    return tuple(dict.fromkeys(names))


def _addresses() -> list[str]:
    try:
        return [str(row[4][0]) for row in socket.getaddrinfo(socket.gethostname(), None)]
    except OSError:
        return []
