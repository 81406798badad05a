"""An agent that streams to whoever watches it, and a page to watch it on.

Of the gateway it knows an address and what docs/sessions.md says: it speaks to Redis, with redis-py, and
nothing of the gateway's is imported. Each visit of the page begins a session of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import secrets
import time
from http import HTTPStatus

from redis.asyncio import Redis
from redis.exceptions import RedisError
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

TOKEN_SECONDS = 60
WORD_SECONDS = 0.3
# A session that nobody watches is over.
ALONE_SECONDS = 30.0
MOST_SESSIONS = 100
WORDS = "An agent says a word at a time, and who watches reads it as it comes."

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A session</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<h1>A session</h1>
<form><label>An agent says these words over Redis, through the gateway; what you say reaches it the same way.
<input autofocus placeholder="Say something"></label></form><p>
<script>
  const socket = new WebSocket("URL"), [form] = document.forms, [said] = document.getElementsByTagName("p");
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    said.append(message.type === "word" ? message.word + " " : `\\n${data}\\n`);
  };
  socket.onclose = ({code, reason}) => said.append(`\\nclosed: ${code} ${reason}`);
  form.onsubmit = () => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({type: "say", text: form[0].value}));
    form.reset();
    return false;
  };
</script><style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  input { box-sizing: border-box; width: 100%; margin-top: 1rem; padding: .5rem; font: inherit }
  p { white-space: pre-wrap; overflow-wrap: anywhere }
</style>"""


class Agent:
    """One session: it says words, and answers what its clients say."""

    def __init__(self, redis: Redis) -> None:
        self.session = f"demo-{secrets.token_hex(8)}"
        self._redis, self._up = redis, redis.pubsub(ignore_subscribe_messages=True)

    async def begin(self) -> str:
        """Listen, and only then let a client in: the token is for one, once."""
        try:
            await self._up.subscribe(f"session:{self.session}:up")
            await self._up.get_message(timeout=5)  # Redis has confirmed
            token = secrets.token_urlsafe(32)
            await self._redis.set(f"session:{self.session}:auth", token, ex=TOKEN_SECONDS)
        except BaseException:
            await self._up.aclose()  # type: ignore[no-untyped-call]
            raise
        return token

    async def say(self, type_: str, **members: str) -> int:
        """How many nodes heard it. Members are JSON; `ts` stands first: its age is measured."""
        texts = [f'"ts":{time.time()}', f'"type":"{type_}"', *(f'"{k}":{v}' for k, v in members.items())]
        return int(await self._redis.publish(f"session:{self.session}:down", f"{{{','.join(texts)}}}"))

    async def work(self) -> None:
        """Until nobody has watched for a while; a Redis that is away for less costs no more than a pause."""
        watched_at = time.monotonic()
        try:
            for word in itertools.cycle(WORDS.split()):
                try:
                    if await self._work_on(word):
                        watched_at = time.monotonic()
                except RedisError as error:  # redis-py connects, and subscribes, anew
                    print(f"{self.session}: {error!r}", flush=True)  # noqa: T201  a program for a terminal
                    await asyncio.sleep(WORD_SECONDS)
                if time.monotonic() - watched_at > ALONE_SECONDS:
                    return
        finally:
            await self._up.aclose()  # type: ignore[no-untyped-call]

    async def _work_on(self, word: str) -> bool:
        """Answer who says something, and say a word; whether anybody heard it."""
        heard = await self._up.get_message(timeout=WORD_SECONDS)
        if heard is not None:  # the gateway lets nothing but JSON through
            await self.say("answer", to=heard["data"])
        return await self.say("word", word=json.dumps(word)) > 0


class Page:
    """What is asked for over HTTP: the page, the address of a session, and whether this program is well."""

    def __init__(self, redis: Redis, gateway: str) -> None:
        self._redis, self._gateway = redis, gateway
        self._sessions: set[asyncio.Task[None]] = set()

    async def answer(self, connection: ServerConnection, request: Request) -> Response:
        if request.path == "/health":
            return connection.respond(HTTPStatus.OK, "well\n")
        if request.path not in ("/", "/new"):
            return connection.respond(HTTPStatus.NOT_FOUND, "/ is a page, /new the address of a session\n")
        if len(self._sessions) >= MOST_SESSIONS:
            too_many = f"{MOST_SESSIONS} sessions are the most\n"
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, too_many)
        url = await self._begin()
        if request.path == "/new":
            return connection.respond(HTTPStatus.OK, f"{url}\n")
        page = connection.respond(HTTPStatus.OK, PAGE.replace("URL", url))
        del page.headers["Content-Type"]
        page.headers["Content-Type"] = "text/html; charset=utf-8"
        return page

    async def _begin(self) -> str:
        """The address of a session that has an agent from now on."""
        agent = Agent(self._redis)
        url = f"ws://{self._gateway}/demo/ws/{agent.session}?token={await agent.begin()}"
        session = asyncio.create_task(agent.work(), name=agent.session)
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)
        return url


async def no_socket(_: ServerConnection) -> None:
    """Every request is answered before."""


async def main(*, port: int, redis_url: str, gateway: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        page = Page(redis, gateway)
        async with serve(no_socket, "127.0.0.1", port, process_request=page.answer) as server:
            await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8003)
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
    parser.add_argument("--gateway", default=f"127.0.0.1:{os.environ.get('GATEWAY_PORT', '8666')}")
    asyncio.run(main(**vars(parser.parse_args())))
