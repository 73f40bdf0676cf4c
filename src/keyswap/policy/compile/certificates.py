"""CA files that an entry names."""

import ssl
from dataclasses import dataclass

from keyswap.policy.reading import Unreadable, read_trusted

_MAX_BYTES = 4 * 1024 * 1024
"""A bundle of all public roots is a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class CaProblem:
    """Why a CA file cannot be trusted or used."""

    what: str
    todo: str


def ca_problem(path: str) -> CaProblem | None:
    """What is wrong with the CA file at `path`; None: it holds certificates."""
    try:
        raw = read_trusted(path, _MAX_BYTES)
    except Unreadable as error:
        todo = _MAKE if error.missing else error.todo
        return CaProblem(f"the CA file {error.what}", todo)
    if b"PRIVATE KEY" in raw:
        return CaProblem("the CA file holds a private key", "name a file with the certificate alone, like ca.pem")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=raw.decode("ascii"))
    except (ssl.SSLError, ValueError):
        return CaProblem("the CA file holds no PEM certificate", "write the CA certificate into it, in PEM")
    return None


_MAKE = "put the CA's certificate there; keyswap's own is made by `keyswap ca init`"
