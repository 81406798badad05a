"""The echo service that every proxy stands before: one process, one port a proxy.

    python -m bench.upstream PORT [PORT ...]

A port each, so that the connections of one proxy do not use up another's ephemeral ports.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

MAX_FRAME_BYTES = 16 << 20


class Echo(WSListener):
    """Answers each frame with itself, and a close with the same close."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type is not WSMsgType.PONG:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


def _accept(_: WSUpgradeRequest) -> Echo:
    return Echo()


async def serve(ports: list[int]) -> None:
    for port in ports:
        server = await ws_create_server(
            _accept,
            "127.0.0.1",
            port,
            backlog=4096,
            max_frame_size=MAX_FRAME_BYTES,
            read_buffer_init_size=4096,
        )
        await server.start_serving()
    gc.collect()
    gc.freeze()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
