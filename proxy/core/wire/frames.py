"""Follow a stream of WebSocket frames, so that it can be spliced verbatim (RFC 6455, section 5).

The hot path of the gateway: a chunk read from one leg goes to the other as the very same object whenever
nothing of it has to be held back or cut out. Payloads are looked at only where a client's control messages
have to be found, and then only those of short texts.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.wire.control_messages import MAX_CONTROL_MESSAGE_BYTES, is_control, may_be_control
from proxy.core.wire.headers import (
    CONTROL,
    FINAL,
    IN_MESSAGE,
    STEP_COST,
    TEXT,
    TURN_COST,
    FrameReader,
    Header,
    Partial,
    ProtocolViolation,
    xor_mask,
)

_LONGEST_HEADER_BYTES = 14
WHOLE_TEXT = 0x80 | TEXT
_OPENS_OBJECT = b"{ \t\r\n"
# Control messages that are found in one turn; each is to be answered, which costs more than to find it.
MOST_CONTROLS = 8
# A text that is parsed to see whether it is for us costs by its size: 16 KiB of brackets take half a
# millisecond and more.
PARSED_BYTES_A_COST = 8
# A read of this size filled the event loop's buffer: there is more, and others have to have a turn first.
FULL_READ_BYTES = 200_000


class Output:
    """What goes on of one chunk: all of it, but for what was cut out or put in, from the front to the back.

    Nothing is copied as long as nothing is changed.
    """

    __slots__ = ("_chunk", "_pieces", "_size", "_start")

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._pieces: list[bytes] = []
        self._size = self._start = 0  # of the pieces; what comes after them in the chunk

    def cut(self, start: int, end: int) -> None:
        """Leave out chunk[start:end]."""
        self.put(self._chunk[self._start : start])
        self._start = end

    def put(self, piece: bytes) -> None:
        """Insert bytes behind all that was cut so far."""
        self._pieces.append(piece)
        self._size += len(piece)

    def offset(self, position: int) -> int:
        """Where in the output the chunk's `position` comes to stand, as far as is known now."""
        return self._size + position - self._start

    def until(self, position: int) -> bytes:
        """The output up to there; the chunk itself where that is the same."""
        if self._pieces:
            return b"".join((*self._pieces, self._chunk[self._start : position]))
        return self._chunk if position == len(self._chunk) else self._chunk[:position]


