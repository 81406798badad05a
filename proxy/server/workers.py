"""Several gateway processes on one listening socket, kept alive by a small master.

A worker is a fresh process that inherits the socket's descriptor, not a fork: the master has imported Django
and may have threads, and the metrics library decides at its import whether several processes share it.
Whichever worker is free accepts. The master never accepts; it holds the socket so that a dead worker's
clients-to-be wait for its successor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import mark_process_dead

from proxy import metrics
from proxy.core.backoff import delays, jittered
from proxy.engine.calls import wait_at_most

log = logging.getLogger("gateway.master")

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.25, 30.0
# A worker that lived this long did not die of its start.
STEADY_SECONDS = 30.0
CANNOT_START = os.EX_OSERR

# What a worker says once it accepts, and as it begins to drain: it ends for good, or a successor is to come.
SERVES, FOR_GOOD, FOR_NOW = b"s", b"g", b"n"
# What the master answers: others go on accepting, or nobody does, and the master has let go of the socket.
OTHERS, NOBODY = b"o", b"-"
ANSWER_SECONDS = 1.0


class Master:
    """Owns the workers. The first SIGTERM or SIGINT drains them all, a second hurries them."""

    def __init__(
        self, command: Sequence[str], *, workers: int, listening: socket.socket, stop_seconds: float
    ) -> None:
        """`command` starts one worker, which finds the socket at the same descriptor as here, when the
        descriptor of its `Line` is put behind it.

        `stop_seconds` bounds a drain; what still runs then is killed.
        """
        self._command, self._workers, self._listening = tuple(command), workers, listening
        self._stop_seconds = stop_seconds
        self._running: dict[int, asyncio.subprocess.Process] = {}
        # Slots whose worker accepts from the socket, and those whose last worker has left it.
        self._accepting: set[int] = set()
        self._left_for_good: set[int] = set()
        self._stopping = asyncio.Event()
        self._metrics_dir = Path()

    async def run(self) -> int:
        """Return 0 once every worker has drained, 1 if one of them failed to."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        given = os.environ.get(METRICS_VARIABLE)
        self._metrics_dir = Path(given or tempfile.mkdtemp(prefix="sluicegate-metrics-"))
        self._metrics_dir.mkdir(exist_ok=True)
        self._ends = Ends(self._metrics_dir)
        try:
            async with asyncio.TaskGroup() as slots:
                kept = [
                    slots.create_task(self._keep(slot), name=f"worker:{slot}")
                    for slot in range(self._workers)
                ]
            return 0 if all(task.result() == 0 for task in kept) else 1
        finally:
            self._ends.close()
            if not given:
                shutil.rmtree(self._metrics_dir, ignore_errors=True)

    async def _keep(self, slot: int) -> int:
        """Keep one worker running until staff drains it or everything stops; answers its last exit code,
        0 of one that was drained.

        One that was told to end by anybody else is replaced: capacity must not shrink in silence.
        """
        loop = asyncio.get_running_loop()
        waits = delays(FIRST_DELAY_SECONDS, longest_seconds=LONGEST_DELAY_SECONDS)
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_once(slot)
            if self._stopping.is_set():
                return 0 if code in {0, -signal.SIGTERM, CANNOT_START} else code
            if slot in self._left_for_good:
                log.warning(
                    "worker drained and is not replaced", extra={"slot": slot, "left": len(self._running)}
                )
                return 0
            if loop.time() - began > STEADY_SECONDS:
                waits = delays(FIRST_DELAY_SECONDS, longest_seconds=LONGEST_DELAY_SECONDS)
            self._ends.count()
            seconds = jittered(next(waits), fraction=0.2, random=random.random())  # noqa: S311  a jitter
            log.error("worker ended", extra={"slot": slot, "exit_code": code, "restart_in_seconds": seconds})
            await self._pause(seconds)
        return 0

    async def _run_once(self, slot: int) -> int:
        """Start a worker and wait for its end; answers its exit code, CANNOT_START if there was no start."""
        try:
            process, line = await self._start()
        # No memory, no process, no file to spare, or the socket closed by a stop meanwhile: the others go on.
        except (OSError, ValueError) as error:
            log.error("worker cannot be started", extra={"slot": slot, "error": str(error)})
            return CANNOT_START
        self._running[slot] = process
        log.info("worker started", extra={"slot": slot, "worker_pid": process.pid})
        if self._stopping.is_set():
            process.terminate()
        loop = asyncio.get_running_loop()
        loop.add_reader(line, self._on_line, slot, line)
        try:
            return await process.wait()
        finally:
            loop.remove_reader(line)
            line.close()
            if process.returncode is None:
                process.kill()
            del self._running[slot]
            self._accepting.discard(slot)
            mark_process_dead(process.pid, str(self._metrics_dir))  # type: ignore[no-untyped-call]

    async def _start(self) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """A worker, and our end of its line."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[self._listening.fileno(), theirs.fileno()],
                env=os.environ | {METRICS_VARIABLE: str(self._metrics_dir)},
                start_new_session=True,  # a terminal's Ctrl-C is for the master to pass on, once
            )
            undo.pop_all()
        return process, ours

    def _on_line(self, slot: int, line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            said = line.recv(1)
            if said == SERVES:
                self._accepting.add(slot)
                return
            if said:
                self._leave(slot, line, for_good=said == FOR_GOOD)
                return
        asyncio.get_running_loop().remove_reader(line)  # it has ended

    def _leave(self, slot: int, line: socket.socket, *, for_good: bool) -> None:
        """A worker leaves the listening socket: tell it whether others stay. After the last it is shut."""
        self._accepting.discard(slot)
        if for_good:
            self._left_for_good.add(slot)
        others = self._others_accept()
        if not others:
            self._listening.close()
        line.send(OTHERS if others else NOBODY)

    def _others_accept(self) -> bool:
        """Whether a worker accepts or, as long as nothing stops, is to come."""
        return bool(self._accepting) or not (
            self._stopping.is_set() or len(self._left_for_good) == self._workers
        )

    async def _pause(self, seconds: float) -> None:
        """Wait; not past a stop, which may come in the very turn in which the time is over."""
        await wait_at_most(seconds, self._stopping.wait())

    def _stop(self) -> None:
        """Pass a signal on. Nobody listens any more once the last worker has closed its copy, too."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._listening.close()
            asyncio.get_running_loop().call_later(self._stop_seconds, self._kill)
        for process in self._running.values():
            if process.returncode is None:
                process.terminate()

    def _kill(self) -> None:
        for slot, process in self._running.items():
            if process.returncode is None:
                log.error("worker did not drain in time", extra={"slot": slot, "worker_pid": process.pid})
                process.kill()


