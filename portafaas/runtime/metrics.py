"""What a handler counts and measures: ``context.metrics``. Ships; loaded at first use.

Kept until the invocation ends, then written once: on AWS in the embedded metric format, which
CloudWatch makes metrics of, elsewhere as records of the log; and to an OTLP endpoint if one is set.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
https://opentelemetry.io/docs/specs/otel/metrics/api/#instrument-name-syntax
"""

from __future__ import annotations

from portafaas.runtime.context import endings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.context import Context

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_REST = _LETTERS | frozenset("0123456789_.-/")
#: Unit -> CloudWatch's name; units are those of UCUM, as OpenTelemetry has them.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
UNITS = {
    None: "None",
    "1": "None",
    "s": "Seconds",
    "ms": "Milliseconds",
    "us": "Microseconds",
    "By": "Bytes",
    "kBy": "Kilobytes",
    "MBy": "Megabytes",
    "GBy": "Gigabytes",
    "%": "Percent",
    "By/s": "Bytes/Second",
    "1/s": "Count/Second",
}
#: Dimensions of a metric that CloudWatch takes; service, function and stage are three of them.
MAX_DIMENSIONS = 30
MAX_ATTRIBUTES = MAX_DIMENSIONS - 3
#: Metrics in one document, and values of one metric in it.
MAX_METRICS = 100
MAX_VALUES = 100
#: Values in one document, which may have 256 KB; one is up to 24 characters long.
MAX_DOCUMENT = 5000
#: Different metrics and attribute values of one invocation; more is a mistake.
MAX_SERIES = 1000
#: Values of one series in one invocation; more is a mistake.
MAX_KEPT = 10_000
#: Characters of an attribute's name and value (CloudWatch: 255 and 1024).
MAX_NAME = 255
MAX_VALUE = 1024

_RESERVED = frozenset(
    ("_aws", "service", "function", "stage", "invocation_id", "trace_id", "correlation_id")
)


class Series:
    """Values of one metric with one set of attributes.

    ``kind`` is ``count`` (``values`` holds one total) or ``value``.
    """

    __slots__ = ("attributes", "kind", "name", "unit", "values")

    def __init__(
        self, name: str, kind: str, unit: str | None, attributes: dict[str, str]
    ) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.attributes = attributes
        self.values: list[float] = []


class Metrics:
    """Counts and measurements of one invocation; those of several threads may mix."""

    __slots__ = ("_context", "_kinds", "_series")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kinds: dict[str, tuple[str, str | None]] = {}
        self._series: dict[Any, Series] = {}
        if flush not in endings:
            # Before the spans are sent, which may take its time.
            endings.insert(0, flush)

    def count(self, name: str, value: float = 1, **attributes: Any) -> None:
        """Add *value*, not below 0, to a count.

        Attributes are str, int or bool; each combination of their values is a count of its own.
        Raises TypeError or ValueError for what no target takes.
        """
        number = _number(name, value)
        if number < 0:
            raise ValueError(f"count {name!r}: {value} is below 0; counts only grow")
        values = self._find(name, "count", None, attributes).values
        values[:] = [values[0] + number if values else number]

    def record(
        self, name: str, value: float, unit: str | None = None, **attributes: Any
    ) -> None:
        """Record one measurement; *unit* is one of ``1 s ms us By kBy MBy GBy % By/s 1/s``.

        Errors and attributes are those of :meth:`count`.
        """
        number = _number(name, value)
        if unit not in UNITS:
            known = ", ".join(sorted(unit for unit in UNITS if unit))
            raise ValueError(f"metric {name!r}: unit {unit!r} is not one of {known}")
        values = self._find(name, "value", unit, attributes).values
        if len(values) >= MAX_KEPT:
            raise ValueError(f"metric {name!r}: more than {MAX_KEPT} values in one invocation")
        values.append(number)

    def _find(
        self, name: str, kind: str, unit: str | None, attributes: dict[str, Any]
    ) -> Series:
        key = (name, *sorted(attributes.items())) if attributes else name
        series = self._series.get(key)
        if series is None or (series.kind, series.unit) != (kind, unit):
            _check_name(name)
            known = self._kinds.setdefault(name, (kind, unit))
            if known != (kind, unit):
                raise ValueError(f"metric {name!r} is a {known[0]} of unit {known[1]} already")
            if len(self._series) >= MAX_SERIES:
                raise ValueError(f"more than {MAX_SERIES} metrics in one invocation")
            clean = _checked(name, attributes)
            series = self._series[key] = Series(name, kind, unit, clean)
        return series

    def take(self) -> list[Series]:
        """Return what there is and begin anew."""
        found = list(self._series.values())
        self._series.clear()
        return found


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"metric {name!r}: {value!r} is no number")
    # CloudWatch: -2^360 to 2^360, no NaN, no infinity (API_MetricDatum).
    if value != value or not -(2**360) <= value <= 2**360:
        raise ValueError(f"metric {name!r}: {value!r} cannot be recorded")
    return value


