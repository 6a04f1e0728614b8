"""Logs: one JSON object a line on standard error, with the same fields everywhere, and no secret in any of them.

Every line has ``timestamp``, ``level``, ``service`` and ``event`` (a semantic name such as ``risk.reject``); where
they apply ``outcome``, ``cycle_id``, ``symbol``, ``client_order_id`` and ``latency_ms``.
"""

import logging
import sys
from typing import Any, cast

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, FilteringBoundLogger

_REDACTED = "[redacted]"
# Field names that must never carry their value into a log, whoever logs them.
_SECRET_WORDS = ("secret", "token", "password", "seed", "private_key", "signing_key", "authorization", "api_key", "dsn")


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every field that is a secret by type or by name, at any depth."""
    return cast("EventDict", _redacted(dict(event)))


def _redacted(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _REDACTED
    if isinstance(value, dict):
        return {
            key: _REDACTED if any(word in str(key).lower() for word in _SECRET_WORDS) else _redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def configure(service: str, level: str) -> None:
    """Send this process's logs, and those of its libraries, to standard error as JSON lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        redact,
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    # The libraries speak only when something is wrong; our own events go past them.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _add_service(service: str) -> Any:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def logger() -> FilteringBoundLogger:
    """Return the process's logger; the first argument of each call is the semantic event name."""
    return cast("FilteringBoundLogger", structlog.get_logger())
