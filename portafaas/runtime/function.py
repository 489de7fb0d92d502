"""One function of the manifest inside one instance: finds, builds and keeps its handler. Ships."""

from __future__ import annotations

from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing inspect
_loading = RLock()
#: For a function that says nothing: as the manifest's own defaults.
_RETRY = {
    "attempts": 5, "backoff": "exponential", "initial": 1.0, "max": 60.0, "jitter": True,
    "max_age": 86_400.0,
}  # fmt: skip


class HandlerError(Exception):
    """The handler named in the manifest cannot serve its trigger."""


class Function:
    """A function as the generated entry module describes it.

    ``spec`` is a plain dict literal written at build time: ``name``, ``service``, ``kind``,
    ``handler`` (``module:Name``), ``interface`` (``handler``, ``asgi`` or ``wsgi``), ``timeout``
    (seconds), ``memory`` (MiB), ``concurrency``, ``source`` (CloudEvents source) and ``trigger``
    with the trigger's own settings; ``retry`` (``attempts``, ``backoff``, ``initial``, ``max``,
    ``jitter``, ``max_age``; seconds) of all but http functions; ``uses`` (kind -> name -> ``verbs``
    and what clients need), ``idempotency`` (``table``, ``expires`` in seconds, ``key``: a list of
    names and indices, ``required``) and ``stage`` only where there are any.

    The handler is imported, constructed and initialised once, at its first use. If that fails the
    error is raised for that invocation and tried again for the next one.
    """

    __slots__ = (
        "bucket",
        "concurrency",
        "handle",
        "handler",
        "idempotency",
        "interface",
        "is_async",
        "kind",
        "loaded",
        "memory",
        "name",
        "owner",
        "retry",
        "route",
        "service",
        "source",
        "stage",
        "takes_batch",
        "timeout",
        "trigger",
        "uses",
    )

    handle: Callable[..., Any]
    is_async: bool
    takes_batch: bool
    owner: Any

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.name: str = spec["name"]
        self.service: str = spec["service"]
        self.kind: str = spec["kind"]
        self.handler: str = spec["handler"]
        self.interface: str = spec.get("interface", "handler")
        self.timeout: float = spec["timeout"]
        self.memory: int = spec["memory"]
        self.concurrency: int = spec.get("concurrency", 1)
        self.source: str = spec["source"]
        self.trigger: Mapping[str, Any] = spec["trigger"]
        self.retry: Mapping[str, Any] = spec.get("retry", _RETRY)
        self.uses: Mapping[str, Any] = spec.get("uses", {})
        self.idempotency: Mapping[str, Any] | None = spec.get("idempotency")
        self.stage: str = spec.get("stage", "")
        self.route: Any = None
        self.bucket: Any = None
        self.loaded = False

    def __getattr__(self, name: str) -> Any:
        # Reached only while a slot is empty, that is before the handler is loaded.
        if name in ("handle", "is_async", "takes_batch", "owner"):
            self.load()
            return getattr(self, name)
        raise AttributeError(f"'Function' object has no attribute {name!r}")

    def resolve(self) -> Any:
        """Import the handler and return the named object, not yet constructed.

        Raises ImportError, AttributeError, or whatever the user's module raises.
        """
        import importlib

        module, _, path = self.handler.partition(":")
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        return found

    def check(self, found: Any) -> None:
        """Raise :class:`HandlerError` unless *found* can serve this function's trigger."""
        if not callable(found) and not hasattr(found, "handle"):
            raise HandlerError(
                f"{self.handler} is {type(found).__name__!r}, neither a handler class nor callable"
            )
        if self.interface != "handler":
            return
        kinds = getattr(found, "kinds", ())
        if kinds and self.kind not in kinds:
            name = found.__name__ if isinstance(found, type) else type(found).__name__
            raise HandlerError(
                f"{name} serves {' or '.join(kinds)} triggers, but {self.name!r} has a "
                f"{self.kind} trigger"
            )

    def load(self) -> None:
        """Import, construct and initialise the handler, unless that is done."""
        # With concurrency, several first invocations may come at once.
        with _loading:
            if not self.loaded:
                self._load()
                self.loaded = True

    def _load(self) -> None:
        found = self.resolve()
        self.check(found)
        if self.interface != "handler":
            if self.interface == "asgi":
                from portafaas.runtime.asgi import AsgiApplication as Application
            else:
                from portafaas.runtime.wsgi import WsgiApplication as Application  # type: ignore[assignment]
            owner: Any = Application(found, self)
            handle = owner.handle
        elif isinstance(found, type):
            owner = found()
            handle = getattr(owner, "handle", None) or owner
        elif hasattr(found, "handle"):
            owner, handle = found, found.handle
        else:
            owner, handle = None, found
        init = getattr(owner, "init", None)
        if init is not None:
            result = init()
            if hasattr(result, "__await__"):
                from portafaas.runtime.aio import run

                run(result)
        shutdown = getattr(owner, "shutdown", None)
        if shutdown is not None:
            self._register(shutdown)
        code = getattr(handle, "__code__", None) or getattr(
            getattr(handle, "__call__", None),  # noqa: B004
            "__code__",
            None,
        )
        self.is_async = code is not None and bool(code.co_flags & _COROUTINE)
        self.takes_batch = bool(
            getattr(owner, "takes_batch", False) or getattr(found, "__portafaas_batch__", False)
        )
        self.owner = owner
        if self.idempotency is not None:
            from portafaas.runtime.idempotency import once

            handle = once(handle, self)
        if self.trigger.get("claims"):
            from portafaas.runtime.claims import fetching

            handle = fetching(handle, self)
        self.handle = self._observed(handle)

    @staticmethod
    def _observed(handle: Callable[..., Any]) -> Callable[..., Any]:
        """Start what the environment asks for, and let the user's own spans nest in ours."""
        from os import environ

        exporting = any(
            environ.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT")
            for signal in ("", "TRACES_", "METRICS_")
        )
        if exporting:
            from portafaas.runtime.otlp import start

            start()
        from sys import modules

        if exporting or "opentelemetry" in modules:
            from portafaas.runtime.nesting import nested

            return nested(handle)
        return handle

    @staticmethod
    def _register(shutdown: Callable[[], Any]) -> None:
        # The base class's own shutdown does nothing: no need to keep atexit busy with it.
        from portafaas.runtime.handler import Handler

        if getattr(shutdown, "__func__", None) is Handler.shutdown:
            return
        import atexit

        def at_exit() -> None:
            result = shutdown()
            if hasattr(result, "__await__"):
                from portafaas.runtime.aio import run

                run(result)

        atexit.register(at_exit)
