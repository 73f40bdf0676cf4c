"""The whole flow as one ordered list: Identify → Guard → Route → Swap → Release → (upstream) → Scrub → Record."""

from collections.abc import Callable
from dataclasses import dataclass

from keyswap.addons.dial import Dialer
from keyswap.addons.flight import Clients
from keyswap.addons.guard import Guard
from keyswap.addons.identify import Identify
from keyswap.addons.limits import Limits
from keyswap.addons.record import Record, Recorder
from keyswap.addons.release import Release
from keyswap.addons.reload import Reload
from keyswap.addons.roster import Roster
from keyswap.addons.route import Route
from keyswap.addons.runtime import Runtime
from keyswap.addons.scrub import Scrub
from keyswap.addons.swap import Swap
from keyswap.addons.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class Chain:
    """The addons in order, and the parts of them that whoever runs them needs to hold."""

    addons: tuple[object, ...]
    release: Release
    recorder: Recorder
    dialer: Dialer
    clients: Clients


def default_addons(runtime: Runtime, abort: Callable[..., None]) -> Chain:
    """The behaviour of keyswap, top to bottom.

    `abort(client, *connections)` closes connections now; it belongs to the engine's manager.
    """
    clients = Clients()
    dialer = Dialer(
        connect_timeout=lambda: runtime.policy.limits.connect,
        own_listeners=lambda: runtime.listeners,
    )
    recorder = Recorder(runtime, abort)
    release = Release(runtime, recorder)
    addons = (
        Tunnel(runtime, clients, dialer, recorder, abort),
        Identify(runtime, clients),
        Guard(runtime, clients),
        Route(dialer),
        Swap(runtime, recorder),
        release,
        Scrub(runtime, abort),
        Record(recorder, clients),
        Limits(runtime, clients, abort),
        Reload(runtime, clients, abort),
        Roster(runtime, clients, abort),
    )
    return Chain(addons, release, recorder, dialer, clients)
