"""Keeping players: on PostgreSQL with two services, over an outage, and when the database hangs."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect

from config.testing.servers import PostgresServer
from experience.kb import players
from experience.kb.game import Player
from experience.kb.players import Players, PlayersUnavailable
from experience.kb.tests.serving import environment, manage, running_kb
from experience.kb.world import WYLDING_WOODS


@pytest.fixture
def postgres_environment(database_url: str) -> dict[str, str]:
    env = environment(database_url)
    migrated = manage("migrate", "experience", "--verbosity", "0", env=env)
    assert migrated.returncode == 0, migrated.stderr
    return env


async def ask(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    await socket.send(json.dumps(fields))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


async def collect(socket: ClientConnection, item_id: str) -> bool:
    spot_id = WYLDING_WOODS.items[item_id].spot_id
    answer = await ask(socket, type="action", action="collect_bottle", item_id=item_id, spot_id=spot_id)
    return bool(answer["success"])


async def test_two_services_on_one_postgresql_lose_no_update_of_one_user(
    postgres_environment: dict[str, str], tmp_path: Path, token: str
) -> None:
    with (
        running_kb(tmp_path, postgres_environment) as one,
        running_kb(tmp_path, postgres_environment) as other,
    ):
        async with asyncio.timeout(20):
            sockets = [await connect(kb.url(token), proxy=None) for kb in [one, other] * 6]
            for socket in sockets:
                await socket.recv()
            items = list(WYLDING_WOODS.items) * 4
            collected = await asyncio.gather(*map(collect, sockets, items))
            state = await ask(sockets[0], type="get_state")
            await asyncio.gather(*(socket.close() for socket in sockets))

    assert sum(collected) == 3, "each bottle was collected by exactly one of four sockets"
    assert (state["version"], len(state["inventory"])) == (3, 3)


async def test_an_outage_of_the_database_costs_answers_but_no_socket_and_no_state(
    postgres: PostgresServer, postgres_environment: dict[str, str], tmp_path: Path, token: str
) -> None:
    with running_kb(tmp_path, postgres_environment) as kb:
        async with asyncio.timeout(40), connect(kb.url(token), proxy=None) as socket:
            await socket.recv()
            assert await collect(socket, "bottle_of_mist")
            await asyncio.to_thread(postgres.kill)
            away = await ask(socket, type="get_state")
            pong = await ask(socket, type="ping")
            await asyncio.to_thread(postgres.start)
            back = await ask(socket, type="get_state")

    assert (away["type"], away["code"]) == ("error", "unavailable")
    assert pong["type"] == "pong"
    assert [item["item_id"] for item in back["inventory"]] == ["bottle_of_mist"]


@pytest.mark.usefixtures("transactional_db")
async def test_a_database_that_hangs_fails_each_call_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freed = threading.Event()

    def hang(_: str, __: str) -> Player:
        freed.wait(20)
        return Player()

    monkeypatch.setattr(players, "read_player", hang)
    kept = Players(deadline_seconds=0.05)
    try:
        async with asyncio.timeout(5):
            reads = [kept.read("wylding-woods", "42") for _ in range(3)]
            failed = await asyncio.gather(*reads, return_exceptions=True)
            for error in failed:
                assert isinstance(error, PlayersUnavailable)
                assert "in time" in str(error)
    finally:
        freed.set()
        await kept.close()


def test_a_service_of_the_release_before_goes_on_to_keep_players_beside_the_new_columns(
    postgres_environment: dict[str, str],
) -> None:
    """It names those that the first migration has."""
    columns = "experience, user_id, inventory, quest_stage, version, updated_at"
    with psycopg.connect(postgres_environment["DATABASE_URL"]) as database:
        database.execute(
            f"INSERT INTO experience_playerstate ({columns}) VALUES ('w', 'ada', '[]', 'active', 1, now())"
        )
        kept = database.execute("SELECT is_announced, replies FROM experience_playerstate").fetchall()
    assert kept == [(True, None)]
