"""Whether a pool without a probe can be reached."""

from __future__ import annotations

import socket

import pytest

from proxy.http.readiness import _any_reachable


@pytest.mark.parametrize(
    "member", ["ws://kb..internal:8001/", f"ws://{'x' * 64}.internal/", "ws://127.0.0.1:1/"]
)
async def test_a_member_that_nobody_could_reach_is_not_reachable_and_hides_no_other(member: str) -> None:
    assert not await _any_reachable((member,))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert await _any_reachable((member, f"ws://127.0.0.1:{listening.getsockname()[1]}/"))
