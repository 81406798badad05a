"""What an idle link weighs: its share of what the server takes for a crowd, each of which has spoken once."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from proxy.server import listening
from proxy.server.tests.conftest import RunningServer, frame, read_head, serving

pytestmark = pytest.mark.long

LINKS, WARM_UP_LINKS = 1_000, 200
# It was 9.0 and 5.1 when this was written. Of a conversation 1.3 KB are the application's own, a task and its
# coroutines. In a gateway the life and the record come on top.
MOST_KB = {"echo": 10.0, "splice?to=ws://127.0.0.1:{port}/echo": 6.0}


@pytest.mark.parametrize("path", MOST_KB, ids=("conversation", "splice"))
def test_an_idle_link_weighs_no_more_than_it_may(path: str) -> None:
    listening.raise_file_limit()
    with serving(drain_seconds=0.1) as upstream, serving(drain_seconds=0.1) as server, ExitStack() as links:
        for _ in range(WARM_UP_LINKS):
            links.enter_context(spoken(server, path.format(port=upstream.port)))
        before_bytes = server.get("memory")["rss_bytes"]
        for _ in range(LINKS):
            links.enter_context(spoken(server, path.format(port=upstream.port)))
        taken_bytes = server.get("memory")["rss_bytes"] - before_bytes
    assert taken_bytes / LINKS / 1000 < MOST_KB[path]


def spoken(server: RunningServer, path: str) -> socket.socket:
    """A client that has sent a message and got it back, and says no more."""
    raw = server.upgrade(path)
    read_head(raw)
    raw.sendall(frame(1, b"x" * 100))
    assert raw.recv(200)
    return raw