class Ends:
    """Counts the ends that nobody asked for, among the workers' metrics: each tells the sum of all files.

    The file is the master's own, written as the library writes counters: the library itself knows of no
    directory here, since there was none at its import.
    """

    def __init__(self, directory: Path) -> None:
        (counter,) = metrics.WORKER_ENDS_TOTAL.describe()
        self._key = mmap_key(counter.name, f"{counter.name}_total", [], [], counter.documentation)
        self._file = MmapedDict(str(directory / "counter_master.db"))  # type: ignore[no-untyped-call]

    def count(self) -> None:
        so_far, _ = self._file.read_value(self._key)  # type: ignore[no-untyped-call]
        self._file.write_value(self._key, so_far + 1, 0.0)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._file.close()  # type: ignore[no-untyped-call]


class Line:
    """A worker's line to its master: it accepts from the socket that they share, it leaves, who stays."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    def serves(self, *, on_lost: Callable[[], None]) -> None:
        """Say that this worker accepts. `on_lost` is called when the master has gone."""
        with contextlib.suppress(OSError):  # gone already
            self._socket.send(SERVES)
        asyncio.get_running_loop().add_reader(self._socket, self._lost, on_lost)

    def _lost(self, on_lost: Callable[[], None]) -> None:
        """The line has ended: the master says nothing that it is not asked."""
        asyncio.get_running_loop().remove_reader(self._socket)
        on_lost()

    async def others_accept(self, *, for_good: bool) -> bool:
        """Say that this worker leaves, and ask whether others stay; False also where no master answers."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(self._socket, FOR_GOOD if for_good else FOR_NOW)
                return await loop.sock_recv(self._socket, 1) == OTHERS
        except OSError:  # its deadline, too
            return False
