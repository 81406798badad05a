"""The services that `make run` starts: DEV_SERVICES, else what the apps' `dev` modules say.

Written `VARIABLE = command; VARIABLE = command`: the variable names the service's URL to whoever routes to
it, and a service whose variable is set already runs elsewhere. `{port}` in the command becomes a free port.
The variable's first word is the service's name. Its URL begins with http, or with what stands before a colon:
`BROKER_URL = amqp: broker --port {port}`.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from config import product
from proxy.env import Env, SettingError

FIRST_PORT = 8001
OURS = ("valkey", "gateway")  # what `make run` starts itself
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_SCHEME = re.compile(r"\s*([a-z]\w*):\s")
_EXPECTED = "VARIABLE = command with {port} in it, separated by semicolons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that stands in for a real one while `url_variable` is unset."""

    url_variable: str
    command: tuple[str, ...]
    default_port: int
    scheme: str = "http"

    @property
    def name(self) -> str:
        """KB_SERVICE_URL is that of `kb`."""
        return self.url_variable.partition("_")[0].lower()

    @property
    def port_variable(self) -> str:
        return f"{self.name.upper()}_PORT"

    def url(self, port: int) -> str:
        """Where it is, on this machine."""
        return f"{self.scheme}://127.0.0.1:{port}"

    def argv(self, port: int, *, base_dir: Path) -> list[str]:
        """The command line. `python` is this one, `manage.py` this checkout's, and a program beside this
        Python comes before others of its name.
        """
        words = [word.replace("{port}", str(port)) for word in self.command]
        if words[0] == "manage.py":
            words = ["python", str(base_dir / "manage.py"), *words[1:]]
        if words[0] == "python":
            return [sys.executable, *words[1:]]
        beside = Path(sys.executable).parent / words[0]
        return [str(beside) if beside.is_file() else words[0], *words[1:]]


def services(env: Env) -> tuple[Service, ...]:
    """What to start, in order.

    Raises:
        SettingError: DEV_SERVICES is written otherwise, or what a `dev` module says in its place.
    """
    default, text = _parsed(""), ""
    for module in dev_modules(env):
        text = f"{text};{getattr(module, 'SERVICES', '')}"
        try:
            default = _parsed(text)
        except ValueError as error:
            raise SettingError(f"SERVICES in {module.__file__}", f"{_EXPECTED}: {error}") from None
    return env.read("DEV_SERVICES", default, _parsed, expected=_EXPECTED)


def dev_modules(env: Env) -> Iterator[ModuleType]:
    """The `dev` modules of the apps in EXTRA_APPS or, while that is unset, of those that ROUTES leads to."""
    names = product.routes(env)
    for app in product.extra_apps(env):
        if not env.raw("EXTRA_APPS") and not product.has_routes(app, names):
            continue
        if find_spec(f"{app}.dev") is not None:
            yield import_module(f"{app}.dev")


def _parsed(text: str) -> tuple[Service, ...]:
    """Raises ValueError."""
    found: list[Service] = []
    for entry in filter(str.strip, text.split(";")):
        variable, _, command = entry.partition("=")
        if not _VARIABLE.fullmatch(variable.strip()) or "{port}" not in command:
            raise ValueError(f"got {entry.strip()!r}")
        scheme = _SCHEME.match(command)
        words = tuple(shlex.split(command if scheme is None else command[scheme.end() :]))
        found.append(
            Service(
                url_variable=variable.strip(),
                command=words,
                default_port=FIRST_PORT + len(found),
                scheme="http" if scheme is None else scheme[1],
            )
        )
    if len({*OURS, *(service.name for service in found)}) < len(OURS) + len(found):
        raise ValueError("two begin with the same word, or one with valkey or gateway")
    return tuple(found)
