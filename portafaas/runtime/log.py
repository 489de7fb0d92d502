"""Structured logging: one JSON object a line. Ships; imported when a handler first logs.

``PORTAFAAS_LOG_LEVEL`` is the least severe level (``debug``, ``info``, ``warning``, ``error``), by
default ``info``. Values of secrets that the process has read are taken out of every record.
"""

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
#: Variable with the least severe level; ``portafaas.plan.build`` sets it.
LEVEL = "PORTAFAAS_LOG_LEVEL"
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
#: What stands in place of a secret.
REDACTED = "[redacted]"


def redact(text: str, *, in_json: bool = False) -> str:
    """Return *text* without the values of secrets that this process has read.

    With *in_json* the text is JSON (without ASCII escapes), where values are escaped. Costs a look
    into a dict while no secret has been read, else one search for each.
    """
    home = sys.modules.get("portafaas.runtime.secrets")
    if home is not None and home.redacted:
        # The longest first: one value may be part of another.
        for value in sorted(home.redacted, key=len, reverse=True):
            if in_json:
                value = json.dumps(value, ensure_ascii=False)[1:-1]
            if value in text:
                text = text.replace(value, REDACTED)
    return text


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
        for name, value in getattr(record, "portafaas", {}).items():
            # The four above are the record's own, whatever a handler adds.
            entry.setdefault(name, value)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redact(_json(entry), in_json=True)


def _json(entry: dict[str, Any]) -> str:
    """Return the JSON text of *entry*; values that have none, such as NaN, as their repr."""
    try:
        return json.dumps(entry, ensure_ascii=False, default=repr, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        plain = {
            str(name): value if isinstance(value, (str, int, type(None))) else repr(value)
            for name, value in entry.items()
        }
        return json.dumps(plain, ensure_ascii=False)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Write to whatever ``sys.stderr`` is at the time, so that captured output is captured."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say so if that can be said: a closed stderr must not become the handler's failure."""
        try:
            place = f"{record.filename}:{record.lineno}"
            sys.stderr.write(f"portafaas: a record of {record.name} could not be logged: {place}\n")
        except Exception:
            return

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* to the current ``sys.stderr``."""
        self.stream = sys.stderr
        super().emit(record)


class _Redacting(logging.Filter):
    """Takes secrets out of records that somebody else's handler writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, without secrets in its message and traceback."""
        home = sys.modules.get("portafaas.runtime.secrets")
        if home is not None and home.redacted:
            try:
                text = record.getMessage()
            except Exception:
                # Logging never fails a handler; its arguments may hold the secret.
                text = f"a record that could not be logged: {record.filename}:{record.lineno}"
            record.msg, record.args = redact(text), None
            if record.exc_info and not record.exc_text:
                # Formatters write this text where there is one.
                record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            facts = getattr(record, "portafaas", None)
            if isinstance(facts, dict):
                record.portafaas = json.loads(redact(_json(facts), in_json=True))
        return True


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
    root.setLevel(level())
    root.propagate = propagate
    if not propagate and not root.handlers:
        handler = _Stderr()
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)


def level() -> int:
    """Return the least severe level that is logged; a name that is none counts as ``info``."""
    from os import environ

    return _LEVELS.get(environ.get(LEVEL, "").strip().lower(), logging.INFO)


def logger_for(context: Context) -> logging.LoggerAdapter[logging.Logger]:
    """Return the logger of one invocation; every record carries :func:`facts_of` it."""
    try:
        facts = facts_of(context)
    except Exception:
        # A handler may have overwritten anything; what it is logged for is worth more.
        facts = {"service": context.service, "function": context.function}
    return _Adapter(_logger(context, context.function), facts)


def _logger(context: Context, name: str) -> logging.Logger:
    root = logging.getLogger(_ROOT)
    propagate = context.target == "azure"
    if root.level == logging.NOTSET:
        configure(propagate=propagate)
    logger = logging.getLogger(f"{_ROOT}.{name}")
    if propagate and not logger.filters:
        logger.addFilter(_Redacting())
    return logger


def facts_of(context: Context) -> dict[str, Any]:
    """Return what every record tells of its invocation."""
    span = context.span
    facts: dict[str, Any] = {
        "service": context.service,
        "function": context.function,
        "invocation_id": context.invocation_id,
        "correlation_id": context.correlation_id,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
    }
    if context._function.stage:
        facts["stage"] = context._function.stage
    if context.target == "gcp":
        from os import environ

        project = environ.get("GOOGLE_CLOUD_PROJECT")
        if project:
            # https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
            facts["logging.googleapis.com/trace"] = f"projects/{project}/traces/{span.trace_id}"
            facts["logging.googleapis.com/spanId"] = span.span_id
            facts["logging.googleapis.com/trace_sampled"] = span.sampled
    return facts


def write_metric(context: Context, metric: dict[str, Any]) -> None:
    """Write one metric as a record of its own, whatever the level of the log is."""
    logger = _logger(context, "metrics")
    logger.setLevel(logging.INFO)
    message = "metric %s"
    argument: Any = metric["name"]
    if context.target == "azure":
        # Its handler writes messages only.
        message, argument = "%s", json.dumps({"metric": metric}, ensure_ascii=False)
    extra = {"portafaas": {**facts_of(context), "metric": metric}}
    logger.info(message, argument, extra=extra)
