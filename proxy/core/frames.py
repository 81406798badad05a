"""Follow a stream of WebSocket frames, so that it can be spliced verbatim (RFC 6455, section 5).

The hot path of the gateway: a chunk read from one leg goes to the other as the very same object whenever
nothing of it has to be held back or cut out. Payloads are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.headers import (
    CONTROL,
    FINAL,
    IN_MESSAGE,
    FrameReader,
    ProtocolViolation,
    xor_mask,
)

_LONGEST_HEADER_BYTES = 14


class Scanner(FrameReader):
    """Follow the frames of one direction. Feed it every chunk; write what it returns, then look at `ended`.

    Payload is passed on as it arrives. Headers and control frames are held back until they are whole, so that
    nothing that breaks the protocol reaches the other leg. Close frames, and pongs whose payload begins with
    `pong_prefix` (those that answer our own keep-alive pings), are cut out; all other control frames pass.

    Attributes:
        boundary: the last offset in the bytes last returned at which a whole message may be injected; -1 if
            there is none.
        ended: None, or the close frame or the violation that ended the stream. Nothing is returned after it.
        messages: data messages completed.
        payload_bytes: payload announced by the headers of data frames so far.
        pongs: our own pongs swallowed so far.
        pong: payload of the latest of them.
    """

    __slots__ = (
        "_held",
        "_payload_left",
        "_plain",
        "boundary",
        "on_message",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_message_bytes: int,
        allow_rsv1: bool = False,
        pong_prefix: bytes = b"",
        on_message: Callable[[int], object] | None = None,
    ) -> None:
        """Follow frames that must (`masked`) or must not be masked.

        Args:
            masked: True from client to gateway, False from upstream to gateway.
            max_message_bytes: most payload in one message, as on the wire (compressed if it is).
            allow_rsv1: permessage-deflate was negotiated end to end.
            pong_prefix: begins every ping of ours; empty if we send none.
            on_message: called with the payload bytes of each completed message.
        """
        super().__init__(
            masked=masked, max_message_bytes=max_message_bytes, allow_rsv1=allow_rsv1, pong_prefix=pong_prefix
        )
        self.on_message = on_message
        self.boundary = 0
        self._held = b""  # a header or control frame that is not whole yet
        self._payload_left = 0  # of the frame under way
        self._plain = True  # between messages, nothing held, not ended

    @property
    def between_frames(self) -> bool:
        """Whether a control frame may be injected after the bytes last returned."""
        return not self._payload_left

    @property
    def between_messages(self) -> bool:
        """Whether a whole message may be injected after the bytes last returned."""
        return not self._payload_left and self._kinds is not IN_MESSAGE

    @property
    def payload_left(self) -> int:
        """Payload of the frame under way that is still to come."""
        return self._payload_left

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes to forward: `chunk` itself whenever that is all and only what goes on."""
        size = len(chunk)
        if self._plain and size > 3 and self._kinds[chunk[0]] == FINAL:  # one whole message? then we are done
            length = chunk[1] ^ self._mask_bit
            if length < 126:
                whole = size == length + self._short_header_bytes
            else:
                whole = length == 126 and (length := chunk[2] << 8 | chunk[3]) > 125
                whole = whole and size == length + self._short_header_bytes + 2
            if whole and length <= self.max_message_bytes:
                self.messages += 1
                self.payload_bytes += length
                self.boundary = size
                if self.on_message is not None:
                    self.on_message(length)
                return chunk
        elif self._payload_left > size:
            self._payload_left -= size
            self.boundary = -1
            return chunk
        return self._walk(chunk)

    def _walk(self, chunk: bytes) -> bytes:
        """Go through a chunk frame by frame. Offsets, `boundary` too, count from its start until the end."""
        self.boundary = 0 if self.between_messages else -1
        if self.ended is not None:
            return b""
        if self._held:
            chunk, self._held = self._held + chunk, b""
        size, cuts = len(chunk), list[tuple[int, int]]()
        position = self._finish_frame()
        while True:
            if self._kinds is self._between and position < size:
                position = self._run(chunk, position)
            if position == size:
                break
            before, position = position, self._step(chunk, position, cuts)
            if position == before:  # the rest is held back or discarded
                chunk = chunk[:position]
                break
            if self.between_messages:
                self.boundary = position
        self._plain = self.between_messages and not self._held and self.ended is None
        return self._without(chunk, cuts) if cuts else chunk

    def _finish_frame(self) -> int:
        """Pass the rest of the frame under way, all of which has come; return where the next begins."""
        end = self._payload_left
        if not end:
            return 0
        self._payload_left = 0
        if self._kinds is not IN_MESSAGE:
            self._complete_message()
            self.boundary = end
        return end

    def _run(self, chunk: bytes, position: int) -> int:
        """Pass whole messages of one short frame each; return where something else begins. The hot loop."""
        kinds, mask_bit, short_header_bytes = self._kinds, self._mask_bit, self._short_header_bytes
        most, on_message, size = self.max_message_bytes, self.on_message, len(chunk)
        last_header = size - _LONGEST_HEADER_BYTES
        messages = payload_bytes = 0
        while position <= last_header and kinds[chunk[position]] == FINAL:
            length = chunk[position + 1] ^ mask_bit
            end = position + short_header_bytes + length
            if length > 125:
                if length != 126 or (length := chunk[position + 2] << 8 | chunk[position + 3]) < 126:
                    break
                end = position + short_header_bytes + 2 + length
            if end > size or length > most:
                break
            messages += 1
            payload_bytes += length
            position = end
            if on_message is not None:
                on_message(length)
        self.messages += messages
        self.payload_bytes += payload_bytes
        self.boundary = position
        return position

    def _step(self, chunk: bytes, position: int, cuts: list[tuple[int, int]]) -> int:
        """Pass, cut or judge any one frame. Return where the next begins; `position`: no further."""
        try:
            header = self._header(chunk, position)
            if header is not None and header[0] != CONTROL:
                return self._begin_frame(header, len(chunk))
            if header is None or (end := header[1] + header[2]) > len(chunk):
                self._held = chunk[position:]
                return position
            start, payload = header[1], chunk[header[1] : end]
            if self._mask_bit:
                payload = xor_mask(payload, chunk[start - 4 : start])
            if self._keeps(chunk[position] & 0x0F, payload):
                cuts.append((position, end))
            return position if self.ended is not None else end
        except ProtocolViolation as broken:
            self.ended = broken.violation
            return position

    def _begin_frame(self, header: tuple[int, int, int], size: int) -> int:
        kind, start, length = header
        self.payload_bytes += length
        self._message_bytes += length
        self._kinds = self._between if kind == FINAL else IN_MESSAGE
        end = start + length
        if end > size:
            self._payload_left = end - size
            return size
        if kind == FINAL:
            self._complete_message()
        return end

    def _complete_message(self) -> None:
        self.messages += 1
        if self.on_message is not None:
            self.on_message(self._message_bytes)
        self._message_bytes = 0

    def _without(self, chunk: bytes, cuts: list[tuple[int, int]]) -> bytes:
        pieces, kept_to, boundary = [], 0, self.boundary
        for start, end in cuts:
            pieces.append(chunk[kept_to:start])
            kept_to = end
            if end <= boundary:
                self.boundary -= end - start
        pieces.append(chunk[kept_to:])
        return b"".join(pieces)
