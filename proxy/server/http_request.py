"""One HTTP request, in Twisted: who may have an application, and what is said of the others."""

from __future__ import annotations

import contextlib
from functools import cached_property
from http import HTTPStatus
from typing import Any

from daphne.http_protocol import WebRequest
from twisted.internet.address import IPv4Address

from proxy.core.errors import BadRequest, GatewayError, Overloaded, TooMany
from proxy.core.heads import CONTROL_BYTES
from proxy.core.refusals import RefusalAnswer, refusal, refusal_of
from proxy.server import access_log, upgrade
from proxy.server.counting import count_refusal
from proxy.server.event_streams import EventStream

_NOT_FROM_CLIENTS = b"Daphne-Root-Path"
_EVENTS = b"text/event-stream"


class GatewayRequest(WebRequest):
    """One request: an upgrade leaves, the rest is Daphne's."""

    client: Any
    host: Any
    # Of an answer that is a stream of events: how much of it had gone out when some last did.
    _stream: EventStream | None = None

    def process(self) -> Any:
        self.requestHeaders.removeHeader(_NOT_FROM_CLIENTS)
        self.client, self.host = _unmapped(self.client), _unmapped(self.host)
        if upgrade.is_asked_by(self):
            if upgrade.is_plain(self.channel):
                return self._upgrade()
            self.channel.leave()
        if self._has_control_bytes():
            return self.basic_error(400, b"Bad Request", "Control bytes in a header value.")
        return self._serve()

    def _serve(self) -> Any:
        """Hand it to an application; a probe once its address has not asked too often."""
        if self.channel is None:  # gone while it waited
            return None
        if self.is_probe:
            now = self.server.loop.time()
            wait_seconds = self.server.http_requests.probe_wait_seconds(self.client_address, now)
            if wait_seconds:
                self.server.loop.call_later(wait_seconds, self._serve)
                return None
        else:
            error = self.server.http_requests.refusal(self.client_address)
            if error is not None:
                self._refuse(error)
                return None
        if self.server.is_draining:
            self._make_last()
        return super().process()

    @cached_property
    def client_address(self) -> str:
        """Of the client, as the proxies that we trust tell it; "" if nobody does."""
        return access_log.client_of(
            getattr(self.client, "host", None),
            forwarded_for=self.requestHeaders.getRawHeaders(b"X-Forwarded-For", ()),
            real_ip=self.requestHeaders.getRawHeaders(b"X-Real-IP", ()),
            proxies=self.server.options.trusted_proxies,
        )

    @property
    def is_probe(self) -> bool:
        return bool(self.uri.partition(b"?")[0].decode("latin-1") in self.server.options.probe_paths)

    def _refuse(self, error: TooMany | Overloaded) -> None:
        """At once: as many applications run as may, for this client or in all."""
        count_refusal("http_per_address" if isinstance(error, TooMany) else "http_overloaded")
        self._make_last()
        self._answer(refusal_of(error))

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """With today's phrases: to Twisted a 429 is an "Unknown Status"."""
        if message is None:
            with contextlib.suppress(ValueError):  # a status that nobody has named
                message = HTTPStatus(code).phrase.encode("ascii")
        super().setResponseCode(code, message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What is said of a head, and instead of an application that fails or is late: JSON, not a page."""
        code = GatewayError.code
        if status == 400:
            count_refusal("head")
            self._make_last()
            code = BadRequest.code
        self._answer(refusal(status, code=code, message=body))

    def _answer(self, refused: RefusalAnswer) -> None:
        length = (b"content-length", b"%d" % len(refused.body))
        headers = [*refused.headers, (b"content-security-policy", b"default-src 'none'"), length]
        self.handle_reply({"type": "http.response.start", "status": refused.status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": refused.body})

    def handle_reply(self, message: Any) -> None:
        super().handle_reply(message)
        if message["type"] != "http.response.start" or self.is_probe or not self._says_events():
            return
        if self.server.http_requests.began_stream(self.client_address):
            self._stream = EventStream(self.server.options, now=self.server.loop.time())

    def _says_events(self) -> bool:
        types = self.responseHeaders.getRawHeaders(b"content-type", ())
        return any(bytes(each).startswith(_EVENTS) for each in types)

    def uncount(self) -> None:
        """Its application has ended."""
        if self._stream is None:
            self.server.http_requests.ended(self.client_address)
        else:
            self.server.http_requests.ended_stream()

    def check_timeouts(self) -> None:
        """A stream takes as long as it likes, if its client reads."""
        if self._stream is None:
            super().check_timeouts()
        elif self.channel is not None:
            unsent_bytes = self.channel.unsent_bytes()
            if self._stream.is_stalled(self.sentLength, unsent_bytes, now=self.server.loop.time()):
                self.channel.give_way()

    def handle_exception(self, exception: BaseException) -> None:
        """A 500, or, when the answer has begun, its end in the middle: nobody may take it for whole."""
        if self._response_started and self.channel is not None:
            self.channel.give_way()
        else:
            super().handle_exception(exception)

    def finish(self) -> None:
        super().finish()
        access_log.log_http(self)

    def _make_last(self) -> None:
        """The connection closes behind this request's answer."""
        self.channel.persistent = False
        self.setHeader(b"Connection", b"close")

    def _has_control_bytes(self) -> bool:
        """Daphne looks for line breaks only."""
        return any(
            CONTROL_BYTES.search(value)
            for _, values in self.requestHeaders.getAllRawHeaders()
            for value in values
        )

    def _upgrade(self) -> None:
        """Who pipelines an upgrade and has not read the answer before it is refused."""
        if upgrade.has_written_all(self.channel):
            upgrade.leave(self)
        else:
            self.basic_error(400, b"Bad Request", "Read the answer before you upgrade.")


def _unmapped(address: Any) -> Any:
    """An IPv4 client of an IPv6 socket has its IPv4 address."""
    host = getattr(address, "host", None)
    if host is None or not host.startswith("::ffff:"):
        return address
    return IPv4Address(address.type, host.removeprefix("::ffff:"), address.port)
