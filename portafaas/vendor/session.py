"""What every session that runs its package in a child process has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portafaas.vendor.contract import NativeError, NativeResult, VendorRuntimeError
from portafaas.vendor.environment import installed_version
from portafaas.vendor.process import Child, Clock

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class ProcessSession(ABC):
    """A ``portafaas.vendor.VendorSession`` around one child process that may die and come again.

    A subclass says how the process is launched and how requests reach it. Times are in seconds.
    """

    def __init__(
        self, package: Path, function: str, python: Path, timeout: float, init_timeout: float
    ) -> None:
        self._package = package
        self._function = function
        self._python = python
        self._timeout = timeout
        self._init_timeout = init_timeout
        self._child: Child | None = None
        #: Why the process that was launched last cannot serve.
        self._failure: NativeError | None = None
        self._init_ms = 0.0
        self._cold_starts = 0

    @abstractmethod
    def _launch(self, clock: Clock) -> tuple[Child, NativeError | None]:
        """Start the process and wait until it is ready, or return why it is not."""

    def _release(self) -> None:  # noqa: B027 (most have nothing more to free)
        """Free what belongs to the process besides itself."""

    def invoke(
        self,
        request: Mapping[str, Any],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> NativeResult:
        """Deliver one request; see the contract."""
        return self.invoke_many([request], function=function, timeout=timeout)[0]

    @abstractmethod
    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Deliver all requests; see the contract."""

    def _refuse_other(self, function: str | None) -> None:
        """Raise PF6004 for a function that this session does not run."""
        if function not in (None, self._function):
            raise VendorRuntimeError(
                "PF6004", f"this session runs function {self._function!r}, not {function!r}"
            )

    def _open(self) -> None:
        """Launch for the first time; free everything when that cannot even be tried."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> Child:
        self._stop()
        clock = Clock(self._init_timeout)
        self._cold_starts += 1
        child, self._failure = self._launch(clock)
        self._init_ms = clock.elapsed_ms()
        return child

    def _awake(self) -> tuple[Child, int, NativeError | None]:
        """Return the process, where the log of this invocation begins, and why it cannot serve.

        A process that has ended is launched again: a cold start, whose log belongs to this
        invocation.
        """
        child = self._child
        if child is None or (child.exit_status() is not None and self._failure is None):
            child, start = self._start(), 0
        else:
            start = 0 if self._failure else child.log_size()
        failure, self._failure = self._failure, None
        return child, start, failure

    def _run(self, *command: str | Path, env: Mapping[str, str], **more: Any) -> Child:
        """Start *command* in the package's folder as the session's process."""
        child = self._child = Child(command, cwd=self._package, env=env, **more)
        return child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        self._release()

    def _facts(self, distribution: str) -> dict[str, Any]:
        """Return what ``describe`` tells of every runtime."""
        return {
            "runtime": distribution,
            "version": installed_version(self._python, distribution),
            "python": str(self._python),
            "init_ms": self._init_ms,
            "cold_starts": self._cold_starts,
        }

    def close(self) -> None:
        """Kill the process and free everything; may be called twice."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
