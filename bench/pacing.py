"""A clock for open-loop load. uvloop's own timers count whole milliseconds; a timerfd counts nanoseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from typing import Self

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Timer(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


def _timespec(nanoseconds: int) -> _Timespec:
    return _Timespec(*divmod(nanoseconds, 10**9))


class Pace:
    """Says when messages are due: the n-th at start + n / rate by `time.monotonic()`, whatever went before.

    Use as a context; `due()` waits for the next one and returns all that are due by now.
    """

    def __init__(self, *, rate: float) -> None:
        self._interval_ns = round(1e9 / rate)
        self._given = 0

    async def __aenter__(self) -> Self:
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._start_ns = time.monotonic_ns() + 5_000_000
        timer = _Timer(_timespec(self._interval_ns), _timespec(self._start_ns))
        if _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(timer), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._ticked = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._ticked.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def due(self) -> list[float]:
        """When the messages that became due since the last call were due, by `time.monotonic()`."""
        await self._ticked.wait()
        self._ticked.clear()
        try:
            count = int.from_bytes(os.read(self._fd, 8), "little")
        except BlockingIOError:
            return []
        first = self._given
        self._given += count
        return [(self._start_ns + n * self._interval_ns) / 1e9 for n in range(first, first + count)]
