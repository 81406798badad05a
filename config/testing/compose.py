"""docker-compose.yml as compose reads it, as far as that file goes: no container engine is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from config.testing.starts import BASE_DIR

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# An expression without another one inside: `${NAME:-default}` or `${NAME:?why}`.
_INNERMOST = re.compile(r"\$\{(\w+)(?:(:-)([^${}]*)|(:\?)([^${}]*))\}")


class NotSet(Exception):
    """A variable that compose insists on is not set; str() is what compose says."""


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`text` with its expressions replaced, inner ones first.

    Raises:
        NotSet: of a `${NAME:?why}`, and the result holds it still.
    """
    missing: dict[str, str] = {}

    def substitute(match: re.Match[str]) -> str:
        name, has_default, default, _, why = match.groups()
        value = variables.get(name, "")
        if not value and not has_default:
            missing[f"<{name}>"] = why
            return f"<{name}>"
        return value or default

    while (replaced := _INNERMOST.sub(substitute, text)) != text:
        text = replaced
    for mark, why in missing.items():
        if mark in text:
            raise NotSet(why)
    return text


def environment(service: str, dotenv: Mapping[str, str]) -> dict[str, str]:
    """What the containers of `service` get when the file .env says `dotenv`: its own words go first."""
    given = dict(dotenv) if SERVICES[service].get("env_file") == [".env"] else {}
    own: dict[str, str] = SERVICES[service].get("environment", {})
    return given | {name: interpolated(value, dotenv) for name, value in own.items()}


def command(service: str, dotenv: Mapping[str, str]) -> list[str]:
    """The command line of `service`."""
    return [interpolated(word, dotenv) for word in SERVICES[service]["command"]]
