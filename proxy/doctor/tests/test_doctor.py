"""`manage.py doctor`, from a shell, against real servers and services, whole and broken."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.testing import migrated
from config.testing.collector import Collector
from config.testing.issuer import Issuer
from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.servers import JetStreamServer, PostgresServer, ValkeyServer
from config.testing.starts import run
from proxy.tests.tokens import PUBLIC, issue, pem_pair

SECRET, KEY = "s3cret-of-staff-" + "0123456789abcdef" * 3, "k3y-of-tokens-" + "fedcba9876543210" * 3
PASSWORD = "hunter2-hunter2"
Environment = dict[str, str]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """All that is needed and fits: an SQLite with every table, and nobody behind any route."""
    database = f"sqlite:///{tmp_path / 'gateway.sqlite3'}"
    assert migrated.copied_to(database, settings="config.settings")
    return {
        "SECRET_KEY": SECRET,
        "JWT_SIGNING_KEY": KEY,
        "METRICS_TOKEN": "m3trics-" + "0123456789abcdef",
        "ALLOWED_HOSTS": "gateway.example.com",
        "TRUSTED_PROXIES": "127.0.0.1",
        "GATEWAY_PORT": str(free_port()),
        "DATABASE_URL": database,
        "KB_SERVICE_URL": f"ws://127.0.0.1:{free_port()}",
    }


def doctor(env: Environment, *words: str, code: int = 1) -> dict[str, list[dict[str, str]]]:
    """What it finds, by part; it ended with `code`, and showed none of the secrets."""
    ended = run([sys.executable, "manage.py", "doctor", "--json", *words], env=env, timeout=60)
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, said
    assert not [secret for secret in (SECRET, KEY, PASSWORD) if secret in said]
    told = json.loads(ended.stdout)
    found: dict[str, list[dict[str, str]]] = {}
    for each in told["parts"]:
        assert each["hint"] or each["outcome"] in {"ok", "unused"}, each
        found.setdefault(each["part"], []).append(each)
    assert told["outcome"] == ("failed" if code else "warning" if told["counts"]["warning"] else "ok")
    return found


def only(found: dict[str, list[dict[str, str]]], part: str) -> tuple[str, str, str]:
    (one,) = found[part]
    return one["outcome"], one["seen"], one["hint"]


@asynccontextmanager
async def service(env: Environment, answer: Callable[..., Any]) -> AsyncIterator[Environment]:
    """`answer` as the KB: a raw TCP service."""

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        yield {**env, "KB_SERVICE_URL": f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"}


# --- All is fine -----
@pytest.mark.long
def test_with_all_in_place_every_part_is_fine_and_nothing_stays_behind(
    spawn: Spawn,
    environment: Environment,
    valkey: ValkeyServer,
    jetstream: JetStreamServer,
    database_url: str,
) -> None:
    jetstream.ensure_running()
    assert migrated.copied_to(database_url, settings="config.settings")
    ports = {name: free_port() for name in ("kb", "studio", "chat")}
    environment |= {
        "REDIS_URL": valkey.url,
        "DATABASE_URL": database_url,
        "NATS_URL": jetstream.url,
        "KB_SERVICE_URL": f"ws://127.0.0.1:{ports['kb']}",
        "STUDIO_WS_URLS": f"ws://127.0.0.1:{ports['studio']}",
        "CHAT_SERVICE_URL": f"ws://127.0.0.1:{ports['chat']}",
    }
    for name, port in ports.items():
        command = [sys.executable, "manage.py", f"{name}service", "--port", str(port)]
        spawn(command, name=name, env=environment).wait_for_port(port)
    gateway = [sys.executable, "manage.py", "serve", "--port", environment["GATEWAY_PORT"]]
    spawn(gateway, name="gateway", env=environment, ready="listening on")

    found = doctor(environment, code=0)
    assert {each["outcome"] for part in found.values() for each in part} == {"ok"}, found
    expected = "settings host files port database clock migrations writes nodes connections token nats kb"
    assert all(any(word in part for part in found) for word in expected.split())
    assert "1 node running" in only(found, "nodes")[1]
    assert "served by a gateway" in only(found, "port")[1]
    assert "as one that wants a token may" in only(found, "kb")[1]
    assert "the stream CHAT is made with the first event" in only(found, "chat events")[1]

    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM proxy_node WHERE host = 'doctor'").fetchone() == (0,)
    assert not [key for key in keys(valkey) if "doctor" in key]


def keys(valkey: ValkeyServer) -> list[str]:
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        return [key.decode() for key in client.scan_iter()]


# --- Each part in turn is broken -----
def test_a_redis_that_is_not_there_hides_no_other_part(environment: Environment) -> None:
    environment["REDIS_URL"] = f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"
    found = doctor(environment)
    outcome, seen, hint = only(found, "redis")
    assert (outcome, seen.endswith(": Connection refused")) == ("failed", True)
    assert "REDIS_URL" in hint
    assert only(found, "writes")[0] == only(found, "token keys")[0] == "ok"


def test_a_redis_is_asked_for_its_password_rights_and_policy(
    environment: Environment, own_valkey: ValkeyServer
) -> None:
    import redis

    own_valkey.ensure_running()
    at = own_valkey.url.partition("//")[2]
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        rights = ["~gateway:*", "&*", "+@all", "-zadd", "-xadd", "-publish"]
        client.execute_command("ACL", "SETUSER", "node", "on", f">{PASSWORD}", *rights)

    found = doctor(environment | {"REDIS_URL": f"redis://node:{PASSWORD}@{at}"})
    assert only(found, "redis")[0] == "ok"
    outcome, seen, hint = only(found, "redis rights")
    assert (outcome, seen) == ("failed", "may not run ZADD, XADD, PUBLISH")
    assert "ACL SETUSER" in hint
    assert only(found, "redis memory")[0] == "warning"
    assert "noeviction" in only(found, "redis memory")[2]

    outcome, seen, hint = only(doctor(environment | {"REDIS_URL": f"redis://node:wrong-word@{at}"}), "redis")
    assert (outcome, "WRONGPASS" in seen) == ("failed", True)
    assert "password" in hint


def test_a_redis_that_is_frozen_is_given_up_in_time(
    environment: Environment, own_valkey: ValkeyServer
) -> None:
    own_valkey.ensure_running()
    own_valkey.freeze()
    found = doctor(environment | {"REDIS_URL": own_valkey.url}, "--timeout", "2.5")
    assert only(found, "redis")[:2] == ("failed", "no answer in 2.5 s")
    assert only(found, "token keys")[0] == "ok"


def test_a_database_says_why_it_cannot_be_used(
    environment: Environment, postgres: PostgresServer, database_url: str
) -> None:
    closed = f"postgres://gateway:{PASSWORD}@127.0.0.1:{free_port()}/gateway"
    for url, words, to_do in (
        (closed, "Connection refused", "Start it"),
        (postgres.url("nowhere"), 'FATAL: database "nowhere" does not exist', "CREATE DATABASE"),
        (database_url, "migrations missing, first", "manage.py migrate"),
    ):
        found = doctor(environment | {"DATABASE_URL": url})
        outcome, seen, hint = only(found, "migrations" if url is database_url else "database")
        assert (outcome, words in seen, to_do in hint) == ("failed", True, True), seen
        assert only(found, "token keys")[0] == "ok"


def test_a_database_that_takes_no_writes_or_has_too_few_connections_is_told(
    environment: Environment, postgres: PostgresServer, database_url: str
) -> None:
    assert migrated.copied_to(database_url, settings="config.settings")
    read_only = f"{database_url}?options=-c%20default_transaction_read_only%3Don"
    found = doctor(environment | {"DATABASE_URL": read_only, "DATABASE_POOL_SIZE": "500"})
    outcome, seen, hint = only(found, "writes")
    assert (outcome, "read-only" in seen, "primary" in hint) == ("failed", True, True), seen
    outcome, seen, hint = only(found, "connections")
    assert (outcome, "1 node may take 500" in seen, "max_connections" in hint) == ("failed", True, True)


def test_no_file_of_sqlite_is_made_by_looking_for_it(environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "no.sqlite3"
    outcome, seen, hint = only(doctor(environment | {"DATABASE_URL": f"sqlite:///{path}"}), "database")
    assert (outcome, f"no file {path}" in seen, "migrate" in hint) == ("failed", True, True)
    assert not path.exists()


# --- Upstreams -----
async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def hanging_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readline()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def answering(status: int, body: str = "") -> Callable[..., Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        phrase = HTTPStatus(status).phrase
        writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    return answer


@pytest.mark.parametrize(
    ("answer", "outcome", "words", "to_do"),
    [
        (silent, "failed", "took the connection, and did not answer in 3 s", "swallows the request"),
        (hanging_up, "failed", "took the connection, and closed it without an answer", "WebSocket service"),
        (garbage, "failed", "answered what is no WebSocket handshake", "WebSocket service"),
        (answering(403, '{"detail": "no token"}'), "ok", "answered 403 (no token), as one that wants", ""),
        (answering(404), "warning", "answered 404", "path"),
        (answering(502), "failed", "answered 502", "see its log"),
        (answering(301), "failed", "answered 301", "no redirect is followed"),
    ],
)
async def test_a_member_is_told_of_by_what_it_answered(
    environment: Environment, answer: Callable[..., Any], outcome: str, words: str, to_do: str
) -> None:
    async with service(environment, answer) as env:
        found = await asyncio.to_thread(doctor, env, code=1 if outcome == "failed" else 0)
    told, seen, hint = only(found, "kb")
    assert (told, words in seen, to_do in hint) == (outcome, True, True), seen


async def test_a_member_without_a_token_of_its_own_that_refuses_is_doubted(environment: Environment) -> None:
    async with service(environment, answering(403)) as env:
        env["STUDIO_WS_URLS"] = env["KB_SERVICE_URL"]
        found = await asyncio.to_thread(doctor, env, code=0)
    outcome, _, hint = only(found, "studio")
    assert (outcome, "Its log says why" in hint) == ("warning", True)


async def test_a_closed_port_an_unknown_name_and_a_strange_certificate_are_told_apart(
    environment: Environment, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(silent, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        environment["STUDIO_WS_URLS"] = f"ws://nobody.invalid:1,wss://127.0.0.1:{port}"
        found = await asyncio.to_thread(doctor, environment)
    unknown, strange = found["studio"]
    assert only(found, "kb")[1].endswith("/ws/experience: Connection refused")
    assert "nobody.invalid does not resolve" in unknown["seen"]
    assert "resolver" in unknown["hint"]
    assert "its certificate is not taken: self-signed certificate" in strange["seen"]
    assert "authorities" in strange["hint"]


# --- Tokens -----
@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


@pytest.fixture
def with_issuer(environment: Environment, issuer: Issuer) -> Environment:
    del environment["JWT_SIGNING_KEY"]
    return environment | {"JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": issuer.url, "JWT_AUDIENCE": "gateway"}


def test_the_keys_of_an_issuer_are_fetched_with_its_time_and_verify_a_token(
    with_issuer: Environment, issuer: Issuer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    told = {
        issuer.token(aud="gateway"): "ok: is that of user 42, for 9m",
        issuer.token(): "failed: refused: audience",
        issuer.token(aud="gateway", exp=1): "failed: refused: expired",
        issuer.token(aud="gateway", kid="of-before"): "failed: refused: unknown key",
        issue(aud="gateway"): "failed: refused: algorithm",
        "no-token": "failed: refused: malformed",
    }
    for token, said in told.items():
        file.write_text(token + "\n")
        found = doctor(with_issuer, "--token-file", str(file))
        outcome, seen, _ = only(found, "token")
        assert f"{outcome}: {seen}".startswith(said)
        assert token not in str(found)
        assert only(found, "token keys")[:1] == ("ok",)
        assert "RS256: 1 key of 127.0.0.1" in only(found, "token keys")[1]
        assert "agrees with this machine's" in only(found, "issuer clock")[1]


def test_an_issuer_that_answers_no_key_set_or_none_of_ours_is_told(
    with_issuer: Environment, issuer: Issuer
) -> None:
    issuer.status = 500
    assert "answered 500" in only(doctor(with_issuer), "token keys")[1]
    issuer.status, issuer.algorithm = 200, "ES256"
    outcome, seen, hint = only(doctor(with_issuer), "token keys")
    assert (outcome, "holds no key for RS256" in seen, "JWT_JWKS_URL" in hint) == ("failed", True, True)
    issuer.close()
    assert "Connection refused" in only(doctor(with_issuer), "token keys")[1]


def test_a_public_key_alone_is_good_and_issues_nothing(environment: Environment) -> None:
    del environment["JWT_SIGNING_KEY"]
    keys = {"JWT_ALGORITHM": "RS256", "JWT_VERIFYING_KEY": pem_pair("RS256")[PUBLIC]}
    assert "issued elsewhere" in only(doctor(environment | keys), "token keys")[1]


# --- Settings, and this host -----
def test_settings_that_are_half_wrong_are_all_told_as_other_commands_tell_them_and_the_rest_is_tried(
    environment: Environment,
) -> None:
    wrong = {"REDIS_URL": f"http://:{PASSWORD}@host", "WS_TIMEOUT_SECONDS": "soon", "STUDIO_POLICY": "any"}
    found = doctor(environment | wrong | {"SECRET_KEY": ""})
    lines = [each["seen"] for each in found["settings"]]
    assert {line.partition(":")[0] for line in lines} == {"SECRET_KEY", *wrong}
    for name, value in (wrong | {"SECRET_KEY": ""}).items():
        other = run([sys.executable, "manage.py", "check"], env=environment | {name: value}, timeout=60)
        assert other.stderr.strip() in lines
    assert only(found, "redis")[:2] == ("unused", "not tried, since REDIS_URL is wrong")
    assert only(found, "writes")[0] == "ok"


def test_routes_that_fail_are_told_and_the_rest_is_tried(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "torn.py").write_text("raise KeyError('of a product')\n")
    environment |= {"PYTHONPATH": str(tmp_path), "EXTRA_APPS": "experience"}
    found = doctor(environment | {"ROUTES": "torn.ROUTES"})
    assert only(found, "routes")[:2] == ("failed", "KeyError: 'of a product'")
    assert only(found, "writes")[0] == "ok"
    found = doctor(environment | {"ROUTES": "nowhere.ROUTES"})
    assert only(found, "settings")[1].startswith("ROUTES: must be importable; nowhere.ROUTES is not")


def test_checks_are_told_and_warnings_alone_are_no_failure(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as kb:  # which is reached, and never answers
        probe = {"KB_SERVICE_URL": f"ws://127.0.0.1:{kb.getsockname()[1]}", "KB_PROBE": "none"}
        found = doctor(environment | probe | {"ALLOWED_HOSTS": "*"}, code=0)
    told = only(found, "settings")
    assert (told[0], told[1].startswith("(gateway.W017) ALLOWED_HOSTS holds *")) == ("warning", True)
    assert "it has no probe" in only(found, "kb")[1]


def test_the_collector_of_traces_is_asked_with_what_it_wants_to_be_shown(environment: Environment) -> None:
    collector = Collector()
    at = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={PASSWORD}",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
    }
    (taken,) = doctor(environment | at)["traces"]
    collector.status = 401
    (refused,) = doctor(environment | at)["traces"]
    collector.close()
    (away,) = doctor(environment | at)["traces"]
    assert [each["outcome"] for each in (taken, refused, away)] == ["ok", "warning", "warning"]
    assert (collector.keys, collector.spans) == ({PASSWORD}, [])


def test_a_port_that_something_else_has_is_told(environment: Environment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome, seen, hint = only(
            doctor(environment | {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": port}), "port"
        )
    assert (outcome, "is taken" in seen, "ss -ltnp" in hint) == ("failed", True, True)


def test_people_read_lines_of_eighty_columns_without_colour(environment: Environment) -> None:
    ended = run([sys.executable, "manage.py", "doctor"], env=environment, timeout=60)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 1
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in ended.stdout
    assert any(line.startswith("failed  kb ") for line in lines)
    assert " ok, 1 failed, " in lines[-1]
    assert ended.stderr == ""
