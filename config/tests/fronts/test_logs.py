"""No log of a proxy holds a token, whatever goes wrong."""

from __future__ import annotations

import asyncio
import re
import socket

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from config.testing.gateway import issue
from config.tests.fronts.conftest import Stack

LINE = "/ws/experience?token=s3cret&experience=e"
HIDDEN = ("/ws/a%0atoken=s3cret", "/ws/%2574oken=s3cret", f"/ws/rest.of.{'s3cret' * 7}", "/ws/eyJs3cret")
QUOTED = ("/ws/experience%3Ftoken=s3cret", "/ws/token=s3cret", *HIDDEN)


def raw(stack: Stack, request: str) -> bytes:
    """The beginning of the answer to what no client library would send."""
    with (
        socket.create_connection(("127.0.0.1", stack.front.port), timeout=10) as plain,
        stack.front.trust.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(request.encode())
        return client.recv(100)


def plain_to_tls(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.front.port), timeout=10) as client:
        client.sendall(f"GET {LINE} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.recv(100)


async def ask_for_all_that_goes_wrong(stack: Stack) -> set[int]:
    """Its statuses. A token is in each request line, in the Referer or a header."""
    front, headers = stack.front, {"Referer": f"https://example.com{LINE}", "Authorization": "Bearer s3cret"}
    statuses = set()
    async with httpx.AsyncClient(base_url=f"https://{front.host}", verify=front.trust, timeout=20) as browser:
        for path in (LINE, *QUOTED, LINE + "x" * 40_000):
            statuses.add((await browser.get(path, headers=headers)).status_code)
        statuses.add((await browser.get(f"http://127.0.0.1:{front.plain_port}{LINE}")).status_code)
    for request in (f"GET {LINE} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", f"GET {LINE} HTP\r\n\r\n"):
        assert b" 400 " in await asyncio.to_thread(raw, stack, request)
    await asyncio.to_thread(plain_to_tls, stack)
    return statuses


def logs(stack: Stack) -> str:
    """All that the proxy has written, to wherever."""
    assert stack.front.program is not None
    files = [path for path in stack.front.directory.rglob("*") if path.suffix == ".log" and path.is_file()]
    return "\n".join(path.read_text(errors="replace") for path in files)


async def test_no_token_is_in_any_log(stack: Stack) -> None:
    """At the most talkative levels; clients are served, then refused, then there is no gateway."""
    stack.front.edit = lambda conf: re.sub(r"(error_log \S+) \w+;", r"\1 debug;", conf)
    stack.front.stop()
    stack.front.argv()  # writes the files
    stack.front.start()
    token, forged = issue("ada"), issue("ada", key="f" * 64)
    async with asyncio.timeout(20), stack.connect_with(token) as client:
        await client.send("hello")
        await client.recv()
    with pytest.raises(InvalidStatus):
        async with asyncio.timeout(20), stack.connect_with(forged):
            pass
    assert {401, 403} & await ask_for_all_that_goes_wrong(stack) == set()
    for node in stack.nodes:
        node.program.kill()
    assert {502, 503} & await ask_for_all_that_goes_wrong(stack)
    stack.front.stop()

    said = logs(stack)
    assert '"GET /ws" 101' in stack.front.access_log
    assert '"GET /ws" 401' in stack.front.access_log
    assert '"GET /ws/experience" 301' in stack.front.access_log
    assert stack.front.access_log.count("[cut]") >= 2 * len(QUOTED)
    for secret in ("s3cret", token.rpartition(".")[2], forged.rpartition(".")[2], token.split(".")[1]):
        assert secret not in said
    stack.front.start()
