"""nats-py's client, whose reading of a connection no message that somebody publishes ends.

It decodes subjects, reply subjects and a header's status strictly, and a server lets any bytes pass. What
fails there ends its reading without a word: a node is deaf until the echo stays out, and of a stream, which
has that message still, for good. It is imported when a broker is made: that takes a quarter of a second,
which few need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.aio import client

if TYPE_CHECKING:
    from nats.aio.msg import Msg


class Client(client.Client):
    """It reaches into the pinned release."""

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
