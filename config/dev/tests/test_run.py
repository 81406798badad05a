"""`make run`, as a developer sees it: a checkout of its own, started, used and ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis
from websockets.sync.client import connect
from websockets.typing import Origin

from config.testing.plugin import Spawn
from config.testing.program import Program, free_port
from config.testing.starts import BASE_DIR

pytestmark = pytest.mark.long

COPIED = ("config", "examples", "experience", "proxy", "templates", "manage.py")
RUN = [sys.executable, "-m", "config.dev"]
# What a shell does to a program that a script starts with `&`.
IGNORING_SIGINT = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
FROM_A_SCRIPT = [sys.executable, "-c", IGNORING_SIGINT]


def checked_out(directory: Path) -> Path:
    """The product's files in an empty directory, compiled if they were, without what an earlier run left."""
    directory.mkdir()
    for name in COPIED:
        source = BASE_DIR / name
        if source.is_dir():
            shutil.copytree(source, directory / name)
        elif source.exists():
            shutil.copy(source, directory / name)
    return directory


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return checked_out(tmp_path / "checkout")


@pytest.fixture
def ports() -> dict[str, str]:
    return {"GATEWAY_PORT": str(free_port())}


def start(spawn: Spawn, checkout: Path, ports: dict[str, str]) -> Program:
    program = spawn(RUN, name="run", env=ports, cwd=checkout, ready="^Sluicegate is up", within_seconds=45)
    program.wait_for_output("^  Any command ")
    return program


@dataclass(frozen=True, slots=True)
class Up:
    """One that runs, in its checkout."""

    program: Program
    checkout: Path
    ports: dict[str, str]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """For the tests that only use it; it asks its services often."""
    directory = tmp_path_factory.mktemp("run")
    ports = {"GATEWAY_PORT": str(free_port())}
    env = {**ports, "KB_PROBE_SECONDS": "0.2"}
    checkout = checked_out(directory / "checkout")
    program = Program(RUN, name="run", output_path=directory / "run.log", env=env, cwd=checkout)
    try:
        program.start()
        program.wait_for_output("^Sluicegate is up(.|\\n)*^  Any command ", within_seconds=45)
        yield Up(program, checkout, ports)
        program.stop()
    finally:
        program.kill()


def all_gone(processes: list[psutil.Process]) -> bool:
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def ends_leaving_no_process(program: Program, checkout: Path, how: signal.Signals) -> None:
    children = psutil.Process(program.pid).children(recursive=True)

    ended_with = program.stop(number=how)

    assert len(children) >= 3
    assert ended_with == 0
    assert all_gone(children)
    assert not list((checkout / "var" / "running").iterdir())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_it_answers_and_ends_leaving_no_process(
    spawn: Spawn, checkout: Path, ports: dict[str, str], how: signal.Signals
) -> None:
    program = start(spawn, checkout, ports)
    page = httpx.get(f"http://127.0.0.1:{ports['GATEWAY_PORT']}/admin/login/")

    assert page.status_code == 200
    ends_leaving_no_process(program, checkout, how)


