"""``portafaas dev --as``: an application in a target's own runtime, under its delivery rules.

``Target`` builds the package and holds it; ``VendorInstances`` stands where ``Instances`` does:
its processes have the package in the vendor's runtime. The dispatcher gets ``Target.vendor``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from threading import Lock
from time import monotonic
from typing import Any

from portafaas.adapter.neutral import body_from_json, stimulus_to_json
from portafaas.adapter.stimulus import HttpStimulus
from portafaas.dev.instances import Instances
from portafaas.dev.pool import CRASH, MEMORY, MOST, Answer, HttpRequest, problem
from portafaas.dev.worker import OK, REFUSED, TIMEOUT
from portafaas.emulation import emulated
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.local.process import Child, described
from portafaas.local.vendor import Vendor
from portafaas.plan import BuildPlan, FunctionPlan

#: What the answer of a child says of how it went.
_HOW = {"timeout": TIMEOUT, "exit": CRASH, "memory": MEMORY, "refused": REFUSED}


class Target:
    """The packages of one target, the newest of which runs; a context manager.

    *report* is told what takes the first one so long. Raises DeploymentError (PF8060) when
    functions are to be *debugged*.
    """

    def __init__(
        self,
        manifest: Path,
        stage: str | None,
        target: str,
        debugged: bool = False,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        if debugged:
            text = f"functions cannot be debugged in the runtime of {target!r}"
            hint = "leave out --as, or --debug: from their sources functions can be debugged"
            raise DeploymentError(
                "the application is not started:", [Diagnostic("PF8060", text, hint=hint)]
            )
        self._manifest = manifest
        self._stage = stage
        self.target = target
        self._report = report
        self._current: ExitStack | None = None
        self._before: list[ExitStack] = []
        self._vendor: Vendor | None = None

    @property
    def vendor(self) -> Vendor:
        """What starts functions of the newest package."""
        assert self._vendor is not None
        return self._vendor

    def build(self) -> Vendor:
        """Build the project as it is now; who has an older package keeps it.

        Raises what a build raises, and goes on with the last good package then.
        """
        stack = ExitStack()
        with stack:
            self._vendor = stack.enter_context(
                emulated(self._manifest, self._stage, self.target, self._told)
            )
            if self._current is not None:
                self._before.append(self._current)
            self._current = stack.pop_all()
        # What was under way may still be for the last but one.
        while len(self._before) > 2:
            self._before.pop(0).close()
        return self._vendor

    def _told(self, text: str) -> None:
        # The first time it takes long; then it is told that it is done.
        if self._vendor is None:
            self._report(text)

    def close(self) -> None:
        """Remove all packages."""
        for stack in (*self._before, *filter(None, [self._current])):
            stack.close()
        self._before.clear()
        self._current = None

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pool:
    """The processes of one function; for threads."""

    def __init__(self, owner: VendorInstances, vendor: Vendor, function: FunctionPlan) -> None:
        self.plan = vendor.plan
        self.function = function
        self.pending: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        #: Nothing that who looks for processes of ours may end.
        self.workers: list[Any] = []
        #: Whether it may have sent or written something.
        self.uses = bool(function.uses)
        self.used = 0.0
        self.retired = False
        self._owner = owner
        self._vendor = vendor
        self._lock = Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        most = min(function.max_instances or MOST, 40)
        self.threads = ThreadPoolExecutor(most, thread_name_prefix=function.name)

    def ask(self, number: int, order: Mapping[str, Any]) -> dict[str, Any] | str:
        """Return a process' answer, or how it ended."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            child = self._owner.child(self._vendor, self.function)
            with self._lock:
                self._all.add(child)
        answer = child.ask({**order, "run": self._owner.id(number)})
        with self._lock:
            if answer is not None and not self.retired:
                self._idle.append(child)
                return answer
            self._all.discard(child)
        status = child.kill()
        return described(status) if answer is None else answer

    def retire(self) -> None:
        """End what is at nothing; the rest when it is done."""
        with self._lock:
            self.retired = True
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
        for child in idle:
            child.kill()
        self.threads.shutdown(wait=False)

    def kill(self) -> None:
        """End all."""
        self.retire()
        with self._lock:
            children, self._all = self._all, set()
        for child in children:
            child.kill()