class Scanner(FrameReader):
    """Follow the frames of one direction.

    Feed it every chunk, and write what it returns; then act on `controls` and `ended`, and resume while there
    is something `unread`.

    Payload is passed on as it arrives. Headers and control frames are held back until they are whole, so that
    nothing that breaks the protocol reaches the other leg. Close frames, and pongs whose payload begins with
    `pong_prefix` (those that answer our own keep-alive pings), are cut out; all other control frames pass.

    With `diverts`, a client's control messages are cut out, too, into `controls`. A short text is held back
    until it is whole, or shows that it is none.

    Attributes:
        boundary: the last offset in the bytes last returned at which a whole message may be injected; -1 if
            there is none.
        noted: there is more to see to than the bytes last returned: control frames came, `controls`, `ended`
            or `unread`, or the chunk was so large that others should have a turn. Its owner sets it back.
        controls: payloads of control messages found; whoever acts on them empties it.
        ended: None, or the close frame or the violation that ended the stream. Nothing is returned after it.
        messages: data messages completed; diverted ones do not count.
        payload_bytes: payload announced by the headers of data frames so far.
    """

    __slots__ = (
        "_apply_mask", "_diverts", "_held", "_parsed_bytes", "_payload_left", "_plain", "boundary",
        "controls", "noted",
    )  # fmt: skip
    STATE = (*FrameReader.STATE, "_held", "_payload_left", "_plain")

    def __init__(
        self,
        *,
        masked: bool,
        max_message_bytes: int,
        allow_rsv1: bool = False,
        pong_prefix: bytes = b"",
        diverts: bool = False,
        apply_mask: Callable[[bytes, bytes], bytes] = xor_mask,
    ) -> None:
        """`masked`: from a client. `max_message_bytes`: payload, as on the wire (compressed if it is).

        `allow_rsv1`: permessage-deflate was negotiated end to end; not together with `diverts`. `pong_prefix`
        begins every ping of ours; empty if we send none. `apply_mask` unmasks; pass a fast one.
        """
        super().__init__(
            masked=masked, max_message_bytes=max_message_bytes, allow_rsv1=allow_rsv1, pong_prefix=pong_prefix
        )
        self.boundary = 0
        self.noted = False
        self.controls: list[bytes] | tuple[()] = ()  # a list once there is one
        self._diverts, self._apply_mask = diverts, apply_mask
        self._held = b""  # a frame that is not whole yet, of which nothing was passed on
        self._payload_left = 0  # of the frame under way
        self._parsed_bytes = 0  # in the step under way
        self._plain = True  # between messages, nothing held, unread or ended

    @property
    def between_frames(self) -> bool:
        """Whether a control frame may be injected after the bytes last returned."""
        return not self._payload_left

    @property
    def between_messages(self) -> bool:
        """Whether a whole message may be injected after the bytes last returned."""
        return not self._payload_left and (self._kinds is not IN_MESSAGE or self._partial is not None)

    @property
    def payload_left(self) -> int:
        """How much is still to come of the frame in which the bytes last returned have ended."""
        return self._payload_left

    @property
    def heard(self) -> int:
        """Differs after anything was read."""
        taken = self.messages + self.payload_bytes + self.control_frames
        return taken - self._payload_left + len(self._held)

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes to forward: `chunk` itself whenever that is all and only what goes on."""
        size = len(chunk)
        if self._plain and size > 3 and self._kinds[chunk[0]] == FINAL and self.messages < self.quota:
            length, start = chunk[1] ^ self._mask_bit, self._short_header_bytes
            if length > 125:  # one whole message? then we are done
                length = chunk[2] << 8 | chunk[3] if length == 126 else 0
                start = start + 2 if length > 125 else size + 1
            if (
                size == start + length
                and length <= self.max_message_bytes
                and not (self._diverts and chunk[0] == WHOLE_TEXT and self._may_divert(chunk, start, size))
            ):
                self.messages += 1
                self.payload_bytes += length
                self.boundary = size
                return chunk
        elif self._payload_left > size:
            self._payload_left -= size
            self.boundary = -1
            self.noted = size >= FULL_READ_BYTES
            return chunk
        return self._walk(chunk)

    def resume(self) -> bytes:
        """Go on with what is unread; returns as `feed` does."""
        unread, self.unread = self.unread, b""
        return self._walk(unread)

    def _walk(self, chunk: bytes) -> bytes:
        """Take the long way through a chunk, and note what its owner has to see to."""
        self.boundary = 0 if self.between_messages else -1
        if self.unread:  # it is not our turn
            self.unread += chunk
            return b""
        if self.ended is not None:
            return b""
        if self._held:
            chunk, self._held = self._held + chunk, b""
        control_frames = self.control_frames
        passed = self._pass_frames(chunk)
        has_ended = self.ended is not None
        self._plain = self._kinds is self._between and not (
            self._payload_left or self._held or self.unread or has_ended
        )
        self.noted = has_ended or bool(self.unread) or self.control_frames != control_frames
        self.noted = self.noted or len(chunk) >= FULL_READ_BYTES
        return passed

    def _pass_frames(self, chunk: bytes) -> bytes:
        """Go through a chunk frame by frame, until the turn is over."""
        output = Output(chunk)
        position = self._finish_frame(output)
        cost, size = 0, len(chunk)
        while position < size:
            if cost >= TURN_COST or len(self.controls) >= MOST_CONTROLS:
                self.unread = chunk[position:]
                break
            before, messages, self._parsed_bytes = position, self.messages, 0
            if self._kinds is self._between:
                position = self._run(chunk, position, most=TURN_COST - cost)
            if position == before:
                position = self._step(chunk, position, output)
                cost += STEP_COST + self._parsed_bytes // PARSED_BYTES_A_COST
            if position == before:  # the rest is held back, unread or discarded
                break
            cost += self.messages - messages
            if self.between_messages:
                self.boundary = output.offset(position)
        return output.until(position)

    def _finish_frame(self, output: Output) -> int:
        """Pass the rest of the frame under way, all of which has come; return where the next begins."""
        end = self._payload_left
        if not end:
            return 0
        self._payload_left = 0
        if self._kinds is not IN_MESSAGE:
            self._complete_message()
            self.boundary = output.offset(end)
        return end

    def _run(self, chunk: bytes, position: int, *, most: int) -> int:
        """Pass at most so many whole messages of one short frame each; return where the next frame begins."""
        kinds, mask_bit, short_header_bytes = self._kinds, self._mask_bit, self._short_header_bytes
        max_bytes, size, diverts = self.max_message_bytes, len(chunk), self._diverts
        last_header = size - _LONGEST_HEADER_BYTES
        most = min(most, self.quota - self.messages)
        messages = payload_bytes = 0
        while messages < most and position <= last_header and kinds[chunk[position]] == FINAL:
            length = chunk[position + 1] ^ mask_bit
            start = position + short_header_bytes
            if length > 125:
                if length != 126 or (length := chunk[position + 2] << 8 | chunk[position + 3]) < 126:
                    break
                start += 2
            end = start + length
            if end > size or length > max_bytes:
                break
            if diverts and chunk[position] == WHOLE_TEXT and self._may_divert(chunk, start, end):
                break
            messages += 1
            payload_bytes += length
            position = end
        self.messages += messages
        self.payload_bytes += payload_bytes
        return position

    def _step(self, chunk: bytes, position: int, output: Output) -> int:
        """Pass, cut, hold back or judge one frame. Return where the next begins; `position`: no further."""
        try:
            header = self._header(chunk, position)
            if header is None or (header[0] == CONTROL and header[1] + header[2] > len(chunk)):
                self._held = chunk[position:]
                return position
            if header[0] == CONTROL:
                return self._take_control_frame(chunk, position, header, output)
            if self._partial is not None:
                return self._hold_back(chunk, position, header, output)
            if self._kinds is self._between:
                if self._has_to_wait():
                    self.unread = chunk[position:]
                    return position
                if self._diverts and chunk[position] & 0x0F == TEXT:
                    return self._hold_back(chunk, position, header, output)
            return self._begin_frame(chunk, position, header, output)
        except ProtocolViolation as broken:
            self.ended = broken.violation
            return position

    def _take_control_frame(self, chunk: bytes, position: int, header: Header, output: Output) -> int:
        _, start, length = header
        payload = chunk[start : start + length]
        if self._mask_bit:
            payload = xor_mask(payload, chunk[start - 4 : start])
        if self._keeps(chunk[position] & 0x0F, payload):
            output.cut(position, start + length)
        return position if self.ended is not None else start + length

    def _has_to_wait(self) -> bool:
        """Whether the message that begins now is beyond the quota, and left unread for that."""
        return self.messages >= self.quota

    def _begin_frame(self, chunk: bytes, position: int, header: Header, output: Output) -> int:
        """Pass the frame there, or as much of it as has come."""
        kind, start, length = header
        self.payload_bytes += length
        self._message_bytes += length
        if self._kinds is IN_MESSAGE:
            self._count_part()
        self._kinds = self._between if kind == FINAL else IN_MESSAGE
        end, size = start + length, len(chunk)
        if end > size:
            self._payload_left = end - size
            return size
        if kind == FINAL:
            self._complete_message()
        return end

    def _complete_message(self) -> None:
        self.messages += 1
        self._message_bytes = self._parts = 0

    # --- Control messages -----

    def _may_divert(self, chunk: bytes, start: int, end: int) -> bool:
        """Whether the whole text with its payload there is worth a closer look."""
        if end == start or end - start > MAX_CONTROL_MESSAGE_BYTES:
            return False
        if chunk[start] ^ chunk[start - 4] not in _OPENS_OBJECT:
            return False
        return may_be_control(self._apply_mask(chunk[start:end], chunk[start - 4 : start]))

    def _hold_back(self, chunk: bytes, position: int, header: Header, output: Output) -> int:
        """Keep a frame of a text until that is whole, or shows that it is not for us."""
        kind, start, length = header
        end, partial = start + length, self._partial
        before = b"" if partial is None else partial.payload
        if len(before) + length > MAX_CONTROL_MESSAGE_BYTES or not (before or _may_open(chunk, start, end)):
            self._release(output, position)
            return self._begin_frame(chunk, position, header, output)
        if end > len(chunk):
            self._held = chunk[position:]
            return position
        payload = self._apply_mask(chunk[start:end], chunk[start - 4 : start])
        if partial is None and kind == FINAL and not self._is_control(payload):
            return self._begin_frame(chunk, position, header, output)
        if partial is None and kind == FINAL:
            output.cut(position, end)
            self._divert(payload)
            return end
        self._keep(payload, chunk[position:end])
        output.cut(position, end)
        if kind == FINAL:
            self._decide(output, end)
        return end

    def _keep(self, payload: bytes, wire: bytes) -> None:
        """Put by a frame of a text that has several."""
        if self._partial is None:
            self._partial = Partial(TEXT)
        else:
            self._count_part()
        self._partial.add(payload, wire)
        self._message_bytes += len(payload)
        self._kinds = IN_MESSAGE

    def _decide(self, output: Output, position: int) -> None:
        """The text that was held back is whole, up to there: it is ours, or goes on."""
        assert self._partial is not None  # noqa: S101  who calls has just filled it
        payload = bytes(self._partial.payload)
        self._kinds = self._between
        if self._is_control(payload):
            self._divert(payload)
        else:
            self._release(output, position)
            self._complete_message()

    def _divert(self, payload: bytes) -> None:
        """The message that has come is ours."""
        self.controls = [*self.controls, payload]
        self.control_frames += 1
        self._partial = None
        self._message_bytes = self._parts = 0

    def _is_control(self, payload: bytes) -> bool:
        if may_be_control(payload):
            self._parsed_bytes = len(payload)
        return is_control(payload)

    def _release(self, output: Output, position: int) -> None:
        """Pass on what was held back of a message, in front of what begins there."""
        if self._partial is not None:
            output.cut(position, position)
            output.put(bytes(self._partial.wire))
            self.payload_bytes += len(self._partial.payload)
            self._partial = None


def _may_open(chunk: bytes, start: int, end: int) -> bool:
    """Whether the masked payload there, which may not be whole or be empty, may begin a JSON object."""
    return start == min(end, len(chunk)) or chunk[start] ^ chunk[start - 4] in _OPENS_OBJECT
