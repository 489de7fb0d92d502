"""The dispatcher of ``portafaas dev``, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from portafaas.dev.activity import Activity
from portafaas.dev.logs import Console
from portafaas.dev.recorder import Recorder
from portafaas.errors import PortafaasError
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks
from portafaas.local.resources import store
from portafaas.local.store import explained
from portafaas.plan import BuildPlan

#: Seconds before a dispatcher that has failed is made anew.
_PAUSE = 1.0


class Deliveries:
    """The thread. *make* gets the hooks, and returns the dispatcher; it is called in the thread."""

    def __init__(
        self,
        plan: BuildPlan,
        root: Path,
        make: Callable[[Hooks], Dispatcher],
        activity: Activity,
        console: Console,
        duplicates: float = 0.0,
    ) -> None:
        self.plan = plan
        self._duplicates = duplicates
        self._root = root
        self._make = make
        self._activity = activity
        self._console = console
        self._dispatcher: Dispatcher | None = None
        self._ready = threading.Event()
        self._over = False
        self._error: PortafaasError | None = None
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)

    def start(self, timeout: float = 30.0) -> None:
        """Begin, and wait until it does; raises DeploymentError (PF8018)."""
        self._thread.start()
        self._ready.wait(timeout)
        if self._error is not None:
            raise self._error

    @property
    def alive(self) -> bool:
        """Tell whether it still works."""
        return self._thread.is_alive()

    @property
    def dispatcher(self) -> Dispatcher | None:
        """The dispatcher, None while there is none; most of it is for its own thread."""
        return self._dispatcher

    def wake(self) -> None:
        """Something was sent: have it looked at now."""
        if self._dispatcher is not None:
            self._dispatcher.wake()

    def renew(self) -> None:
        """Have each function's next call run new code."""
        if self._dispatcher is not None:
            self._dispatcher.renew()

    def advance(self, until: float, timeout: float | None = None) -> bool:
        """See ``Dispatcher.advance``."""
        return self._dispatcher is not None and self._dispatcher.advance(until, timeout)

    def finish(self) -> None:
        """Take nothing more, and end when what is under way is done; returns at once."""
        self._over = True
        if self._dispatcher is not None:
            self._dispatcher.stop()

    def stop(self, timeout: float = 20.0) -> None:
        """End at once: functions are ended, and what they were at waits, as if not tried."""
        self._over = True
        if self._dispatcher is not None:
            self._dispatcher.abort()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        first = True
        while not self._over:
            try:
                with explained(store(self._root, self.plan.stage)):
                    hooks = Recorder(self.plan, self._activity, self._console, self._duplicates)
                    with self._make(hooks) as made:
                        self._dispatcher = made
                        self._ready.set()
                        first = False
                        if not self._over:
                            made.run(follow=True)
            except PortafaasError as error:
                if first:
                    self._error = error
                    self._ready.set()
                    return
                # A full disk, say, which may be mended.
                self._console.notice(str(error), "ERROR")
                threading.Event().wait(_PAUSE)
            finally:
                self._dispatcher = None
