"""Typed readers of the environment.

A reader takes a variable's name and its default and answers a value, or stops the start with one line that
names the variable and says what it takes. `X_FILE` names a file that holds X, for secrets. An empty variable
counts as unset, as compose files make them.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from proxy.core.limits import Rate
from proxy.core.origins import OriginPattern
from proxy.core.routes import upstream_url

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingError(SystemExit):
    """A variable has a wrong value; as a SystemExit its text is the one line that ends the start."""

    def __init__(self, name: str, expected: str, got: str | None = None) -> None:
        super().__init__(f"{name}: must be {expected}" + (f", got {got!r}" if got is not None else ""))


class Env:
    """Reads one environment, so that tests can pass their own."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def raw(self, name: str) -> str | None:
        """The variable, or the content of the file that `<name>_FILE` names; None when neither is set."""
        value, path = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if value and path:
            raise SettingError(name, f"set once, either as {name} or as {name}_FILE")
        if not path:
            return value or None
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"{name}_FILE", f"a readable text file ({type(error).__name__})", path
            ) from None

    def read(
        self, name: str, default: T, parse: Callable[[str], T], *, expected: str, secret: bool = False
    ) -> T:
        """The parsed variable or `default`. A `parse` that raises ValueError means a wrong value."""
        raw = self.raw(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except ValueError:
            raise SettingError(name, expected, None if secret else raw) from None

    def text(self, name: str, default: str = "") -> str:
        return self.read(name, default, str, expected="text")

    def flag(self, name: str, default: bool) -> bool:
        words = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }

        def parse(raw: str) -> bool:
            if raw.lower() not in words:
                raise ValueError
            return words[raw.lower()]

        return self.read(name, default, parse, expected="true or false")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        def parse(raw: str) -> str:
            if raw not in choices:
                raise ValueError
            return raw

        return self.read(name, default, parse, expected=f"one of {', '.join(choices)}")

    def integer(self, name: str, default: int, *, least: int = 1, most: int = 2**53) -> int:
        def parse(raw: str) -> int:
            if not least <= int(raw) <= most:
                raise ValueError
            return int(raw)

        bounds = f"from {least} to {most}" if most < 2**53 else f"of {least} or more"
        return self.read(name, default, parse, expected=f"a whole number {bounds}")

    def seconds(self, name: str, default: float, *, least: float = 0.001, most: float = 86_400 * 30) -> float:
        def parse(raw: str) -> float:
            if not least <= float(raw) <= most:
                raise ValueError
            return float(raw)

        return self.read(name, default, parse, expected=f"a number of seconds from {least:g} to {most:g}")

    def rate(self, name: str, default: str) -> Rate | None:
        """A rate, or None for an empty default: no limit."""
        fallback = Rate.parse(default) if default else None
        return self.read(name, fallback, Rate.parse, expected="a rate such as 20/s or 100/m")

    def words(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Comma-separated words."""
        return self.read(name, default, _split, expected="words separated by commas")

    def networks(self, name: str) -> tuple[Network, ...]:
        def parse(raw: str) -> tuple[Network, ...]:
            return tuple(ipaddress.ip_network(word, strict=False) for word in _split(raw))

        return self.read(
            name, (), parse, expected="addresses or networks separated by commas, such as 10.0.0.0/8"
        )

    def origins(self, name: str) -> tuple[OriginPattern, ...]:
        def parse(raw: str) -> tuple[OriginPattern, ...]:
            return tuple(OriginPattern.parse(word) for word in _split(raw))

        return self.read(
            name, (), parse, expected="origins separated by commas, such as https://*.example.com, or *"
        )

    def service_url(self, name: str, default: str) -> str:
        return self.read(
            name, default, _service_url, expected="a URL like http://host:port (http, https, ws or wss)"
        )

    def service_urls(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        def parse(raw: str) -> tuple[str, ...]:
            return tuple(_service_url(word) for word in _split(raw))

        return self.read(name, default, parse, expected="URLs like ws://host:port, separated by commas")

    def url(self, name: str, schemes: tuple[str, ...], *, secret: bool = False) -> str:
        """A URL of one of `schemes`, or "" when unset."""

        def parse(raw: str) -> str:
            if urlsplit(raw).scheme not in schemes:
                raise ValueError
            return raw

        return self.read(
            name, "", parse, expected=f"a URL that begins with {' or '.join(schemes)}://", secret=secret
        )


def _split(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def _service_url(raw: str) -> str:
    upstream_url(raw)
    return raw
