"""Typed readers of the environment.

A reader takes a variable's name and its default and answers a value, or stops the start with one line that
names the variable and says what it takes. `X_FILE` names a file that holds X, for secrets. An empty variable
counts as unset, as compose files make them, and blanks around a value do not count.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from proxy.core.limits import ConnectionLimits, LinkBounds, Rate
from proxy.core.routes import upstream_url

T = TypeVar("T")
D = TypeVar("D")
_PATH = re.compile(r"/[A-Za-z0-9._~/%?=&-]*")
_CREDENTIALS = re.compile(r"//[^/\s]*@")  # of every URL in a list
_USERINFO = re.compile(r"(\w+)://([^/\s]*)@")
_TOKEN_SCHEMES = frozenset({"nats", "tls"})  # whose user without a password is one
_LONGEST_SECONDS = 86_400.0 * 30
_SHOWN_CHARS = 120
_RATE = "a rate such as 20/s or 100/m"
_FLAGS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
# How alike a variable that nobody reads must be to one of ours, to be taken for a slip of the pen.
_ALIKE = 0.85


class SettingError(SystemExit):
    """A variable has a wrong value; as a SystemExit its text is the one line that ends the start."""

    def __init__(self, name: str, expected: str, got: str | None = None) -> None:
        super().__init__(f"{name}: must be {expected}" + (f", got {_shown(got)}" if got is not None else ""))
        self.name = name


class Env:
    """Reads one environment, so that tests can pass their own."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self.defaults: dict[str, object] = {}
        self.wrong: dict[str, str] | None = None
        self._other_names: dict[str, str] = {}
        self._others: tuple[str, ...] = ()

    def go_on(self) -> None:
        """From now on a wrong value stops nothing: its line is in `wrong`, by the variable's name, and its
        default is read. For who says all that is wrong."""
        self.wrong = {}

    def amiss(self, error: SettingError, instead: T) -> T:
        """`instead`, where a wrong value stops nothing. Raises `error` elsewhere."""
        if self.wrong is None:
            raise error
        self.wrong[error.name] = str(error)
        return instead

    def passwords(self) -> set[str]:
        """What nobody may see of what was read: secrets, and passwords in URLs, as written and as decoded."""
        found = set[str]()
        for name, default in self.defaults.items():
            with suppress(SettingError):
                raw = self.raw(name) or ""
                for scheme, userinfo in _USERINFO.findall(raw):
                    _, colon, password = userinfo.partition(":")
                    found.add(password if colon or scheme not in _TOKEN_SCHEMES else userinfo)
                if default is None and "://" not in raw:
                    found.add(raw)
        return {each for one in found if one for each in (one, unquote(one))}

    def raw(self, name: str) -> str | None:
        """The variable, or the content of the file that `<name>_FILE` names; None when neither is set."""
        value, path = (self._variables.get(key, "").strip() for key in (name, f"{name}_FILE"))
        if value and path:
            raise SettingError(name, f"set once, either as {name} or as {name}_FILE")
        if not path:
            return value or None
        try:
            content = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            expected = f"the path of a readable text file ({type(error).__name__})"
            raise SettingError(f"{name}_FILE", expected, path) from None
        if not content:  # or a secret that was not written yet would silently be a default
            raise SettingError(f"{name}_FILE", "the path of a file that is not empty", path)
        return content

    def read(
        self, name: str, default: D, parse: Callable[[str], T], *, expected: str, secret: bool = False
    ) -> T | D:
        """The parsed variable or `default`. A `parse` that raises ValueError or KeyError means a wrong value.

        A `secret` is never shown, not even a wrong one. `defaults` remembers what was asked for.
        """
        self.defaults[name] = None if secret else default
        try:
            raw = self.raw(name)
            return default if raw is None else parse(raw)
        except SettingError as error:
            return self.amiss(error, default)
        except (ValueError, KeyError):
            wrong = SettingError(name, expected, None if secret else self.raw(name))
        return self.amiss(wrong, default)

    def several(
        self, name: str, parse: Callable[[str], T], *, default: tuple[T, ...] = (), expected: str
    ) -> tuple[T, ...]:
        """Values separated by commas, each of which `parse` takes or raises ValueError for."""

        def parse_each(raw: str) -> tuple[T, ...]:
            return tuple(parse(word.strip()) for word in raw.split(",") if word.strip())

        return self.read(name, default, parse_each, expected=expected)

    def also_called(self, names: Mapping[str, str]) -> None:
        """What others call variables: their names, each with ours, which count only while ours is unset."""
        self._other_names |= names

    def leaves_to_others(self, *beginnings: str) -> None:
        """Variables that begin so are read by a library: none is a slip of the pen."""
        self._others += beginnings

    def misspelt(self) -> dict[str, str]:
        """Variables that nothing has read and that look like one that something has, each with that one."""
        known = {*self.defaults, *(f"{name}_FILE" for name in self.defaults)}
        alike = {
            name: difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            for name in self._variables
            if name not in known and not name.startswith(self._others)
        }
        called = {
            name: ours
            for name, ours in self._other_names.items()
            if self._variables.get(name) and ours in known and not self._is_set(ours)
        }
        return {name: found[0] for name, found in alike.items() if found} | called

    def _is_set(self, name: str) -> bool:
        return any(self._variables.get(each, "").strip() for each in (name, f"{name}_FILE"))

    def text(self, name: str, default: str = "") -> str:
        return self.read(name, default, str, expected="text")

    def secret(
        self, name: str, default: str = "", *, parse: Callable[[str], str] = str, expected: str
    ) -> str:
        """A text that is never shown. `parse` raises ValueError for a wrong one."""
        return self.read(name, default, parse, expected=expected, secret=True)

    def flag(self, name: str, default: bool) -> bool:
        return self.read(name, default, lambda raw: _FLAGS[raw.lower()], expected="true or false")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, in whatever case it was written."""
        written = {choice.lower(): choice for choice in choices}
        expected = f"one of {', '.join(choices)}"
        return self.read(name, default, lambda raw: written[raw.lower()], expected=expected)

    def integer(self, name: str, default: D, *, least: int = 1, most: int = 2**53) -> int | D:
        """A whole number; `default` may be None."""

        def parse(raw: str) -> int:
            if not (raw.isascii() and raw.isdigit() and least <= int(raw) <= most):
                raise ValueError
            return int(raw)

        bounds = f"from {least} to {most}" if most < 2**53 else f"of {least} or more"
        return self.read(name, default, parse, expected=f"a whole number {bounds}")

    def seconds(
        self, name: str, default: D, *, least: float = 0.001, most: float = _LONGEST_SECONDS
    ) -> float | D:
        """A duration; `default` may be None."""

        def parse(raw: str) -> float:
            if not least <= float(raw) <= most:
                raise ValueError
            return float(raw)

        return self.read(name, default, parse, expected=f"a number of seconds from {least:g} to {most:.0f}")

    def rate(self, name: str, default: str) -> Rate:
        return self.read(name, Rate.parse(default), Rate.parse, expected=_RATE)

    def optional_rate(self, name: str) -> Rate | None:
        """A rate, or None when unset: no limit."""
        return self.read(name, None, Rate.parse, expected=_RATE)

    def path(self, name: str, default: str) -> str:
        """The path of a URL, from its leading slash on."""

        return self.read(name, default, text_if(_PATH.fullmatch), expected="a path like /ws")

    def service_url(self, name: str, default: str) -> str:
        expected = "a URL like http://host:port (http, https, ws or wss; a path may follow)"
        return self.read(name, default, _service_url, expected=expected)

    def service_urls(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        expected = "URLs like ws://host:port/path, separated by commas"
        return self.several(name, _service_url, default=default, expected=expected)

    def limits_of_all(self, *, per_ip: int = 10, per_user: int = 5, rate: str = "20/s") -> ConnectionLimits:
        """What variables say for every route that says nothing else; unset, as given."""
        most_per_ip: int | None = self.integer("MAX_CONNECTIONS_PER_IP", None)
        most_per_user: int | None = self.integer("MAX_CONNECTIONS_PER_USER", None)
        return ConnectionLimits(
            per_address=most_per_ip or per_ip,
            per_user=most_per_user or per_user,
            connect_rate=self.optional_rate("CONNECT_RATE_PER_IP") or Rate.parse(rate),
        )

    def connection_limits(self, name: str, *, per_ip: int, per_user: int, rate: str) -> ConnectionLimits:
        """The limits `name`: by its own variables (ORDERS_CONNECT_RATE_PER_IP), those of all, or as given."""
        prefix = name.upper().replace("-", "_")
        of_all = self.limits_of_all(per_ip=per_ip, per_user=per_user, rate=rate)
        return ConnectionLimits(
            name=name,
            per_address=self.integer(f"{prefix}_MAX_CONNECTIONS_PER_IP", of_all.per_address),
            per_user=self.integer(f"{prefix}_MAX_CONNECTIONS_PER_USER", of_all.per_user),
            connect_rate=self.rate(f"{prefix}_CONNECT_RATE_PER_IP", str(of_all.connect_rate)),
        )

    def link_bounds(self, name: str, *, max_message_bytes: int | None = None) -> LinkBounds:
        """What the links of `name` alone are bounded by: its own variables; as given, or as for all."""
        prefix = name.upper().replace("-", "_")
        return LinkBounds(
            max_message_bytes=self.integer(f"{prefix}_MAX_MESSAGE_BYTES", max_message_bytes, least=128),
            outbox_bytes=self.integer(f"{prefix}_OUTBOX_BYTES", None, least=1024),
            idle_timeout_seconds=self.seconds(f"{prefix}_WS_TIMEOUT_SECONDS", None),
        )


# The process's own: whatever reads the environment reads it here, so that what nobody reads is known.
env = Env()


def text_if(accepts: Callable[[str], object]) -> Callable[[str], str]:
    """A parser that takes a text as it is, where `accepts` answers anything that is true."""

    def parse(raw: str) -> str:
        if not accepts(raw):
            raise ValueError
        return raw

    return parse


def _shown(value: str) -> str:
    """`value` for an error's one line: without the credentials of a URL, and not endless."""
    hidden = _CREDENTIALS.sub("//…@", value)
    return repr(hidden if len(hidden) <= _SHOWN_CHARS else hidden[:_SHOWN_CHARS] + "…")


def _service_url(raw: str) -> str:
    upstream_url(raw)
    return raw
