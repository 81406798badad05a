"""One WebSocket conversation after the handshake, in whole messages, without I/O.

Wraps the `websockets` library's sans-I/O protocol: bytes in, messages and bytes to write out.
"""

from __future__ import annotations

import logging

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SEND_EOF, SERVER, Protocol

from proxy.core.closes import NO_STATUS, Close, ClosedBy, too_big
from proxy.core.wire.headers import TOO_MANY_PARTS, ProtocolViolation, too_many_parts

Message = str | bytes

# One logger for all: the library would otherwise look one up for each connection.
_log = logging.getLogger("websockets.server")
_MESSAGE_OPCODES = frozenset((Opcode.TEXT, Opcode.BINARY, Opcode.CONT))
_PONG_HEAD = 0x80 | Opcode.PONG


class _Protocol(Protocol):
    def fail(self, code: int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:  # the library bounds what comes, and nothing but that
            reason = too_big(ClosedBy.CLIENT, reason).reason
        super().fail(code, reason)


class Conversation:
    """The server's side. Nothing may be sent once `is_open` is False."""

    __slots__ = (
        "_fragments",
        "_fragments_are_text",
        "_parts",
        "_protocol",
        "control_frames",
        "eof_due",
        "frames",
    )

    def __init__(self, *, max_message_bytes: int) -> None:
        self._protocol = _Protocol(SERVER, state=OPEN, max_size=max_message_bytes, logger=_log)
        del self._protocol.id  # for logs that nobody writes here; it weighs 200 bytes
        # A bytearray and not a list: a peer may send a message as a million fragments of one byte.
        self._fragments: bytearray | None = None
        self._fragments_are_text = False
        self._parts = 0  # of the message under way, control frames in between included
        self.frames = self.control_frames = 0  # received so far
        self.eof_due = False

    @property
    def is_open(self) -> bool:
        return self._protocol.state is OPEN

    @property
    def close_received(self) -> Close | None:
        """The client's close; code 1005 when its close frame was empty. None when none has come."""
        received = self._protocol.close_rcvd
        return None if received is None else Close(int(received.code), received.reason)

    @property
    def failed_with(self) -> Close | None:
        """The close that was sent because the client broke the rules or a bound; None if it did not."""
        sent = self._protocol.close_sent
        if self._protocol.parser_exc is None or sent is None:
            return None
        return Close(int(sent.code), sent.reason)

    def receive(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Look at `close_received` and `failed_with` afterwards."""
        protocol = self._protocol
        protocol.receive_data(data)
        messages: list[Message] = []
        for frame in protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            self.frames += 1
            try:
                message = self._take(frame)
            except (UnicodeDecodeError, ProtocolViolation) as error:
                code, reason = _meaning(error)
                protocol.fail(code, reason)
                protocol.parser_exc = error
                break
            if message is not None:
                messages.append(message)
        return messages

    def _take(self, frame: Frame) -> Message | None:
        """The message that `frame` completes. Raises UnicodeDecodeError and ProtocolViolation."""
        if self._fragments is not None:
            self._parts += 1
            if too_many_parts(self._parts, len(self._fragments)):
                raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG, TOO_MANY_PARTS)
        if frame.opcode in _MESSAGE_OPCODES:
            return self._assemble(frame)
        self.control_frames += 1
        return None

    def _assemble(self, frame: Frame) -> Message | None:
        if frame.opcode is not Opcode.CONT:
            is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                return bytes(frame.data).decode() if is_text else bytes(frame.data)
            self._fragments, self._fragments_are_text, self._parts = bytearray(frame.data), is_text, 0
            return None
        assert self._fragments is not None  # noqa: S101  the protocol lets no other continuation through
        self._fragments += frame.data
        if not frame.fin:
            return None
        whole, self._fragments = self._fragments, None
        return whole.decode() if self._fragments_are_text else bytes(whole)

    def send(self, message: Message) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)

    def ping(self) -> None:
        self._protocol.send_ping(b"")

    def close(self, close: Close) -> None:
        """Start the close handshake; a code that may not be sent is replaced (see `Close.for_wire`)."""
        wire = close.for_wire()
        if wire.code == NO_STATUS:
            self._protocol.send_close()
        else:
            self._protocol.send_close(wire.code, wire.reason)

    def let_go(self) -> None:
        """Receive no more. The library's parser is a cycle, which the collector would find late."""
        del self._protocol.parser

    def bytes_to_write(self, *, without_pongs: bool = False) -> bytes:
        """What to write now; sets `eof_due` when the socket is to be ended after it.

        `without_pongs` drops pongs, so that a client that pings and does not read costs no memory.
        """
        writes = self._protocol.data_to_send()
        if writes and writes[-1] == SEND_EOF:
            self.eof_due = True
        if without_pongs:
            writes = [write for write in writes if not write or write[0] != _PONG_HEAD]
        return writes[0] if len(writes) == 1 else b"".join(writes)


def _meaning(error: UnicodeDecodeError | ProtocolViolation) -> tuple[int, str]:
    """What to close with."""
    if isinstance(error, ProtocolViolation):
        return error.violation.code, error.violation.reason
    return CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}"
