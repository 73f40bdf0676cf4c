"""Credentials that get in each other's way."""

from collections.abc import Iterable, Mapping
from itertools import combinations

from keyswap.exchange import CredentialName
from keyswap.policy.compile.hosts import overlap
from keyswap.policy.compile.page import Page
from keyswap.policy.model import Credential, Profile


def check_clashes(page: Page, credentials: Mapping[CredentialName, Credential], profiles: Iterable[Profile]) -> None:
    """Tell it where nobody could say which of two credentials is meant.

    A fixed value means one credential everywhere. The rest counts only where one session may use both: a header of one
    host with placeholders that begin alike, and one variable for two placeholders.
    """
    together = [profile.credentials for profile in profiles]
    for one, other in combinations(credentials.values(), 2):
        if one.shape.value is not None and one.shape.value == other.shape.value:
            _tell(page, other, f"the same fixed placeholder as {one.name}", "give each its own")
        if any(one.name in both and other.name in both for both in together):
            _check_pair(page, one, other)


def _check_pair(page: Page, one: Credential, other: Credential) -> None:
    apart = "give it another prefix, or put the two into different profiles"
    header = next((name for name in other.headers if name in one.headers), None)
    host = _shared_host(one, other)
    fixed = one.shape.value is not None or other.shape.value is not None
    if header and host and not fixed and one.shape.prefix == other.shape.prefix:
        _tell(page, other, f"{one.name} has the same header ({header}), host ({host}) and prefix", apart)
    variable = next((name for name in other.env if name in one.env), None)
    if variable:
        _tell(page, other, f"{one.name} is given to a sandbox in {variable} too", "write another env: [NAME] for one")


def _shared_host(one: Credential, other: Credential) -> str | None:
    for pattern, port in other.hosts:
        if any(port == there and overlap(pattern, host) for host, there in one.hosts):
            return f"{pattern.text}:{port}"
    return None


def _tell(page: Page, credential: Credential, what: str, todo: str) -> None:
    page.wrong(("credentials", credential.name), what, todo, key=True)
