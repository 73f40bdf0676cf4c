"""Process options: where the proxy listens, keeps its state and finds its files.

Flag beats environment beats mitmproxy option beats default. What a request may do stands in the policy, never here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keyswap.errors import SettingsError

TLS_KEY_LOGS = ("SSLKEYLOGFILE", "MITMPROXY_SSLKEYLOGFILE")
"""Variables that would make the engine write both sides' TLS secrets to a file; it reads them when it is imported."""

CHECKOUT_MARK = "requirements.lock"


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on."""

    host: str
    port: int
    """0: any free port."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, what: str = "--listen") -> "Listen":
        """Read `HOST:PORT`, `[V6]:PORT` or `:PORT` (loopback); raises SettingsError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise SettingsError(f"{what} {text!r} is not HOST:PORT", "write for example 127.0.0.1:8080")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise SettingsError(f"{what} {text!r} is not HOST:PORT", "put an IPv6 address in brackets: [::1]:8080")
        return cls(host or "127.0.0.1", int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a proxy process is told besides its policy."""

    policy: Path
    state_dir: Path
    certs_dir: Path
    """Holds the certificate authority (`mitmproxy-ca.pem`, `ca.pem`, `bundle.pem`)."""
    ca_passphrase: str = ""
    """Where the CA key's passphrase is: `file:/PATH` or `env:NAME`; empty: it has none."""
    listen: Listen = Listen("127.0.0.1", 8080)
    status: Listen | None = None
    """Where /healthz, /readyz and /metrics answer; None: nowhere."""
    node: str = ""
    """This machine's name in the audit; empty: the host name."""
    accept_old_h2: bool = False


def find_policy(flag: str | None, environ: Mapping[str, str]) -> Path:
    """The policy to use: the flag, KEYSWAP_POLICY, the user's, the machine's; raises SettingsError if there is none."""
    named = flag or environ.get("KEYSWAP_POLICY")
    if named:
        return Path(named).absolute()
    places = [config_home(environ) / "keyswap" / "policy.yaml", Path("/etc/keyswap/policy.yaml")]
    for place in places:
        if place.exists():
            return place
    raise SettingsError(
        f"no policy found (looked at {', '.join(map(str, places))})",
        "name one with --policy or KEYSWAP_POLICY, or make one with `keyswap init`",
    )


def find_state_dir(flag: str | None, environ: Mapping[str, str]) -> Path:
    """The state directory: the flag, KEYSWAP_STATE, or `$XDG_STATE_HOME/keyswap`."""
    named = flag or environ.get("KEYSWAP_STATE")
    if named:
        return Path(named).absolute()
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else home(environ) / ".local" / "state") / "keyswap"


def find_certs_dir(flag: str | None, environ: Mapping[str, str], state_dir: Path) -> Path:
    """Where the CA lives: the flag, KEYSWAP_CERTS, `<state dir>/ca`; in a checkout without one there, its `certs/`."""
    named = flag or environ.get("KEYSWAP_CERTS")
    if named:
        return Path(named).absolute()
    own = state_dir / "ca"
    checkout = checkout_root()
    if checkout is not None and not own.exists():
        return checkout / "certs"
    return own


def checkout_root() -> Path | None:
    """The folder of the checkout this package runs from, or None where it was installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / CHECKOUT_MARK).exists() and (root / "certs").is_dir() else None


def config_home(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME`, or `~/.config`."""
    base = environ.get("XDG_CONFIG_HOME")
    return Path(base) if base else home(environ) / ".config"


def home(environ: Mapping[str, str]) -> Path:
    """The user's home directory; raises SettingsError where the environment names none."""
    value = environ.get("HOME")
    if value:
        return Path(value)
    try:
        return Path.home()
    except RuntimeError:
        raise SettingsError("no home directory is known", "set HOME, or name --policy and --state-dir") from None
