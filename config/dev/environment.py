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
from proxy.env import Env, SettingError

DEFAULT_PORT = 8666  # of the gateway
RUNNING_DIR = "running"  # in var/: how `python -m config.dev COMMAND` finds what runs, a file a gateway
# What such a command must have in common with the gateway: stores, keys, tokens, and what is routed.
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
    own_database: bool  # False: DATABASE_URL names another one

    @property
    def ports(self) -> dict[str, int]:
        """Where each part is that speaks HTTP."""
        return {each.name: port for each, port in self.services.items()} | {"gateway": self.gateway_port}


def development(given: Mapping[str, str], *, var_dir: Path) -> Development:
    """Fill in what `given` leaves unset. Makes `var_dir` and the secret key in it.

    Raises:
        SettingError: a port is no port, or taken; one line that names the variable.
    """
    env = Env(given)
    host = env.text("GATEWAY_HOST", "127.0.0.1")
    gateway_port = _port(env, "GATEWAY_PORT", DEFAULT_PORT, host=host)
    variables = {**_DEFAULTS, **{name: value for name, value in given.items() if value}}
    variables |= {"GATEWAY_HOST": host, "GATEWAY_PORT": str(gateway_port)}
    if not env.raw("SECRET_KEY"):
        variables["SECRET_KEY_FILE"] = str(_secret(var_dir / "secret_key"))
    here = {each: _service_port(env, each) for each in services(env) if not env.raw(each.url_variable)}
    variables |= {service.url_variable: f"http://127.0.0.1:{port}" for service, port in here.items()}
    valkey_port = None if env.raw("REDIS_URL") else _any_free_port()
    if valkey_port is not None:
        variables["REDIS_URL"] = f"redis://127.0.0.1:{valkey_port}/0"
    return Development(
        variables=variables,
        host=host,
        gateway_port=gateway_port,
        valkey_port=valkey_port,
        services=here,
        own_database=not env.raw("DATABASE_URL"),
    )


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
        wanted = {*SAME_PRODUCT, *(service.url_variable for service in run.services)}
        shared = {
            name: value for name, value in run.variables.items() if name in wanted or name.startswith(SHARED)
        }
        json.dump(shared, stream)
        stream.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


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


def _service_port(env: Env, service: Service) -> int:
    """What the developer says, the default, or any other while that is taken: nobody types this port."""
    try:
        return _port(env, service.port_variable, service.default_port, host="127.0.0.1")
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
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def _any_free_port() -> int:
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
