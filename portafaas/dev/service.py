"""One running application: server, processes, dispatcher, record; what ``portafaas dev`` starts.

Long because it is where all these are put together, begun, changed and ended, in that order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from portafaas.dev.activity import Activity, Invocation
from portafaas.dev.clock import Clock
from portafaas.dev.deliveries import Deliveries
from portafaas.dev.effects import spans_of, taken
from portafaas.dev.findings import Findings
from portafaas.dev.instances import Instances, debugged
from portafaas.dev.logs import Console, entry_of
from portafaas.dev.pool import Answer, HttpRequest, Pool
from portafaas.dev.start import Lock, bound, loop_factory, needed
from portafaas.errors import Diagnostic, InvocationError, PortafaasError, guess
from portafaas.local.debugger import PORT as PORT_OF
from portafaas.local.debugger import WAIT
from portafaas.local.resources import environment, store
from portafaas.local.routing import Routes
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger

if TYPE_CHECKING:
    from portafaas.adapter import HttpStimulus, Stimulus
    from portafaas.dev.emulate import Target
    from portafaas.dev.reload import Watcher
    from portafaas.local.dispatch import Dispatcher
    from portafaas.local.hooks import Hooks

T = TypeVar("T")
PORT = 8300


class Dev:
    """One application that runs on this machine; a context manager.

    Attributes:
        plan: what runs now (BuildPlan).
        manifest, root: the manifest's file, and its folder.
        stage, target: as it was started; *target* is whose semantics it has, None for neutral ones.
        url: where it is served, without a slash at the end.
        activity: the record (:class:`Activity`).
        findings: what ``check`` says for all targets, renewed after each change.
        findings_of: the same by target.
        problems: why the manifest, or a source, as it is now does not run; empty when it does.
        clock: the store's clock.
        deliveries: the dispatcher's thread.
        instances, routes: for the event loop's thread.
    """

    def __init__(
        self,
        manifest: Path,
        *,
        stage: str | None = None,
        target: str | None = None,
        host: str = "127.0.0.1",
        port: int = PORT,
        clock: Literal["real", "virtual"] | float = "real",
        environment: Mapping[str, str] | None = None,
        debug: tuple[str, ...] = (),
        debug_port: int = 5678,
        debug_wait: bool = False,
        reload: bool = True,
        findings: bool = True,
        console: Console | None = None,
    ) -> None:
        self.manifest = manifest.absolute()
        self.root = self.manifest.parent
        self.given_stage = stage
        self.target = target
        self.host = host
        self.port = port
        self.console = console or Console()
        self.findings: list[Diagnostic] = []
        self.findings_of: dict[str, list[Diagnostic]] = {}
        self.problems: list[Diagnostic] = []
        self.started = 0.0
        self.reloads = 0
        #: Whether a header may say who calls.
        self.callers = False
        self._environment = dict(environment or {})
        self._debug = (debug, debug_port, debug_wait)
        #: Of functions that are debugged, the variables that say where.
        self.debugging: dict[str, dict[str, str]] = {}
        self._reload = reload
        self._find = findings
        self._logs: dict[int, list[dict[str, Any]]] = {}
        self._finishing: list[Deliveries] = []
        self._changing = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._server: Any = None
        self._lock: Lock | None = None
        self._findings: Findings | None = None
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._as: Target | None = None
        self.clock = Clock(self, clock)
        self.plan: BuildPlan
        self.stage = ""
        self.routes: Routes
        self.instances: Instances
        self.activity: Activity
        self.deliveries: Deliveries

    @property
    def url(self) -> str:
        """Where it is served."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Life

    def start(self) -> None:
        """Serve; returns when the server accepts connections.

        Raises the errors of a manifest that cannot run; DeploymentError PF8050 (the port is in
        use), PF8051 (not this machine's own address), PF8052 (another one is at this store), PF8053
        (a package is missing), PF8018 (the store cannot be used).
        """
        if self.target is not None:
            from portafaas.dev.emulate import Target

            self._as = Target(
                self.manifest, self.given_stage, self.target, debugged=bool(self._debug[0]),
                report=self.console.notice,
            )  # fmt: skip
        needed(bool(self._debug[0]), self._reload)
        listening = bound(self.host, self.port)
        self.port = listening.getsockname()[1]
        spare = None
        if self._as is None:
            instances = Instances(self.root, self._variables, self._printed)
            spare = instances.spawn()
        else:
            from portafaas.dev.emulate import VendorInstances

            instances = VendorInstances(
                self._as, self.root, self._variables, self._printed, self._environment
            )
        try:
            self.plan = self._planned()
            self.stage = self.plan.stage
            self.instances = instances
            self._lock = Lock(store(self.root, self.stage), self.url)
            self.activity = Activity(store(self.root, self.stage))
            self.activity.before = self._before
            self.console.names(function.name for function in self.plan.functions)
            if spare is not None:
                instances.add_spare(spare)
            self._adopt(self.plan)
            ready = threading.Event()
            self._thread = threading.Thread(
                target=self._serve, args=(listening, ready), name="server", daemon=True
            )
            self.deliveries = self._deliveries(self.plan)
            self._thread.start()
            ready.wait()
            if self._failed is not None:
                raise self._failed
            self.clock.begin()
            self.deliveries.start()
        except BaseException:
            listening.close()
            if self._thread is not None:
                self.stop()
            elif spare is not None:
                process, ours = spare
                ours.close()
                process.kill()
                process.wait()
            if self._as is not None:
                self._as.close()
            if self._lock is not None:
                self._lock.drop()
            raise
        self.started = time()
        if self._reload:
            from portafaas.dev.reload import Watcher

            self._watcher = Watcher(self.root, self.manifest, self._changed)
            self._watcher.start()
        if self._find:
            self._findings = Findings(self.manifest, self.given_stage, self._found)
            self._findings.look()

    def stop(self) -> None:
        """End all that runs, at once; what functions were at waits, as if it had not been tried."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._findings is not None:
            self._findings.stop()
        if self._watcher is not None:
            self._watcher.stop()
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True
        if self._thread is not None:
            self._thread.join(20)
        for deliveries in (*self._finishing, *filter(None, [getattr(self, "deliveries", None)])):
            deliveries.stop()
        if hasattr(self, "activity"):
            self.activity.close()
        if self._as is not None:
            self._as.close()
        if self._lock is not None:
            self._lock.drop()

    @property
    def running(self) -> bool:
        """Tell whether the server is there."""
        return self._thread is not None and self._thread.is_alive()

    def kill(self) -> None:
        """End the processes of functions, come what may."""
        if hasattr(self, "instances"):
            for pool in tuple(self.instances.pools.values()):
                for instance in tuple(pool.workers):
                    with contextlib.suppress(OSError):
                        instance.process.kill()

    def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._served(listening, ready))
        except BaseException as exc:
            self._failed = exc
        finally:
            ready.set()

    async def _served(self, listening: socket.socket, ready: threading.Event) -> None:
        import uvicorn

        from portafaas.dev.protocol import protocol
        from portafaas.dev.server import Server

        self._loop = asyncio.get_running_loop()
        self.instances.serve(self.plan)
        config = uvicorn.Config(
            Server(self), loop="none", http=protocol(), ws="none", lifespan="off", access_log=False,
            log_config=None, server_header=False, proxy_headers=False, backlog=1024,
            timeout_keep_alive=30,
        )  # fmt: skip

        class Quiet(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                ready.set()

        self._server = Quiet(config)
        try:
            await self._server.serve(sockets=[listening])
        finally:
            await self.instances.close()

    def run_in_loop(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Have *work* done on the server's event loop; from another thread."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    # The plan

    def _planned(self) -> BuildPlan:
        """Return the plan of the manifest as it is now; raises its errors."""
        from portafaas.manifest.load import load_manifest
        from portafaas.plan.build import build_plan

        if self._as is not None:
            return self._as.build().plan
        plan = build_plan(load_manifest(self.manifest, self.given_stage))
        functions, first, wait = self._debug
        if functions:
            known = [f.name for f in plan.functions]
            for name in functions:
                if name != "*" and name not in known:
                    text = f"no function is called {name!r}"
                    raise InvocationError(text, hint=guess(name, known), code="PF7002")
            names = [f.name for f in plan.functions if "*" in functions or f.name in functions]
            more = {WAIT: "1"} if wait else {}
            self.debugging = {
                name: {PORT_OF: str(first + number), **more}
                for number, name in enumerate(sorted(names))
            }
            plan = debugged(plan, names)
        return plan

    def _adopt(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.routes = Routes(plan)
        self.instances.debugging = self.debugging
        self.callers = any(
            isinstance(f.trigger, HttpTrigger) and f.trigger.auth and f.trigger.auth.scheme == "iam"
            for f in plan.functions
        )

    def _variables(self, plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
        """Return a function's variables beside its own."""
        own = environment(plan, function, self.root, "", packaged=False)
        return {**own, **self._environment}

    def _deliveries(self, plan: BuildPlan) -> Deliveries:
        vendor = None if self._as is None else self._as.vendor

        def make(hooks: Hooks) -> Dispatcher:
            from portafaas.local.dispatch import Dispatcher

            return Dispatcher(
                plan, self.root, schedules=True, hooks=hooks, extra=self._environment,
                observed=True, limited=True, virtual=self.clock.mode == "virtual",
                debugging=self.debugging, vendor=vendor,
            )  # fmt: skip

        return Deliveries(plan, self.root, make, self.activity, self.console)

    # Changes

    def reload(self) -> bool:
        """Run the project as it is now; False when it cannot, and the last good one goes on."""
        return self._replaced({self.manifest}, everything=True)

    def _changed(self, paths: set[Path]) -> None:
        try:
            self._replaced(paths)
        except Exception as exc:  # a bug here must not end the thread that watches
            self.console.notice(f"reload failed: {exc!r}", "ERROR")

    def _replaced(self, paths: set[Path], everything: bool = False) -> bool:
        from portafaas.dev.reload import forget

        with self._changing:
            if self._stopped.is_set():
                return False
            began = time()
            forget(paths)
            sources = everything or any(path != self.manifest for path in paths)
            if sources:
                # Before the plan is made again: that takes longer.
                self.deliveries.renew()
                renewing = asyncio.run_coroutine_threadsafe(self.instances.renew(), self._running())
            plan: BuildPlan | None = None
            try:
                plan = self._planned()
            except PortafaasError as error:
                found = list(getattr(error, "diagnostics", ())) or [
                    Diagnostic(error.code, error.message, hint=error.hint)
                ]
                self.problems = found
                why = error.message.rstrip(":")
                self.console.diagnostics(found, f"{why}; the last good one goes on:")
            else:
                self.problems = []
                assert plan is not None
                # A target's runtime has the sources as they were packaged.
                if self._as is not None or plan != self.plan:
                    self._change(plan)
            if sources:
                renewing.result(90)
            self.reloads += 1
            seconds = time() - began
            self.activity.tell(
                {
                    "type": "reload", "ok": plan is not None, "seconds": seconds,
                    "files": sorted(str(path) for path in paths),
                    "problems": [each.as_dict() for each in self.problems],
                }
            )  # fmt: skip
            if plan is not None:
                names = sorted(path.name for path in paths)
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                self.console.notice(f"{shown} changed: reloaded in {seconds * 1000:.0f} ms")
            if self._findings is not None:
                self._findings.look()
            return plan is not None

    def _change(self, plan: BuildPlan) -> None:
        """Run another plan: new functions, routes and resources."""
        before = self.deliveries
        fresh = self._deliveries(plan)
        fresh.start()

        async def adopt() -> None:
            self._adopt(plan)
            self.instances.serve(plan)

        self.run_in_loop(adopt())
        self.console.names(function.name for function in plan.functions)
        self.deliveries = fresh
        self._finishing = [each for each in self._finishing if each.alive]
        self._finishing.append(before)
        before.finish()

    def _running(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    # Calls

    def wake(self) -> None:
        """Something was sent or written: have it delivered now. From any thread."""
        self.deliveries.wake()

    async def request(self, function: str, stimulus: HttpStimulus) -> Any:
        """Return the HttpOutcome of a request, whatever its path; on the server's event loop."""
        from portafaas.dev.server import outcome_of

        pool = self._pool(function)
        began = time()
        headers = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in stimulus.headers
        ]
        request = (
            stimulus.method, stimulus.path, stimulus.query, headers, stimulus.body, stimulus.caller,
        )  # fmt: skip
        number, future = self.instances.http(pool, request)
        answer = await future
        self.answered(pool, number, request, answer, began)
        return outcome_of(answer)

    async def invoke(self, function: str, stimulus: Stimulus) -> tuple[str, dict[str, Any]]:
        """Call a function with a neutral stimulus, around the broker; on the event loop.

        Returns the invocation's id, and the outcome as JSON (``outcome_to_json``), or ``error``
        when its process ended.
        """
        from portafaas.adapter import HttpStimulus
        from portafaas.adapter.neutral import outcome_to_json, stimulus_to_json

        if isinstance(stimulus, HttpStimulus):
            before = self.instances._number
            outcome = await self.request(function, stimulus)
            return self.instances.id(before + 1), outcome_to_json(outcome)
        pool = self._pool(function)
        began = time()
        document = stimulus_to_json(stimulus)
        number, future = self.instances.event(pool, document)
        answer = await future
        logs = self._logs.pop(number, [])
        outcome = {"error": answer[4]} if answer[3] else json.loads(answer[2])
        from portafaas.dev.server import STATUS

        failed = bool(outcome.get("failed")) or "error" in outcome
        one = Invocation(
            function, pool.function.kind, began, time() - began,
            STATUS[answer[3]] if answer[3] else "error" if failed else "ok",
            self.instances.id(number), request=document, response=outcome, logs=logs,
            error=answer[4] or str(outcome.get("cause") or outcome.get("error") or ""),
            mark=self.instances.id(number),
        )  # fmt: skip
        self.activity.record(one)
        self.wake()
        return one.id, outcome

    def _pool(self, function: str) -> Pool:
        pool = self.instances.pools.get(function)
        if pool is None:
            raise InvocationError(f"no function is called {function!r}", code="PF7002")
        return pool

    def answered(
        self, pool: Pool, number: int, request: HttpRequest, answer: Answer, began: float
    ) -> None:
        """Record a request; of one that went well only when there is time."""
        logs = self._logs.pop(number, None) if self._logs else None
        made = partial(self._made, pool, number, request, answer, began, time() - began, logs)
        if pool.uses:
            # It may have sent something.
            self.deliveries.wake()
            self.activity.record(made())
        else:
            self.activity.record(made if answer[3] == 0 and logs is None else made())

    def _made(
        self, pool: Pool, number: int, request: HttpRequest, answer: Answer, began: float,
        seconds: float, logs: list[dict[str, Any]] | None,
    ) -> Invocation:  # fmt: skip
        from portafaas.dev.server import invocation

        id = self.instances.id(number)
        return invocation(
            pool.function.name, id, request, answer, began, seconds, logs or [],
            id if pool.uses else "",
        )  # fmt: skip

    # What is told

    def _printed(self, function: str, number: int, stream: int, when: float, data: bytes) -> None:
        """Take what a function's process printed; for the event loop's thread."""
        for line in data.decode("utf-8", "replace").splitlines():
            entry = entry_of(line, when)
            if number:
                pool = self.instances.pools.get(function)
                if pool is not None and number in pool.pending:
                    self._logs.setdefault(number, []).append(entry)
                else:
                    self.activity.add(self.instances.id(number), "logs", entry)
            self.console.log(function, line, entry)
            self.activity.tell({"type": "log", "function": function, **entry})

    def _before(self, made: Sequence[Invocation]) -> None:
        """Finish records before they are written; in the record's thread."""
        marks = {one.mark: one for one in made if one.mark}
        if marks:
            for mark, effects in taken(store(self.root, self.stage), list(marks)).items():
                marks[mark].effects.extend(effects)
        self.console.invocations(made)

    def spans(self, document: Mapping[str, Any]) -> None:
        """Add spans (an ExportTraceServiceRequest as JSON) to the invocations they belong to."""
        for trace_id, span in spans_of(document):
            for one in self.activity.list(trace_id=trace_id, limit=50):
                self.activity.add(one["id"], "spans", span)

    def _found(self, found: Mapping[str, list[Diagnostic]]) -> None:
        """Keep what ``check`` says."""
        self.findings_of = dict(found)
        self.findings = list(dict.fromkeys(each for one in found.values() for each in one))
        self.activity.tell({"type": "findings", "count": len(self.findings)})
