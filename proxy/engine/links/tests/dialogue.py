"""A splice without sockets: what its ends say goes in, what they are told comes out."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.core.limits import LinkLimits
from proxy.core.records import LinkCounters
from proxy.core.wire.tests.reference import spans
from proxy.engine.links.splice import Splice, SpliceRequest
from proxy.engine.links.tests.splicing import Told
from proxy.engine.pools.rawdial import RawUpstream


class Wire(asyncio.Transport):
    """One end's socket: `written` is what that end was sent. Reads nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reading = True
        self.unwritten_bytes = 0
        self.ended_by = ""  # close, abort or write_eof

    def write(self, data: Any) -> None:
        assert not self.ended_by, "written after the end"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unwritten_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended_by in {"close", "abort"}

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended_by = self.ended_by or "write_eof"

    def close(self) -> None:
        self.ended_by = "close"

    def abort(self) -> None:
        self.ended_by = "abort"

    def frames(self) -> list[bytes]:
        """What was written, frame by frame; the last one may not be whole."""
        written = bytes(self.written)
        return [written[start:end] for start, _, end in spans(written)]


class Dialogue:
    """A spliced link; `down` is the client's wire, `up` the service's. Inside a running loop."""

    def __init__(self, *, limits: LinkLimits | None = None, **options: Any) -> None:
        self.down, self.up = Wire(), Wire()
        upstream = RawUpstream()
        upstream.transport = self.up
        options.setdefault("life", Told())
        request = SpliceRequest(
            upstream=upstream, limits=limits or LinkLimits(), counters=LinkCounters(), **options
        )
        self.splice = Splice(self.down, request)

    def client(self, chunk: bytes) -> None:
        """The client sends."""
        if not self.down.is_closing():
            self.splice.down.data_received(chunk)

    def service(self, chunk: bytes) -> None:
        """The service sends."""
        if not self.up.is_closing():
            self.splice.up.data_received(chunk)

    async def turns(self) -> None:
        """Let every leg have the turns that it waits for."""
        while any(not leg.gone and leg.turn is not None for leg in (self.splice.down, self.splice.up)):
            await asyncio.sleep(0)

    def reset_client(self) -> None:
        """The client's socket is gone, without a close."""
        self.down.abort()
        self.splice.down.connection_lost(ConnectionResetError())

    def reset_service(self) -> None:
        """The service's socket is gone, without a close."""
        self.up.abort()
        self.splice.up.connection_lost(ConnectionResetError())

    def hang_up(self) -> None:
        """Both sockets are gone."""
        self.splice.down.connection_lost(None)
        self.splice.up.connection_lost(None)
