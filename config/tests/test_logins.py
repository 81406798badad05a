"""Guesses of passwords against a real gateway: they wait for each other, and clients are told apart."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest

from config.testing.gateway import Gateway
from config.tests.conftest import MakeGateway

LOGIN = "/admin/login/"


@pytest.fixture
def gateway(make_gateway: MakeGateway) -> Gateway:
    return make_gateway(HTTPS_ONLY="false", TRUSTED_PROXIES="127.0.0.1")


@pytest.fixture
def untrusting(make_gateway: MakeGateway) -> Gateway:
    return make_gateway(HTTPS_ONLY="false")


class Browser:
    """Has the form's token, and comes from an address by a proxy."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._token = http, token

    async def guess(self, name: str, password: str = "wrong") -> int:
        form = {"username": name, "password": password, "csrfmiddlewaretoken": self._token}
        return (await self._http.post(LOGIN, data=form)).status_code


@asynccontextmanager
async def browsing(gateway: Gateway, address: str) -> AsyncIterator[Browser]:
    headers = {"X-Forwarded-For": f"10.9.9.9, {address}"}  # what stands left is a client's own claim
    url = f"http://127.0.0.1:{gateway.port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
        found = re.search(r'csrfmiddlewaretoken" value="([^"]+)', (await http.get(LOGIN)).text)
        assert found is not None
        yield Browser(http, found[1])


def cpu_seconds(gateway: Gateway) -> float:
    used = psutil.Process(gateway.program.pid).cpu_times()
    return used.user + used.system


@pytest.mark.timing
async def test_of_forty_guesses_at_once_one_is_checked_at_a_time_and_a_few_wait(gateway: Gateway) -> None:
    async with browsing(gateway, "192.0.2.1") as browser:
        before = cpu_seconds(gateway)
        await browser.guess("nobody")
        one_guess_seconds = cpu_seconds(gateway) - before
        answers = Counter(await asyncio.gather(*(browser.guess(f"name {number}") for number in range(40))))
        forty_seconds = cpu_seconds(gateway) - before - one_guess_seconds

    assert answers[200] + answers[429] == 40
    assert answers[200] <= 15  # 5, and as many more as had their turn while the last ones came
    assert forty_seconds < 20 * one_guess_seconds


async def test_clients_behind_one_proxy_are_told_apart(gateway: Gateway) -> None:
    async with browsing(gateway, "192.0.2.1") as browser:
        for _ in range(5):
            last = await browser.guess("ada")
    async with browsing(gateway, "192.0.2.2") as other:
        assert await other.guess("ada") == 200

    assert last == 429
    gateway.stop()
    lines = [json.loads(line) for line in gateway.program.output.splitlines()]
    failed = [line["client_address"] for line in lines if line["event"] == "login failed"]
    assert failed == ["192.0.2.1"] * 5 + ["192.0.2.2"]
    asked = {line["client_address"] for line in lines if line["event"] == "http request"}
    assert asked == {"192.0.2.1", "192.0.2.2"}


async def test_who_is_no_trusted_proxy_cannot_say_who_the_client_is(untrusting: Gateway) -> None:
    for number in range(5):
        async with browsing(untrusting, f"192.0.2.{number}") as browser:
            last = await browser.guess("ada")

    assert last == 429
