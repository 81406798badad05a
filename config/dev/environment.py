"""The environment of a development run: what the developer set, and a default for each thing left unset."""

from __future__ import annotations

import fcntl
import json
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.dev.services import Service, services
from config.parsers import read_host
from proxy.env import Env, SettingError

DEFAULT_PORT = 8666  # of the gateway
RUNNING_DIR = "running"  # in var/: how `python -m config.dev COMMAND` finds what runs, a file a gateway
# What such a command must have in common with the gateway: stores, keys, tokens, what is routed, and whatever
# is of a service, which begins with its name.
SHARED = ("DATABASE_URL", "DEBUG", "JWT_", "LOG_FORMAT", "REDIS_URL", "SECRET_KEY")
_DEFAULTS = {"DEBUG": "true", "LOG_FORMAT": "console", "DRAIN_SECONDS": "0"}
SAME_PRODUCT = ("ROUTES", "EXTRA_APPS", "PYTHONPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """What one run starts, and the variables all of it shares."""

    variables: dict[str, str]
    host: str
    gateway_port: int
    valkey_port: int | None  # None: REDIS_URL names another one
    services: dict[Service, int]  # those that run here, each with its port
    elsewhere: tuple[Service, ...]  # those whose variables name others
    own_database: bool  # False: DATABASE_URL names another one

    @property
    def ports(self) -> dict[str, int]:
        """Where each part is that listens for the others."""
        return {each.name: port for each, port in self.services.items()} | {"gateway": self.gateway_port}

    @property
    def speak_http(self) -> dict[str, int]:
        """Those of them that can be asked whether they are there."""
        others = {each.name for each in self.services if each.scheme != "http"}
        return {name: port for name, port in self.ports.items() if name not in others}


def development(given: Mapping[str, str], *, var_dir: Path, like: Development | None = None) -> Development:
    """Fill in what `given` leaves unset, on the ports of `like` that are still free. Makes `var_dir` and the
    secret key in it.

    Raises:
        SettingError: a port is no port, or taken; one line that names the variable.
    """
    env = Env(given)
    host = read_host(env, "127.0.0.1")
    gateway_port = _port(env, "GATEWAY_PORT", DEFAULT_PORT, host=host)
    here = _services_here(env, {} if like is None else like.services)
    valkey_port = None
    if not env.raw("REDIS_URL"):
        valkey_port = _any_free_port(None if like is None else like.valkey_port)
    variables = {**_DEFAULTS, **{name: value for name, value in given.items() if value}}
    variables |= {"GATEWAY_HOST": host, "GATEWAY_PORT": str(gateway_port)}
    variables |= {service.url_variable: service.url(port) for service, port in here.items()}
    if not env.raw("SECRET_KEY"):
        variables["SECRET_KEY_FILE"] = str(_secret(var_dir / "secret_key"))
    if valkey_port is not None:
        variables["REDIS_URL"] = f"redis://127.0.0.1:{valkey_port}/0"
    return Development(
        variables=variables,
        host=host,
        gateway_port=gateway_port,
        valkey_port=valkey_port,
        services=here,
        elsewhere=tuple(each for each in services(env) if each not in here),
        own_database=not env.raw("DATABASE_URL"),
    )


def _services_here(env: Env, earlier: Mapping[Service, int]) -> dict[Service, int]:
    """Those that the developer has nowhere else, each on its port of before, if that is free."""
    return {
        each: _service_port(env, each, earlier.get(each, each.default_port))
        for each in services(env)
        if not env.raw(each.url_variable)
    }


@contextmanager
def told_to_later_commands(run: Development, *, var_dir: Path) -> Iterator[None]:
    """Leave what later commands need, readable by the developer alone, for as long as this lasts.

    The file is locked meanwhile: one that is not was left behind by a run that was killed.
    """
    path = var_dir / RUNNING_DIR / f"{run.gateway_port}.json"
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    with path.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate()
        json.dump(dict(_shared(run)), stream)
        stream.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _shared(run: Development) -> Iterator[tuple[str, str]]:
    services = [*run.services, *run.elsewhere]
    begin = (*SHARED, *(f"{service.name.upper()}_" for service in services))
    ports = {service.port_variable for service in services}
    for name, value in run.variables.items():
        if name in SAME_PRODUCT or (name.startswith(begin) and name not in ports):
            yield name, value


def of_what_runs(given: Mapping[str, str], *, var_dir: Path) -> dict[str, str]:
    """The environment for a command beside the running gateway. What the developer sets comes first.

    Raises:
        SystemExit: nothing runs, or several gateways do and GATEWAY_PORT names none of them.
    """
    runs = {path.stem: path for path in (var_dir / RUNNING_DIR).glob("*.json") if _is_locked(path)}
    port = given.get("GATEWAY_PORT") or next(iter(runs), "")
    if not runs:
        raise SystemExit("Nothing runs here: start it with `make run`, in another terminal.")
    if port not in runs or (len(runs) > 1 and not given.get("GATEWAY_PORT")):
        raise SystemExit(f"GATEWAY_PORT: must be that of a gateway that runs here: {', '.join(sorted(runs))}")
    running: dict[str, str] = json.loads(runs[port].read_text())
    if given.get("SECRET_KEY"):
        running.pop("SECRET_KEY_FILE", None)
    return {**running, **given}


def _is_locked(path: Path) -> bool:
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _service_port(env: Env, service: Service, default: int) -> int:
    """What the developer says, the default, or any other while that is taken: nobody types this port."""
    try:
        return _port(env, service.port_variable, default, host="127.0.0.1")
    except SettingError:
        if env.raw(service.port_variable):
            raise
        return _any_free_port()


def _port(env: Env, name: str, default: int, *, host: str) -> int:
    port = env.integer(name, default, most=65535)
    problem = problem_of_port(port, host=host)
    if problem is not None:
        raise SettingError(name, f"another port: {port} cannot be used ({problem})")
    return port


def problem_of_port(port: int, *, host: str) -> str | None:
    """Why nobody could listen there now; None if one can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def _any_free_port(wanted: int | None = None) -> int:
    """That one, while nobody has it."""
    if wanted is not None and problem_of_port(wanted, host="127.0.0.1") is None:
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _secret(path: Path) -> Path:
    """A random text of this checkout's own, made once, readable by the developer alone."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or not path.read_text():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(64))
    return path