def _check_name(name: Any) -> None:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= MAX_NAME
        or name[0] not in _LETTERS
        or not _REST.issuperset(name)
    ):
        raise ValueError(
            f"metric name {name!r} is not a letter and then letters, digits, '_', '.', '-' or '/', "
            f"at most {MAX_NAME}"
        )
    if name in _RESERVED:
        raise ValueError(f"metric name {name!r} is reserved")


def _checked(metric: str, attributes: dict[str, Any]) -> dict[str, str]:
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(
            f"metric {metric!r} has {len(attributes)} attributes; at most {MAX_ATTRIBUTES}"
        )
    clean = {}
    for name, value in attributes.items():
        if name in _RESERVED or name == metric or not _REST.issuperset(name) or not name:
            raise ValueError(f"metric {metric!r}: an attribute may not be called {name!r}")
        if len(name) > MAX_NAME:
            raise ValueError(f"metric {metric!r}: an attribute's name is too long")
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif not isinstance(value, (str, int)):
            raise TypeError(f"metric {metric!r}: attribute {name!r} is text, int or bool")
        text = str(value)
        # CloudWatch takes dimensions of ASCII with something other than space in them.
        if not 0 < len(text) <= MAX_VALUE or not text.isascii() or not text.strip():
            raise ValueError(
                f"metric {metric!r}: attribute {name!r} has a value that is empty, not ASCII or "
                f"longer than {MAX_VALUE}"
            )
        if not text.isprintable():
            raise ValueError(f"metric {metric!r}: attribute {name!r} holds control characters")
        clean[name] = text
    return clean


def flush(context: Context, payload: Any, result: Any, error: BaseException | None) -> None:
    """Write the metrics of an invocation that has ended, if it has any."""
    try:
        metrics: Metrics = object.__getattribute__(context, "metrics")
    except AttributeError:
        return
    series = metrics.take()
    if not series:
        return
    import sys

    from portafaas.runtime.log import redact, write_metric

    if context.target == "aws":
        import json

        for document in embedded(context, series):
            line = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            sys.stdout.write(redact(line, in_json=True) + "\n")
        sys.stdout.flush()
    else:
        for one in series:
            write_metric(context, told(one))
    otlp = sys.modules.get("portafaas.runtime.otlp")
    if otlp is not None:
        otlp.send_metrics(context, series)


def told(series: Series) -> dict[str, Any]:
    """Return a series as the log has it: ``value`` of a count, else count, sum, min and max."""
    facts: dict[str, Any] = {"name": series.name, "kind": series.kind}
    values = series.values
    if series.kind == "count":
        facts["value"] = values[0]
    else:
        facts.update(count=len(values), sum=sum(values), min=min(values), max=max(values))
    if series.unit:
        facts["unit"] = series.unit
    if series.attributes:
        facts["attributes"] = series.attributes
    return facts


def embedded(context: Context, series: list[Series]) -> list[dict[str, Any]]:
    """Return documents of the embedded metric format: one for each set of attributes and limit."""
    from time import time

    common = {"service": context.service, "function": context.function}
    if context._function.stage:
        common["stage"] = context._function.stage
    groups: dict[Any, list[tuple[Series, list[float]]]] = {}
    for one in series:
        place = groups.setdefault(tuple(sorted(one.attributes.items())), [])
        for start in range(0, len(one.values), MAX_VALUES):
            place.append((one, one.values[start : start + MAX_VALUES]))
    stamp = round(time() * 1000)
    documents = []
    for attributes, parts in groups.items():
        while parts:
            taken: dict[str, tuple[Series, list[float]]] = {}
            rest = []
            room = MAX_DOCUMENT
            for part in parts:
                name = part[0].name
                if name in taken or len(taken) >= MAX_METRICS or len(part[1]) > room:
                    rest.append(part)
                else:
                    taken[name] = part
                    room -= len(part[1])
            parts = rest
            dimensions = {**common, **dict(attributes)}
            documents.append(
                {
                    "_aws": {
                        "Timestamp": stamp,
                        "CloudWatchMetrics": [
                            {
                                "Namespace": context.service,
                                "Dimensions": [list(dimensions)],
                                "Metrics": [
                                    {"Name": name, "Unit": _unit(one)}
                                    for name, (one, _) in taken.items()
                                ],
                            }
                        ],
                    },
                    **dimensions,
                    "invocation_id": context.invocation_id,
                    "trace_id": context.trace_id,
                    "correlation_id": context.correlation_id,
                    **{
                        name: values[0] if len(values) == 1 else values
                        for name, (_, values) in taken.items()
                    },
                }
            )
    return documents


def _unit(series: Series) -> str:
    return "Count" if series.kind == "count" else UNITS[series.unit]