class VendorInstances(Instances):
    """All functions in a target's runtime, as ``Instances`` has them; for one event loop's thread.

    Each process takes one invocation at a time. *target* has a package; :meth:`serve` takes the
    functions of its newest one.
    """

    def __init__(
        self,
        target: Target,
        root: Path,
        environment: Callable[[BuildPlan, FunctionPlan], Mapping[str, str]],
        logged: Callable[[str, int, int, float, bytes], None],
        extra: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, environment, logged)
        self.pools: dict[str, Any] = {}
        self._target = target
        self._extra = dict(extra or {})
        self._home: asyncio.AbstractEventLoop | None = None

    def serve(self, plan: BuildPlan) -> None:
        """Have the functions of the newest package."""
        self.loop = self._home = asyncio.get_running_loop()
        vendor = self._target.vendor
        before, self.pools = self.pools, {
            function.name: _Pool(self, vendor, function) for function in vendor.plan.functions
        }
        for pool in before.values():
            self._home.run_in_executor(None, pool.retire)

    async def renew(self, recent: float = 60.0) -> None:
        """Do nothing: new code is in a new package, which :meth:`serve` takes."""

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket]:
        """Raise TypeError: a process must know from the beginning what it is to be."""
        raise TypeError("there are no spare processes in a vendor's runtime")

    def child(self, vendor: Vendor, function: FunctionPlan) -> Child:
        """Start a process; from any thread."""

        def observed(facts: Mapping[str, Any]) -> None:
            if self._home is not None and not self._home.is_closed():
                self._home.call_soon_threadsafe(
                    self.logged, function.name, int(facts["run"][-12:] or "0", 16),
                    facts["stream"], facts["time"], str(facts["text"]).encode(),
                )  # fmt: skip

        return vendor.child(function, self.root, self._extra, observed=observed)

    def http(self, pool: Any, request: HttpRequest) -> tuple[int, asyncio.Future[Answer]]:
        """Hand a request to the function, in the target's envelope and within its limits."""
        method, path, query, headers, body, caller = request
        pairs = tuple((name.decode("latin-1"), text.decode("latin-1")) for name, text in headers)
        stimulus = HttpStimulus(method, path, query, pairs, body, caller)
        event = stimulus_to_json(stimulus)
        return self._submit(pool, event, lambda answer: _response(answer, method))

    def event(self, pool: Any, event: Mapping[str, Any]) -> tuple[int, asyncio.Future[Answer]]:
        """Hand a neutral event to the function, around the broker."""
        return self._submit(pool, event, _outcome)

    def _submit(
        self, pool: _Pool, event: Mapping[str, Any], made: Callable[[dict[str, Any]], Answer]
    ) -> tuple[int, asyncio.Future[Answer]]:
        number = self.number()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        pool.used = monotonic()
        pool.pending[number] = (future, pool.used)

        def done(answer: Answer) -> None:
            pool.pending.pop(number, None)
            if not future.done():
                future.set_result(answer)

        def work() -> None:
            try:
                found = pool.ask(number, {"event": event})
            except Exception as exc:  # it could not even be started
                found = str(exc)
            answer = _ended(found) if isinstance(found, str) else made(found)
            if not loop.is_closed():
                loop.call_soon_threadsafe(done, answer)

        pool.threads.submit(work)
        return number, future

    async def close(self) -> None:
        """End all processes at once."""
        pools, self.pools = self.pools, {}
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, p.kill) for p in pools.values()))
        await super().close()


def _said(answer: Mapping[str, Any]) -> tuple[int, str]:
    return _HOW.get(answer.get("how", ""), OK), str(answer.get("why", ""))


def _response(answer: dict[str, Any], method: str) -> Answer:
    """Return what is sent to the client."""
    body = body_from_json(answer)
    headers = [
        (name.encode("latin-1", "replace"), text.encode("latin-1", "replace"))
        for name, text in (
            *answer["headers"].items(),
            *(("set-cookie", cookie) for cookie in answer["cookies"]),
        )
    ]
    status = int(answer["status"])
    if method != "HEAD" and status not in (204, 304) and status >= 200:
        headers.append((b"content-length", b"%d" % len(body)))
    return (status, headers, body, *_said(answer), None)


def _outcome(answer: dict[str, Any]) -> Answer:
    how, why = _said(answer)
    kept = {name: value for name, value in answer.items() if name not in ("how", "why")}
    return (0, [], json.dumps(kept).encode(), how, why, None)


def _ended(how: str) -> Answer:
    text = f"the function ended its process: {how}"
    headers, body = problem(502, "Bad Gateway", text)
    return (502, headers, body, CRASH, text, None)
