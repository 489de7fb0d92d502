"""Processes of functions, as the server calls them: one pool a function, on one event loop.

Requests go into a socket that all processes of a pool read, so that each takes the next one when it
is free, without a word from here; answers come by a stream of each. A pool has one process until
requests have waited for :data:`PATIENCE` seconds, then more, as a platform adds instances.
``portafaas.dev.worker`` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import marshal
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from portafaas.dev import worker
from portafaas.dev.worker import ANSWER, END, EVENT, FILE, HTTP, LENGTH, LOG, LONGEST, READY, SLOT
from portafaas.local.memory import resident
from portafaas.local.process import described
from portafaas.local.workers import GRACE, START
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec

#: Seconds that a request waits for a process before there is another one.
PATIENCE = 0.05
#: Seconds of an invocation below which more processes would be of no use, and how many are done
#: within :data:`PATIENCE` by a process that is quick, though it had to wait for a processor.
_SLOW, _QUICK = 0.002, 5
#: Seconds after which a request that is nowhere is lost.
_LOST = 1.0
#: Most processes of a function when nothing bounds its instances.
MOST = 8
#: Seconds between two looks at memory.
_WEIGHED = 0.2
#: How an invocation went, beyond what ``portafaas.dev.worker`` says.
CRASH, MEMORY = 4, 5
#: Seconds of a function that is being debugged.
_FOREVER = 10_000_000

#: status, headers, body, how, why, trace; see ``portafaas.dev.worker.ANSWER``.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes, int, str, tuple[str, str, str, str] | None]


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


def problem(status: int, title: str, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of an RFC 9457 problem document."""
    body = json.dumps(
        {"type": "about:blank", "title": title, "status": status, "detail": detail}
    ).encode()
    length = b"%d" % len(body)
    return [(b"content-type", b"application/problem+json"), (b"content-length", length)], body


#: method, path and query as sent, headers with names in lower case, body, caller.
HttpRequest = tuple[str, str, str, list[tuple[bytes, bytes]], bytes, str | None]


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
        self._weighed = 0.0
        self._closed = False
        self._refilling = False
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Of requests that are too long for the socket; made for the first.
        self.folder: Path | None = None

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
                    _end(*spare)
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
        if self._ticking is not None:
            self._ticking.cancel()
        for spare in self._spares:
            _end(*spare)
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


def _end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    ours.close()
    process.kill()
    process.wait()


