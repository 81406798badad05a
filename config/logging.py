"""Structured logs: one JSON object a line, or a console form for people (structlog)."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from proxy.core.human import one_line
from proxy.core.redaction import redacted


def redact_tokens(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: no token ever reaches a log line."""
    for key, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        text = value if isinstance(value, str) else repr(value)
        if (clean := redacted(text)) is not text:
            event[key] = clean
    return event


class AnsweredProbes(logging.Filter):
    """Drops the access log's lines of health checks and scrapes that went well: one every few seconds."""

    PATHS = frozenset({"/health", "/ready", "/metrics"})

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status", None) != 200 or getattr(record, "path", None) not in self.PATHS


class ClientsFault(logging.Filter):
    """Warns in one line of what Django logs as an attack, with a traceback: scanners would fill the log.

    It may as well be a name that is missing in ALLOWED_HOSTS, so that it is no less than a warning.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security") and record.exc_info:
            record.msg, record.args = one_line(record.getMessage()), ()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
            return logging.root.isEnabledFor(record.levelno)  # as an error it has passed any LOG_LEVEL
        return True


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
]


_LOGGERS: dict[str, Any] = {
    "websockets": {"level": "WARNING"},
    # Complain at each attempt; proxy/outgoing/sender.py does once an outage.
    "aio_pika": {"level": "CRITICAL"},
    "aiormq": {"level": "CRITICAL"},
    # Complains of each batch, names the URL, and quotes headers; proxy/engine/tracing.py does once an outage.
    "opentelemetry": {"level": "CRITICAL"},
    "axes": {"level": "ERROR"},  # proxy/admin/logins.py logs each failure in one line
    "daphne": {"level": "WARNING"},
    "gateway.access": {"filters": ["answered_probes"]},
    "psycopg.pool": {"level": "ERROR"},  # warns at each attempt; proxy/tables/postgres.py once an outage
    # Without the handlers that Django gives them, which print.
    "django": {"level": "INFO", "handlers": []},
    "django.server": {"level": "WARNING", "handlers": [], "propagate": True},
    "django.request": {"level": "ERROR"},
}


def configuration(*, level: str, style: str) -> dict[str, Any]:
    """A `logging.config.dictConfig` dictionary. `style` is json or console; everything goes to stderr."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"gateway": _formatter(style)},
        "filters": {"answered_probes": {"()": AnsweredProbes}, "clients_fault": {"()": ClientsFault}},
        "handlers": {
            "stderr": {"()": stderr_handler, "formatter": "gateway", "filters": ["clients_fault"]},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": _LOGGERS,
    }


def _formatter(style: str) -> dict[str, Any]:
    """Tokens are taken out last, when an exception is text."""
    is_json = style == "json"
    return {
        "()": "structlog.stdlib.ProcessorFormatter",
        "foreign_pre_chain": _SHARED,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact_tokens,
            structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=False),
        ],
    }


def stderr_handler() -> logging.Handler:
    """Writes to stderr, past the stream that makes JSON of what others print there (config/streams.py)."""
    return logging.StreamHandler(getattr(sys.stderr, "plain", sys.stderr))


def configure(settings: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: what Python warns of is logged, too."""
    logging.config.dictConfig(settings)
    logging.captureWarnings(True)
