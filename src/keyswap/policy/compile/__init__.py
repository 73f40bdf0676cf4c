"""From the YAML as types to the compiled policy: names resolved, patterns parsed, contradictions told."""

from keyswap.policy.compile.page import Page
from keyswap.policy.compile.policy import compile_policy

__all__ = ["Page", "compile_policy"]
