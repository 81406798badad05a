"""Structured logs: one JSON object a line, or a console form for people (structlog)."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

import structlog

from proxy.core.credentials import JWT

_TOKEN = re.compile(JWT.pattern + r"|(?<=token=)[^&\s\"']+", re.ASCII)


def redact_tokens(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: whatever looks like a JWT, or follows `token=`, never reaches a log line."""
    for key, value in event.items():
        text = repr(value) if isinstance(value, list | tuple | dict) else value
        if isinstance(text, str) and ("eyJ" in text or "token=" in text):
            event[key] = _TOKEN.sub("[redacted]", text)
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
]


def configuration(*, level: str, style: str) -> dict[str, Any]:
    """A `logging.config.dictConfig` dictionary. `style` is json or console; everything goes to stderr."""
    if style == "json":
        final: list[Any] = [
            structlog.processors.format_exc_info,
            redact_tokens,
            structlog.processors.JSONRenderer(),
        ]
    else:
        final = [
            structlog.processors.format_exc_info,
            redact_tokens,
            structlog.dev.ConsoleRenderer(colors=False),
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "gateway": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "foreign_pre_chain": _SHARED,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "gateway"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "websockets": {"level": "WARNING"},
            "axes": {"level": "ERROR"},  # proxy/logins.py logs each failure in one line
            "daphne": {"level": "WARNING"},
            "psycopg.pool": {"level": "ERROR"},  # warns at each attempt; proxy/postgres.py once an outage
            "django.server": {"level": "WARNING"},
            "django.request": {"level": "ERROR"},
        },
    }
