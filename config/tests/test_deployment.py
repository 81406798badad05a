"""What ships: no container engine runs these files here, so what can be read of them is."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.dev.environment import SERVICES

BASE_DIR = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
IMAGES_OWN_VARIABLES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}


def settings_read() -> set[str]:
    """The names in the `env.reader("NAME", …)` calls of config/settings.py and config/keys.py."""
    calls = (
        node
        for module in ("settings.py", "keys.py")
        for node in ast.walk(ast.parse((BASE_DIR / "config" / module).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    )
    return {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and isinstance(call.args[0], ast.Constant)
    }


def settings_documented(path: str = "docs/settings.md") -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (BASE_DIR / path).read_text(), re.MULTILINE))


def compose_services(*, own_image: bool) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = COMPOSE["services"]
    return {name: service for name, service in services.items() if ("build" in service) == own_image}


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    of_make_run = {service.port_variable for service in SERVICES}

    assert settings_documented() - of_make_run == settings_read()


def test_the_readme_names_only_settings_that_exist() -> None:
    assert settings_documented("README.md") <= settings_documented()


def test_compose_sets_only_settings_that_exist() -> None:
    given = {name for service in COMPOSE["services"].values() for name in service.get("environment", {})}

    assert given - IMAGES_OWN_VARIABLES <= settings_read()


def test_compose_holds_no_secret() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name} stands in the file"
            assert "://" not in str(value) or re.search(r"://[^/@:]*:(?!\$\{)[^/@]*@", value) is None


def test_two_gateways_stand_behind_nginx_and_wait_for_their_stores() -> None:
    upstreams = re.findall(r"^\s*server ([\w-]+):8666 ", nginx_conf(), re.MULTILINE)

    assert upstreams == ["gateway-1", "gateway-2"]
    assert set(COMPOSE["services"]["nginx"]["depends_on"]) == set(upstreams)
    for name in upstreams:
        assert set(COMPOSE["services"][name]["depends_on"]) == {"migrate", "valkey"}


@pytest.mark.parametrize("name", sorted(set(COMPOSE["services"]) - {"migrate"}))
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    in_the_image = name.startswith("gateway")
    assert in_the_image or COMPOSE["services"][name]["healthcheck"]["test"]


def test_the_commands_of_our_image_exist() -> None:
    commands = [json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])]
    commands += [
        service["command"] for service in compose_services(own_image=True).values() if "command" in service
    ]

    assert {tuple(command[:2]) for command in commands} == {("python", "manage.py")}
    for command in commands:
        assert command[2] == "migrate" or list(BASE_DIR.glob(f"*/management/commands/{command[2]}.py")), (
            command
        )


def test_nothing_is_trusted_but_the_compose_network() -> None:
    (subnet,) = (config["subnet"] for config in COMPOSE["networks"]["default"]["ipam"]["config"])

    assert COMPOSE["services"]["gateway-1"]["environment"]["TRUSTED_PROXIES"] == subnet


def test_the_image_holds_what_is_there_and_runs_as_a_user_of_its_own() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (BASE_DIR / source).exists(), source
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["gateway"]
    assert "--require-hashes" in DOCKERFILE


def test_a_drain_ends_before_the_container_is_killed() -> None:
    gateway = COMPOSE["services"]["gateway-1"]

    assert int(gateway["stop_grace_period"].removesuffix("s")) > int(gateway["environment"]["DRAIN_SECONDS"])


def nginx_conf() -> str:
    return (BASE_DIR / "deploy" / "nginx.conf").read_text()
