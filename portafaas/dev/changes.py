"""What runs, and what is done when files have changed: new processes, or a new plan."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from portafaas.dev.deliveries import Deliveries
from portafaas.dev.instances import debugged
from portafaas.dev.missed import look
from portafaas.errors import Diagnostic, InvocationError, PortafaasError, guess
from portafaas.local.debugger import PORT as PORT_OF
from portafaas.local.debugger import WAIT
from portafaas.local.resources import environment, store
from portafaas.local.routing import Routes
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger

if TYPE_CHECKING:
    from portafaas.dev.service import Dev
    from portafaas.local.dispatch import Dispatcher
    from portafaas.local.hooks import Hooks


class Changes:
    """Those of one application, one after the other; from any thread."""

    def __init__(self, dev: Dev) -> None:
        self._dev = dev
        self._changing = threading.Lock()
        #: Of plans that were replaced; they finish what they are at.
        self.finishing: list[Deliveries] = []

    def planned(self) -> BuildPlan:
        """Return the plan of the manifest as it is now; raises its errors."""
        from portafaas.manifest.load import load_manifest
        from portafaas.plan.build import build_plan

        if self._dev.emulated is not None:
            return self._dev.emulated.build().plan
        plan = build_plan(load_manifest(self._dev.manifest, self._dev.given_stage))
        functions, first, wait = self._dev.debug
        if functions:
            known = [f.name for f in plan.functions]
            for name in functions:
                if name != "*" and name not in known:
                    text = f"no function is called {name!r}"
                    raise InvocationError(text, hint=guess(name, known), code="PF7002")
            names = [f.name for f in plan.functions if "*" in functions or f.name in functions]
            more = {WAIT: "1"} if wait else {}
            self._dev.debugging = {
                name: {PORT_OF: str(first + number), **more}
                for number, name in enumerate(sorted(names))
            }
            plan = debugged(plan, names)
        return plan

    def adopt(self, plan: BuildPlan) -> None:
        """Have *plan* be what runs, as far as routes go."""
        self._dev.plan = plan
        self._dev.routes = Routes(plan)
        self._dev.instances.debugging = self._dev.debugging
        self._dev.callers = any(
            isinstance(f.trigger, HttpTrigger) and f.trigger.auth and f.trigger.auth.scheme == "iam"
            for f in plan.functions
        )

    def variables(self, plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
        """Return a function's variables beside its own."""
        own = environment(plan, function, self._dev.root, "", packaged=False)
        return {**own, **self._dev.environment}

    def delivering(self, plan: BuildPlan) -> Deliveries:
        """Return what delivers to the functions of *plan*; it is not started."""
        vendor = None if self._dev.emulated is None else self._dev.emulated.vendor

        def make(hooks: Hooks) -> Dispatcher:
            from portafaas.local.dispatch import Dispatcher

            return Dispatcher(
                plan, self._dev.root, schedules=True, hooks=hooks, extra=self._dev.environment,
                observed=True, limited=True, virtual=self._dev.clock.mode == "virtual",
                debugging=self._dev.debugging, vendor=vendor,
            )  # fmt: skip

        dev = self._dev
        return Deliveries(plan, dev.root, make, dev.activity, dev.console, dev.duplicates)

    def changed(self, paths: set[Path]) -> None:
        """Run what is there now that *paths* have changed."""
        try:
            self.replaced(paths)
        except Exception as exc:  # a bug here must not end the thread that watches
            self._dev.console.notice(f"reload failed: {exc!r}", "ERROR")

    def replaced(self, paths: set[Path], everything: bool = False) -> bool:
        """Do that, and tell whether it runs. *everything*: other files may have changed, too."""
        from portafaas.dev.reload import forget

        with self._changing:
            if self._dev.stopped.is_set():
                return False
            began = time()
            forget(paths)
            sources = everything or any(path != self._dev.manifest for path in paths)
            if sources:
                # Before the plan is made again: that takes longer.
                self._dev.deliveries.renew()
                renewing = asyncio.run_coroutine_threadsafe(
                    self._dev.instances.renew(), self._dev.loop
                )
            plan: BuildPlan | None = None
            try:
                plan = self.planned()
            except PortafaasError as error:
                found = list(getattr(error, "diagnostics", ())) or [
                    Diagnostic(error.code, error.message, hint=error.hint)
                ]
                self._dev.problems = found
                why = error.message.rstrip(":")
                self._dev.console.diagnostics(found, f"{why}; what ran before goes on:")
            else:
                self._dev.problems = []
                assert plan is not None
                # A target's runtime has the sources as they were packaged.
                if self._dev.emulated is not None or plan != self._dev.plan:
                    self._change(plan)
            if sources:
                renewing.result(90)
            self._dev.reloads += 1
            seconds = time() - began
            self._dev.activity.tell(
                {
                    "type": "reload", "ok": plan is not None, "seconds": seconds,
                    "files": sorted(str(path) for path in paths),
                    "problems": [each.as_dict() for each in self._dev.problems],
                }
            )  # fmt: skip
            if plan is not None:
                names = sorted(path.name for path in paths)
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                self._dev.console.notice(f"{shown} changed: reloaded in {seconds * 1000:.0f} ms")
            if self._dev.checking is not None:
                self._dev.checking.look()
            return plan is not None

    def _change(self, plan: BuildPlan) -> None:
        """Run another plan: new functions, routes and resources."""
        before = self._dev.deliveries
        fresh = self.delivering(plan)
        fresh.start()
        if self._dev.clock.mode == "real":
            # Schedules that are new are known from now on.
            self._dev.missed = look(store(self._dev.root, self._dev.stage), plan, time())

        async def adopt() -> None:
            self.adopt(plan)
            self._dev.instances.serve(plan)

        self._dev.run_in_loop(adopt())
        self._dev.console.names(function.name for function in plan.functions)
        self._dev.deliveries = fresh
        self.finishing = [each for each in self.finishing if each.alive]
        self.finishing.append(before)
        before.finish()
