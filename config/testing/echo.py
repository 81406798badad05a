"""A service that sends back what it gets, on sockets and as answers to actions, in a process to be killed:
`python -m config.testing.echo PORT`."""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web


async def echo_messages(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(compress=False, autoping=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def echo_action(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), content_type="application/json")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/{path:.*}", echo_messages)
    app.router.add_post("/{path:.*}", echo_action)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
