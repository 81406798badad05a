"""What ships: no container engine runs these files here, so what can be read of them is."""

from __future__ import annotations

import json
import re
import shlex
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from django.conf import settings

from config.dev.services import services as development_services
from config.testing import compose
from config.testing.compose import COMPOSE, SERVICES
from config.testing.starts import BASE_DIR
from proxy import registry
from proxy.checks.start import STOP_GRACE_SECONDS
from proxy.env import Env, env

DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
IMAGES_OWN_VARIABLES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "GOMEMLIMIT"}


def settings_read() -> set[str]:
    """The names that config/settings.py, config/keys.py and experience/settings.py ask for."""
    registry.routes()  # whose modules read some
    return set(env.defaults)


def settings_documented(path: str = "docs/settings.md") -> set[str]:
    return set(re.findall(r"^\| `([A-Z0-9_]+)` \|", (BASE_DIR / path).read_text(), re.MULTILINE))


def compose_services(*, own_image: bool) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in SERVICES.items() if ("build" in service) == own_image}


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    of_make_run = {service.port_variable for service in development_services(Env({}))}

    assert settings_documented() - of_make_run == settings_read()


@pytest.mark.long
def test_something_reads_every_setting() -> None:
    """What is read and never named again waits for code that is not there. Django reads the first few; a
    name that is put together, such as a route's, stands nowhere."""
    djangos = {"ALLOWED_HOSTS", "DEBUG", "SECRET_KEY", "SECURE_HSTS_SECONDS", "CSRF_TRUSTED_ORIGINS"}
    where_they_are_read = {"MAX_CONNECTIONS_PER_IP", "MAX_CONNECTIONS_PER_USER", "CONNECT_RATE_PER_IP"}
    where_they_are_read |= {"OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "WEBHOOK_SECRET"}
    where_they_are_read |= {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}  # both are one setting of ours
    paths = [path for room in ("config", "experience", "proxy") for path in (BASE_DIR / room).rglob("*.py")]
    code = "\n".join(path.read_text() for path in paths if "tests" not in path.parts)

    found = {name for name in settings_read() if 0 < named(name, code) < 3}
    assert found - djangos - where_they_are_read == set()


def named(name: str, code: str) -> int:
    """How often; assigning what `env.reader("NAME", …)` answers are two."""
    return len(re.findall(rf"\b{name}\b", code))


def test_the_readme_names_only_settings_that_exist() -> None:
    assert settings_documented("README.md") <= settings_documented()


def test_compose_sets_only_settings_that_exist() -> None:
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}

    assert given - IMAGES_OWN_VARIABLES <= settings_read()


def test_every_setting_reaches_the_gateways_from_the_env_file() -> None:
    """What the file itself decides holds what .env said, or is the address that nginx goes to."""
    given = {name: f"given-{name.lower()}" for name in settings_read() | {"SECRET_KEY_FILE"}}

    for gateway in ("gateway-1", "gateway-2"):
        arrived = compose.environment(gateway, given)
        fixed = {name for name, value in given.items() if value not in arrived[name].split(",")}
        assert fixed == {"GATEWAY_HOST", "GATEWAY_PORT"}


@pytest.mark.parametrize("missing", ["ALLOWED_HOSTS", "POSTGRES_PASSWORD"])
def test_what_compose_itself_needs_is_asked_for_by_name(missing: str) -> None:
    given = {"ALLOWED_HOSTS": "gateway.example.org", "POSTGRES_PASSWORD": "letters", missing: ""}

    with pytest.raises(compose.NotSet):
        compose.environment("gateway-1", given)


def test_a_database_of_ones_own_needs_no_password_here() -> None:
    given = {"ALLOWED_HOSTS": "gateway.example.org", "DATABASE_URL": "postgres://there/db"}

    assert compose.environment("gateway-1", given)["DATABASE_URL"] == "postgres://there/db"


