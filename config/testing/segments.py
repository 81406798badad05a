"""In how many TCP segments a peer wrote what it had to say."""

from __future__ import annotations

import socket
import struct

# Of `struct tcp_info` (linux/tcp.h): how many segments with data have come.
_DATA_SEGMENTS_IN = 152


def segments_in(raw: socket.socket) -> int:
    """With data, since the connection began."""
    told = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (count,) = struct.unpack_from("I", told, _DATA_SEGMENTS_IN)
    return int(count)
