"""The process's log as `serve` sets it up, written to a buffer at DEBUG, for the length of a `with`."""

import contextlib
import io
import logging
from collections.abc import Iterator

import structlog

from keyswap import log
from support.house import House

ENGINE = ("mitmproxy", "mitmproxy.proxy", "mitmproxy.proxy.server", "hpack", "asyncio", "tornado", "watchfiles")


@contextlib.contextmanager
def logged(house: House | None = None, *, engine_at: int = logging.WARNING) -> Iterator[io.StringIO]:
    """Every line logged meanwhile, masked as for `serve` where a house is given."""
    root = logging.getLogger()
    handlers, level, factory = list(root.handlers), root.level, logging.getLogRecordFactory()
    levels = {name: logging.getLogger(name).level for name in ENGINE}
    buffer = io.StringIO()
    masking = log.configure(level=logging.DEBUG, stream=buffer)
    before = masking.masks
    if house is not None:
        masking.masks = (house.running.runtime.mask,)
    if engine_at != logging.WARNING:
        for name in ("mitmproxy", "mitmproxy.proxy", "mitmproxy.proxy.server"):
            logging.getLogger(name).setLevel(engine_at)
    try:
        yield buffer
    finally:
        masking.masks = before
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.setLogRecordFactory(factory)
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)
        structlog.reset_defaults()
