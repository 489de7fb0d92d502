"""Faults that a test asks for, where the handler runs: in the test's process or in another.

A module on its own, as the packages of targets have nothing of the kit: standard library and
``portafaas.runtime`` only, Python 3.10. :func:`install` has every ``Function`` put :func:`faulty`
closest around its handler, within what idempotency puts around it: a crash leaves behind what a
crash leaves behind.
"""

# ruff: noqa: PTH123 (plain strings, as in all that runs inside a package)
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Variable with the file that holds the faults still to come: JSON, function -> list of faults,
#: each ``{"what": "fail"|"crash"|"hang", "after": bool, "error": pickled, in base64}``.
FAULTS = "PORTAFAAS_TEST_FAULTS"
#: Exit status of a process that crashes on request.
STATUS = 70


class Crash(BaseException):
    """The process of the handler has ended, as far as the handler can tell."""


#: What a process of its own does when it is to crash; the test's own process raises instead.
crash: Callable[[], None] = lambda: os._exit(STATUS)  # noqa: E731
#: Where the next fault of a function comes from, in the test's own process.
source: Callable[[str], dict[str, Any] | None] | None = None


def taken(function: str) -> dict[str, Any] | None:
    """Return the next fault of *function*, which is no longer one to come; None when none is."""
    if source is not None:
        return source(function)
    file = os.environ.get(FAULTS)
    if not file:
        return None
    import json

    try:
        with open(file) as text:
            faults = json.load(text)
    except FileNotFoundError:
        return None
    waiting = faults.get(function)
    if not waiting:
        return None
    fault: dict[str, Any] = waiting.pop(0)
    with open(f"{file}.new", "w") as text:
        json.dump(faults, text)
    os.replace(f"{file}.new", file)  # noqa: PTH105
    return fault


def _strike(fault: dict[str, Any]) -> None:
    if fault["what"] == "crash":
        crash()
    if fault["what"] == "hang":
        from portafaas.runtime.context import HandlerTimeout

        raise HandlerTimeout
    error = fault["error"]
    if isinstance(error, str):
        import base64
        import pickle

        error = pickle.loads(base64.b64decode(error))
    raise error


def faulty(handle: Callable[..., Any], function: Any) -> Callable[..., Any]:
    """Return *handle* such that it fails when the test says so; sync or async as it was."""
    name = function.name

    async def waited(awaitable: Any, fault: dict[str, Any]) -> Any:
        await awaitable
        _strike(fault)

    def call(payload: Any, context: Any) -> Any:
        fault = taken(name)
        if fault is None:
            return handle(payload, context)
        if not fault["after"]:
            _strike(fault)
        result = handle(payload, context)
        if hasattr(result, "__await__"):
            return waited(result, fault)
        _strike(fault)

    if not function.is_async:
        return call

    async def call_async(payload: Any, context: Any) -> Any:
        fault = taken(name)
        if fault is not None and not fault["after"]:
            _strike(fault)
        result = await handle(payload, context)
        if fault is not None:
            _strike(fault)
        return result

    return call_async


def load(function: Any, original: Callable[[Any], None]) -> None:
    """Load *function* as *original*, ``Function._load``, does; its handler is :func:`faulty`."""
    if function.idempotency is None:
        original(function)
        function.handle = faulty(function.handle, function)
        return
    from portafaas.runtime import idempotency

    once = idempotency.once
    idempotency.once = lambda handle, function: once(faulty(handle, function), function)
    try:
        original(function)
    finally:
        idempotency.once = once


def install(kind: Any) -> None:
    """Have every ``portafaas.runtime.function.Function`` of this process be :func:`faulty`."""
    original = kind._load

    def loading(self: Any) -> None:
        load(self, original)

    kind._load = loading
