"""`manage.py serve` as an operator starts it."""

from __future__ import annotations

import json
import re
import resource
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.testing import starts
from config.testing.plugin import Spawn
from config.testing.program import Program, free_port
from config.testing.servers import ValkeyServer
from proxy.server.tests.conftest import read_head, upgrade_request

SERVE = [sys.executable, "manage.py", "serve"]
ENVIRONMENT = {
    "SECRET_KEY": "a-key-for-the-tests-of-the-serve-command",
    "DEBUG": "true",
    "DRAIN_SECONDS": "1",
}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "gateway.sqlite3"
    manage(ENVIRONMENT | {"DATABASE_URL": f"sqlite:///{path}"}, "migrate", "-v0")
    return path


@pytest.fixture
def environment(tmp_path: Path, migrated: Path) -> dict[str, str]:
    """For a node on a migrated database of its own."""
    shutil.copy(migrated, tmp_path / "gateway.sqlite3")
    return ENVIRONMENT | {"DATABASE_URL": f"sqlite:///{tmp_path}/gateway.sqlite3"}


def port_of(program: Program) -> int:
    """The port in the first log line that says where the server listens."""
    found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", program.output)
    assert found is not None
    return int(found[1])


def ask(port: int, path: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return read_head(raw)[0]


@pytest.mark.usefixtures("real_starts")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_on_a_free_port_says_where_and_exits_0_on_sigterm(
    spawn: Spawn, environment: dict[str, str], valkey: ValkeyServer, workers: str
) -> None:
    environment["REDIS_URL"] = valkey.url
    argv = [*SERVE, "--port", "0", "--workers", workers]
    gateway = spawn(argv, name="gateway", env=environment, ready="listening on")
    assert ask(port_of(gateway), "/no-such-page") == 404
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait_for_exit() == 0
    lines = [json.loads(line) for line in gateway.output.splitlines()]
    assert any(line["event"] == "drained" for line in lines)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_node_serves_those_routes_alone_that_it_is_told_to(
    spawn: Spawn, environment: dict[str, str], valkey: ValkeyServer, workers: str
) -> None:
    environment["REDIS_URL"] = valkey.url
    argv = [*SERVE, "--port", "0", "--workers", workers, "--routes", "experience-v2,studio"]
    gateway = spawn(argv, name="gateway", env=environment, ready="listening on")
    paths = ("/ws/v2/experience", "/websocket", "/ws/experience", "/ws/v1/experience")
    assert [ask(port_of(gateway), path) for path in paths] == [426, 426, 404, 404]


@pytest.mark.parametrize("routes", ["", "experience,shop"])
def test_routes_that_there_are_not_are_one_line_and_a_failure(
    spawn: Spawn, environment: dict[str, str], routes: str
) -> None:
    gateway = spawn([*SERVE, "--port", "0", "--routes", routes], name="gateway", env=environment)
    assert gateway.wait_for_exit() == 1
    assert len(gateway.output.splitlines()) == 1
    assert "--routes takes names of routes, separated by commas: chat, experience, exp" in gateway.output


def test_several_workers_without_redis_are_one_line_and_a_failure(
    spawn: Spawn, environment: dict[str, str]
) -> None:
    gateway = spawn([*SERVE, "--port", "0", "--workers", "2"], name="gateway", env=environment)
    assert gateway.wait_for_exit() == 1
    assert len(gateway.output.splitlines()) == 1
    assert "--workers needs REDIS_URL" in gateway.output


def test_several_workers_with_an_endpoint_of_their_own_are_one_line_and_a_failure(
    spawn: Spawn, environment: dict[str, str]
) -> None:
    environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    words = ["--port", "0", "--workers", "2", "--endpoint", "tcp:0"]
    gateway = spawn([*SERVE, *words], name="gateway", env=environment)
    assert gateway.wait_for_exit() == 1
    assert len(gateway.output.splitlines()) == 1
    assert "--endpoint needs --workers 1" in gateway.output


def test_a_database_that_nobody_migrated_is_one_line_that_says_what_to_run(
    spawn: Spawn, environment: dict[str, str], tmp_path: Path
) -> None:
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/new.sqlite3"
    gateway = spawn([*SERVE, "--port", "0"], name="gateway", env=environment)
    assert gateway.wait_for_exit() == 1
    assert len(gateway.output.splitlines()) == 1
    assert re.search(r"the database lacks \d+ migrations, .*: run `python manage.py migrate`", gateway.output)
    manage(environment, "migrate", "-v0")
    spawn([*SERVE, "--port", "0"], name="gateway", env=environment, ready="listening on")


def test_a_database_that_is_away_or_silent_stops_no_start(spawn: Spawn, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            environment["DATABASE_URL"] = f"postgres://gateway@127.0.0.1:{port}/gateway"
            gateway = spawn([*SERVE, "--port", "0"], name="gateway", env=environment, ready="listening on")
            gateway.kill()


def test_it_serves_on_an_inherited_socket(spawn: Spawn, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        spawn([*SERVE, "--fd", str(fd)], name="gateway", env=environment, fds=[fd])
        assert ask(listening.getsockname()[1], "/no-such-page") == 404


def test_a_taken_port_is_one_line_and_a_failure(spawn: Spawn, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = [*SERVE, "--host", "127.0.0.1", "--port", str(taken.getsockname()[1])]
        gateway = spawn(argv, name="gateway", env=environment)
        assert gateway.wait_for_exit() != 0
        assert "cannot listen" in gateway.output
        assert "Traceback" not in gateway.output


def test_a_worker_that_staff_drained_is_not_replaced_and_the_log_says_so(
    spawn: Spawn, environment: dict[str, str], own_valkey: ValkeyServer
) -> None:
    environment |= {"REDIS_URL": own_valkey.url}
    gateway = spawn([*SERVE, "--port", "0", "--workers", "2"], name="gateway", env=environment)
    gateway.wait_for_output(r"listening on[^\n]*\n(.*\n)*?[^\n]*listening on", within_seconds=30)
    deadline = time.monotonic() + 30
    while len(nodes := re.findall(r"[\w.-]+:\d{2,}", manage(environment, "drain", "nowhere:1"))) < 2:
        assert time.monotonic() < deadline, nodes
    manage(environment, "drain", nodes[0])
    gateway.wait_for_output("worker drained and is not replaced")
    assert ask(port_of(gateway), "/health") == 200
    manage(environment, "drain", "--all")
    assert gateway.wait_for_exit() == 0
    assert '"event": "worker ended"' not in gateway.output


def test_the_wildcard_of_ipv6_takes_ipv4_clients_too(spawn: Spawn, environment: dict[str, str]) -> None:
    environment["GATEWAY_HOST"] = "::"
    gateway = spawn([*SERVE, "--port", "0"], name="gateway", env=environment, ready="listening on")
    found = re.search(r"listening on http://\[::\]:(\d+)", gateway.output)
    assert found
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, int(found[1])), timeout=10) as raw:
            raw.sendall(b"GET /no-such-page HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_head(raw)[0] == 404
    assert "::ffff:" not in gateway.output


def test_the_limit_of_open_files_is_raised_and_links_that_do_not_fit_are_not_promised(
    spawn: Spawn, environment: dict[str, str]
) -> None:
    command = shlex.join([*SERVE, "--port", "0"])
    argv = ["bash", "-c", f"ulimit -Sn 256; ulimit -Hn 3000; exec {command}"]
    gateway = spawn(argv, name="gateway", env=environment, ready="listening on")
    assert resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE) == (3000, 3000)
    (lowered,) = (line for line in map(json.loads, gateway.output.splitlines()) if "lowered" in line["event"])
    assert (lowered["check"], lowered["level"]) == ("gateway.W019", "warning")
    assert "MAX_CONNECTIONS is 9500, and is lowered to 1050: at most 3000 files" in lowered["event"]
    assert "Raise the hard limit to 19900:" in lowered["hint"]


def test_a_limit_of_open_files_that_fits_nobody_is_one_line(
    spawn: Spawn, environment: dict[str, str]
) -> None:
    argv = ["bash", "-c", f"ulimit -n 800; exec {shlex.join([*SERVE, '--port', '0'])}"]
    gateway = spawn(argv, name="gateway", env=environment)
    assert gateway.wait_for_exit() == 1
    (line,) = map(json.loads, gateway.output.splitlines())
    assert "(gateway.E004) At most 800 open files (ulimit -Hn) are too few for a gateway." in line["event"]


def test_what_check_would_say_is_logged_at_the_start_and_an_error_ends_it(
    spawn: Spawn, environment: dict[str, str]
) -> None:
    environment |= {"WEBSOCKET_ENABLED": "false", "DEBUG": "false"}
    gateway = spawn([*SERVE, "--port", "0"], name="gateway", env=environment, ready="listening on")
    said = {line.get("check"): line for line in map(json.loads, gateway.output.splitlines())}
    assert said["gateway.W023"]["event"] == "WEBSOCKET_ENABLED is false: every socket is refused with 503."
    assert said["gateway.W023"]["hint"]

    environment |= {"DEBUG": "true", "ALLOWED_HOSTS": "gateway.example.com", "GATEWAY_HOST": "127.0.0.1"}
    words = [*SERVE, "--port", "0", "--host", "0.0.0.0"]
    refused = spawn(words, name="debug", env=environment)
    assert refused.wait_for_exit() == 1
    assert len(refused.output.splitlines()) == 1
    assert "(gateway.E002) DEBUG is on, and 0.0.0.0 is listened on" in refused.output


@pytest.fixture
def unix_socket(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "gateway.sock"))
        listening.listen()
        yield listening


def test_a_unix_socket_needs_a_proxy_whose_word_counts(
    spawn: Spawn, environment: dict[str, str], unix_socket: socket.socket
) -> None:
    fd = unix_socket.fileno()
    for argv in ([*SERVE, "--fd", str(fd)], [*SERVE, "--port", "0", "--endpoint", "unix:/nowhere/x.sock"]):
        gateway = spawn(argv, name="gateway", env=environment, fds=[fd])
        assert gateway.wait_for_exit() == 1
        assert len(gateway.output.splitlines()) == 1
        assert "set TRUSTED_PROXIES=unix" in gateway.output


def test_rates_of_addresses_hold_behind_a_proxy_on_a_unix_socket(
    spawn: Spawn, environment: dict[str, str], unix_socket: socket.socket
) -> None:
    environment |= {"TRUSTED_PROXIES": "unix", "CONNECT_RATE_PER_IP": "1/h"}
    fd = unix_socket.fileno()
    spawn([*SERVE, "--fd", str(fd)], name="gateway", env=environment, fds=[fd], ready="listening on unix:")

    def handshake(address: str) -> int:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(unix_socket.getsockname())
            headers = f"X-Forwarded-For: {address}"
            raw.sendall(upgrade_request("ws/experience", headers, hosts=["localhost"]))
            return read_head(raw)[0]

    assert handshake("198.51.100.7") == 403
    assert handshake("198.51.100.7") == 429
    assert handshake("198.51.100.8") == 403


def manage(environment: dict[str, str], *words: str) -> str:
    """What `manage.py` says, on either stream."""
    ran = starts.run([sys.executable, "manage.py", *words], env=environment, timeout=60)
    return ran.stdout + ran.stderr
