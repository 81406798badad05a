"""A child process under test: its own environment, its output in a file, every wait under a deadline."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from config.testing.starts import BASE_DIR, Started, popen

POLL_SECONDS = 0.01
FIRST_PORT, PORTS_OF_A_WORKER, MOST_WORKERS = 12_000, 2_250, 8


class ProgramFailed(AssertionError):
    """A program ended, or did not do in time what a test waited for; str() ends with its last output."""


class Program:
    """One child process, in a session of its own so that a kill takes its children too.

    The same object can be started again after it ended: a restart appends to the same output file.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        output_path: Path,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        uid: int | None = None,
        cwd: Path = BASE_DIR,
    ) -> None:
        """`env` is added to the few variables that are inherited. `fds` stay open in the child, under the
        same numbers. `uid` runs it as another user (and group of the same number)."""
        self.argv = [os.fspath(word) for word in argv]
        self.name = name
        self.output_path = output_path
        self._env = dict(env or {})
        self._fds = tuple(fds)
        self._uid = uid
        self._cwd = cwd
        self._child: Started | None = None
        self._output_start = 0

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr since it was last started."""
        if not self.output_path.exists():
            return ""
        with self.output_path.open("rb") as stream:
            stream.seek(self._output_start)
            return stream.read().decode(errors="replace")

    def start(self) -> None:
        assert not self.running, f"{self.name} is running already"
        with self.output_path.open("ab") as stream:
            self._output_start = stream.seek(0, os.SEEK_END)
            self._child = popen(
                self.argv,
                env={"PYTHONUNBUFFERED": "1", **self._env},
                cwd=self._cwd,
                stdout=stream,
                fds=self._fds,
                uid=self._uid,
            )

    def wait_for_output(self, pattern: str, *, within_seconds: float = 15) -> re.Match[str]:
        """The first match of `pattern` in the output since the start.

        Raises:
            ProgramFailed: it ended first, or the deadline passed.
        """
        found: list[re.Match[str]] = []

        def matched() -> bool:
            found.extend(filter(None, [re.search(pattern, self.output, re.MULTILINE)]))
            return bool(found)

        self.wait_until(matched, f"its output to match {pattern!r}", within_seconds=within_seconds)
        return found[0]

    def wait_for_port(self, port: int, *, host: str = "127.0.0.1", within_seconds: float = 15) -> None:
        """Until something accepts TCP connections on `port`. Raises as `wait_for_output` does."""

        def answers() -> bool:
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex((host, port)) == 0

        self.wait_until(answers, f"port {port} to answer", within_seconds=within_seconds)

    def wait_until(self, condition: Callable[[], bool], meaning: str, *, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while True:
            ended = not self.running  # looked at first, so that what it wrote last is seen by the condition
            if condition():
                return
            if ended:
                raise self.failed(f"ended with {self._started().returncode}, waited for {meaning}")
            if time.monotonic() > deadline:
                raise self.failed(f"waited {within_seconds} s for {meaning}")
            time.sleep(POLL_SECONDS)

    def wait_for_exit(self, *, within_seconds: float = 15) -> int:
        """Its exit status, negative for a signal. Raises ProgramFailed when it still runs at the deadline."""
        try:
            return self._started().wait(within_seconds)
        except subprocess.TimeoutExpired:
            raise self.failed(f"still runs after {within_seconds} s") from None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself; SIGSTOP and SIGCONT freeze and thaw it."""
        self._started().send_signal(number)

    def stop(self, *, within_seconds: float = 15, number: signal.Signals = signal.SIGTERM) -> int:
        """End it politely and answer its exit status; what does not end in time is killed: that raises."""
        if self.running:
            self.send_signal(number)
        try:
            return self.wait_for_exit(within_seconds=within_seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """`kill -9` it and its children at once, frozen or not. Nothing happens when it ended already."""
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty, or only zombies
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(5)

    def failed(self, what: str) -> ProgramFailed:
        return ProgramFailed(f"{self.name}: {what}\n--- its last output ---\n{self.tail()}")

    def tail(self, *, lines: int = 60) -> str:
        return "\n".join(self.output.splitlines()[-lines:])

    def _started(self) -> Started:
        assert self._child is not None, f"{self.name} was never started"
        return self._child


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now, for a server that cannot be handed a socket.

    Taken from below the ports that the kernel gives to outgoing connections, so that it stays free over a
    restart, and none twice while others are left: it may be long before somebody listens there. Prefer
    `listening_socket` where the program takes an fd.
    """
    for port in itertools.islice(_ports, PORTS_OF_A_WORKER):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of this test process is free")


def _ports_of(worker: str) -> Iterator[int]:
    """The ports of one process of a test run, round and round; pytest-xdist calls it `gw0`, `gw1` and so on.
    They begin anywhere, since runs of several checkouts may overlap."""
    number = int(worker.removeprefix("gw")) % MOST_WORKERS
    ports = range(FIRST_PORT + number * PORTS_OF_A_WORKER, FIRST_PORT + (number + 1) * PORTS_OF_A_WORKER)
    start = random.randrange(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))


def listening_socket(*, backlog: int = 4096) -> socket.socket:
    """A socket that listens on 127.0.0.1 already, on a port of its own: pass its `fileno()` in `fds` and tell
    the program (`daphne --fd`), and clients may connect at once, with no race for the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener
