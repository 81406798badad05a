"""The reference KB service: sockets and actions on one port, the game's answers out."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import web

from experience.kb.announcer import Announcer
from experience.kb.answers import Answers
from experience.kb.handshake import ACTIONS_PATH, SOCKET_PATH, Verify, Visit, admit
from experience.kb.limits import KbLimits
from experience.kb.sockets import Sockets
from proxy.api import PROBE_USER_AGENT, BadRequest, GatewayError, NotFound, Overloaded, one_line

logger = logging.getLogger(__name__)

_ACTION_ID = re.compile(r"[\w.:-]{0,128}", re.ASCII)


class KbService:
    """Answers every request. Owns no task: the server runs one for each connection."""

    def __init__(self, *, verify: Verify, answers: Answers, limits: KbLimits | None = None) -> None:
        self._verify, self._answers = verify, answers
        self._limits = limits or KbLimits()
        self._sockets = Sockets(answers, self._limits)
        self._actions = 0

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[list[str]]:
        """Serve until the context ends, at the addresses that it yields, as `host:port`; then close every
        socket with 1001, and answer what was asked. Raises OSError when it cannot listen there.
        """
        limits = self._limits
        app = web.Application(middlewares=[refusals], client_max_size=limits.max_message_bytes)
        app.on_response_prepare.append(_hide_server)
        app.router.add_get("/health", self.health)
        app.router.add_get(SOCKET_PATH, self.serve_socket)
        app.router.add_post(ACTIONS_PATH, self.answer_action)
        app.router.add_route("*", "/{path:.*}", nowhere)
        runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=limits.idle_timeout_seconds,
            shutdown_timeout=limits.close_timeout_seconds,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
            yield ["{}:{}".format(*address[:2]) for address in runner.addresses]
        finally:
            for site in [*runner.sites]:
                await site.stop()
            await self._sockets.close_all()
            await runner.cleanup()

    async def health(self, _: web.Request) -> web.Response:
        return json_response({"status": "ok", "connections": self._sockets.count})

    async def serve_socket(self, request: web.Request) -> web.StreamResponse:
        self._sockets.make_room()
        return await self._sockets.serve(request, self._admit(request))

    async def answer_action(self, request: web.Request) -> web.Response:
        """One message of a client in, its answer out; `X-Request-Id` makes it safe to ask again."""
        if self._actions >= self._limits.max_actions:
            raise Overloaded
        visit = self._admit(request)
        action_id = request.headers.get("X-Request-Id", "")
        if not _ACTION_ID.fullmatch(action_id):
            raise BadRequest
        self._actions += 1
        try:
            async with asyncio.timeout(self._limits.action_timeout_seconds):
                message = (await request.read()).decode()
                answer = await self._answers.answer(visit, message, action_id=action_id)
        except UnicodeDecodeError:
            raise BadRequest from None
        except TimeoutError:
            raise Overloaded from None
        finally:
            self._actions -= 1
        return as_json(answer.text, status=answer.status)

    def _admit(self, request: web.Request) -> Visit:
        return admit(
            request.rel_url.raw_query_string,
            request.headers.get("Authorization", ""),
            verify=self._verify,
            connection_id=uuid.uuid4().hex,
        )


async def run_service(
    service: KbService, announcer: Announcer, *, host: str, port: int, stop: asyncio.Event
) -> None:
    """Listen until `stop` is set, then close every socket with 1001 and publish what is still queued."""
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(announcer.run(), name="kb:announcer")
        async with service.listening(host, port) as addresses:
            logger.info("listening", extra={"addresses": addresses})
            await stop.wait()
        try:
            async with asyncio.timeout(5):
                await announcer.finish()
                await asyncio.wait([publishing])
        except TimeoutError:
            publishing.cancel()
    logger.info("stopped")


async def nowhere(_: web.Request) -> web.Response:
    raise NotFound


@web.middleware
async def refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal in one form: its status, and a JSON body of its code and message."""
    try:
        return await handler(request)
    except GatewayError as error:
        logged = {
            "status": error.status,
            "why": str(error),
            "request_id": one_line(request.headers.get("X-Request-Id", ""), 64),
        }
        what = "socket refused" if request.path == SOCKET_PATH else "request refused"
        logger.log(_refusal_level(request), what, extra=logged)
        response = refusal(error.status, code=error.code, message=error.message)
        if error.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
        return response
    except web.HTTPException as error:  # the server's own: no handshake, too long a body
        code = HTTPStatus(error.status).name.lower()
        return refusal(error.status, code=code, message=HTTPStatus(error.status).phrase)


def refusal(status: int, *, code: str, message: str) -> web.Response:
    return json_response({"code": code, "message": message}, status=status)


def json_response(fields: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> web.Response:
    return as_json(json.dumps(fields) + "\n", status=status)


def as_json(text: str, *, status: int) -> web.Response:
    return web.Response(body=text.encode(), status=status, content_type="application/json")


def _refusal_level(request: web.Request) -> int:
    """A gateway's probe says who it is, has no token, and comes every few seconds."""
    is_probe = PROBE_USER_AGENT in request.headers.getall("User-Agent", [])
    return logging.DEBUG if is_probe else logging.INFO


async def _hide_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
