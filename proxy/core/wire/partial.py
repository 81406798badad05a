"""A message of which not all fragments are there yet."""

from __future__ import annotations


class Partial:
    """The whole frames so far of a message: `payload` unmasked and joined, `wire` as they came."""

    __slots__ = ("opcode", "payload", "wire")

    def __init__(self, opcode: int, payload: bytes = b"", wire: bytes = b"") -> None:
        self.opcode = opcode
        self.payload = bytearray(payload)
        self.wire = bytearray(wire)

    def told(self) -> tuple[int, bytes, bytes]:
        """What one like it is made with."""
        return self.opcode, bytes(self.payload), bytes(self.wire)

    def add(self, payload: bytes, wire: bytes) -> None:
        self.payload += payload
        self.wire += wire
