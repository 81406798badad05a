from __future__ import annotations

import contextlib
import json
import socket
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from config.dev.environment import development, of_what_runs, told_to_later_commands
from config.dev.services import services
from config.dev.supervisor import programs
from config.testing.program import free_port
from proxy.env import Env, SettingError


@pytest.fixture
def ports() -> dict[str, str]:
    return {f"{name}_PORT": str(free_port()) for name in ("GATEWAY", "KB", "STUDIO", "AGENT", "CHAT")}


def test_with_nothing_set_everything_is_embedded(tmp_path: Path, ports: dict[str, str]) -> None:
    dev = development(ports, var_dir=tmp_path)

    assert list(programs(dev, base_dir=tmp_path, var_dir=tmp_path)) == [
        *("valkey", "kb", "studio", "agent", "nats", "chat", "gateway")
    ]
    assert dev.variables["KB_SERVICE_URL"] == f"http://127.0.0.1:{ports['KB_PORT']}"
    assert dev.variables["REDIS_URL"] == f"redis://127.0.0.1:{dev.valkey_port}/0"
    assert dev.own_database


def test_what_was_told_of_ports_stays_true_while_they_are_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = taken.getsockname()[1]
        given = {"GATEWAY_PORT": str(free_port()), "DEV_SERVICES": "A_URL = a {port}; B_URL = b {port}"}
        told = development(given, var_dir=tmp_path)
        kept = development(given, var_dir=tmp_path, like=told)
        assert (kept.valkey_port, kept.ports) == (told.valkey_port, told.ports)
        lost = replace(told, valkey_port=usual, services=dict.fromkeys(told.services, usual))
        moved = development(given, var_dir=tmp_path, like=lost)
        assert usual not in {moved.valkey_port, *moved.ports.values()}


def test_no_service_of_the_reference_is_started_where_its_routes_are_not_served(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    dev = development({**ports, "ROUTES": "config.tests.bare_route.ROUTE"}, var_dir=tmp_path)

    assert list(programs(dev, base_dir=tmp_path, var_dir=tmp_path)) == ["valkey", "gateway"]


def test_what_is_wrong_in_an_apps_services_is_told_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "wrongly_served"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "dev.py").write_text('SERVICES = "ROOMS_URLS: python -m rooms {port}"')
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(SettingError) as refused:
        services(Env({"EXTRA_APPS": "experience,wrongly_served"}))
    assert str(refused.value).startswith(f"SERVICES in {package}/dev.py: must be VARIABLE = command with ")
    assert "got 'ROOMS_URLS: python -m rooms {port}'" in str(refused.value)


@pytest.mark.parametrize(("host", "told"), [("::", "::"), ("[::1]", "::1"), ("localhost", "localhost")])
def test_it_listens_wherever_serve_does(tmp_path: Path, ports: dict[str, str], host: str, told: str) -> None:
    dev = development({**ports, "GATEWAY_HOST": host}, var_dir=tmp_path)
    assert (dev.host, dev.variables["GATEWAY_HOST"]) == (told, told)


def test_a_host_that_is_none_is_not_taken_for_a_wrong_port(tmp_path: Path, ports: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"^GATEWAY_HOST: must be a host name or an address"):
        development({**ports, "GATEWAY_HOST": "http://localhost"}, var_dir=tmp_path)


def test_what_the_developer_set_takes_the_place_of_the_embedded_part(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    given = {
        "REDIS_URL": "redis://there:1/0",
        "KB_SERVICE_URL": "https://kb.example.org",
        "STUDIO_WS_URLS": "wss://studio.example.org",
        "AGENT_URL": "https://agent.example.org",
        "NATS_URL": "nats://there:4222",
        "CHAT_SERVICE_URL": "https://chat.example.org",
        "DATABASE_URL": "postgres://there/db",
        "SECRET_KEY": "my own",
        "DEBUG": "false",
    }

    dev = development({**ports, **given}, var_dir=tmp_path)

    assert list(programs(dev, base_dir=tmp_path, var_dir=tmp_path)) == ["gateway"]
    assert {name: dev.variables[name] for name in given} == given
    assert "SECRET_KEY_FILE" not in dev.variables
    assert not dev.own_database


def test_the_secret_key_is_made_once_and_readable_by_its_owner_alone(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    first = Path(development(ports, var_dir=tmp_path).variables["SECRET_KEY_FILE"])
    text = first.read_text()

    again = Path(development(ports, var_dir=tmp_path).variables["SECRET_KEY_FILE"])

    assert again.read_text() == text
    assert len(text) > 60
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "KB_PORT"])
def test_a_taken_port_is_one_line_that_names_it_and_its_variable(
    tmp_path: Path, ports: dict[str, str], name: str
) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", int(ports[name])))
        taker.listen()

        with pytest.raises(SystemExit) as stopped:
            development(ports, var_dir=tmp_path)

    assert str(stopped.value) == (
        f"{name}: must be another port: {ports[name]} cannot be used (Address already in use)"
    )


def test_a_port_that_is_no_port_is_one_line_too(tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"^GATEWAY_PORT: must be a whole number from 1 to 65535, got 'eighty'"
    ):
        development({"GATEWAY_PORT": "eighty"}, var_dir=tmp_path)


