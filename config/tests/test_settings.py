"""The settings as a whole, in processes of their own: this one has its settings already."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from config.testing import starts
from proxy.tests.tokens import PRIVATE, PUBLIC, pem_pair

BASE_DIR = Path(__file__).resolve().parents[2]
MARK = "hunter2"  # stands in every wrong secret; it must not come out again
GOOD = {"SECRET_KEY": "s" * 64}
RS, ES = {"JWT_ALGORITHM": "RS256"}, {"JWT_ALGORITHM": "ES256"}
ES_PAIR = {
    **ES,
    "JWT_SIGNING_KEY": pem_pair("ES256")[PRIVATE],
    "JWT_VERIFYING_KEY": pem_pair("ES256")[PUBLIC],
}

# Reads many environments, each by a fresh run of the settings, and tells what became of each.
READ_MANY = """
import json, os, runpy, sys
def shown(value):
    is_list = isinstance(value, tuple) and value and (isinstance(value[0], str) or hasattr(value[0], "parse"))
    return ",".join(map(str, value)) if is_list else str(value)
for variables in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(variables)
    try:
        values = runpy.run_path("config/settings.py")
        runpy.run_path("experience/settings.py")
        defaults = {name: shown(value) for name, value in values["env"].defaults.items()}
        print(json.dumps({"line": None, "defaults": defaults, "key": values["JWT_SIGNING_KEY"]}))
    except SystemExit as stopped:
        print(json.dumps({"line": stopped.code}))
