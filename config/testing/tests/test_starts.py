"""A fork of the fork server is what a start of its own is."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.testing.program import listening_socket
from config.testing.starts import Forked, ForkServer, Started, forking, popen, run

pytestmark = pytest.mark.long

DESCRIBE = """
import json, os, signal, sys, threading
is_open = lambda number: os.path.exists(f"/proc/self/fd/{number}")
print(json.dumps({
    "name": __name__, "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "environ": dict(os.environ),
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "files": [number for number in range(1000) if is_open(number)],
    "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
    "threads": [(thread.name, thread is threading.main_thread()) for thread in threading.enumerate()],
    "stdin": sys.stdin.read(),
    "unbuffered": sys.stdout.write_through,
}))
"""
WHAT_IS_THERE = """
import sys
from django.conf import settings
ours = [name for name in sys.modules if name.partition(".")[0] in ("config", "experience", "proxy")]
print(settings.configured, "twisted.internet.reactor" in sys.modules, ours)
"""


@pytest.fixture(params=["forked", "real"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """How programs start."""
    server = ForkServer()
    with forking(server if request.param == "forked" else None):
        yield request.param
    server.end()


def script(directory: Path, text: str) -> list[str]:
    path = directory / "script.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def described(argv: list[str], directory: Path, *, fds: tuple[int, ...] = ()) -> dict[str, Any]:
    with (directory / "output").open("w+") as output:
        program = popen(
            argv, env={"MINE": "yes", "PYTHONUNBUFFERED": "1"}, cwd=directory, stdout=output, fds=fds
        )
        assert program.wait(15) == 0
        output.seek(0)
        said: dict[str, Any] = json.loads(output.read())
    return said


@pytest.mark.parametrize("words", [["script.py"], ["-m", "script"]], ids=["script", "module"])
def test_a_fork_finds_what_a_real_start_finds(tmp_path: Path, words: list[str]) -> None:
    script(tmp_path, DESCRIBE)
    argv = [sys.executable, *words, "word", "other word"]
    server = ForkServer()
    with listening_socket() as first, listening_socket() as second:
        fds = (second.fileno(), first.fileno())
        with forking(server):
            forked = described(argv, tmp_path, fds=fds)
        with forking(None):
            real = described(argv, tmp_path, fds=fds)
    server.end()

    assert forked == real
    assert forked["name"] == "__main__"
    assert forked["files"] == [0, 1, 2, *sorted(fds)]


def test_a_fork_begins_without_settings_a_reactor_and_modules_of_ours(tmp_path: Path) -> None:
    server = ForkServer()
    with forking(server):
        said = run(script(tmp_path, WHAT_IS_THERE), env={}).stdout
    server.end()

    assert said == "False False []\n"


@pytest.mark.parametrize(
    ("text", "status", "last_words"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('out of luck')", 1, "out of luck\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import atexit; atexit.register(print, 'bye', file=__import__('sys').stderr)", 0, "bye\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import os; os._exit(7)", 7, ""),
    ],
)
def test_it_ends_as_it_says(way: str, tmp_path: Path, text: str, status: int, last_words: str) -> None:
    ended = run(script(tmp_path, text), env={})

    assert ended.returncode == status
    assert ended.stderr[-len(last_words) :] == last_words if last_words else not ended.stderr
    assert ended.stdout == ""


@pytest.fixture
def asleep(way: str, tmp_path: Path) -> Iterator[Started]:
    """A program that sleeps until a signal."""
    with (tmp_path / "output").open("w") as output:
        argv = script(tmp_path, "import signal; signal.pause()")
        program = popen(argv, env={}, stdout=output)
        assert isinstance(program, Forked) is (way == "forked")
        yield program
        program.kill()
        program.wait(5)


def test_a_program_runs_until_it_is_told_to_end(asleep: Started) -> None:
    assert asleep.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        asleep.wait(0.01)

    asleep.terminate()

    assert asleep.wait(5) == asleep.poll() == -signal.SIGTERM
    asleep.send_signal(signal.SIGKILL)  # whoever has its number by now is not meant
    assert asleep.returncode == -signal.SIGTERM


def test_a_socket_that_was_handed_over_closes_with_who_got_it(way: str, tmp_path: Path) -> None:
    serve = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).accept()[0].sendall(b'hello')"
    with listening_socket() as listener, (tmp_path / "output").open("w") as output:
        fd, address = listener.fileno(), listener.getsockname()
        program = popen([*script(tmp_path, serve), str(fd)], env={}, stdout=output, fds=[fd])

    with socket.create_connection(address, timeout=5) as client:
        assert client.recv(6) == b"hello"
        assert client.recv(6) == b""
    assert program.wait(5) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_variable_that_python_reads_as_it_begins_is_not_lost(way: str, tmp_path: Path) -> None:
    warn = "import warnings; warnings.warn('careful')"

    assert run(script(tmp_path, warn), env={"PYTHONWARNINGS": "error"}).returncode == 1
    assert run(script(tmp_path, warn), env={}).returncode == 0
