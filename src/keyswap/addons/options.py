"""The engine's options: the ones keyswap sets, and the ones it does not start with (S36)."""

from collections.abc import Mapping
from typing import Any

from mitmproxy.options import Options

from keyswap.addons.runtime import Runtime
from keyswap.errors import SettingsError
from keyswap.policy.model import Limits

RECORDERS = {
    "save_stream_file": "-w writes real keys to disk",
    "hardump": "a HAR file holds real keys",
    "rfile": "replayed flows are no requests",
    "client_replay": "replayed flows are no requests",
    "server_replay": "answers must come from the upstream",
}
OPENERS = {
    "ssl_insecure": "upstreams are always verified",
    "allow_hosts": "hosts outside it would pass unopened",
    "ignore_hosts": "hosts in it would pass unopened",
    "tcp_hosts": "raw bytes are not relayed",
    "udp_hosts": "raw bytes are not relayed",
    "upstream_auth": "there is no upstream proxy",
    "stream_large_bodies": "bodies would pass unscrubbed",
    "modify_headers": "only the policy changes requests",
    "modify_body": "only the policy changes requests",
    "map_local": "only the policy changes requests",
    "map_remote": "only the policy changes requests",
    "proxyauth": "sessions are keyswap's",
    "store_streamed_bodies": "bodies would be kept in memory",
    "client_certs": "the policy says how upstreams are met",
    "ssl_verify_upstream_trusted_ca": "write ca_file on the entry of that host",
    "ssl_verify_upstream_trusted_confdir": "write ca_file on the entry of that host",
}


def refuse_unsafe(options: Options) -> None:
    """Raise SettingsError, all at once, for options that would record real keys or let traffic past the policy."""
    problems = [
        f"{name} is set: {why}"
        for name, why in {**RECORDERS, **OPENERS}.items()
        if name in options and getattr(options, name)
    ]
    if "flow_detail" in options and options.flow_detail > 1:
        problems.append("flow_detail is above 1: the console would print real keys")
    if "validate_inbound_headers" in options and not options.validate_inbound_headers:
        problems.append("validate_inbound_headers is off: ambiguous requests would pass")
    if any(not mode.startswith("regular") for mode in options.mode):
        problems.append("mode is not regular: keyswap is a forward proxy")
    if problems:
        raise SettingsError("; ".join(problems), "start again without these options")


def safe_options(runtime: Runtime, available: Options) -> Mapping[str, Any]:
    """The options keyswap needs, as far as this master knows them."""
    wanted: dict[str, Any] = {
        "confdir": str(runtime.settings.certs_dir),
        "cert_passphrase": runtime.ca_passphrase.decode("ascii") if runtime.ca_passphrase else None,
        "connection_strategy": "lazy",
        "rawtcp": False,
        "websocket": False,
        "http3": False,
        "flow_detail": 0,
        "termlog_verbosity": "info",
        "block_global": False,
        "onboarding": False,
        "anticache": False,
        "anticomp": False,
        "showhost": False,
        "tcp_timeout": idle_seconds(runtime.policy.limits),
        "body_size_limit": None,
        "add_upstream_certs_to_client_chain": False,
        "upstream_cert": False,
    }
    if not available.listen_host:
        wanted["listen_host"] = "127.0.0.1"  # mitmproxy's own default is every interface
    return {name: value for name, value in wanted.items() if name in available}


def idle_seconds(limits: Limits) -> int:
    """`limits.idle` as the engine takes it: whole seconds, at least one."""
    return max(1, int(limits.idle))
