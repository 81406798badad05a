"""Answers each message of a chat, and does nothing else: `python -m bench.chat_service PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench.chat import CREATED


class Answers(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, CREATED)
        elif frame.msg_type is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_memoryview())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


def _accept(_: WSUpgradeRequest) -> Answers:
    return Answers()


async def serve(port: int) -> None:
    server = await ws_create_server(_accept, "127.0.0.1", port, backlog=4096)
    await server.start_serving()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
