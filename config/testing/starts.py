"""How tests start Python programs: by a fork of a process that has imported the libraries (forkserver.py).

`popen` and `run` are `subprocess`'s, as far as tests need them. A program begins as its users' does where the
fixture `real_starts` is asked for, where nobody made a fork server, and where a fork would not do: other
interpreters, options of the interpreter, another user.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

BASE_DIR = Path(__file__).resolve().parent.parent.parent
# What a child may inherit. Everything else of the developer's shell stays out of tests.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONWARNINGS",
    "PYTHONDEVMODE",
    "COVERAGE_PROCESS_CONFIG",
    "COVERAGE_PROCESS_START",
)
END_SECONDS = 10


class Forked:
    """A program that a fork server started: of `subprocess.Popen`, what tests use."""

    def __init__(self, argv: Sequence[str], answers: socket.socket) -> None:
        self.args = argv
        self.returncode: int | None = None
        self._answers = answers.makefile("rb", buffering=0)
        self._lock = threading.Lock()
        answers.close()
        self.pid = self._heard()

    def _heard(self) -> int:
        line = self._answers.readline()
        if not line:
            raise ChildProcessError("the fork server ended")
        return int(line)

    def poll(self) -> int | None:
        return self.returncode if self._ends(within_seconds=0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, negative for a signal. Raises subprocess.TimeoutExpired."""
        if not self._ends(within_seconds=timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _ends(self, *, within_seconds: float | None) -> bool:
        if self.returncode is None:
            poller = select.poll()
            with suppress(ValueError):  # another thread has heard it meanwhile
                poller.register(self._answers, select.POLLIN)
                if not poller.poll(None if within_seconds is None else within_seconds * 1000):
                    return False
            with self._lock:
                if self.returncode is None:
                    with self._answers:
                        self.returncode = self._heard()
        return True

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = Forked | subprocess.Popen[bytes]


class ForkServer:
    """A process that imports the libraries when it is first asked for a program, and forks for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, files: Mapping[int, int]
    ) -> Forked:
        """`argv` is what stands behind the interpreter; `files` are descriptors, by their number there."""
        with self._lock:
            if self._process is None:
                self._process = self._started()
        ours, theirs = socket.socketpair()
        asked = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "files": list(files)}
        with theirs:
            message = json.dumps(asked).encode()
            socket.send_fds(self._control, [message], [theirs.fileno(), *files.values()])
        return Forked(argv, ours)

    def _started(self) -> subprocess.Popen[bytes]:
        with self._theirs as control:
            return subprocess.Popen(
                [sys.executable, Path(__file__).with_name("forkserver.py"), str(control.fileno())],
                env={**inherited(), "PYTHONUNBUFFERED": "1"},
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                pass_fds=[control.fileno()],
                start_new_session=True,
            )

    def end(self) -> None:
        """What it started may live on."""
        self._theirs.close()
        self._control.close()
        if self._process is not None:
            self._process.wait(END_SECONDS)


_forks: ForkServer | None = None  # None: programs start for real


@contextmanager
def forking(server: ForkServer | None) -> Iterator[None]:
    """Start programs by forks of `server` meanwhile, where a fork will do; None: not at all."""
    global _forks  # noqa: PLW0603
    kept, _forks = _forks, server
    try:
        yield
    finally:
        _forks = kept


def inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def popen(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdout: IO[Any],
    stderr: IO[Any] | None = None,
    cwd: Path = BASE_DIR,
    fds: Sequence[int] = (),
    uid: int | None = None,
) -> Started:
    """Start a program in a session of its own, with nothing to read. `env` is added to the few variables that
    are inherited. `stderr` None is where `stdout` is. `fds` stay open in it, under the same numbers. `uid`
    runs it as another user (and group of the same number)."""
    everything = inherited() | {**env}
    if _forks is not None and uid is None and _is_plain_python(argv, env):
        with open(os.devnull) as nothing:
            files = {0: nothing.fileno(), 1: stdout.fileno(), 2: (stderr or stdout).fileno()}
            files |= {fd: fd for fd in fds}
            return _forks.start(argv[1:], env=everything, cwd=cwd, files=files)
    return subprocess.Popen(
        argv,
        env=everything,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stderr is None else stderr,
        pass_fds=fds,
        start_new_session=True,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else (),
    )


def _is_plain_python(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether it is this interpreter, with a script or a module and nothing that it reads as it begins."""
    reads = any(name.startswith("PYTHON") and name != "PYTHONUNBUFFERED" for name in env)
    return argv[0] == sys.executable and (argv[1] == "-m" or argv[1].endswith(".py")) and not reads


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float = 30,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and capture what it says."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = popen(argv, env=env, stdout=stdout, stderr=stderr)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        for stream in (stdout, stderr):
            stream.seek(0)
        ended = subprocess.CompletedProcess(argv, status, stdout.read(), stderr.read())
    if check:
        ended.check_returncode()
    return ended
