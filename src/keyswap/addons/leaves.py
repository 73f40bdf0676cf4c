"""Leaf certificates for the client's side, with a key of their own.

The engine would serve every host with the CA's key; a leak of that would be a leak of the CA. Here the CA's key signs,
and another key, made at the start and never written, serves.
"""

from collections import OrderedDict
from pathlib import Path

from mitmproxy.certs import Cert, CertStoreEntry
from mitmproxy.proxy.context import Context

from keyswap.certs.leaf import Issuer, Leaf
from keyswap.policy.hosts import HostError, canonical_host

KEPT = 1024
"""Certificates kept; the one used longest ago is dropped first."""

UNKNOWN = "keyswap.invalid"
"""The name served to a client that names none and has opened no tunnel."""


class Leaves:
    """Hands out one certificate per set of names, made on first use (about 0.2 ms)."""

    def __init__(self, certs_dir: Path, passphrase: bytes | None = None) -> None:
        self._issuer = Issuer.open(certs_dir, passphrase=passphrase)
        self._kept: OrderedDict[tuple[str, ...], tuple[Leaf, CertStoreEntry]] = OrderedDict()

    def entry(self, context: Context) -> CertStoreEntry:
        """The certificate for a handshake: the names the client used, in SNI and CONNECT."""
        names = self._names(context)
        kept = self._kept.get(names)
        if kept is not None and kept[0].fresh():
            self._kept.move_to_end(names)
            return kept[1]
        leaf = self._issuer.leaf(*names)
        chain = [Cert(each) for each in leaf.chain]
        entry = CertStoreEntry(Cert(leaf.certificate), leaf.key, None, chain)  # type: ignore[arg-type]
        self._kept[names] = (leaf, entry)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return entry

    @staticmethod
    def _names(context: Context) -> tuple[str, ...]:
        address = context.server.address
        named = (address[0] if address else None, _readable(context.client.sni))
        return tuple(dict.fromkeys(name for name in named if name)) or (UNKNOWN,)


def _readable(sni: str | None) -> str | None:
    """The server name in canonical form. One that is no name gets no certificate, and its requests a refusal (S1)."""
    try:
        return canonical_host(sni) if sni is not None else None
    except HostError:
        return None
