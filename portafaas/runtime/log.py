"""Structured logging: one JSON object a line. Ships; imported when a handler first logs."""

from __future__ import annotations

import json
import logging
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from portafaas.runtime.context import Context

_ROOT = "portafaas"


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object; ``severity`` is the name all three clouds understand.

    https://cloud.google.com/logging/docs/structured-logging
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text of *record*."""
        from portafaas.runtime.text import epoch_time

        entry: dict[str, Any] = {
            "time": epoch_time(record.created),
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        entry.update(getattr(record, "portafaas", ()))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=repr)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Write to whatever ``sys.stderr`` is at the time, so that captured output is captured."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say so if that can be said: a closed stderr must not become the handler's failure."""
        try:
            sys.stderr.write(f"portafaas: a record of {record.name} could not be logged\n")
        except Exception:
            return

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* to the current ``sys.stderr``."""
        self.stream = sys.stderr
        super().emit(record)


class _Adapter(logging.LoggerAdapter):  # type: ignore[type-arg]
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        extra = dict(kwargs.get("extra") or {})
        kwargs["extra"] = {"portafaas": {**self.extra, **extra}}  # type: ignore[dict-item]
        return msg, kwargs


def configure(*, propagate: bool) -> None:
    """Set up the ``portafaas`` logger once a process.

    With *propagate* records go to the host's own root handler (Azure's worker attaches the
    invocation there); otherwise they are written to stderr as JSON.
    """
    root = logging.getLogger(_ROOT)
    root.setLevel(logging.INFO)
    root.propagate = propagate
    if not propagate and not root.handlers:
        handler = _Stderr()
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)


def logger_for(context: Context) -> logging.LoggerAdapter[logging.Logger]:
    """Return the logger of one invocation; every record carries function and invocation id."""
    root = logging.getLogger(_ROOT)
    if root.level == logging.NOTSET:
        configure(propagate=context.target == "azure")
    logger = logging.getLogger(f"{_ROOT}.{context.function}")
    facts = {"function": context.function, "invocation_id": context.invocation_id}
    if context.trace_parent:
        facts["trace_parent"] = context.trace_parent
    return _Adapter(logger, facts)