def test_the_printed_login_opens_the_admin_and_stays_the_same_after_ctrl_c(
    spawn: Spawn, checkout: Path, ports: dict[str, str]
) -> None:
    program = start(spawn, checkout, ports)
    name, password = program.wait_for_output(r"^ +(\w+) / (\S+)  \(of this checkout only\)").groups()

    with httpx.Client(base_url=f"http://127.0.0.1:{ports['GATEWAY_PORT']}") as browser:
        browser.get("/admin/login/")
        form = {"username": name, "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        entered = browser.post("/admin/login/?next=/admin/", data=form)
    assert (entered.status_code, entered.headers["location"]) == (302, "/admin/")
    assert "tokens revoked" not in program.output, "the login was made, and not changed"
    ends_leaving_no_process(program, checkout, signal.SIGINT)

    again = start(spawn, checkout, ports)
    assert password in again.output


def test_the_printed_url_and_commands_work_at_once(spawn: Spawn, up: Up) -> None:
    program, checkout = up.program, up.checkout
    url = program.wait_for_output(r"^  WebSocket +(ws://\S+)$")[1]
    studio = program.wait_for_output(r"^  Studio +(ws://\S+)$")[1]
    agent = program.wait_for_output(r"^  An agent +(http://\S+) ")[1]
    valkey = program.wait_for_output(r"^  An agent .+ (redis://\S+)$")[1]
    talk = program.wait_for_output("^  Talk to it +(.+)$")[1]
    publish = program.wait_for_output("^  Any command +(.+)$")[1]

    with Redis.from_url(valkey, socket_timeout=5) as redis:
        assert redis.ping()
    with connect(url, proxy=None, open_timeout=5) as client:
        assert json.loads(client.recv(5))["type"] == "connected"
        client.send('{"type":"ping"}')
        assert json.loads(client.recv(5))["type"] == "pong"
        published = spawn(["sh", "-c", publish], name="publish", cwd=checkout)
        assert published.wait_for_exit() == 0, published.output
        assert json.loads(client.recv(5)) == {"type": "quest.updated"}

    with connect(url.replace("/ws/", "/ws/v2/"), proxy=None, open_timeout=5) as client:
        assert json.loads(client.recv(5))["type"] == "connected"
        client.send(json.dumps(COLLECT))
        told = [json.loads(client.recv(5)) for _ in range(2)]
        assert {message["type"] for message in told} == {"action_response", "state.changed"}
    assert re.search(
        r"^  Version 2 .*/ws/v2/experience, changes by nats://127\.0\.0\.1:\d+$", program.output, re.M
    )

    with connect(studio, proxy=None, open_timeout=5) as client:
        client.send(program.wait_for_output(r'likewise, then type: (\{"type":"whoami"\})$')[1])
        assert json.loads(client.recv(5))["path"] == "/ws"

    assert "new WebSocket" in httpx.get(agent).text
    with connect(httpx.get(f"{agent}/new").text.strip(), proxy=None, open_timeout=5) as client:
        assert json.loads(client.recv(5))["type"] == "word"

    keyboard = """(echo '{"type":"ping"}'; exec sleep 30)"""  # stays open; ended with the test
    talking = spawn(["sh", "-c", f"{keyboard} | {talk}"], name="talk", cwd=checkout)
    talking.wait_for_output('"type":"pong"')


COLLECT = {
    "type": "action",
    "action": "collect_bottle",
    "item_id": "bottle_of_mist",
    "spot_id": "mill_pond",
}

ROOMS = """
from proxy.api import Route, Upstream
POOL = Upstream(name="rooms", members=(), editable=True)
ROOM = Route(name="rooms", paths=("rooms/<slug:room>",), upstream=POOL)
"""


@pytest.mark.parametrize("beside", ["", ",experience.routes.ROUTES"], ids=["alone", "beside the reference"])
def test_it_tells_of_the_routes_that_are_served_and_of_no_other(
    spawn: Spawn, checkout: Path, ports: dict[str, str], beside: str
) -> None:
    package = checkout / "rooms"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").touch()
    (package / "routes.py").write_text(ROOMS)
    program = start(spawn, checkout, {**ports, "ROUTES": f"rooms.routes.ROOM{beside}"})
    told = program.output.partition("Sluicegate is up")[2].partition("  Any command ")[0]

    assert f"  rooms        ws://127.0.0.1:{ports['GATEWAY_PORT']}/rooms/{{room}}?token=TOKEN\n" in told
    assert "503 so far: the pool rooms has no member\n" in told
    assert ("/ws/experience" in told, "  Studio  " in told) == (bool(beside), bool(beside))
    assert (" kb " in program.output) is bool(beside)
    assert re.search("ROUTES leads into rooms, which has models.* check=gateway.W013", program.output)


def test_it_prints_one_screen(up: Up) -> None:
    """Of 80 columns and 30 lines, without advice on the kernel, and without its own questions.

    Six of them are the chat's page for two users, whose tokens are long."""
    program, checkout = up.program, up.checkout
    log, begin, rest = program.output.partition("Sluicegate is up")
    screen, _, _ = rest.partition("  Any command ")
    screen = screen.replace(os.path.relpath(sys.executable, checkout), ".venv/bin/python")  # as make has it

    assert begin
    assert (
        len(re.findall(r"^  Chat, \w+ +http://127\.0\.0\.1:\d+/chat/#token=\S+$", screen, re.MULTILINE)) == 2
    )
    assert re.search(r"^  An agent .+ redis://127\.0\.0\.1:\d+/0$", screen, re.MULTILINE)
    assert sum(max(1, -(-len(line) // 80)) for line in screen.splitlines()) + 2 <= 30
    assert "WARNING" not in log
    assert "/health" not in log
    assert "refused" not in program.output


def test_a_second_one_in_the_same_checkout_leaves_the_first_alone(spawn: Spawn, up: Up) -> None:
    first, checkout = up.program, up.checkout
    second = start(spawn, checkout, {"GATEWAY_PORT": str(free_port())})
    url = first.wait_for_output(r"^  WebSocket +(ws://\S+)$")[1]
    publish = [*RUN, "publish", "user:demo", '{"type":"quest.updated"}']
    printed = second.wait_for_output("^  Any command +(.+)$")[1]

    assert spawn(["sh", "-c", printed], name="printed", cwd=checkout).wait_for_exit() == 0
    with connect(url, proxy=None, open_timeout=5) as client:
        assert json.loads(client.recv(5))["type"] == "connected"
        unsaid = spawn(publish, name="unsaid", cwd=checkout)
        assert unsaid.wait_for_exit() == 1
        assert unsaid.output.startswith("GATEWAY_PORT: ")
        assert spawn(publish, name="publish", env=up.ports, cwd=checkout).wait_for_exit() == 0
        assert json.loads(client.recv(5)) == {"type": "quest.updated"}
        second.stop(number=signal.SIGINT)
        assert spawn(publish, name="again", cwd=checkout).wait_for_exit() == 0
        assert json.loads(client.recv(5)) == {"type": "quest.updated"}


def test_a_page_of_a_development_server_may_connect(up: Up) -> None:
    url = up.program.wait_for_output(r"^  WebSocket +(ws://\S+)$")[1]

    with connect(url, proxy=None, origin=Origin("http://localhost:5173")) as client:
        assert json.loads(client.recv(5))["type"] == "connected"


def test_the_end_of_one_part_ends_all_of_it(spawn: Spawn, checkout: Path, ports: dict[str, str]) -> None:
    program = start(spawn, checkout, ports)
    children = psutil.Process(program.pid).children(recursive=True)
    (valkey,) = [child for child in children if "valkey" in child.name()]

    valkey.kill()

    assert program.wait_for_exit() != 0
    assert "valkey ended with -9, and so does all of it" in program.output
    assert all_gone(children)


def test_a_port_that_is_taken_between_the_look_and_the_start_is_named(
    spawn: Spawn, checkout: Path, ports: dict[str, str]
) -> None:
    port = str(free_port())
    serve = "python -m http.server --bind 127.0.0.1 {port}"
    services = {"DEV_SERVICES": f"ONE_URL={serve}; TWO_URL={serve}", "ONE_PORT": port, "TWO_PORT": port}
    program = spawn(RUN, name="run", env=ports | services, cwd=checkout)

    assert program.wait_for_exit(within_seconds=45) != 0
    name = program.wait_for_output("^(one|two) ended with")[1]
    assert (
        f"{name} ended with 1 as port {port} was taken meanwhile "
        f"(start again, or set {name.upper()}_PORT), and so does all of it\n" in program.output
    )


@pytest.mark.parametrize("before", [[], FROM_A_SCRIPT], ids=["terminal", "script"])
def test_ctrl_c_while_it_starts_ends_it_too(
    spawn: Spawn, checkout: Path, ports: dict[str, str], before: list[str]
) -> None:
    program = spawn([*before, *RUN], name="run", env=ports, cwd=checkout)
    program.wait_until(
        lambda: bool(psutil.Process(program.pid).children()), "a first child", within_seconds=15
    )
    children = psutil.Process(program.pid).children(recursive=True)

    program.stop(number=signal.SIGINT)

    deadline = time.monotonic() + 5  # what was killed last may take a moment to be gone
    while not all_gone(children):
        assert time.monotonic() < deadline
    assert "Traceback" not in program.output


def test_a_taken_port_stops_the_start_with_one_line(
    spawn: Spawn, checkout: Path, ports: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", int(ports["GATEWAY_PORT"]))):
        program = spawn(RUN, name="run", env=ports, cwd=checkout)
        assert program.wait_for_exit() == 1

    (line,) = program.output.splitlines()
    assert line.startswith(f"GATEWAY_PORT: must be another port: {ports['GATEWAY_PORT']} ")


def test_a_command_beside_it_uses_its_stores(spawn: Spawn, up: Up) -> None:
    script = "from django.conf import settings; print([settings.REDIS_URL, settings.DEBUG])"

    command = spawn([*RUN, "shell", "--verbosity", "0", "--command", script], name="command", cwd=up.checkout)

    assert command.wait_for_exit() == 0
    redis_url, debug = json.loads(command.output.strip().replace("'", '"').replace("True", "true"))
    assert redis_url.startswith("redis://127.0.0.1:")
    assert debug is True
