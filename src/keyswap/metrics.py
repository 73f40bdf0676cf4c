"""Counters for Prometheus. No label ever holds a value a sandbox chose: codes, events and credential names only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200)
"""Bounds of the duration's buckets: answers of a language model take minutes."""


class Metrics:
    """One process's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(name, words, labels, registry=registry)

        self.requests = counter("keyswap_requests", "Requests by outcome", "outcome")
        self.refusals = counter("keyswap_refusals", "Refusals by code", "code")
        self.swaps = counter("keyswap_swaps", "Releases by credential", "credential")
        self.scrubbed = counter("keyswap_scrubbed", "Real values overwritten in answers")
        self.misuse = counter("keyswap_placeholder_misuse", "Placeholders seen out of place")
        self.policy_loads = counter("keyswap_policy_loads", "Policy edits by result", "result")
        self.hook_failures = counter("keyswap_hook_failures", "Hooks that raised and were failed closed")
        self.audit_failures = counter("keyswap_audit_failures", "Audit records that could not be written")
        self.policy_generation = Gauge("keyswap_policy_generation", "The policy in force", registry=registry)
        self.connections = Gauge("keyswap_client_connections", "Open client connections", registry=registry)
        self.duration = Histogram(
            "keyswap_request_seconds", "From the head to the answer's end", registry=registry, buckets=SECONDS
        )

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self.registry)
