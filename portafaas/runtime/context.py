"""Per-invocation facts. Ships; imports nothing at module level but ``time``."""

from __future__ import annotations

from time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any

    from portafaas.runtime.function import Function


class HandlerTimeout(BaseException):
    """Raised inside a handler at its deadline.

    Not an ``Exception``, so that a broad ``except Exception`` cannot swallow it.
    """


class Context:
    """Facts about one invocation, the same on every target.

    Attributes:
        invocation_id: the platform's id of this invocation (str).
        function: name of the function in the manifest.
        service: name of the service in the manifest.
        target: name of the target the package was built for (``aws``, ``azure``, ``gcp``, ...).
        deadline: seconds since 1970 at which the handler is stopped.
        attempt: 1 on the first delivery, 2 on the first redelivery, ... as far as known.
        trace_parent: W3C ``traceparent`` of the caller, or None.
        logger: a :class:`logging.Logger` that writes one JSON object a line.
        raw: the platform's own context object.
    """

    __slots__ = (
        "_function",
        "attempt",
        "deadline",
        "invocation_id",
        "logger",
        "raw",
        "target",
        "trace_parent",
    )

    attempt: int
    deadline: float
    invocation_id: str
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
    raw: Any
    target: str
    trace_parent: str | None

    def __init__(
        self,
        function: Function,
        invocation_id: str,
        *,
        target: str = "local",
        attempt: int = 1,
        trace_parent: str | None = None,
        raw: Any = None,
    ) -> None:
        self._function = function
        self.invocation_id = invocation_id
        self.deadline = time() + function.timeout
        self.attempt = attempt
        self.target = target
        self.trace_parent = trace_parent
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot is empty: most handlers never log.
        if name == "logger":
            from portafaas.runtime.log import logger_for

            self.logger = value = logger_for(self)
            return value
        raise AttributeError(f"'Context' object has no attribute {name!r}")

    @property
    def function(self) -> str:
        """Name of the function in the manifest."""
        return self._function.name

    @property
    def service(self) -> str:
        """Name of the service in the manifest."""
        return self._function.service

    @property
    def memory(self) -> int:
        """Memory the function declares, in MiB."""
        return self._function.memory

    def remaining(self) -> float:
        """Return the seconds left until the deadline, never below 0."""
        left = self.deadline - time()
        return left if left > 0 else 0.0


def log_failure(context: Context, message: str, value: object) -> None:
    """Log what became of a handler, whatever it did to its logger or to stderr."""
    error = value if isinstance(value, BaseException) else None
    try:
        repr(value)
    except Exception:
        # An exception whose text cannot be made must not be lost for that.
        value = type(value)
    try:
        context.logger.error(message, value, exc_info=error)
    except Exception:
        try:
            from portafaas.runtime.log import logger_for

            logger_for(context).error(message, value, exc_info=error)
        except Exception:
            # The answer matters more than the record of it.
            return
