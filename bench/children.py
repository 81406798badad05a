"""The processes of a run: start one on its core, read what it costs, end it with all its children."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def free_ports(count: int) -> list[int]:
    """Different ports on loopback that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


class Child:
    """A process of ours on its own cores; dies with us, and takes its children along when it is stopped."""

    def __init__(
        self, command: Sequence[str], *, cores: set[int], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        def settle() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, cores)

        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=settle,  # noqa: PLW1509  no other thread runs here
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def cpu_seconds(self) -> float:
        """CPU of the process and of its living descendants."""
        return sum(_cpu_seconds(one.pid) for one in self._family())

    def pss_bytes(self) -> int:
        """Proportional set size: private memory, and a fair share of what the family shares."""
        return sum(one.memory_full_info().pss for one in self._family())

    def rss_bytes(self) -> int:
        return sum(one.memory_info().rss for one in self._family())

    def _family(self) -> list[psutil.Process]:
        root = psutil.Process(self._popen.pid)
        return [root, *root.children(recursive=True)]

    def stop(self) -> None:
        """TERM, then KILL to the whole session after STOP_SECONDS."""
        if self._popen.poll() is None:
            self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, for the message that says why it could not be measured."""
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:])


def _cpu_seconds(pid: int) -> float:
    """Time on a core, user and system, of all threads: what utime + stime say, in nanoseconds, not ticks."""
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
