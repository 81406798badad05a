from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from config.testing.plugin import Spawn
from config.testing.program import Program, ProgramFailed, listening_socket
from config.testing.servers import NatsServer, NginxServer, PostgresServer, ValkeyServer

SAY_READY = "import signal; print('ready', flush=True); signal.pause()"


def test_a_spawned_program_is_ready_when_it_says_so_and_ends_on_request(spawn: Spawn) -> None:
    program = spawn([sys.executable, "-c", SAY_READY], name="speaker", ready="^ready$")

    assert program.running
    assert program.stop() == -signal.SIGTERM


def test_a_program_that_ends_early_fails_the_wait_with_its_last_words(spawn: Spawn) -> None:
    with pytest.raises(ProgramFailed, match=r"(?s)ended with 3.*out of luck"):
        spawn(
            [sys.executable, "-c", "print('out of luck'); raise SystemExit(3)"], name="loser", ready="never"
        )


def test_a_wait_ends_at_its_deadline(spawn: Spawn) -> None:
    program = spawn([sys.executable, "-c", SAY_READY], name="speaker", ready="ready")

    with pytest.raises(ProgramFailed, match=r"waited 0.1 s for its output to match 'never'"):
        program.wait_for_output("never", within_seconds=0.1)


def test_a_program_that_ignores_sigterm_is_killed_and_that_is_a_failure(tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SAY_READY}"
    program = Program([sys.executable, "-c", deaf], name="deaf", output_path=tmp_path / "log")
    program.start()
    program.wait_for_output("ready")

    with pytest.raises(ProgramFailed, match="still runs"):
        program.stop(within_seconds=0.1)
    assert not program.running


def test_a_kill_takes_the_children_too(spawn: Spawn) -> None:
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SAY_READY!r}]).wait()"
    program = spawn([sys.executable, "-c", parent], name="parent", ready="ready")
    (child,) = psutil.Process(program.pid).children()

    program.kill()

    deadline = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent's kill"


def test_the_developers_environment_does_not_reach_a_program(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://precious")
    script = "import os; print('seen', os.environ.get('DATABASE_URL'), os.environ.get('MINE'), flush=True)"

    program = spawn([sys.executable, "-c", script], name="env", env={"MINE": "yes"}, ready="seen .*\n")

    assert "seen None yes" in program.output


def test_a_program_serves_on_a_socket_that_it_was_handed(spawn: Spawn) -> None:
    script = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.accept()[0].sendall(b'hello')"
    with listening_socket() as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        spawn([sys.executable, "-c", script, str(fd)], name="heir", fds=[fd])

        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            assert client.recv(5) == b"hello"


def test_valkey_forgets_everything_when_killed_and_comes_back_on_the_same_port(valkey: ValkeyServer) -> None:
    client = redis.Redis.from_url(valkey.url, socket_timeout=5)
    client.set("key", "value")
    port = valkey.port

    valkey.kill()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(valkey.url, socket_timeout=5).get("key")
    valkey.start()

    assert valkey.port == port
    assert client.get("key") is None


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_valkey_empty(valkey: ValkeyServer, turn: int) -> None:
    client = redis.Redis.from_url(valkey.url, socket_timeout=5)
    assert client.dbsize() == 0
    client.set("left", "behind")


def test_postgres_keeps_what_was_committed_over_a_kill(postgres: PostgresServer, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database_url, connect_timeout=5)
    postgres.start()

    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
    assert row == (42,)


def test_nats_greets_its_clients(nats: NatsServer) -> None:
    with socket.create_connection(("127.0.0.1", nats.port), timeout=5) as client:
        assert client.recv(5) == b"INFO "


def test_nginx_serves_the_configuration_of_the_test(nginx: Callable[[str], NginxServer]) -> None:
    server = nginx("server { listen 127.0.0.1:{port}; location / { return 200 'here'; } }")

    assert httpx.get(server.url).text == "here"
