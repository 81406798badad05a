"""What the head of an opening handshake may hold (RFC 9110, sections 5.5 and 7.2; RFC 6455, section 4.1).

Servers let more through than a WebSocket client library can send on. Whatever is not clean ends here, as the
client's own fault, before a service is dialled with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
# All but the tab. Bytes from 0x80 are a client's own text (obs-text), the halves of its UTF-8 among them.
CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Latin-1's line break, the end of an "Å" in UTF-8. A service whose library takes it for one would read what
# follows as a header that only the gateway may say.
BREAKS_LINES = re.compile(rb"\x85")
_SUBPROTOCOLS = b"sec-websocket-protocol"


def problem_of_head(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Why a handshake with these headers (names in lower case) cannot be served; None if it can."""
    for name, value in headers:
        if CONTROL_BYTES.search(value):
            return "control bytes in a header value"
        if name == _SUBPROTOCOLS and not all(map(_is_token_or_empty, value.split(b","))):
            return "a sub-protocol is not a token"
    return None


def _is_token_or_empty(word: bytes) -> bool:
    word = word.strip(b" \t")
    return not word or TOKEN.fullmatch(word) is not None
