"""``portafaas dev --as``: the package of a target, made anew when the project changes.

The dispatcher gets ``Target.vendor``, and so do ``portafaas.dev.emulate``'s processes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from portafaas.emulation import emulated
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.local.vendor import Vendor


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
