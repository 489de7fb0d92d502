"""One process of a function, as its pool has it; for the event loop's thread."""

from __future__ import annotations

import asyncio
import marshal
import mmap
import os
import socket
import subprocess
import tempfile
from typing import TYPE_CHECKING

from portafaas.dev.answers import MEMORY
from portafaas.dev.frames import ANSWER, LENGTH, LOG, READY, SLOT
from portafaas.local.memory import outgrown, resident

if TYPE_CHECKING:
    from portafaas.dev.pool import Pool


def end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    """End a process that was never told what to be."""
    ours.close()
    process.kill()
    process.wait()


class Instance(asyncio.Protocol):
    """One process."""

    def __init__(self, pool: Pool, process: subprocess.Popen[bytes]) -> None:
        self.pool = pool
        self.process = process
        self.ready = False
        #: How many answers it has given.
        self.answers = 0
        #: Why it is killed: how its invocations went, in words, and which one's fault it is (0:
        #: all).
        self.doom: tuple[int, str, int] | None = None
        self.transport: asyncio.Transport | None = None
        self._part = b""
        size = SLOT.size * pool.concurrency
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            self.slots = os.dup(file.fileno())
            self._memory = mmap.mmap(self.slots, size)

    def at(self) -> list[tuple[int, float]]:
        """Return the requests that it is at, and since when on the monotonic clock."""
        return [pair for pair in SLOT.iter_unpack(self._memory[:]) if pair[0]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the stream's transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take in frames of the stream."""
        if self._part:
            data = self._part + data
        start, size = 0, len(data)
        while size - start >= 4:
            (length,) = LENGTH.unpack_from(data, start)
            end = start + 4 + length
            if end > size:
                break
            frame = marshal.loads(data[start + 4 : end])
            start = end
            if frame[0] == ANSWER:
                self.answers += 1
                self.pool.answered(frame[1], frame[2:])
            elif frame[0] == LOG:
                pool = self.pool
                pool.instances.logged(pool.function.name, *frame[1:])
            elif frame[0] == READY:
                self.ready = True
        self._part = data[start:] if start < size else b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Find out how it ended."""
        if not self.pool.instances._closed:
            self.pool.instances.later(self._reap())

    async def _reap(self) -> None:
        status = await asyncio.get_running_loop().run_in_executor(None, self._wait)
        if not self.pool.instances._closed:
            self.pool.ended(self, status)
            self.release()

    def release(self) -> None:
        """Give back the memory that it shares with the process."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.slots)

    def _wait(self) -> int:
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self, how: int, why: str, culprit: int = 0) -> None:
        """End it; *why* is told whoever waits for its answers."""
        if self.doom is None:
            self.doom = (how, why, culprit)
            self.process.kill()

    def weigh(self, most: int) -> None:
        """End it when it has more than *most* MiB."""
        if self.doom is not None or not (at := self.at()):
            return
        used = resident(self.process.pid) // (1 << 20)
        if used > most:
            self.kill(MEMORY, outgrown(used, most))
            for number, _ in at:
                text = f"killed: {used} MiB of memory used, {most} MiB declared\n".encode()
                self.pool.instances.logged(self.pool.function.name, number, 2, 0.0, text)


class Output(asyncio.Protocol):
    """What processes print around the handler's own streams: their children, libraries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def data_received(self, data: bytes) -> None:
        """Hand it on."""
        self._pool.instances.logged(self._pool.function.name, 0, 2, 0.0, data)