def test_a_service_moves_over_while_its_usual_port_is_taken(tmp_path: Path, ports: dict[str, str]) -> None:
    """So that a second `make run` needs one port only to be named, the gateway's."""
    service = services(Env({}))[0]
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # somebody else has it: just as well
            stack.enter_context(socket.create_server(("127.0.0.1", service.default_port)))
        dev = development({"GATEWAY_PORT": ports["GATEWAY_PORT"]}, var_dir=tmp_path)

    assert dev.services[service] != service.default_port
    assert dev.variables[service.url_variable].endswith(f":{dev.services[service]}")


def test_a_later_command_finds_what_runs(tmp_path: Path, ports: dict[str, str]) -> None:
    dev = development({**ports, "DATABASE_URL": "postgres://there/db"}, var_dir=tmp_path)
    with told_to_later_commands(dev, var_dir=tmp_path):
        found = of_what_runs({"PATH": "/bin"}, var_dir=tmp_path)
        (path,) = (tmp_path / "running").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(json.loads(path.read_text())) < set(dev.variables)

    assert found["REDIS_URL"] == dev.variables["REDIS_URL"]
    assert found["DATABASE_URL"] == "postgres://there/db"
    assert found["PATH"] == "/bin"
    assert not path.exists()


def test_a_later_command_knows_services_elsewhere_and_what_else_was_set_of_any(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    of_services = {
        "KB_SERVICE_URL": "https://kb.example.org",
        "KB_PROBE": "none",
        "NATS_URL": "nats://there:4222",
        "CHAT_SERVICE_URL": "https://chat.example.org",
        "NATS_STREAM": "WORLD",
        "STUDIO_POLICY": "round_robin",
    }
    others = {"PWD": "/there", "MAKEFLAGS": "s"}
    with told_to_later_commands(
        development({**ports, **of_services, **others}, var_dir=tmp_path), var_dir=tmp_path
    ):
        found = of_what_runs({"KB_PROBE": "http"}, var_dir=tmp_path)

    assert found.items() >= {**of_services, "KB_PROBE": "http"}.items()
    assert not found.keys() & {*others, *ports}


def test_a_later_command_says_which_of_two_gateways_it_is_for(tmp_path: Path) -> None:
    first = development({"GATEWAY_PORT": str(free_port())}, var_dir=tmp_path)
    second = development({"GATEWAY_PORT": str(free_port())}, var_dir=tmp_path)
    with told_to_later_commands(first, var_dir=tmp_path), told_to_later_commands(second, var_dir=tmp_path):
        with pytest.raises(SystemExit, match=f"GATEWAY_PORT: must be .*{first.gateway_port}"):
            of_what_runs({}, var_dir=tmp_path)
        asked = of_what_runs({"GATEWAY_PORT": str(second.gateway_port)}, var_dir=tmp_path)

    assert asked["REDIS_URL"] == second.variables["REDIS_URL"] != first.variables["REDIS_URL"]


def test_what_a_killed_run_left_behind_is_no_gateway(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / "8666.json").write_text("{}")

    with pytest.raises(SystemExit, match="Nothing runs here"):
        of_what_runs({}, var_dir=tmp_path)


def test_a_later_command_says_so_when_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Nothing runs here: start it with `make run`"):
        of_what_runs({}, var_dir=tmp_path)


def test_the_services_are_those_of_the_setting_in_place_of_the_apps(tmp_path: Path) -> None:
    given = {
        "GATEWAY_PORT": str(free_port()),
        "ORDERS_PORT": str(free_port()),
        "DEV_SERVICES": "ORDERS_URL = python -m orders.service --port {port}; STOCK_WS = 'my stock' :{port}",
    }
    dev = development(given, var_dir=tmp_path)
    lines = programs(dev, base_dir=tmp_path, var_dir=tmp_path)

    assert list(lines) == ["valkey", "orders", "stock", "gateway"]
    assert lines["orders"] == [sys.executable, "-m", "orders.service", "--port", given["ORDERS_PORT"]]
    assert lines["stock"][0] == "my stock"
    assert dev.variables["ORDERS_URL"] == f"http://127.0.0.1:{given['ORDERS_PORT']}"
    assert "KB_SERVICE_URL" not in dev.variables


def test_a_service_may_speak_something_else_than_http_and_be_a_program_beside_this_python(
    tmp_path: Path,
) -> None:
    given = {"GATEWAY_PORT": str(free_port()), "DEV_SERVICES": "BUS_URL = nats: nats-server --port {port}"}
    dev = development(given, var_dir=tmp_path)
    program, *_, port = programs(dev, base_dir=tmp_path, var_dir=tmp_path)["bus"]

    assert Path(program) == Path(sys.executable).parent / "nats-server"
    assert dev.variables["BUS_URL"] == f"nats://127.0.0.1:{port}"
    assert list(dev.speak_http) == ["gateway"]


def test_without_the_reference_product_none_of_its_services_is_started(tmp_path: Path) -> None:
    given = {"GATEWAY_PORT": str(free_port()), "EXTRA_APPS": "config.tests"}
    assert not development(given, var_dir=tmp_path).services


@pytest.mark.parametrize(
    "wrong",
    [
        *("kb", "KB_URL=kb", "kb=run {port}", "=run {port}", "KB_URL='{port}"),
        "KB_URL=a {port};KB_WS=b {port}",
        *("GATEWAY_EVENTS_URL=a {port}", "VALKEY_URL=a {port}"),  # run here already
    ],
)
def test_services_that_are_written_otherwise_are_one_line(wrong: str) -> None:
    with pytest.raises(SettingError, match=r"^DEV_SERVICES: must be VARIABLE = command with \{port\} in it"):
        services(Env({"DEV_SERVICES": wrong}))
