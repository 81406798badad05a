"""What has imported the libraries already, and forks for each program that a test starts.

A gateway spends a second of a processor on imports before it does anything, and the suite starts hundreds; a
fork has them at once. `python forkserver.py FD` reads requests from the socket FD, and ends when nobody holds
the other end. config/testing/starts.py is who asks.

A fork differs from a start of its own in nothing that a program can tell, but for its command line in /proc:
what is imported here reads no setting, opens no file, and starts no thread and no loop; the product's own
modules are imported by the fork.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
from dataclasses import dataclass
from typing import Any

# Libraries, the long ones of what `serve`, Daphne and the reference services import.
# Not daphne.server: it makes a loop.
IMPORTED = (
    "channels.consumer",
    "channels.layers",
    "channels.routing",
    "channels_redis.pubsub",
    "daphne.http_protocol",
    "daphne.ws_protocol",
    "django.contrib.admin.filters",
    "django.contrib.admin.sites",
    "django.contrib.auth.checks",
    "django.core.asgi",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.test.signals",
    "django_prometheus.middleware",
    "importlib.metadata",
    "jwt",
    "psycopg",
    "psycopg_pool",
    "redis.asyncio",
    "rest_framework_simplejwt.exceptions",
    "structlog",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "uvloop",
    "websockets.asyncio.client",
    "websockets.asyncio.server",
    "whitenoise.middleware",
)
MOST_FILES = 250  # that one message can carry
MOST_REQUEST_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class Request:
    """A program to start: `argv` behind the interpreter, `env` and `cwd`, and what is to be open in it.

    `files` are descriptors here by their number there: 0, 1 and 2 are among them. `answers` hears its process
    id, and from the fork server its status, a line each.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    files: dict[int, int]
    answers: int

    def run(self) -> None:
        """In a fork: be that program, in a session of its own. Raises what it raises, SystemExit too."""
        os.setsid()
        os.write(self.answers, b"%d\n" % os.getpid())
        _leave_open(self.files)
        os.environ.clear()
        os.environ.update(self.env)
        os.chdir(self.cwd)
        if self.argv[0] == "-m":
            sys.path.insert(0, self.cwd)
            sys.argv[:] = self.argv[1:]
            runpy.run_module(self.argv[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = self.argv
            sys.path.insert(0, os.path.dirname(os.path.abspath(self.argv[0])))  # as Python does
            runpy.run_path(self.argv[0], run_name="__main__")


def _leave_open(files: dict[int, int]) -> None:
    """Only `files`, under the numbers that they have as keys."""
    above = max([*files, *files.values()]) + 1
    kept = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, above) for number, fd in files.items()}
    for number, fd in kept.items():
        os.dup2(fd, number)
    wanted = sorted(files)
    for low, high in zip(wanted, [*wanted[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)


class ForkServer:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ready = selectors.DefaultSelector()
        self._ready.register(control, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Fork for each request, and tell how each fork ended. Answers in a fork, with what to run; and when
        nobody is there to ask any more, with None."""
        while True:
            for key, _ in self._ready.select():
                if key.fileobj is not self._control:
                    self._tell_end(key)
                elif (received := self._received()) is None:
                    return None
                elif (request := self._forked(*received)) is not None:
                    return request

    def _received(self) -> tuple[dict[str, Any], list[int]] | None:
        """A request and its descriptors; None when there will be no more."""
        message, fds, _, _ = socket.recv_fds(self._control, MOST_REQUEST_BYTES, MOST_FILES)
        return (json.loads(message), fds) if message else None

    def _forked(self, asked: dict[str, Any], fds: list[int]) -> Request | None:
        """What to run, in the fork; None here."""
        answers, *files = fds
        if (pid := os.fork()) == 0:
            self._ready.close()  # now: whoever collects it later would close what has its number by then
            self._control.close()
            by_number = dict(zip(asked["files"], files, strict=True))
            return Request(asked["argv"], asked["env"], asked["cwd"], by_number, answers)
        for fd in files:
            os.close(fd)
        self._ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answers))
        return None

    def _tell_end(self, key: selectors.SelectorKey) -> None:
        pid, answers = key.data
        _, status = os.waitpid(pid, 0)
        self._ready.unregister(key.fd)
        os.close(key.fd)
        with contextlib.suppress(BrokenPipeError):  # nobody asks any more
            os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(answers)


def main() -> Request | None:
    del sys.path[0]  # this file's directory: forks have one of their own there
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, every page of this
    return ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__" and (request := main()) is not None:
    request.run()
