"""Reload: an edit of the policy takes effect within a second, whole or not at all (S31)."""

import asyncio
from collections.abc import Callable

from keyswap import log
from keyswap.addons.dial import way_of
from keyswap.addons.flight import Clients, ClientState
from keyswap.addons.runtime import Runtime
from keyswap.addons.situation import Situation
from keyswap.addons.startup import optional_of, sources_of, standing_of
from keyswap.errors import AuditError, Error
from keyswap.policy.decide import decide, entry_for
from keyswap.policy.load import load
from keyswap.policy.model import Policy
from keyswap.policy.watch import Watcher

logger = log.get(__name__)


class Reload:
    """Watches the policy's directory and swaps a good edit in by one assignment."""

    def __init__(self, runtime: Runtime, clients: Clients, abort: Callable[..., None]) -> None:
        self.runtime = runtime
        self.clients = clients
        self.abort = abort
        self.environ = runtime.environ
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Tell the policy in force, and begin to watch."""
        self._told(self.runtime.policy)
        watcher = Watcher(self.runtime.settings.policy, self.read, self.adopt, self.reject, current=self.runtime.policy)
        self._task = asyncio.create_task(watcher.run())
        self._task.add_done_callback(self._ended)

    def done(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            # The policy in force stays in force; the admin must know that edits are no longer seen.
            logger.error("policy_watch_ended", kind=type(task.exception()).__name__)
            self.runtime.metrics.policy_loads.labels("watch_ended").inc()

    def read(self) -> Policy:
        """Read the policy anew, in a thread; raises keyswap.errors.Error."""
        return load(self.runtime.settings.policy, generation=self.runtime.policy.generation + 1, environ=self.environ)

    def adopt(self, policy: Policy) -> None:
        """Put a policy in force, or report why it cannot be."""
        try:
            standing = standing_of(policy, self.environ)
            self.runtime.keyring.replace(sources_of(policy, self.environ), optional=optional_of(policy))
        except Error as error:
            self.reject(error)
            return
        if policy.audit != self.runtime.policy.audit:
            logger.warning("policy_needs_restart", what="audit settings take effect at the next start")
        self.runtime.situation = Situation(policy, standing, self.runtime.situation.placeholder_key)
        self._told(policy)
        self._close_refused(policy)

    def _close_refused(self, policy: Policy) -> None:
        """End what is relayed unopened and would no longer be: it has no requests that could be judged anew (S32)."""
        for client, state in self.clients:
            if state.connect is not None and state.connect.result == "passthrough" and not _still(policy, state):
                self.abort(client)

    def _told(self, policy: Policy) -> None:
        self.runtime.metrics.policy_generation.set(policy.generation)
        self.runtime.metrics.policy_loads.labels("loaded").inc()
        logger.info("policy_loaded", file=policy.file, generation=policy.generation, sha256=policy.sha256[:12])
        for warning in (*policy.warnings, *self.runtime.keyring.warnings):
            logger.warning("policy_warning", what=warning)
        self._write("policy_loaded", policy={"sha256": policy.sha256, "generation": policy.generation})

    def reject(self, error: Exception) -> None:
        """Keep the policy in force and say why the edit is not."""
        self.runtime.metrics.policy_loads.labels("rejected").inc()
        what = str(error) if isinstance(error, Error) else type(error).__name__
        for line in what.splitlines()[:20]:
            logger.error("policy_rejected", what=line)
        kept = self.runtime.policy
        self._write(
            "policy_rejected",
            policy={"sha256": kept.sha256, "generation": kept.generation},
            decision={"result": "refuse", "reason": what.splitlines()[0] if what else ""},
        )

    def _write(self, event: str, **fields: object) -> None:
        try:
            self.runtime.audit.write(event, **fields)
        except AuditError:
            self.runtime.metrics.audit_failures.inc()


def _still(policy: Policy, state: ClientState) -> bool:
    """Whether a tunnel that is relayed would be relayed again, and dialled in the same way."""
    if state.ask is None:
        return False
    same_way = way_of(entry_for(policy, state.ask)) == way_of(state.connect_entry)
    return same_way and decide(policy, state.ask).result == "passthrough"
