"""aiohttp's client, offering compression. It cannot send a message in several frames."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from contract import Refused, decoded, encoded, play, say, say_message


async def listen(socket: ClientWebSocketResponse) -> None:
    while (message := await socket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
        say_message(message.data)
    if message.type is not WSMsgType.CLOSING:  # which is our own close, on its way
        reason = message.extra if message.type is WSMsgType.CLOSE else ""
        say("closed", socket.close_code, encoded(reason or ""))


async def perform(socket: ClientWebSocketResponse, word: str, fields: list[str]) -> None:
    if word == "text":
        await socket.send_str(decoded(fields[0]).decode())
    elif word == "binary":
        await socket.send_bytes(decoded(fields[0]))
    elif word == "close":
        await socket.close(code=int(fields[0]), message=decoded(fields[1]))
        say("closed", socket.close_code, "")


async def main() -> None:
    async with ClientSession() as session:

        async def open_socket(url: str) -> ClientWebSocketResponse:
            try:
                return await session.ws_connect(url, compress=15)
            except WSServerHandshakeError as refusal:
                raise Refused(refusal.status) from None

        await play(open_socket, listen, perform)


asyncio.run(main())
