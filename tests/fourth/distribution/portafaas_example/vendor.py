"""Runs a package in the platform's host process. Build time only."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portafaas.vendor import NativeError, NativeResult, Requirements, VendorRuntimeError
from portafaas.vendor.process import Child, Clock


class ExampleRuntime:
    """The ``portafaas.vendor.VendorRuntime`` of Example Functions."""

    def requirements(self, python: str) -> Requirements:
        """Return nothing: the host needs the standard library only."""
        return Requirements(())

    def start(
        self,
        package: Path,
        *,
        entry: str,
        function: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        memory: int,
        settings: Mapping[str, Any],
    ) -> ExampleSession:
        """Start the host on *package*; see the contract."""
        facts = {"function": function, "memory": memory}
        wait = float(settings.get("init_timeout", 10.0))
        return ExampleSession(package.absolute(), entry, python, env, timeout, wait, facts)


class ExampleSession:
    """One host process, which serves one function."""

    def __init__(
        self,
        package: Path,
        entry: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        init_timeout: float,
        facts: dict[str, Any],
    ) -> None:
        self._command = (python, "-I", "-B", Path(__file__).with_name("host.py"), package, entry)
        self._package = package
        self._env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **env}
        self._timeout = timeout
        self._init_timeout = init_timeout
        self._facts = facts
        self._host: _Host | None = None
        self._failure: NativeError | None = None
        self._start()

    def invoke(
        self,
        request: Mapping[str, Any],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> NativeResult:
        """Deliver one event; see the contract."""
        if function not in (None, self._facts["function"]):
            raise VendorRuntimeError("PF6004", f"this session does not run {function!r}")
        clock = Clock(self._timeout if timeout is None else timeout)
        host = self._host or self._start()
        start = host.child.log_size()
        value, error = None, self._failure
        self._failure = None
        if error is None:
            value, error = host.ask({"event": request, "facts": self._facts}, clock)
        result = NativeResult(error is None, value, error, clock.elapsed_ms(), host.child.log(start))
        if error is not None and error.kind != "handler":
            self.close()
        return result

    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Deliver events one after another."""
        return tuple(self.invoke(r, function=function, timeout=timeout) for r in requests)

    def describe(self) -> dict[str, Any]:
        """Return what the contract asks for."""
        return {"runtime": "example", "version": "1", "python": str(self._command[0])}

    def close(self) -> None:
        """Kill the host."""
        if self._host is not None:
            self._host.close()
            self._host = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> _Host:
        host = self._host = _Host(self._command, self._package, self._env)
        _, error = host.answer(Clock(self._init_timeout))
        if error is not None:
            error = NativeError("init", error.type, error.message, error.stack)
        self._failure = error
        return host


class _Host:
    """The process and the two pipes to it."""

    def __init__(
        self, command: Sequence[str | Path], folder: Path, env: Mapping[str, str]
    ) -> None:
        inbox, self._requests = os.pipe()
        self._answers, outbox = os.pipe()
        try:
            self.child = Child(
                (*command, str(inbox), str(outbox)), cwd=folder, env=env, pass_fds=(inbox, outbox)
            )
        except VendorRuntimeError:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(inbox)
            os.close(outbox)
        self._rest = b""

    def ask(self, order: Mapping[str, Any], clock: Clock) -> tuple[Any, NativeError | None]:
        """Return the value or the error that comes of *order*."""
        data = memoryview(json.dumps(order).encode() + b"\n")
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            return None, self._ended()
        return self.answer(clock)

    def answer(self, clock: Clock) -> tuple[Any, NativeError | None]:
        """Return the value or the error of the next line."""
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while b"\n" not in self._rest:
            if not poll.poll(clock.left() * 1000):
                return None, NativeError("timeout", "Late", "no answer in time")
            data = os.read(self._answers, 1 << 20)
            if not data:
                return None, self._ended()
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        said = json.loads(line)
        if said["ok"]:
            return said["value"], None
        return None, NativeError("handler", said["type"], said["message"], said["stack"])

    def _ended(self) -> NativeError:
        return NativeError("exit", "Ended", f"the host ended: status {self.child.wait(1.0)}")

    def close(self) -> None:
        """Kill the process and close the pipes."""
        self.child.close()
        os.close(self._requests)
        os.close(self._answers)