"""

WRONG: list[tuple[dict[str, str], str]] = [
    ({"DEBUG": "maybe"}, "true or false"),
    ({"GATEWAY_HOST": "http://0.0.0.0"}, "a host name or an address"),
    ({"GATEWAY_PORT": "http"}, "a whole number from 1 to 65535"),
    ({"GATEWAY_PORT": "65536"}, "a whole number from 1 to 65535"),
    ({"SECRET_KEY": ""}, "a long random text"),
    ({"SECRET_KEY": " "}, "a long random text"),
    ({"ALLOWED_HOSTS": "https://example.com"}, "host names separated by commas"),
    ({"LOG_LEVEL": "LOUD"}, "one of DEBUG, INFO"),
    ({"LOG_FORMAT": "xml"}, "one of json, console"),
    ({"METRICS_TOKEN": "short"}, "16 characters or more"),
    ({"TRUSTED_PROXIES": "the-proxy"}, "addresses or networks separated by commas"),
    ({"TRUSTED_PROXIES": "10.0.0.0/33"}, "addresses or networks separated by commas"),
    ({"ALLOWED_ORIGINS": "example.com"}, "origins separated by commas"),
    ({"ALLOWED_ORIGINS": "https://example.com/"}, "origins separated by commas"),
    ({"WEBSOCKET_ENABLED": "2"}, "true or false"),
    ({"MAX_CONNECTIONS": "0"}, "a whole number of 1 or more"),
    ({"MAX_CONNECTIONS_PER_IP": "-1"}, "a whole number of 1 or more"),
    ({"MAX_CONNECTIONS_PER_USER": "many"}, "a whole number of 1 or more"),
    ({"CONNECT_RATE_PER_IP": "20"}, "a rate such as 20/s or 100/m"),
    ({"EXPERIENCE_MAX_CONNECTIONS_PER_IP": "0"}, "a whole number of 1 or more"),
    ({"EXPERIENCE_MAX_CONNECTIONS_PER_USER": "0"}, "a whole number of 1 or more"),
    ({"EXPERIENCE_CONNECT_RATE_PER_IP": "20"}, "a rate such as 20/s or 100/m"),
    ({"STUDIO_MAX_CONNECTIONS_PER_IP": "0"}, "a whole number of 1 or more"),
    ({"STUDIO_MAX_CONNECTIONS_PER_USER": "0"}, "a whole number of 1 or more"),
    ({"STUDIO_CONNECT_RATE_PER_IP": "20"}, "a rate such as 20/s or 100/m"),
    ({"MESSAGE_RATE_PER_USER": "0/s"}, "a rate such as 20/s or 100/m"),
    ({"EXPERIENCE_MESSAGE_RATE": "many"}, "a rate such as 20/s or 100/m"),
    ({"CONNECTION_CAP_POLICY": "kick"}, "one of refuse, replace_oldest"),
    ({"MESSAGE_RATE_PER_CONNECTION": "fast"}, "a rate such as 20/s or 100/m"),
    ({"BYTE_RATE_PER_USER": "1M/s"}, "a rate such as 20/s or 100/m"),
    ({"BYTE_RATE_PER_CONNECTION": "0/s"}, "a rate such as 20/s or 100/m"),
    ({"MESSAGE_RATE_POLICY": "queue"}, "one of drop, close, wait"),
    ({"API_RATE_PER_USER": "20"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_MAX_PARTICIPANTS": "1"}, "a whole number from 2 to 10000"),
    ({"CHAT_CHANGE_RATE_PER_USER": "many"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_PAGE": "2"}, "true or false"),
    ({"JWT_ALGORITHM": "none"}, "one of HS256"),
    ({"JWT_SIGNING_KEY": f"-----BEGIN PUBLIC KEY-----\n{MARK}\n-----END PUBLIC KEY-----"}, "not a PEM key"),
    ({"JWT_VERIFYING_KEY": MARK}, "unset for HS256, which verifies with JWT_SIGNING_KEY"),
    ({"JWT_JWKS_URL": f"https://{MARK}/"}, "unset for HS256, which verifies with JWT_SIGNING_KEY"),
    ({"JWT_JWKS_URL": f"ftp://user:{MARK}@host/"}, "a URL that begins with http:// or https://"),
    ({**RS, "JWT_JWKS_URL": "https:///keys"}, "a URL that begins with http:// or https://"),
    ({**RS, "JWT_VERIFYING_KEY": MARK}, "a PEM public key for RS256"),
    ({**RS, "JWT_VERIFYING_KEY": pem_pair("RS256")[PRIVATE]}, "a PEM public key for RS256"),
    ({**RS, "JWT_VERIFYING_KEY": pem_pair("ES256")[PUBLIC]}, "a PEM public key for RS256"),
    ({**ES, "JWT_VERIFYING_KEY": pem_pair("RS256")[PUBLIC]}, "a PEM public key for ES256"),
    ({**RS, "JWT_SIGNING_KEY": MARK}, "a PEM private key for RS256"),
    ({**RS, "JWT_SIGNING_KEY": pem_pair("RS256")[PUBLIC]}, "a PEM private key for RS256"),
    (
        ES_PAIR | {"JWT_VERIFYING_KEY": pem_pair("ES256", 1)[PUBLIC]},
        "the public key of JWT_SIGNING_KEY",
    ),
    ({**RS, "JWT_VERIFYING_KEY": ""}, "set for RS256, or else JWT_JWKS_URL, but not both"),
    ({"JWT_LEEWAY_SECONDS": "-1"}, "a number of seconds from 0 to 3600"),
    ({"KB_SERVICE_URL": "127.0.0.1:8001"}, "a URL like http://host:port"),
    ({"KB_SERVICE_URL": f"http://user:{MARK}@host:8001"}, "a URL like http://host:port"),
    ({"STUDIO_WS_URLS": f"ws://a:1,ws://user:{MARK}@b:2"}, "URLs like ws://host:port"),
    ({"KB_PROBE": "tcp"}, "one of websocket, http, none"),
    ({"KB_PROBE_PATH": "ws"}, "a path like /ws"),
    ({"KB_PROBE_SECONDS": "0"}, "a number of seconds from 0.1"),
    ({"KB_ACTION_SECONDS": "16"}, "a number of seconds from 0.1 to 15"),
    ({"KB_ACTIONS_PER_LINK": "0"}, "a whole number of 1 or more"),
    ({"KB_ACTIONS_WAITING": "many"}, "a whole number of 1 or more"),
    ({"KB_ACTION_CONNECTIONS": "0"}, "a whole number of 1 or more"),
    ({"V2_SHARE": "101"}, "a percentage from 0 to 100"),
    ({"STUDIO_POLICY": "random"}, "one of round_robin, least_connections, weighted, affinity"),
    ({"STUDIO_SOCKETIO_NAMESPACES": "/chat,admin"}, "Socket.IO namespaces separated by commas"),
    ({"STUDIO_RESUME": "yes"}, "one of close, reconnect"),
    ({"STUDIO_PROBE": "tcp"}, "one of websocket, http, none"),
    ({"STUDIO_PROBE_PATH": "ws"}, "a path like /ws"),
    ({"STUDIO_PROBE_SECONDS": "0"}, "a number of seconds from 0.1"),
    ({"STUDIO_MEMBER_MAX_CONNECTIONS": "-1"}, "a whole number of 0 or more"),
    ({"EVENT_WAIT_SECONDS": "soon"}, "a number of seconds from"),
    ({"API_RATE_PER_USER": "many"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_MAX_PARTICIPANTS": "1"}, "a whole number from 2 to 10000"),
    ({"CHAT_CHANGE_RATE_PER_USER": "many"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_PAGE": "maybe"}, "true or false"),
    ({"CHAT_SERVICE_URL": "localhost"}, "URLs like ws://host:port/path, separated by commas"),
    ({"CHAT_PROBE": "tcp"}, "one of message, websocket, http, none"),
    ({"CHAT_PROBE_PATH": "ws"}, "a path like /ws"),
    ({"CHAT_PROBE_SECONDS": "0"}, "a number of seconds from 0.1"),
    ({"CHAT_TEXT_CHARACTERS": "0"}, "a whole number of 1 or more"),
    ({"CHAT_MAX_MESSAGE_BYTES": "127"}, "a whole number of 128 or more"),
    ({"CHAT_OUTBOX_BYTES": "1023"}, "a whole number of 1024 or more"),
    ({"CHAT_WS_TIMEOUT_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"CHAT_MESSAGE_RATE_PER_CONNECTION": "many"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_MESSAGE_RATE_PER_USER": "many"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_ERROR_RATE": "0/m"}, "a rate such as 20/s or 100/m"),
    ({"CHAT_MASKED_WORDS": "good,two words"}, "words, separated by commas"),
    ({"CHAT_MAX_CONNECTIONS_PER_IP": "0"}, "a whole number of 1 or more"),
    ({"CHAT_MAX_CONNECTIONS_PER_USER": "0"}, "a whole number of 1 or more"),
    ({"CHAT_CONNECT_RATE_PER_IP": "20"}, "a rate such as 20/s or 100/m"),
    ({"RELAY_REDIS_TIMEOUT_SECONDS": "7"}, "a number of seconds from 0.001 to 6"),
    ({"RELAY_GRACE_SECONDS": "-1"}, "a number of seconds from 0.001"),
    ({"RELAY_MAX_MESSAGE_BYTES": "127"}, "a whole number from 128"),
    ({"RELAY_MAX_MESSAGE_BYTES": "1048577"}, "to 1048576"),
    ({"RELAY_OUTBOX_BYTES": "1MiB"}, "a whole number of 1024 or more"),
    ({"RELAY_MODE": "streams"}, "one of live, durable"),
    ({"RELAY_KEEP_MESSAGES": "0"}, "a whole number of 1 or more"),
    ({"RELAY_KEEP_SECONDS": "0"}, "a number of seconds from 1"),
    ({"RELAY_KEEP_BYTES": "65535"}, "a whole number of 65536 or more"),
    ({"RELAY_WS_TIMEOUT_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"RELAY_MESSAGE_RATE": "many"}, "a rate such as 20/s or 100/m"),
    ({"RELAY_BYTE_RATE": "many"}, "a rate such as 20/s or 100/m"),
    ({"RELAY_MAX_CONNECTIONS_PER_IP": "0"}, "a whole number of 1 or more"),
    ({"RELAY_MAX_CONNECTIONS_PER_USER": "0"}, "a whole number of 1 or more"),
    ({"RELAY_CONNECT_RATE_PER_IP": "20"}, "a rate such as 20/s or 100/m"),
    ({"NATS_URL": f"http://user:{MARK}@nats:4222"}, "URLs like nats://host:4222"),
    ({"NATS_URL": "nats://nats:port"}, "URLs like nats://host:4222"),
    ({"NATS_SUBJECTS": "news=user:{id}"}, "SUBJECT=TOPIC, separated by commas"),
    ({"NATS_SUBJECTS": "*.{id}=user:{id}"}, "SUBJECT=TOPIC, separated by commas"),
    ({"NATS_STREAM": "world.updates"}, "the name of a stream of JetStream"),
    ({"AMQP_URL": f"http://user:{MARK}@rabbitmq"}, "a URL like amqps://user:password@host:5671/vhost"),
    ({"AMQP_URL": f"amqp://user:{MARK}/x@rabbitmq:5672"}, "with / as %2F"),
    ({"AMQP_CA_FILE": "/nowhere/ca.pem"}, "the path of a file that holds certificates"),
    ({"CHAT_EVENTS": "kafka"}, "one of off, nats, rabbitmq"),
    ({"NATS_URL": "nats://nats:4222", "CHAT_EVENTS": "rabbitmq"}, "nats or off while AMQP_URL is unset"),
    ({"CHAT_EVENTS": "nats"}, "rabbitmq or off while NATS_URL is unset"),
    ({"CHAT_EVENTS_PREFIX": "chat.*"}, "words with dots between"),
    ({"CHAT_EVENTS_STREAM": "chat.events"}, "the name of a stream of JetStream"),
    ({"CHAT_EVENTS_EXCHANGE": "amq.topic"}, "the name of an exchange"),
    ({"CHAT_EVENTS_WAIT_SECONDS": "0"}, "a number of seconds"),
    ({"REDIS_CHANNELS": "*:{id}=user:{id}"}, "CHANNEL=TOPIC, separated by commas"),
    ({"ROUTES": "orders/routes.py"}, "dotted paths separated by commas"),
    ({"ROUTES": "ROUTES"}, "dotted paths separated by commas"),
    ({"EXTRA_APPS": "no_such_app"}, "packages that can be imported"),
    ({"EXTRA_APPS": "experience.apps"}, "packages that can be imported"),
    ({"EXTRA_APPS": "no.such.app,.b"}, "packages that can be imported"),
    ({"BODY_PATHS": "/orders/,hooks"}, "how paths begin, separated by commas"),
    ({"RECONNECT_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"MAX_MESSAGE_BYTES": "127"}, "a whole number of 128 or more"),
    ({"OUTBOX_BYTES": "1MiB"}, "a whole number of 1024 or more"),
    ({"OUTBOX_BYTES": "2048", "MAX_EVENT_BYTES": "2049"}, "a whole number from 256 to 2048"),
    ({"EXPERIENCE_MAX_MESSAGE_BYTES": "127"}, "a whole number of 128 or more"),
    ({"EXPERIENCE_OUTBOX_BYTES": "1MiB"}, "a whole number of 1024 or more"),
    ({"EXPERIENCE_WS_TIMEOUT_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"STUDIO_MAX_MESSAGE_BYTES": "127"}, "a whole number of 128 or more"),
    ({"STUDIO_OUTBOX_BYTES": "1MiB"}, "a whole number of 1024 or more"),
    ({"STUDIO_WS_TIMEOUT_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"SLOW_CONSUMER_SECONDS": "0"}, "a number of seconds from 0.001"),
    ({"WS_TIMEOUT_SECONDS": "nan"}, "a number of seconds from 0.001"),
    ({"OTEL_SDK_DISABLED": "perhaps"}, "true or false"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "a URL that begins with http:// or https://"),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "grpc://c:4317"}, "a URL that begins with http:// or https://"),
    ({"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization {MARK}"}, "headers as NAME=VALUE"),
    ({"OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"a=b,Authorization {MARK}"}, "headers as NAME=VALUE"),
    ({"OTEL_EXPORTER_OTLP_TIMEOUT": "0"}, "a number of seconds from 0.001"),
    ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "10s"}, "a number of seconds from 0.001"),
    ({"OTEL_TRACES_SAMPLER": "ratio"}, "one of always_on, always_off, traceidratio"),
    ({"OTEL_TRACES_SAMPLER_ARG": "1%"}, "a share from 0 to 1"),
    ({"OTEL_TRACES_SAMPLER_ARG": "50"}, "a share from 0 to 1"),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "a whole number of 1 or more"),
    ({"OTEL_BSP_SCHEDULE_DELAY": "0"}, "a whole number of 1 or more"),
    ({"TRACEPARENT_FROM_PROXIES": "nginx"}, "true or false"),
    ({"WEBHOOK_URL": "ops.example.com"}, "a URL that begins with http:// or https://"),
    ({"WEBHOOK_URL": "https://a.test", "WEBHOOK_SECRET": "whsec_c2hvcnQ="}, "whsec_ and 24 to"),
    ({"WEBHOOK_EVENTS": "connection.moved"}, "some of connection.opened"),
    ({"DRAIN_SECONDS": "-1"}, "a number of seconds from 0 "),
    ({"TAP_REDACT": "token, -"}, "names separated by commas, each with 2 letters"),
    ({"SLOW_TURN_SECONDS": "-1"}, "a number of seconds from 0 "),
    ({"DIAL_TIMEOUT_SECONDS": "5s"}, "a number of seconds from 0.001"),
    ({"MAX_CONCURRENT_DIALS": "1.5"}, "a whole number of 1 or more"),
    ({"TOKEN_GRACE_SECONDS": "inf"}, "a number of seconds from 0.001"),
    ({"RECORD_RETENTION_DAYS": "-1"}, "a whole number of 0 or more"),
    ({"DATABASE_POOL_SIZE": "2"}, "a whole number of 3 or more"),
    ({"DATABASE_URL": f"mysql://user:{MARK}@host/name"}, "a URL that begins with postgres://"),
    ({"DATABASE_URL": f"postgres://user:{MARK}@host:port/name"}, "a URL that begins with postgres://"),
    ({"DATABASE_URL": f"postgres://user:{MARK}@host"}, "a URL that names a database"),
    ({"REDIS_URL": f"http://:{MARK}@host:6379"}, "a URL that begins with redis://"),
    ({"REDIS_URL": f"redis://:{MARK}@host:port"}, "a URL that begins with redis://"),
    *[
        ({"JWT_USER_ID_CLAIM": claim}, "the claim that holds the user id, such as sub, other than exp")
        for claim in ("exp", "nbf", "iat", "jti", "iss", "aud", "token_type")
    ],
    ({"JWT_USER_FIELD": "email"}, "one of username, pk"),
    ({"JWT_LIFETIME_SECONDS": "15m"}, "a number of seconds from 1 to 316224000"),
    ({"REVOKE_ON": "logout,login"}, "some of deactivated, deleted, password, permission, logout"),
    ({"HTTPS_ONLY": "http"}, "true or false"),
    ({"SECURE_HSTS_SECONDS": "1h"}, "a whole number of 0 or more"),
    ({"CSRF_TRUSTED_ORIGINS": "admin.example.com"}, "origins separated by commas"),
]  # fmt: skip
ANY_TEXT = {"JWT_ISSUER", "JWT_AUDIENCE", "V2_CLAIM", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}

RIGHT: list[dict[str, str]] = [
    {},
    {"DEBUG": "1", "GATEWAY_HOST": "::", "LOG_LEVEL": "debug"},
    {"JWT_ALGORITHM": "HS512", "JWT_SIGNING_KEY": "k" * 64},
    {**RS, "JWT_VERIFYING_KEY": pem_pair("RS256")[PUBLIC]},
    {**RS, "JWT_VERIFYING_KEY": pem_pair("RS256")[PUBLIC].replace("\n", "\\n")},
    {**RS, "JWT_JWKS_URL": "https://id.example.com/keys", "JWT_SIGNING_KEY": pem_pair("RS256")[PRIVATE]},
    {**ES, "JWT_VERIFYING_KEY": pem_pair("ES256")[PUBLIC]},
    ES_PAIR,
    {"DATABASE_URL": "postgres://user:p%40ss@host:5432/name", "REDIS_URL": "rediss://:p@host:6379/1"},
    {"DATABASE_URL": "postgres://%2Fvar%2Frun%2Fpostgresql/name", "REDIS_URL": "unix:///run/valkey.sock"},
    {"DATABASE_URL": "sqlite:////tmp/gateway.sqlite3"},
    {"OTEL_EXPORTER_OTLP_HEADERS": "a=b%3D, Authorization=Bearer x", "OTEL_TRACES_SAMPLER": "Always_On"},
    {"AMQP_URL": "amqps://user:p%2Fss@host:5671/%2F", "NATS_URL": "nats://nats:4222"},
    {"JWT_USER_ID_CLAIM": "https://id.example.com/claims/user"},
    {"ALLOWED_HOSTS": "*", "ALLOWED_ORIGINS": "*", "CSRF_TRUSTED_ORIGINS": "https://*.example.com"},
]  # fmt: skip


def environment(variables: dict[str, str]) -> dict[str, str]:
    return {**GOOD, **variables}


@cache
def outcomes() -> list[dict[str, Any]]:
    """What became of each wrong environment, then of each right one."""
    environments = [environment(variables) for variables, _ in WRONG] + [*map(environment, RIGHT)]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_MANY],
        input=json.dumps(environments), capture_output=True, text=True, cwd=BASE_DIR, timeout=50, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    "at", range(len(WRONG)), ids=[f"{at}-{[*variables][-1]}" for at, (variables, _) in enumerate(WRONG)]
)
def test_a_wrong_value_stops_the_start_with_one_line_that_names_it(at: int) -> None:
    variables, takes = WRONG[at]
    line = outcomes()[at]["line"]
    assert line is not None, "the start went on"
    assert line.startswith(f"{[*variables][-1]}: must be ")
    assert takes in line
    assert "\n" not in line
    assert MARK not in line


@pytest.mark.parametrize("at", range(len(RIGHT)))
def test_right_values_are_taken(at: int) -> None:
    assert outcomes()[len(WRONG) + at]["line"] is None


def test_tokens_are_signed_with_the_secret_key_until_they_have_their_own() -> None:
    assert outcomes()[len(WRONG)]["key"] == GOOD["SECRET_KEY"]
    assert outcomes()[len(WRONG) + 2]["key"] == "k" * 64


def test_every_variable_has_a_wrong_value_in_this_table() -> None:
    wrong = {[*variables][-1] for variables, _ in WRONG}
    assert wrong == set(outcomes()[len(WRONG)]["defaults"]) - ANY_TEXT


# --- As an operator meets it -----
def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run("manage.py", *arguments, **variables)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python with nothing of this process's environment but the path."""
    return starts.run([sys.executable, *arguments], env=variables, timeout=50)


