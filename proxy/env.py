"""Typed readers of the environment.

A reader takes a variable's name and its default and answers a value, or stops the start with one line that
names the variable and says what it takes. `X_FILE` names a file that holds X, for secrets. An empty variable
counts as unset, as compose files make them, and blanks around a value do not count.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from proxy.core.blocking import parse_network
from proxy.core.limits import ConnectionLimits, LinkBounds, Rate
from proxy.core.origins import OriginPattern
from proxy.core.routes import upstream_url

T = TypeVar("T")
_CREDENTIALS = re.compile(r"//[^/\s]*@")  # of every URL in a list
_LONGEST_SECONDS = 86_400.0 * 30
_HOST = re.compile(r"\.?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]|\*")
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_SHOWN_CHARS = 120
_STORES = {"postgres", "postgresql", "redis", "rediss"}
_QUOTED = "/ as %2F, ? as %3F, # as %23, @ as %40"
# How alike a variable that nobody reads must be to one of ours, to be taken for a slip of the pen.
_ALIKE = 0.85
# What others call ours. Those that are no slips of the pen as well count only while ours is unset.
_OTHER_NAMES = {
    "JWT_SECRET": "JWT_SIGNING_KEY",
    "JWT_SECRET_KEY": "JWT_SIGNING_KEY",
    "JWT_KEY": "JWT_SIGNING_KEY",
    "JWT_PUBLIC_KEY": "JWT_VERIFYING_KEY",
    "JWT_JWKS_URI": "JWT_JWKS_URL",
    "JWKS_URL": "JWT_JWKS_URL",
}
# RFC 7519, section 4.1, but for `sub`, and simplejwt's: the same for many users, or another with each token.
_NOBODYS_CLAIMS = ("exp", "nbf", "iat", "jti", "iss", "aud", "token_type")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


SHORTEST_TOKEN = 16


class SettingError(SystemExit):
    """A variable has a wrong value; as a SystemExit its text is the one line that ends the start."""

    def __init__(self, name: str, expected: str, got: str | None = None) -> None:
        super().__init__(f"{name}: must be {expected}" + (f", got {_shown(got)}" if got is not None else ""))


class Env:
    """Reads one environment, so that tests can pass their own."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self.defaults: dict[str, object] = {}
        self._other_names = dict(_OTHER_NAMES)

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
        self, name: str, default: T, parse: Callable[[str], T], *, expected: str, secret: bool = False
    ) -> T:
        """The parsed variable or `default`. A `parse` that raises ValueError means a wrong value.

        A `secret` is never shown, not even a wrong one. `defaults` remembers what was asked for.
        """
        self.defaults[name] = None if secret else default
        raw = self.raw(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except ValueError:
            raise SettingError(name, expected, None if secret else raw) from None

    def also_called(self, names: Mapping[str, str]) -> None:
        """What others call variables: their names, each with ours."""
        self._other_names |= names

    def misspelt(self) -> dict[str, str]:
        """Variables that nothing has read and that look like one that something has, each with that one."""
        known = {*self.defaults, *(f"{name}_FILE" for name in self.defaults)}
        alike = {
            name: difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            for name in self._variables
            if name not in known
        }
        called = {
            name: ours
            for name, ours in self._other_names.items()
            if self._variables.get(name) and ours in known and not self.is_set(ours)
        }
        return {name: found[0] for name, found in alike.items() if found} | called

    def is_set(self, name: str) -> bool:
        return any(self._variables.get(each, "").strip() for each in (name, f"{name}_FILE"))

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
        """One of `choices`, in whatever case it was written."""

        def parse(raw: str) -> str:
            return {choice.lower(): choice for choice in choices}.get(raw.lower()) or _wrong()

        return self.read(name, default, parse, expected=f"one of {', '.join(choices)}")

    def optional_integer(self, name: str, *, least: int = 1) -> int | None:
        """A whole number, or None when unset."""
        parse = partial(_whole_number, least=least, most=2**53)
        return self.read(name, None, parse, expected=f"a whole number of {least} or more")

    def integer(self, name: str, default: int, *, least: int = 1, most: int = 2**53) -> int:
        bounds = f"from {least} to {most}" if most < 2**53 else f"of {least} or more"
        parse = partial(_whole_number, least=least, most=most)
        return self.read(name, default, parse, expected=f"a whole number {bounds}")

    def seconds(
        self, name: str, default: float, *, least: float = 0.001, most: float = _LONGEST_SECONDS
    ) -> float:
        parse = partial(_seconds, least=least, most=most)
        return self.read(name, default, parse, expected=f"a number of seconds from {least:g} to {most:.0f}")

    def optional_seconds(self, name: str) -> float | None:
        """A duration, or None when unset."""
        parse = partial(_seconds, least=0.001, most=_LONGEST_SECONDS)
        expected = f"a number of seconds from 0.001 to {_LONGEST_SECONDS:.0f}"
        return self.read(name, None, parse, expected=expected)

    def rate(self, name: str, default: str) -> Rate:
        return self.read(name, Rate.parse(default), Rate.parse, expected="a rate such as 20/s or 100/m")

    def user_id_claim(self, name: str, default: str) -> str:
        """The name of a claim; one that says who, not when, whence or what for."""

        def parse(raw: str) -> str:
            return _wrong() if raw in _NOBODYS_CLAIMS else raw

        others = f"other than {', '.join(_NOBODYS_CLAIMS)}"
        return self.read(
            name, default, parse, expected=f"the claim that holds the user id, such as sub, {others}"
        )

    def path(self, name: str, default: str) -> str:
        """The path of a URL, from its leading slash on."""

        def parse(raw: str) -> str:
            if not re.fullmatch(r"/[A-Za-z0-9._~/%?=&-]*", raw):
                raise ValueError
            return raw

        return self.read(name, default, parse, expected="a path like /ws")

    def optional_rate(self, name: str) -> Rate | None:
        """A rate, or None when unset: no limit."""
        return self.read(name, None, Rate.parse, expected="a rate such as 20/s or 100/m")

    def connection_limits(self, name: str, *, per_ip: int, per_user: int, rate: str) -> ConnectionLimits:
        """The limits `name`: by its own variables (ORDERS_CONNECT_RATE_PER_IP), those of all, or as given."""
        prefix = name.upper().replace("-", "_")
        of_all_per_ip = self.optional_integer("MAX_CONNECTIONS_PER_IP")
        of_all_per_user = self.optional_integer("MAX_CONNECTIONS_PER_USER")
        of_all_rate = self.optional_rate("CONNECT_RATE_PER_IP")
        return ConnectionLimits(
            name=name,
            per_address=self.integer(f"{prefix}_MAX_CONNECTIONS_PER_IP", of_all_per_ip or per_ip),
            per_user=self.integer(f"{prefix}_MAX_CONNECTIONS_PER_USER", of_all_per_user or per_user),
            connect_rate=self.rate(f"{prefix}_CONNECT_RATE_PER_IP", str(of_all_rate or rate)),
        )

    def link_bounds(self, name: str) -> LinkBounds:
        """What the links of `name` alone are bounded by: its own variables; unset, what holds for all."""
        prefix = name.upper().replace("-", "_")
        return LinkBounds(
            max_message_bytes=self.optional_integer(f"{prefix}_MAX_MESSAGE_BYTES", least=128),
            outbox_bytes=self.optional_integer(f"{prefix}_OUTBOX_BYTES", least=1024),
            idle_timeout_seconds=self.optional_seconds(f"{prefix}_WS_TIMEOUT_SECONDS"),
        )

    def host(self, name: str, default: str) -> str:
        """A host name or an address to listen on."""

        def parse(raw: str) -> str:
            if ":" in raw:
                return str(ipaddress.IPv6Address(raw.strip("[]")))
            return raw if _HOST.fullmatch(raw) and raw[0] not in ".*" else _wrong()

        return self.read(name, default, parse, expected="a host name or an address, without scheme and port")

    def hosts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Host names as Django's ALLOWED_HOSTS takes them."""

        def parse(raw: str) -> tuple[str, ...]:
            return tuple(word if _HOST.fullmatch(word) else _wrong() for word in _split(raw))

        expected = "host names separated by commas, such as .example.com, without scheme and port"
        return self.read(name, default, parse, expected=expected)

    def proxies(self, name: str) -> tuple[tuple[Network, ...], bool]:
        """Networks, and whether the word `unix` stands among them."""

        def parse(raw: str) -> tuple[tuple[Network, ...], bool]:
            words = _split(raw)
            networks = (parse_network(word) for word in words if word != "unix")
            return tuple(networks), "unix" in words

        expected = "addresses or networks separated by commas, such as 10.0.0.0/8, or unix"
        nobody: tuple[tuple[Network, ...], bool] = ((), False)
        return self.read(name, nobody, parse, expected=expected)

    def several(
        self, name: str, parse: Callable[[str], T], *, default: tuple[T, ...] = (), expected: str
    ) -> tuple[T, ...]:
        """Values separated by commas, each of which `parse` takes or raises ValueError for."""
        return self.read(name, default, lambda raw: tuple(map(parse, _split(raw))), expected=expected)

    def dotted_paths(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Dotted paths of what modules hold; nothing is imported."""

        def parse(raw: str) -> tuple[str, ...]:
            return tuple(word if _DOTTED_PATH.fullmatch(word) else _wrong() for word in _split(raw))

        expected = "dotted paths separated by commas, such as orders.routes.ROUTES"
        return self.read(name, default, parse, expected=expected)

    def apps(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Django apps, by the names of their packages, which are looked for but not imported."""

        def parse(raw: str) -> tuple[str, ...]:
            return tuple(word if _is_package(word) else _wrong() for word in _split(raw))

        expected = "packages that can be imported (see PYTHONPATH), separated by commas"
        return self.read(name, default, parse, expected=expected)

    def origins(self, name: str) -> tuple[OriginPattern, ...]:
        def parse(raw: str) -> tuple[OriginPattern, ...]:
            return tuple(OriginPattern.parse(word) for word in _split(raw))

        return self.read(
            name, (), parse, expected="origins separated by commas, such as https://*.example.com, or *"
        )

    def sites(self, name: str) -> tuple[str, ...]:
        """Origins as Django's CSRF_TRUSTED_ORIGINS takes them: text, each with its scheme."""

        def parse(raw: str) -> tuple[str, ...]:
            return tuple(word if OriginPattern.parse(word).origin else _wrong() for word in _split(raw))

        return self.read(name, (), parse, expected="origins separated by commas, such as https://example.com")

    def service_url(self, name: str, default: str) -> str:
        return self.read(
            name,
            default,
            _service_url,
            expected="a URL like http://host:port (http, https, ws or wss; a path may follow)",
        )

    def service_urls(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        def parse(raw: str) -> tuple[str, ...]:
            return tuple(_service_url(word) for word in _split(raw))

        return self.read(name, default, parse, expected="URLs like ws://host:port/path, separated by commas")

    def url(self, name: str, schemes: tuple[str, ...], *, default: str = "", host: bool = True) -> str:
        """A URL of one of `schemes`, with a host if `host`. It may hold credentials, so it is never shown."""
        expected = f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"

        def parse(raw: str) -> str:
            if _has_bare_password(raw):
                raise SettingError(name, f"{expected}, with {_QUOTED} in a password")
            parts = urlsplit(raw)
            _ = parts.port  # raises ValueError when it is no port number
            if (
                parts.scheme not in schemes
                or (host and not parts.hostname)
                or not (parts.netloc + parts.path)
            ):
                raise ValueError
            return raw

        return self.read(name, default, parse, expected=expected, secret=True)

    def secret(
        self, name: str, default: str = "", *, parse: Callable[[str], str] = str, expected: str
    ) -> str:
        """A text that is never shown. `parse` raises ValueError for a wrong one."""
        return self.read(name, default, parse, expected=expected, secret=True)


# The process's own: whatever reads the environment reads it here, so that what nobody reads is known.
env = Env()


def long_enough(raw: str) -> str:
    """`raw`, if nobody will guess it soon. Raises ValueError for a short one."""
    if len(raw) < SHORTEST_TOKEN:
        raise ValueError
    return raw


def _has_bare_password(url: str) -> bool:
    """Whether a `/`, `?` or `#` of a password ends the host's part of a store's URL before its `@`."""
    scheme, _, rest = url.partition("://")
    if scheme not in _STORES:
        return False
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    if "@" in authority or "@" not in beyond:
        return False
    has_port = re.fullmatch(r".*:\d*|[^:]*", authority) is not None
    return not has_port or beyond[0] in "?#" or "@" in beyond.partition("?")[0]


def _is_package(name: str) -> bool:
    try:
        spec = find_spec(name)
    except (ModuleNotFoundError, ValueError):  # of a package around it; of no name at all
        return False
    return spec is not None and spec.submodule_search_locations is not None


def _seconds(raw: str, *, least: float, most: float) -> float:
    if not least <= float(raw) <= most:
        raise ValueError
    return float(raw)


def _whole_number(raw: str, *, least: int, most: int) -> int:
    if not (raw.isascii() and raw.isdigit() and least <= int(raw) <= most):
        raise ValueError
    return int(raw)


def _wrong() -> NoReturn:
    raise ValueError


def _shown(value: str) -> str:
    """`value` for an error's one line: without the credentials of a URL, and not endless."""
    hidden = _CREDENTIALS.sub("//…@", value)
    return repr(hidden if len(hidden) <= _SHOWN_CHARS else hidden[:_SHOWN_CHARS] + "…")


def _split(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def _service_url(raw: str) -> str:
    upstream_url(raw)
    return raw
