"""The environment of a sandbox: how its clients find the proxy, trust it, and name the keys they do not have."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from keyswap.certs.trust import trust_variables
from keyswap.errors import SettingsError
from keyswap.exchange import CredentialName, PlaceholderText
from keyswap.policy.model import Credential

LOOPBACK = "localhost,127.0.0.1,::1"

# Both cases: wget reads the lower one only, curl reads only the lower one for http:// (it guards against CGI's HTTP_*).
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


def proxy_url(address: str, token: str = "") -> str:
    """The proxy's address with the session's token in it. `address` is `http://host:port` or `host:port`."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets that do not close, a port over 65535
        host = port = None
    if not host or port is None or parts.scheme not in ("http", "https"):
        raise SettingsError("the proxy's address is not http://host:port", "write for example http://127.0.0.1:8080")
    userinfo = f"keyswap:{token}@" if token else ""
    return f"{parts.scheme}://{userinfo}{f'[{host}]' if ':' in host else host}:{port}"


def variables(
    *,
    proxy: str,
    certs_dir: Path,
    credentials: Iterable[Credential],
    placeholders: Mapping[CredentialName, PlaceholderText],
) -> dict[str, str]:
    """Every variable of a sandbox, by name; `proxy` is the whole proxy URL."""
    found = dict.fromkeys(PROXY_VARIABLES, proxy)
    found["NO_PROXY"] = found["no_proxy"] = LOOPBACK
    found["NODE_USE_ENV_PROXY"] = "1"  # Node 24 and later: fetch and node:https read the proxy variables
    found.update(trust_variables(certs_dir))
    for credential in credentials:
        found.update(dict.fromkeys(credential.env, placeholders[credential.name]))
    return found


def as_shell(found: Mapping[str, str]) -> str:
    """`export` lines for a POSIX shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())
