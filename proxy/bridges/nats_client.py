"""nats-py's client, kept to TLS where its URL says so, whose reading no message that somebody publishes ends.

By itself it speaks TLS where the server's first line asks for it, which whoever sits in between may change.

It decodes subjects, reply subjects and a header's status strictly, and a server lets any bytes pass. What
fails there ends its reading without a word: a node is deaf until the echo stays out, and of a stream, which
has that message still, for good. It is imported when a broker is made: that takes a quarter of a second,
which few need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nats.aio import client

if TYPE_CHECKING:
    from nats.aio.msg import Msg


class Client(client.Client):
    """It reaches into the pinned release."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Raises ConnectionError, before anything was said, where TLS was to be spoken and cannot be."""
        if initial_connection and self._current_server is not None and not info.get("tls_required"):
            url = self._current_server.uri
            if url.scheme == "tls" and not info.get("tls_available"):
                raise ConnectionError(f"{url.hostname}:{url.port} offers no TLS, which tls:// asks for")
            info["tls_required"] = url.scheme == "tls"
        await super()._process_info(info, initial_connection)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """None for what are no headers."""
        try:
            return await super()._process_headers(headers)
        except (ValueError, IndexError):
            return None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        message: Msg = super()._build_message(sid, _in_utf8(subject), _in_utf8(reply), data, headers)
        return message


def _in_utf8(name: bytes) -> bytes:
    """With a U+FFFD for what is none."""
    return name.decode(errors="replace").encode()
