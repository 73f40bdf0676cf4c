"""Logging: structlog over the standard library, with every line masked before it is written.

The engine logs through the standard library, too, and quotes what a peer sent; so the mask sits in the record factory,
which every line of the process passes, and an exception is reduced to its type.
"""

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

Mask = Callable[[str], str]

# Session tokens, and the value of any header that carries credentials, as peers and libraries quote them.
_ALWAYS = re.compile(
    r"ks_[A-Za-z0-9_-]{20,}"
    r"|(?i:((?:proxy-)?authorization|x-api-key|x-goog-api-key|private-token|cookie)['\"]?\s*[:=,]\s*b?['\"]?)[^\r\n'\"]+"
)
_LIMIT = 2000


class MaskingFactory:
    """A log record factory: masked, single-line, bounded, without tracebacks."""

    def __init__(self) -> None:
        self.masks: tuple[Mask, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = logging.LogRecord(*args, **kwargs)
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        record.exc_info = record.exc_text = record.stack_info = None
        if isinstance(record.msg, dict):  # structlog's event, rendered later
            record.msg = {key: self._value(value) for key, value in record.msg.items()}
            if kind:
                record.msg["exception"] = kind
            record.args = ()
            return record
        try:
            text = record.getMessage()
        except Exception:  # a line that cannot be formatted may still hold a secret in its arguments
            text = "unformattable log line"
        record.msg, record.args = self.mask(f"{text} [{kind}]" if kind else text), ()
        return record

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.mask(str(value))

    def mask(self, text: str) -> str:
        """The text with every known form of a secret overwritten, on one line, at most 2,000 characters."""
        text = _ALWAYS.sub(lambda found: f"{found.group(1) or ''}***", text)
        for mask in self.masks:
            text = mask(text)
        return text.replace("\r", "\\r").replace("\n", "\\n")[:_LIMIT]


def configure(*, json: bool = False, level: int = logging.INFO, stream: TextIO | None = None) -> MaskingFactory:
    """Set the process's logging up and return the factory, to which the caller adds masks as it learns secrets."""
    shared: list[Any] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quiet_engine()
    _structure([*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter], level)
    return install_masking()


def join(level: int = logging.INFO) -> MaskingFactory:
    """Log through the handlers somebody else has set up (mitmdump's console), masked all the same."""
    quiet_engine()
    _structure([structlog.stdlib.render_to_log_kwargs, _as_text], level)
    return install_masking()


def _structure(processors: list[Any], level: int) -> None:
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def _as_text(logger: Any, method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    details = " ".join(f"{name}={value}" for name, value in event.get("extra", {}).items())
    return {"msg": f"keyswap {event.get('msg', '')} {details}".rstrip()}


def install_masking() -> MaskingFactory:
    """Put the masking factory in place, once; a second call returns the one that is there."""
    current = logging.getLogRecordFactory()
    if isinstance(current, MaskingFactory):
        return current
    factory = MaskingFactory()
    logging.setLogRecordFactory(factory)
    return factory


def quiet_engine() -> None:
    """Let the engine speak from WARNING on: below that it prints heads and payloads of peers, and costs CPU."""
    for name in ("mitmproxy", "mitmproxy.proxy", "hpack", "asyncio", "tornado", "watchfiles"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get(name: str) -> Any:
    """A logger for keyword events: `log.get(__name__).info("policy_loaded", generation=2)`."""
    return structlog.get_logger(name)