class Pool:
    """The processes of one function."""

    def __init__(self, instances: Instances, plan: BuildPlan, function: FunctionPlan) -> None:
        self.plan = plan
        self.function = function
        self.instances = instances
        self.spec = function_spec(plan, function)
        debugging = instances.debugging.get(function.name, {})
        self.debugged = bool(debugging)
        self.variables = {
            **function.environment, **instances.environment(plan, function), **debugging
        }  # fmt: skip
        self.concurrency = function.concurrency
        #: Whether it may send and write.
        self.uses = bool(function.uses)
        self.most = min(function.max_instances or MOST, 40)
        #: When it was last called, on the monotonic clock.
        self.used = 0.0
        self.pending: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        self.workers: list[Instance] = []
        self.starting = 0
        self.retired = False
        #: How many answers there were since the last look.
        self._done = 0
        self._failures = 0
        self._lost: set[int] = set()
        self._backlog: deque[bytes] = deque()
        self._ours, self._theirs = _messages()
        self._output: tuple[int, asyncio.ReadTransport] | None = None

    def same(self, plan: BuildPlan, function: FunctionPlan) -> bool:
        """Tell whether *function* would be run as it is now."""
        return (
            function_spec(plan, function) == self.spec
            and function.environment == self.function.environment
            and function.max_instances == self.function.max_instances
            and function.memory == self.function.memory
            and function.uses == self.function.uses
        )

    def submit(self, number: int, message: bytes) -> asyncio.Future[Answer]:
        """Have a process do it when one is free."""
        instances = self.instances
        future: asyncio.Future[Answer] = instances.loop.create_future()
        self.used = now = monotonic()
        self.pending[number] = (future, now)
        if len(message) > LONGEST:
            message = self._filed(message)
        if self._backlog:
            self._backlog.append(message)
        else:
            self._send(message)
        if not self.workers and not self.starting:
            self.start()
        if instances._ticking is None:
            instances.tick()
        return future

    def _filed(self, message: bytes) -> bytes:
        instances = self.instances
        if instances.folder is None:
            instances.folder = Path(tempfile.mkdtemp(prefix="portafaas-"))
        descriptor, name = tempfile.mkstemp(dir=instances.folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
        return marshal.dumps((FILE, name))

    def _send(self, message: bytes) -> None:
        try:
            self._ours.send(message)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
                raise
            # They have enough to do: the rest is sent when there are answers.
            self._backlog.appendleft(message)

    def answered(self, number: int, answer: Answer) -> None:
        """Hand an answer to who waits for it."""
        waiting = self.pending.pop(number, None)
        self._done += 1
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(answer)
        backlog = self._backlog
        while backlog:
            message = backlog.popleft()
            before = len(backlog)
            self._send(message)
            if len(backlog) > before:
                return

    # Processes

    def start(self, load: bool = False, spare: bool = True) -> None:
        """Add a process."""
        self.starting += 1
        self.instances.later(self._start(load, spare))

    async def _start(self, load: bool, spare: bool) -> None:
        try:
            process, ours = await self.instances.process(spare)
            if self.retired and not self.pending:
                await self.instances.loop.run_in_executor(None, _end, process, ours)
                return
            instance = Instance(self, process)
            if self._output is None:
                await self._open_output()
            assert self._output is not None
            what = {
                "spec": self.spec, "environment": self.variables, "debug": self.debugged,
                "ids": self.instances.ids, "load": load,
            }  # fmt: skip
            descriptors = (
                self._theirs.fileno(), instance.slots, self._output[0], self._output[0]
            )  # fmt: skip
            try:
                _tell(ours, what, descriptors)
            except OSError:
                # It is dead already; its stream will say so.
                pass
            ours.setblocking(False)
            self.workers.append(instance)
            await self.instances.loop.create_unix_connection(lambda: instance, sock=ours)
        finally:
            self.starting -= 1

    async def _open_output(self) -> None:
        """Make the pipe that whatever is not the handler's own print goes to."""
        reading, writing = os.pipe()
        transport, _ = await self.instances.loop.connect_read_pipe(
            lambda: _Output(self), os.fdopen(reading, "rb", buffering=0)
        )
        self._output = (writing, transport)

    async def ready(self, timeout: float = START, *, spare: bool = True) -> bool:
        """Add a process that loads the handler, and wait for it; tell whether it has come so far.

        After *timeout* seconds it is not waited for any more.
        """
        self.start(load=True, spare=spare)
        end = monotonic() + timeout
        while monotonic() < end and not self.retired:
            if any(instance.ready for instance in self.workers):
                return True
            if not self.starting and not self.workers:
                return False
            await asyncio.sleep(0.005)
        return False

    def look(self, now: float, weigh: bool) -> None:
        """Add processes for what waits, and end those that take too long or too much."""
        at: set[int] = set()
        slow = False
        for instance in self.workers:
            for number, since in instance.at():
                at.add(number)
                slow = slow or now - since > _SLOW
                limit = self.function.timeout + GRACE + (0.0 if instance.answers else START)
                if now - since > limit:
                    instance.kill(
                        worker.TIMEOUT,
                        f"the function did not answer within {self.function.timeout} s",
                        number,
                    )  # fmt: skip
            if weigh and not self.debugged:
                instance.weigh(self.function.memory)
        done, self._done = self._done, 0
        self._give_up_lost(at, now, done)
        if self.workers and (not slow or done > _QUICK * len(self.workers)):
            # They are quick: another one would only take their time.
            return
        untaken = 0
        for number, (_, since) in self.pending.items():
            if now - since < PATIENCE:
                break
            untaken += number not in at
        room = self.most - len(self.workers) - self.starting
        coming = self.starting * self.concurrency + sum(
            self.concurrency for instance in self.workers if not instance.ready
        )
        wanted = -(-(untaken - coming) // self.concurrency)
        for _ in range(min(room, wanted)):
            self.start()

    def _give_up_lost(self, at: set[int], now: float, done: int) -> None:
        """Fail what a process took and was killed before it could say so.

        It is in no process, and not in the socket, from which a process that is free would have it:
        one was free the last time, too, and nothing was *done* meanwhile.
        """
        lost: set[int] = set()
        free = any(each.ready and len(each.at()) < self.concurrency for each in self.workers)
        if free and not done and not self._backlog:
            for number, (_, since) in self.pending.items():
                if now - since < _LOST:
                    break
                if number not in at:
                    lost.add(number)
            for number in lost & self._lost:
                self._fail(number, CRASH, "the function's process ended before it began")
        self._lost = lost

    def ended(self, instance: Instance, status: int) -> None:
        """Fail what the process was at, and have others do the rest."""
        self.workers.remove(instance)
        name = self.function.name
        why = f"the function ended its process: {described(status)}"
        self._failures = 0 if instance.ready else self._failures + 1
        for number, _ in instance.at():
            how, text = CRASH, why
            if instance.doom is not None:
                how, text, culprit = instance.doom
                if culprit not in (0, number):
                    how = CRASH
            self._fail(number, how, text)
        if self.pending and not self.workers and not self.starting and not self.instances._closed:
            if self._failures < 3:
                self.start()
            else:
                self._failures = 0
                text = f"no process of {name} gets ready: {described(status)}"
                for number in list(self.pending):
                    self._fail(number, CRASH, text)
                self._ours.close()
                self._theirs.close()
                self._backlog.clear()
                self._ours, self._theirs = _messages()
        self._over()

    def _fail(self, number: int, how: int, why: str) -> None:
        status, title = (504, "Gateway Timeout") if how == worker.TIMEOUT else (502, "Bad Gateway")
        headers, body = problem(status, title, why)
        self.answered(number, (status, headers, body, how, why, None))

    # Ends

    def retire(self) -> None:
        """Take nothing more; processes end when what was taken is done."""
        self.retired = True
        end = marshal.dumps((END, 0))
        for _ in range((len(self.workers) + self.starting) * self.concurrency):
            if self._backlog:
                self._backlog.append(end)
            else:
                self._send(end)
        self._over()

    def _over(self) -> None:
        if self.retired and not self.workers and not self.starting and not self.pending:
            self._close()
            self.instances.gone(self)

    def kill(self) -> list[subprocess.Popen[bytes]]:
        """End all processes at once; return them, to be waited for."""
        self.retired = True
        processes = []
        for instance in self.workers:
            instance.process.kill()
            processes.append(instance.process)
            if instance.transport is not None:
                instance.transport.abort()
        for number in list(self.pending):
            waiting, _ = self.pending.pop(number)
            if not waiting.done():
                why = "the application has ended"
                headers, body = problem(503, "Service Unavailable", why)
                waiting.set_result((503, headers, body, CRASH, why, None))
        self._close()
        return processes

    def _close(self) -> None:
        self._ours.close()
        self._theirs.close()
        if self._output is not None:
            os.close(self._output[0])
            self._output[1].close()
            self._output = None


def _messages() -> tuple[socket.socket, socket.socket]:
    """Return a socket that keeps messages apart: what is sent to one, and read from the other."""
    kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    for each in (ours, theirs):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    ours.setblocking(False)
    return ours, theirs


def _tell(ours: socket.socket, what: Mapping[str, Any], descriptors: Iterable[int]) -> None:
    data = marshal.dumps(dict(what))
    frame = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(ours, [frame], list(descriptors))
    ours.sendall(frame[sent:])


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
        self.pool.ended(self, status)
        os.close(self.slots)
        self._memory.close()

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
            self.kill(MEMORY, f"the function used {used} MiB of memory; it has {most} MiB")
            for number, _ in at:
                text = f"killed: {used} MiB of memory used, {most} MiB declared\n".encode()
                self.pool.instances.logged(self.pool.function.name, number, 2, 0.0, text)


class _Output(asyncio.Protocol):
    """What processes print around the handler's own streams: their children, libraries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def data_received(self, data: bytes) -> None:
        self._pool.instances.logged(self._pool.function.name, 0, 2, 0.0, data)
