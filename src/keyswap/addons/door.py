"""The door: what `mitmdump -s addons/swap.py` puts on the master, once.

The script is only the way in. Once its `load` has run, the chain belongs to the master, the script's watcher is
cancelled, and breaking, touching or deleting the script changes nothing (S35).
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any, cast

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.options import Options

from keyswap import log
from keyswap.addons.attach import Attached, attach
from keyswap.addons.drain import drain
from keyswap.addons.options import refuse_unsafe
from keyswap.addons.startup import start
from keyswap.errors import Error, SettingsError
from keyswap.settings import TLS_KEY_LOGS, Listen, Settings, find_certs_dir, find_policy, find_state_dir

OPTIONS = {
    "keyswap_policy": "The policy file (required)",
    "keyswap_state": "The state directory",
    "keyswap_certs": "The directory of the certificate authority",
}


class Door:
    """The script's one addon."""

    name = "keyswap-door"
    _attached: Attached
    _ending: asyncio.Task[None]

    def load(self, loader: Loader) -> None:
        """Read the policy and become keyswap, or stop mitmdump before it opens a port."""
        master = loader.master
        if master.addons.get("keyswap") is not None:
            return
        for name, words in OPTIONS.items():
            loader.add_option(name, cast(type, str | None), None, words)
        try:
            self._open(master)
        except (Error, exceptions.OptionsError) as error:
            # Raised in `load`, this ends mitmdump with the message and without a traceback of ours.
            raise SystemExit(f"keyswap refuses to start: {error}") from None
        except Exception as error:  # the engine would log it and go on as an open proxy
            raise SystemExit(f"keyswap refuses to start: internal error ({type(error).__name__})") from None

    def _open(self, master: Any) -> None:
        if master.addons.get("view") is not None or master.addons.get("eventstore") is not None:
            raise SettingsError(
                "this is not mitmdump", "its flow list would hold real keys: use mitmdump or `keyswap serve`"
            )
        _refuse_key_logs(os.environ)
        refuse_unsafe(master.options)
        _refuse_other_scripts(master.options)
        masking = log.join()
        runtime = start(_settings(master.options), os.environ)
        masking.masks = (runtime.mask,)
        self._attached = attach(master, runtime)

    def running(self) -> None:
        """Stop watching the script: from here on the file does not matter. And end in order on SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loader = ctx.master.addons.get("scriptloader")
        for script in getattr(loader, "addons", ()):
            if script.reloadtask is not None:
                script.reloadtask.cancel()

    def _end(self) -> None:
        limit = self._attached.runtime.policy.limits.drain
        self._ending = asyncio.get_running_loop().create_task(drain(self._attached, limit))


def _settings(options: Options) -> Settings:
    environ = os.environ
    if not options.keyswap_policy:
        options.process_deferred()
    if not (options.keyswap_policy or environ.get("KEYSWAP_POLICY")):
        raise SettingsError("no policy is named", "add --set keyswap_policy=policy/demo.yaml")
    state_dir = find_state_dir(environ.get("KEYSWAP_STATE") or options.keyswap_state, environ)
    return Settings(
        policy=find_policy(environ.get("KEYSWAP_POLICY") or options.keyswap_policy, environ),
        state_dir=state_dir,
        certs_dir=find_certs_dir(environ.get("KEYSWAP_CERTS") or options.keyswap_certs, environ, state_dir),
        ca_passphrase=environ.get("KEYSWAP_CA_PASSPHRASE", ""),
        listen=Listen(options.listen_host or "127.0.0.1", options.listen_port or 8080),
    )


def _refuse_key_logs(environ: Mapping[str, str]) -> None:
    """`serve` removes these before it imports the engine; here the engine is there already and has read them (S36)."""
    named = [name for name in TLS_KEY_LOGS if environ.get(name)]
    if named:
        raise SettingsError(f"{named[0]} would write the secrets of every connection to a file", "start without it")


def _refuse_other_scripts(options: Options) -> None:
    if "scripts" in options and len(options.scripts) > 1:
        raise SettingsError(
            "other scripts are loaded beside keyswap", "they could read real keys: load addons/swap.py alone"
        )
