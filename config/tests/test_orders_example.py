"""examples/orders: a project of its own, out of this checkout, by settings of the environment alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from config.testing.gateway import Gateway, issue
from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.testing.starts import BASE_DIR

MISTAKE = {"type": "error", "code": "not_an_order", "message": 'Send {"item": TEXT}.'}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy, far from what it was copied from."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(BASE_DIR / "examples/orders", tmp_path / "project", ignore=ignored)


@pytest.fixture(params=["serve", "daphne"])
def gateway(
    request: pytest.FixtureRequest, project: Path, tmp_path: Path, spawn: Spawn, own_valkey: ValkeyServer
) -> Iterator[Gateway]:
    """It, routing to the example's own service and to nothing else."""
    port = free_port()
    path = {"PYTHONPATH": str(project)}
    service = spawn([sys.executable, "-m", "orders.service", "--port", str(port)], name="orders", env=path)
    service.wait_for_port(port)
    own = {
        "ROUTES": "orders.routes.ROUTES",
        "EXTRA_APPS": "orders",
        "ORDERS_URLS": f"http://127.0.0.1:{port}",
    }
    gateway = Gateway(request.param, tmp_path, {**path, **own, "REDIS_URL": own_valkey.url}, tuned=False)
    gateway.migrate()
    gateway.start()
    httpx.get(f"http://127.0.0.1:{gateway.port}/health", timeout=50)  # its socket listens before it does
    yield gateway
    gateway.close()


def url(gateway: Gateway, *, shop: str) -> str:
    return f"ws://127.0.0.1:{gateway.port}/shops/{shop}/orders?token={issue('ada', shops=['north'])}"


async def test_it_serves_answers_tells_counts_and_records(gateway: Gateway) -> None:
    async with asyncio.timeout(50):
        await gateway.wait_until_ready(redis=True)
        async with gateway.connect(url(gateway, shop="north")) as client:
            await client.send('{"item": "tea"}')
            taken = {"type": "order.taken", "number": 1, "item": "tea", "shop": "north", "by": "ada"}
            assert json.loads(await client.recv()) == taken
            await client.send("a cup of tea, please")
            assert json.loads(await client.recv()) == MISTAKE

            (row,) = await gateway.wait_for_records("closed_at IS NULL")
            assert (row["route"], row["user_id"]) == ("orders", "ada")
            assert row["upstream"] == gateway.env["ORDERS_URLS"].replace("http", "ws") + "/shops/{shop}"
            await asyncio.to_thread(gateway.manage, "order_ready", "north", "1")
            assert json.loads(await client.recv()) == {"type": "order.ready", "number": 1}

            await client.send(b'{"item": "tea"}')  # binary is no order, either
            assert json.loads(await client.recv()) == MISTAKE
            await client.send("{}")
            with pytest.raises(ConnectionClosedError):
                await client.recv()
        # Stock Daphne keeps the protocol's own codes to itself, and all reasons.
        ended = (1008, "too many mistakes") if gateway.kind == "serve" else (4908, "")
        assert (client.close_code, client.close_reason) == ended
        _, metrics = await gateway.get("/metrics")
        assert 'orders_messages_total{kind="order"} 1.0' in metrics
        assert 'orders_messages_total{kind="mistake"} 3.0' in metrics
        (row,) = await gateway.wait_for_records("closed_at IS NOT NULL")
        assert (row["close_code"], row["closed_by"]) == (1008, "gateway")


async def test_who_does_not_work_in_a_shop_is_told_so(gateway: Gateway) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(InvalidStatus) as refused:
            async with gateway.connect(url(gateway, shop="south")):
                pass
    assert refused.value.response.status_code == 403
    if gateway.kind == "serve":
        told = {"code": "forbidden", "message": "You do not work in this shop."}
        assert json.loads(refused.value.response.body or b"") == told


def test_nothing_of_the_reference_product_is_there(gateway: Gateway) -> None:
    assert "kbservice" not in gateway.manage("help").stdout
    assert "order_ready" in gateway.manage("help").stdout
    assert gateway.manage("check", "--fail-level", "WARNING").returncode == 0
