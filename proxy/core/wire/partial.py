"""A message of which not all fragments are there yet."""

from __future__ import annotations


class Partial:
    """The whole frames so far of a message: `payload` unmasked and joined, `wire` as they came."""

    __slots__ = ("opcode", "payload", "wire")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.payload = bytearray()
        self.wire = bytearray()

    def add(self, payload: bytes, wire: bytes) -> None:
        self.payload += payload
        self.wire += wire
