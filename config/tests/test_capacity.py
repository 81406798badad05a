"""docs/operations.md says how many links a stack carries in how much memory; its files hold that many."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

from config.testing import compose, documents
from config.testing.compose import SERVICES
from config.testing.starts import BASE_DIR
from proxy.server import listening
from proxy.server.options import ServerOptions

GATEWAYS = ("gateway-1", "gateway-2")
NGINX_WORKER_MB, NGINX_LINK_KB = 14.3, 25.3  # measured with 4,000 links on 2 and on 4 workers
GATEWAY_PROCESS_MB, GATEWAY_LINK_KB = 100, 10
IDLE_THREADS = 20  # of a worker; 10 of them when nothing hangs. The supervisor has 5
POSTGRES_CONNECTIONS = 100 - 3  # its default, less those that it keeps for its superuser
NGINX_CONF = (BASE_DIR / "deploy" / "proxies" / "nginx" / "compose.conf").read_text()
ROWS = documents.table(
    documents.read("operations.md"),
    "WORKERS",
    "links of both gateways",
    "a gateway takes, MB",
    "MEMORY_LIMIT",
    "worker_processes",
    "nginx takes, MB",
    "NGINX_MEMORY_LIMIT",
)

# Measured with 1,000 links, each of a user and an address of its own: 2.2 KB, most of it their two caps.
VALKEY_LINK_KB, VALKEY_MESSAGE_BYTES = 2.5, 30
VALKEY_ROWS = documents.table(
    documents.read("operations.md"),
    "VALKEY_MAXMEMORY",
    "VALKEY_MEMORY_LIMIT",
    "durable sessions with 1,000 messages of 200 bytes each way",
)


def directive(name: str) -> int:
    (value,) = re.findall(rf"^\s*{name} (\d+);", NGINX_CONF, re.MULTILINE)
    return int(value)


def megabytes(limit: str) -> float:
    """As compose and Valkey write them."""
    count, unit = re.fullmatch(r"(\d+)([mg])b?", limit).groups()  # type: ignore[union-attr]
    return int(count) * {"m": 2**20, "g": 2**30}[unit] / 1e6


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def workers(rows: list[tuple[str, ...]]) -> list[int]:
    return [number(row[0]) for row in rows]


def test_the_first_row_is_what_the_files_say() -> None:
    defaults = {name: compose.interpolated(SERVICES[name]["mem_limit"], {}) for name in (*GATEWAYS, "nginx")}
    command = compose.command("gateway-1", {})

    assert ROWS[0][0] == command[command.index("--workers") + 1]
    assert {ROWS[0][3]} == {defaults[name] for name in GATEWAYS}
    assert ROWS[0][4] == str(directive("worker_processes"))
    assert ROWS[0][6] == defaults["nginx"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} workers")
def test_what_full_gateways_need_is_at_most_half_of_the_memory(row: tuple[str, ...]) -> None:
    count, links, nginx_workers = number(row[0]), number(row[1]), number(row[4])
    processes = count + (count > 1)
    gateway_mb = processes * GATEWAY_PROCESS_MB + links / len(GATEWAYS) * GATEWAY_LINK_KB / 1e3
    nginx_mb = nginx_workers * NGINX_WORKER_MB + links * NGINX_LINK_KB / 1e3

    assert links == len(GATEWAYS) * count * settings.MAX_CONNECTIONS
    assert links <= nginx_workers * directive("worker_connections") // 2
    assert (number(row[2]), number(row[5])) == (round(gateway_mb), round(nginx_mb))
    assert 2 * gateway_mb <= megabytes(row[3])
    assert 2 * nginx_mb <= megabytes(row[6])


@pytest.mark.parametrize("row", VALKEY_ROWS, ids=lambda row: row[0])
def test_what_valkey_keeps_is_at_most_three_quarters_of_its_bound_and_that_of_its_memory(
    row: tuple[str, ...],
) -> None:
    links = number(ROWS[0][1])
    sessions_mb = number(row[2]) * 2 * 1_000 * (200 + VALKEY_MESSAGE_BYTES) / 1e6

    assert sessions_mb + links * VALKEY_LINK_KB / 1e3 <= 0.75 * megabytes(row[0])
    assert megabytes(row[0]) <= 0.75 * megabytes(row[1])


def test_valkeys_first_row_is_what_the_file_says() -> None:
    valkey = SERVICES["valkey"]
    command = compose.command("valkey", {})

    assert VALKEY_ROWS[0][0] == command[command.index("--maxmemory") + 1]
    assert VALKEY_ROWS[0][1] == compose.interpolated(valkey["mem_limit"], {})


@pytest.mark.parametrize("count", workers(ROWS))
def test_threads_files_ports_and_database_connections_are_enough(count: int) -> None:
    gateway, nginx = SERVICES["gateway-1"], SERVICES["nginx"]
    threads = count * (ServerOptions().max_http_requests + IDLE_THREADS) + IDLE_THREADS
    files = gateway["ulimits"]["nofile"]
    links_of_one = count * settings.MAX_CONNECTIONS
    database_connections = len(GATEWAYS) * count * settings.DATABASE_POOL_SIZE

    assert threads <= gateway["pids_limit"]
    assert listening.links_that_fit(files) >= settings.MAX_CONNECTIONS
    assert directive("worker_connections") <= directive("worker_rlimit_nofile") <= nginx["ulimits"]["nofile"]
    for dialling in (gateway, nginx):
        first, last = map(int, dialling["sysctls"]["net.ipv4.ip_local_port_range"].split())
        assert links_of_one <= last - first
    assert database_connections <= POSTGRES_CONNECTIONS
