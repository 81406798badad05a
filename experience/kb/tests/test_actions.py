"""Actions over HTTP: the same answers as on a socket, each made once however often it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.testing.documents import examples, read
from experience.kb.announcer import Announcer
from experience.kb.answers import Answers
from experience.kb.limits import KbLimits
from experience.kb.service import KbService
from experience.kb.tests.serving import KbProgram, issue, running_kb
from experience.kb.tests.test_document import comparable
from experience.kb.tests.test_limits import MemoryPlayers, publish_nowhere
from proxy.core.principal import Principal

MIST = '{"type":"action","action":"collect_bottle","item_id":"bottle_of_mist","spot_id":"mill_pond"}'
SONG = '{"type":"action","action":"collect_bottle","item_id":"bottle_of_song","spot_id":"singing_stone"}'
STATE = '{"type":"get_state"}'


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        yield session


class Caller:
    """Posts actions as the gateway does."""

    def __init__(self, http: aiohttp.ClientSession, address: str, token: str) -> None:
        self._http, self._url, self._token = http, f"http://{address}/api/experience/actions", token

    async def post(
        self, body: str | bytes, *, action_id: str = "", experience: str = "wylding-woods"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._token}"}
        if action_id:
            headers["X-Request-Id"] = action_id
        data = body.encode() if isinstance(body, str) else body
        url = f"{self._url}?experience={experience}"
        async with self._http.post(url, data=data, headers=headers) as answer:
            return answer.status, await answer.json()


async def test_every_message_of_the_document_is_answered_as_on_a_socket(
    kb: KbProgram, token: str, http: aiohttp.ClientSession
) -> None:
    played = [each for each in examples(read("kb-protocol.md")) if each.kind in ("client", "service")][1:]
    assert len(played) > 20
    caller = Caller(http, kb.address, token)
    for asked, answered in zip(played[::2], played[1::2], strict=True):
        assert (asked.kind, answered.kind) == ("client", "service")
        status, said = await caller.post(asked.text)
        assert comparable(said) == comparable(answered.fields())
        assert status == (400 if said["type"] == "error" else 200)


async def test_a_move_is_made_once_for_each_request_id_also_over_a_kill(
    kb_environment: dict[str, str], tmp_path: Path, token: str, http: aiohttp.ClientSession
) -> None:
    with running_kb(tmp_path, kb_environment) as kb:
        caller = Caller(http, kb.address, token)
        first = await asyncio.gather(*(caller.post(MIST, action_id="link-1.1") for _ in range(5)))
        kb.kill()
    with running_kb(tmp_path, kb_environment) as kb:
        caller = Caller(http, kb.address, token)
        again = await caller.post(MIST, action_id="link-1.1")
        other = await caller.post(MIST, action_id="link-1.2")
        moved_on = await caller.post(SONG, action_id="link-1.3")
        latest = await caller.post(MIST, action_id="link-1.1")

    assert [answer for _, answer in first] == [first[0][1]] * 5
    assert again == first[0]
    assert (again[1]["success"], again[1]["version"]) == (True, 1)
    assert other[1]["code"] == "already_collected"
    assert moved_on[1]["version"] == 2
    assert latest[1]["success"]
    assert latest[1]["version"] == 2, "the state that comes with it is of now"


async def test_request_ids_of_one_player_mean_nothing_to_another(
    kb: KbProgram, token: str, http: aiohttp.ClientSession
) -> None:
    await Caller(http, kb.address, token).post(MIST, action_id="shared")
    status, answer = await Caller(http, kb.address, issue("somebody-else")).post(MIST, action_id="shared")
    assert (status, answer["version"]) == (200, 1)


@pytest.mark.parametrize(
    ("user", "experience", "action_id", "body", "status", "code"),
    [
        ("forged", "wylding-woods", "", STATE, 401, "authentication_failed"),
        ("good", "moon", "", STATE, 404, "not_found"),
        ("good", "", "", STATE, 400, "bad_request"),
        ("good", "wylding-woods", "no id", STATE, 400, "bad_request"),
        ("good", "wylding-woods", "x" * 129, STATE, 400, "bad_request"),
        ("good", "wylding-woods", "", b"\xff", 400, "bad_request"),
        ("good", "wylding-woods", "", "x" * (64 * 1024 + 1), 413, "request_entity_too_large"),
    ],
)
async def test_a_request_is_refused_with_a_status_and_a_code(
    kb: KbProgram,
    http: aiohttp.ClientSession,
    user: str,
    experience: str,
    action_id: str,
    body: str | bytes,
    status: int,
    code: str,
) -> None:
    token = issue("refused", key="somebody-elses-key-" + "0" * 20 if user == "forged" else "")
    caller = Caller(http, kb.address, token)
    refused, answer = await caller.post(body, experience=experience, action_id=action_id)
    assert (refused, answer["code"]) == (status, code)
    assert set(answer) == {"code", "message"}


async def test_actions_beyond_the_bound_are_refused_and_a_stuck_one_is_given_up(
    http: aiohttp.ClientSession,
) -> None:
    began = asyncio.Event()

    class Stuck(MemoryPlayers):
        async def read(self, experience: str, user_id: str) -> Any:
            began.set()
            await asyncio.Event().wait()

    service = KbService(
        verify=lambda raw: Principal(user_id=raw),
        answers=Answers(players=Stuck(), announcer=Announcer(publish_nowhere)),
        limits=KbLimits(max_actions=1, action_timeout_seconds=0.5),
    )
    async with asyncio.timeout(20), service.listening("127.0.0.1", 0) as addresses:
        caller = Caller(http, addresses[0], "42")
        stuck = asyncio.create_task(caller.post(STATE))
        await began.wait()
        refused, _ = await caller.post(STATE)
        given_up, answer = await stuck
        ping, _ = await caller.post('{"type":"ping"}')
    assert (refused, given_up, ping) == (503, 503, 200)
    assert answer["code"] == "overloaded"
