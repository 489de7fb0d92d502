"""``portafaas dev --as``: the processes of functions, with the package in the vendor's runtime.

``VendorInstances`` stands where ``Instances`` does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket
from threading import Lock
from time import monotonic
from typing import Any

from portafaas.adapter.neutral import body_from_json, stimulus_to_json
from portafaas.adapter.stimulus import HttpStimulus
from portafaas.dev.answers import CRASH, MEMORY, Answer, HttpRequest, problem
from portafaas.dev.frames import OK, REFUSED, TIMEOUT
from portafaas.dev.instances import Instances
from portafaas.dev.pool import MOST
from portafaas.dev.target import Target
from portafaas.local.process import Child, described, ending
from portafaas.local.vendor import Vendor
from portafaas.plan import BuildPlan, FunctionPlan

#: What the answer of a child says of how it went.
_HOW = {"timeout": TIMEOUT, "exit": CRASH, "memory": MEMORY, "refused": REFUSED}


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
        run = self._owner.id(number)
        answer = child.ask({**order, "run": run})
        trace = self._owner.traces.pop(run, None)
        if answer is not None and trace is not None:
            answer["trace"] = trace
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
        #: By the mark of an order that is under way: ids of trace, span, parent and correlation.
        self.traces: dict[str, list[str]] = {}

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
            if facts["observed"] == "span":
                names = ("trace_id", "span_id", "parent_id", "correlation_id")
                self.traces.setdefault(facts["run"], [facts[name] for name in names])
            elif self._home is not None and not self._home.is_closed():
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
    trace = answer.get("trace")
    return (status, headers, body, *_said(answer), tuple(trace) if trace else None)


def _outcome(answer: dict[str, Any]) -> Answer:
    how, why = _said(answer)
    kept = {name: value for name, value in answer.items() if name not in ("how", "why", "trace")}
    return (0, [], json.dumps(kept).encode(), how, why, None)


def _ended(how: str) -> Answer:
    text = ending(how)
    headers, body = problem(502, "Bad Gateway", text)
    return (502, headers, body, CRASH, text, None)
