"""The processes of one function; for the event loop's thread. ``portafaas.dev.instances`` has all.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import subprocess
from time import monotonic
from typing import TYPE_CHECKING

from portafaas.dev.answers import CRASH, Answer, problem
from portafaas.dev.channel import Channel, tell
from portafaas.dev.frames import END, LONGEST, TIMEOUT
from portafaas.dev.instance import Instance, Output, end
from portafaas.local.process import described, ending
from portafaas.local.workers import GRACE, START
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec

if TYPE_CHECKING:
    from portafaas.dev.instances import Instances

#: Seconds that a request waits for a process before there is another one.
PATIENCE = 0.05
#: Seconds of an invocation below which more processes would be of no use, and how many are done
#: within :data:`PATIENCE` by a process that is quick, though it had to wait for a processor.
_SLOW, _QUICK = 0.002, 5
#: Seconds after which a request that is nowhere is lost.
_LOST = 1.0
#: Most processes of a function when nothing bounds its instances.
MOST = 8


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
        #: How many processes have been told to end.
        self._ending = 0
        self._failures = 0
        self._lost: set[int] = set()
        self._channel = Channel()
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
            message = instances.filed(message)
        self._channel.put(message)
        if not self.workers and not self.starting:
            self.start()
        if instances._ticking is None:
            instances.tick()
        return future

    def answered(self, number: int, answer: Answer) -> None:
        """Hand an answer to who waits for it."""
        waiting = self.pending.pop(number, None)
        self._done += 1
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(answer)
        if self._channel.backlog:
            self._channel.more()

    # Processes

    def start(self, load: bool = False, spare: bool = True) -> None:
        """Add a process."""
        self.starting += 1
        self.instances.later(self._start(load, spare))

    async def _start(self, load: bool, spare: bool) -> None:
        try:
            process, ours = await self.instances.process(spare)
            if self.retired and not self.pending:
                await self.instances.loop.run_in_executor(None, end, process, ours)
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
                self._channel.fileno(), instance.slots, self._output[0], self._output[0]
            )  # fmt: skip
            try:
                tell(ours, what, descriptors)
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
            lambda: Output(self), os.fdopen(reading, "rb", buffering=0)
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
                        TIMEOUT,
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
        if free and not done and not self._channel.backlog:
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
        self._ending = max(0, self._ending - 1)
        name = self.function.name
        why = ending(status)
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
                self._channel.close()
                self._channel = Channel()
        self._over()

    def _fail(self, number: int, how: int, why: str) -> None:
        status, title = (504, "Gateway Timeout") if how == TIMEOUT else (502, "Bad Gateway")
        headers, body = problem(status, title, why)
        self.answered(number, (status, headers, body, how, why, None))

    # Ends

    def retire(self) -> None:
        """Take nothing more; processes end when what was taken is done."""
        self.retired = True
        end = marshal.dumps((END, 0))
        for _ in range((len(self.workers) + self.starting) * self.concurrency):
            self._channel.put(end)
        self._over()

    def shrink(self) -> None:
        """End all processes but one, if none has anything to do."""
        if self.pending or self.starting or self._ending:
            return
        least = max(1, self.function.min_instances if self.function.kind == "http" else 0)
        for instance in self.workers[least:]:
            if self.concurrency == 1:
                # Whichever gets the word.
                self._ending += 1
                self._channel.put(marshal.dumps((END, 0)))
            else:
                # Of several threads each would have to get it, and not those of another process.
                # Nothing is under way, nor sent before it is gone: so nothing is lost with it.
                instance.process.kill()
                instance.process.wait()

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
            instance.release()
        for number in list(self.pending):
            waiting, _ = self.pending.pop(number)
            if not waiting.done():
                why = "the application has ended"
                headers, body = problem(503, "Service Unavailable", why)
                waiting.set_result((503, headers, body, CRASH, why, None))
        self._close()
        return processes

    def _close(self) -> None:
        self._channel.close()
        if self._output is not None:
            os.close(self._output[0])
            self._output[1].close()
            self._output = None