def test_the_line_is_all_that_the_operator_sees() -> None:
    ran = manage("issue_token", "42", **GOOD, DATABASE_URL=f"postgres://user:{MARK}@host:port/name")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("DATABASE_URL: must be ")
    assert MARK not in ran.stderr


@pytest.mark.parametrize(
    "command", ["manage.py check", "manage.py serve --port 0", "-m daphne -p 0 config.asgi:application"]
)
def test_routes_that_are_not_there_stop_every_start_with_one_line(command: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
    ran = run(
        *command.split(), **GOOD, ROUTES="market.routes.ROUTES", DATABASE_URL=database, LOG_FORMAT="console"
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "ROUTES: must be importable; market.routes.ROUTES is not: No module named 'market'\n"
    )


def test_a_secret_may_come_from_a_file_and_one_token_is_all_that_is_printed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s" * 64 + "\n")
    ran = manage("issue_token", "42", SECRET_KEY_FILE=str(key))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count(".") == 2
    assert len(ran.stdout.split()) == 1


def test_a_good_production_environment_passes_the_deployment_checks() -> None:
    secret, signing = (f"{purpose}-0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2yZ3aB4cD5eF" for purpose in "ab")
    ran = manage(
        "check", "--deploy", "--fail-level", "WARNING",
        SECRET_KEY=secret, JWT_SIGNING_KEY=signing, ALLOWED_HOSTS="gateway.example.com",
        ALLOWED_ORIGINS="https://*.example.com", TRUSTED_PROXIES="10.0.0.0/8",
        REDIS_URL="redis://valkey:6379/0", DATABASE_URL="postgres://gateway@db/gateway",
        METRICS_TOKEN="0aB1cD2eF3gH4iJ5kL6m",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


# --- As it is documented -----
def documented() -> dict[str, str]:
    """Name → default of every row of the tables of variables in docs/settings.md."""
    text = (BASE_DIR / "docs" / "settings.md").read_text().partition("\n## Checks")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len({name for name, _ in rows}), "a variable is listed twice"
    return {name.strip(" `"): default.strip() for name, default in rows}


def test_every_variable_is_documented_and_no_other() -> None:
    assert sorted(documented()) == sorted(outcomes()[len(WRONG)]["defaults"])


def test_every_documented_default_is_the_real_one() -> None:
    defaults = outcomes()[len(WRONG)]["defaults"]
    for name, default in documented().items():
        if default.startswith("`"):
            shown = default.strip("`")
            real = defaults[name].lower() if defaults[name] in {"True", "False"} else defaults[name]
            assert shown in {real, real.removesuffix(".0")}, name
        else:
            assert defaults[name] in {"", "()", "((), False)", "None"} or name in {
                "ALLOWED_HOSTS",
                "STUDIO_WS_URLS",
            }, name
