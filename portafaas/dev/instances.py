"""Processes of functions, as the server calls them: one pool a function, on one event loop.

Requests go into a socket that all processes of a pool read, so that each takes the next one when it
is free, without a word from here; answers come by a stream of each. A pool has one process until
requests have waited for :data:`PATIENCE` seconds, then more, as a platform adds instances.
``portafaas.dev.worker`` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import marshal
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from portafaas.dev.answers import Answer, HttpRequest
from portafaas.dev.frames import EVENT, FILE, HTTP
from portafaas.dev.instance import end
from portafaas.dev.pool import PATIENCE, Pool
from portafaas.plan import BuildPlan, FunctionPlan

#: Seconds without a request after which a pool has one process again, and between two looks.
IDLE, TIDY = 60.0, 15.0
#: Seconds between two looks at memory.
_WEIGHED = 0.2
#: Seconds of a function that is being debugged.
_FOREVER = 10_000_000


def debugged(plan: BuildPlan, names: Iterable[str]) -> BuildPlan:
    """Return *plan* with the functions *names* as they are debugged: one process, no timeout."""
    from dataclasses import replace

    chosen = set(names)
    functions = tuple(
        replace(each, timeout=_FOREVER, concurrency=1, min_instances=0, max_instances=1)
        if each.name in chosen
        else each
        for each in plan.functions
    )
    return replace(plan, functions=functions)


class Instances:
    """All pools of one application; for its event loop's thread.

    *root* is the project's folder. *environment* gives the variables of a function beside its own.
    *logged* gets function, number of the request (0 for none), descriptor, seconds since 1970 and
    bytes of what a process prints.
    """

    def __init__(
        self,
        root: Path,
        environment: Callable[[BuildPlan, FunctionPlan], Mapping[str, str]],
        logged: Callable[[str, int, int, float, bytes], None],
        debugging: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.root = root
        self.environment = environment
        self.logged = logged
        #: Of functions that are debugged, the variables that say where.
        self.debugging = debugging or {}
        self.pools: dict[str, Pool] = {}
        #: All but the last 12 digits of an invocation's id.
        self.ids = str(uuid.uuid4())[:24]
        self._number = 0
        self.loop: asyncio.AbstractEventLoop
        self._retired: set[Pool] = set()
        self._spares: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._weighed = 0.0
        self._closed = False
        self._refilling = False
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Of requests that are too long for the socket; made for the first.
        self.folder: Path | None = None

    def _tidy(self) -> None:
        """End processes that were added for a crowd that is gone."""
        for pool in self.pools.values():
            if monotonic() - pool.used > IDLE:
                pool.shrink()
        if not self._closed:
            self._tidying = self.loop.call_later(TIDY, self._tidy)

    def number(self) -> int:
        """Return the number of the next invocation."""
        self._number += 1
        return self._number

    def id(self, number: int) -> str:
        """Return the id of an invocation, as its handler sees it."""
        return f"{self.ids}{number:012x}"

    def serve(self, plan: BuildPlan) -> None:
        """Have the functions of *plan*; those that are not as before get new processes.

        The running event loop is the one that it belongs to.
        """
        self.loop = asyncio.get_running_loop()
        if self._tidying is None:
            self._tidying = self.loop.call_later(TIDY, self._tidy)
        names = {function.name for function in plan.functions}
        for name in list(self.pools):
            if name not in names:
                self._retire(self.pools.pop(name))
        for function in plan.functions:
            known = self.pools.get(function.name)
            if known is not None and known.same(plan, function):
                continue
            fresh = self.pools[function.name] = Pool(self, plan, function)
            if known is not None:
                self._retire(known)
            for _ in range(function.min_instances if function.kind == "http" else 0):
                fresh.start()

    async def renew(self, recent: float = 60.0) -> None:
        """Replace processes by new ones, of new code; the old ones finish what they are at.

        The pool that was used last goes on until its new process is ready. The others have none
        until there is something to do, or it is their turn to get ready: those that were used in
        the last *recent* seconds, one after the other.
        """
        stale = [pool for pool in self.pools.values() if pool.workers or pool.pending]
        stale.sort(key=lambda pool: -pool.used)
        fresh = [Pool(self, pool.plan, pool.function) for pool in stale]
        replaced = [
            self._put(old, new) for old, new in zip(stale[1:], fresh[1:], strict=True)
        ]
        if stale:
            await fresh[0].ready()
            replaced.append(self._put(stale[0], fresh[0]))
        # Not before: many processes that end at once take the time of the one that is waited for.
        for pool in replaced if not self._closed else ():
            pool.retire()
        self.later(self._warm([pool for pool in fresh[1:] if monotonic() - pool.used < recent]))

    async def _warm(self, pools: list[Pool]) -> None:
        for pool in pools:
            if not pool.retired and not pool.workers and not pool.starting:
                # The one that is there is for who is waited for.
                await pool.ready(spare=False)

    def _put(self, pool: Pool, fresh: Pool) -> Pool:
        """Have *fresh* called instead of *pool*; return the one that is to be retired."""
        if self.pools.get(pool.function.name) is pool and not self._closed:
            fresh.used = pool.used
            self.pools[pool.function.name] = fresh
            over = pool
        else:
            over = fresh
        self._retired.add(over)
        return over

    def _retire(self, pool: Pool) -> None:
        self._retired.add(pool)
        pool.retire()

    def gone(self, pool: Pool) -> None:
        """Forget a pool that is retired and has no process any more."""
        self._retired.discard(pool)

    # Processes

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a process that is told later what to be."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "portafaas.dev.worker", str(theirs.fileno())],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        return process, ours

    def add_spare(self, spare: tuple[subprocess.Popen[bytes], socket.socket]) -> None:
        """Take a process of :meth:`spawn` for the next function that needs one."""
        self._spares.append(spare)

    async def process(self, spare: bool = True) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Return a process that is told later what to be: one that is there, if *spare*."""
        while spare and self._spares:
            process, ours = self._spares.pop()
            if process.poll() is None:
                self.later(self._refill())
                return process, ours
            ours.close()
        self.later(self._refill())
        return await self.loop.run_in_executor(None, self.spawn)

    async def _refill(self) -> None:
        if self._refilling or self._closed:
            return
        self._refilling = True
        try:
            # Not while the process that was taken is loading.
            await asyncio.sleep(0.5)
            if not self._spares and not self._closed:
                spare = await self.loop.run_in_executor(None, self.spawn)
                if self._closed:
                    end(*spare)
                else:
                    self._spares.append(spare)
        finally:
            self._refilling = False

    def later(self, work: Awaitable[Any]) -> None:
        """Have *work* done, and keep it from being collected meanwhile."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Calls

    def http(self, pool: Pool, request: HttpRequest) -> tuple[int, asyncio.Future[Answer]]:
        """Hand a request to the function."""
        self._number = number = self._number + 1
        return number, pool.submit(number, marshal.dumps((HTTP, number, *request)))

    def filed(self, message: bytes) -> bytes:
        """Put a message that is too long for a socket into a file; return one that says where."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="portafaas-"))
        descriptor, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
        return marshal.dumps((FILE, name))

    def event(self, pool: Pool, event: Mapping[str, Any]) -> tuple[int, asyncio.Future[Answer]]:
        """Hand a neutral event to the function; the answer's body is the outcome as JSON."""
        number = self.number()
        message = marshal.dumps((EVENT, number, json.dumps(event)))
        return number, pool.submit(number, message)

    # Upkeep

    def tick(self) -> None:
        """Look after the pools while any has something to do."""
        if self._ticking is None and not self._closed:
            self._ticking = self.loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        self._ticking = None
        now = monotonic()
        weigh = now - self._weighed > _WEIGHED
        if weigh:
            self._weighed = now
        more = False
        for pool in (*self.pools.values(), *self._retired):
            if pool.pending:
                more = True
                pool.look(now, weigh)
        if more:
            self.tick()

    async def close(self) -> None:
        """End all processes at once."""
        self._closed = True
        for timer in (self._ticking, self._tidying):
            if timer is not None:
                timer.cancel()
        for spare in self._spares:
            end(*spare)
        processes = []
        for pool in (*self.pools.values(), *self._retired):
            processes += pool.kill()
        await self.loop.run_in_executor(None, lambda: [each.wait() for each in processes])
        for task in tuple(self._tasks):
            task.cancel()
        if self.folder is not None:
            with contextlib.suppress(OSError):
                for file in self.folder.iterdir():
                    file.unlink()
                self.folder.rmdir()
