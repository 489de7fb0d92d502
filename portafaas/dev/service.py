"""One running application: server, processes, dispatcher, record; what ``portafaas dev`` starts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from portafaas.dev.activity import Activity
from portafaas.dev.calls import Calls
from portafaas.dev.changes import Changes
from portafaas.dev.clock import Clock
from portafaas.dev.deliveries import Deliveries
from portafaas.dev.findings import Findings
from portafaas.dev.instance import end
from portafaas.dev.instances import Instances
from portafaas.dev.logs import Console
from portafaas.dev.missed import Missed, look_back, made_up
from portafaas.dev.start import Lock, bound, loop_factory, needed
from portafaas.errors import Diagnostic
from portafaas.local.resources import store
from portafaas.local.routing import Routes
from portafaas.plan import BuildPlan

if TYPE_CHECKING:
    from portafaas.adapter import HttpStimulus, Stimulus
    from portafaas.dev.reload import Watcher
    from portafaas.dev.target import Target

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
        missed, caught_up: by function, what its schedule has missed while nothing ran here; and
            what was made up for.
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
        catch_up: bool = False,
        duplicates: float = 0.0,
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
        self.environment = dict(environment or {})
        self.debug = (debug, debug_port, debug_wait)
        #: Of functions that are debugged, the variables that say where.
        self.debugging: dict[str, dict[str, str]] = {}
        self._reload = reload
        self._find = findings
        self._catch_up = catch_up
        self.duplicates = duplicates
        self.missed: dict[str, Missed] = {}
        self.caught_up: dict[str, Missed] = {}
        self.calls = Calls(self)
        self.changes = Changes(self)
        self._thread: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._server: Any = None
        self._lock: Lock | None = None
        self.checking: Findings | None = None
        self.stopped = threading.Event()
        self._failed: BaseException | None = None
        self.emulated: Target | None = None
        self.clock = Clock(self, clock)
        self.loop: asyncio.AbstractEventLoop
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
            from portafaas.dev.target import Target

            self.emulated = Target(
                self.manifest, self.given_stage, self.target, debugged=bool(self.debug[0]),
                report=self.console.notice,
            )  # fmt: skip
        needed(bool(self.debug[0]), self._reload)
        listening = bound(self.host, self.port)
        self.port = listening.getsockname()[1]
        spare = None
        if self.emulated is None:
            instances = Instances(self.root, self.changes.variables, self.calls.printed)
            spare = instances.spawn()
        else:
            from portafaas.dev.emulate import VendorInstances

            instances = VendorInstances(
                self.emulated, self.root, self.changes.variables, self.calls.printed,
                self.environment,
            )  # fmt: skip
        try:
            self.plan = self.changes.planned()
            self.stage = self.plan.stage
            self.instances = instances
            self._lock = Lock(store(self.root, self.stage), self.url)
            self.activity = Activity(store(self.root, self.stage))
            self.activity.before = self.calls.before
            self.console.names(function.name for function in self.plan.functions)
            if spare is not None:
                instances.add_spare(spare)
            self.changes.adopt(self.plan)
            ready = threading.Event()
            self._thread = threading.Thread(
                target=self._serve, args=(listening, ready), name="server", daemon=True
            )
            self.deliveries = self.changes.delivering(self.plan)
            self._thread.start()
            ready.wait()
            if self._failed is not None:
                raise self._failed
            self.clock.begin()
            if self.clock.mode == "real":
                self.missed, self.caught_up = look_back(
                    store(self.root, self.stage), self.plan, time(), self._catch_up
                )
            self.deliveries.start()
        except BaseException:
            listening.close()
            if self._thread is not None:
                self.stop()
            elif spare is not None:
                end(*spare)
            if self.emulated is not None:
                self.emulated.close()
            if self._lock is not None:
                self._lock.drop()
            raise
        self.started = time()
        if self._reload:
            from portafaas.dev.reload import Watcher

            self._watcher = Watcher(self.root, self.manifest, self.changes.changed)
            self._watcher.start()
        if self._find:
            self.checking = Findings(self.manifest, self.given_stage, self._found)
            self.checking.look()

    def made_up(self, function: str) -> None:
        """Note that a schedule has fired for what it had missed."""
        if self.missed.pop(function, None) is not None:
            made_up(store(self.root, self.stage), self.plan, function, time())

    def stop(self) -> None:
        """End all that runs, at once; what functions were at waits, as if it had not been tried."""
        if self.stopped.is_set():
            return
        self.stopped.set()
        if self.checking is not None:
            self.checking.stop()
        if self._watcher is not None:
            self._watcher.stop()
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True
        if self._thread is not None:
            self._thread.join(20)
        for deliveries in self.changes.finishing:
            deliveries.stop()
        if hasattr(self, "deliveries"):
            self.deliveries.stop()
        if hasattr(self, "activity"):
            self.activity.close()
        if self.emulated is not None:
            self.emulated.close()
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
        from portafaas.dev.server import served

        self.loop = asyncio.get_running_loop()
        self.instances.serve(self.plan)
        self._server = served(self, ready.set)
        try:
            await self._server.serve(sockets=[listening])
        finally:
            await self.instances.close()

    def run_in_loop(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Have *work* done on the server's event loop; from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    # Changes

    def reload(self) -> bool:
        """Run the project as it is now; False when it cannot, and the last good one goes on."""
        return self.changes.replaced({self.manifest}, everything=True)

    # Calls

    def wake(self) -> None:
        """Something was sent or written: have it delivered now. From any thread."""
        self.deliveries.wake()

    async def request(self, function: str, stimulus: HttpStimulus) -> Any:
        """Return the HttpOutcome of a request, whatever its path; on the server's event loop."""
        return await self.calls.request(function, stimulus)

    async def invoke(self, function: str, stimulus: Stimulus) -> tuple[str, dict[str, Any]]:
        """Call a function with a neutral stimulus, around the broker: see :meth:`Calls.invoke`."""
        return await self.calls.invoke(function, stimulus)

    def _found(self, found: Mapping[str, list[Diagnostic]]) -> None:
        """Keep what ``check`` says."""
        self.findings_of = dict(found)
        self.findings = list(dict.fromkeys(each for one in found.values() for each in one))
        self.activity.tell({"type": "findings", "count": len(self.findings)})
