"""The line between the patches of the engine and the chain: what they ask and what they tell."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from mitmproxy import http

from keyswap.addons import reuse
from keyswap.exchange import Refusal


@dataclass(slots=True)
class Watch:
    """What the patches ask and tell."""

    head_limit: Callable[[], int]
    """Bytes an HTTP/1 request head may have."""
    answer_head_limit: Callable[[], int]
    """Bytes an HTTP/1 response head may have."""
    on_unreadable: Callable[[Any, Refusal, str], None]
    """Told (client connection, refusal, request id) of a head that never became a request."""
    on_partial_head: Callable[[Any, bool], None]
    """Told (client connection, whether an unfinished head is waiting)."""
    new_id: Callable[[], str]
    on_failure: Callable[[http.HTTPFlow], http.Response]
    """The answer to a request that the engine gives up."""
    way_of: Callable[[http.HTTPFlow], Hashable]
    """How a request would be dialled."""
    ways: reuse.Ways
    """How each upstream connection was."""