def test_compose_holds_no_secret() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name} stands in the file"
            assert re.search(r"://[^/@:{}]*:(?!\$\{)[^/@]*@", str(value)) is None, f"{name} holds a password"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_may_do_only_what_it_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add") is None or name == "postgres"
    assert service["mem_limit"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    runs_as_somebody = "build" in service or service.get("user", "").split(":")[0].isdigit()
    assert runs_as_somebody or name == "postgres"


def test_two_gateways_stand_behind_nginx_and_wait_for_their_stores() -> None:
    upstreams = re.findall(r"^\s*server ([\w-]+):8666 resolve ", nginx_conf(), re.MULTILINE)

    assert upstreams == ["gateway-1", "gateway-2"]
    assert set(SERVICES["nginx"]["depends_on"]) == set(upstreams)
    for name in upstreams:
        assert set(SERVICES[name]["depends_on"]) == {"migrate", "valkey"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    in_the_image = name.startswith("gateway")
    assert in_the_image or SERVICES[name]["healthcheck"]["test"]


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


def test_only_nginx_may_say_who_a_client_is() -> None:
    """Not the network: it has Docker's own gateway in it, from where clients of the host may come."""
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    (address,) = (at["ipv4_address"] for at in SERVICES["nginx"]["networks"].values())
    trusted = compose.environment("gateway-1", {"ALLOWED_HOSTS": "h", "POSTGRES_PASSWORD": "p"})

    assert [word for word in trusted["TRUSTED_PROXIES"].split(",") if word] == [address]
    assert ip_address(address) in ip_network(network["subnet"])
    assert ip_address(address) not in ip_network(network["ip_range"])  # no other container gets it


def test_the_image_holds_what_is_there_and_runs_as_a_user_of_its_own() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (BASE_DIR / source).exists(), source
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["gateway"]
    assert "--require-hashes" in DOCKERFILE


def test_the_documented_commands_name_services_and_commands_that_exist() -> None:
    lines = documented_commands()

    assert len(lines) >= 8
    for words in lines:
        named = [word for word in words[3:] if word in SERVICES]
        assert named or "--build" in words or words[2] in {"build", "down"}, words
        if "manage.py" in words:
            name = words[words.index("manage.py") + 1]
            assert name == "createsuperuser" or list(BASE_DIR.glob(f"*/management/commands/{name}.py")), name


def test_an_upgrade_takes_one_gateway_at_a_time_and_looks_at_it_before_the_next() -> None:
    """`up` without `--no-deps` would stop both; `--wait` is until the health check passes."""
    commands = documented_commands()
    begin = commands.index(["docker", "compose", "build"])
    _, migrate, first, look, second = commands[begin : begin + 5]

    assert migrate[2:] == ["run", "--rm", "migrate"]
    assert first[2:] == ["up", "--detach", "--no-deps", "--wait", "gateway-1"]
    assert look[-1] == "http://gateway-1:8666/ready"
    assert second[2:] == ["up", "--detach", "--no-deps", "--wait", "gateway-2"]


def documented_commands() -> list[list[str]]:
    """Every `docker compose …` of docs/operations.md, in words."""
    text = (BASE_DIR / "docs" / "operations.md").read_text()
    return [
        shlex.split(line) for line in re.findall(r"(?:^|`)(docker compose \w[^`\n]*)", text, re.MULTILINE)
    ]


def test_a_drain_ends_before_the_container_is_killed() -> None:
    grace = compose.interpolated(SERVICES["gateway-1"]["stop_grace_period"], {})
    drain_seconds = settings.DRAIN_SECONDS

    assert int(grace.removesuffix("s")) > drain_seconds + STOP_GRACE_SECONDS


def nginx_conf() -> str:
    return (BASE_DIR / "deploy" / "proxies" / "nginx" / "compose.conf").read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md", "docs/troubleshooting.md"])
def test_what_is_documented_names_variables_that_exist(page: str) -> None:
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", (BASE_DIR / page).read_text()))
    of_compose = set(re.findall(r"\$\{(\w+)", (BASE_DIR / "docker-compose.yml").read_text()))
    of_make_run = {service.port_variable for service in development_services(Env({}))}

    assert named - settings_read() - of_compose - of_make_run - {"NAME_FILE"} == set()


def test_the_image_takes_the_extra_that_the_env_file_names_and_has_its_requirements() -> None:
    """A container of a setting that wants more could not start, and nobody can install into one."""
    for service in compose_services(own_image=True).values():
        assert service["build"]["args"] == {"EXTRA": "${EXTRA:-}"}
    copied = re.findall(
        r"requirements/(\w+)\.txt", re.findall(r"^COPY requirements/.*$", DOCKERFILE, re.M)[0]
    )
    assert copied == ["base", "otel"]
    assert "ARG EXTRA=\n" in DOCKERFILE
    assert "for name in base ${EXTRA}; do" in DOCKERFILE
    let_through = (BASE_DIR / ".dockerignore").read_text().splitlines()
    assert {f"!requirements/{name}.txt" for name in copied} <= set(let_through)
