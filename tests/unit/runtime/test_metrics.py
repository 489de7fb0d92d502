"""Metrics: names, units, and how they are written on each target."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.runtime.context import Context, endings
from portafaas.runtime.http import Request
from portafaas.runtime.metrics import MAX_ATTRIBUTES, UNITS, Metrics
from portafaas.runtime.serve import run

#: The units of CloudWatch that ours become, as its reference lists them.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
CLOUDWATCH = set(
    "Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes Bits Kilobits "
    "Megabits Gigabits Terabits Percent Count Bytes/Second Kilobytes/Second Megabytes/Second "
    "Gigabytes/Second Terabytes/Second Bits/Second Kilobits/Second Megabits/Second "
    "Gigabits/Second Terabits/Second Count/Second None".split()
)


@pytest.fixture(autouse=True)
def pristine(monkeypatch: Any) -> Iterator[None]:
    """Give each test a process that has not logged, nor kept metrics."""
    root = logging.getLogger("portafaas")
    kept = root.level, root.propagate, root.handlers[:], endings[:]
    root.level, root.propagate, root.handlers[:] = logging.NOTSET, True, []
    yield
    root.level, root.propagate, root.handlers[:], endings[:] = kept


def served(make: Any, handle: Any, target: str = "local", **spec: Any) -> Context:
    function = make(lambda request, context: handle(context.metrics))
    function.stage = spec.get("stage", "")
    context = Context(function, "id-1", target=target)
    assert run(function, Request(), context).status == 204
    return context


def documents(capsys: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def check_embedded(document: dict[str, Any]) -> None:
    """Hold a document against the specification of the embedded metric format."""
    meta = document["_aws"]
    assert isinstance(meta["Timestamp"], int)
    assert meta["Timestamp"] > 1_700_000_000_000
    for directive in meta["CloudWatchMetrics"]:
        assert 1 <= len(directive["Namespace"]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for name in dimensions:
                assert isinstance(document[name], str)
                assert 1 <= len(document[name]) <= 1024
        for metric in directive["Metrics"]:
            assert metric["Unit"] in CLOUDWATCH
            values = document[metric["Name"]]
            numbers = values if isinstance(values, list) else [values]
            assert 1 <= len(numbers) <= 100
            assert all(isinstance(number, (int, float)) for number in numbers)


def test_on_aws_in_the_embedded_format(make: Any, capsys: Any) -> None:
    def handle(metrics: Metrics) -> None:
        metrics.count("orders.placed", place="a")
        metrics.count("orders.placed", 2, place="a")
        metrics.count("orders.placed", place="b")
        metrics.record("took", 1.5, "ms")
        metrics.record("took", 2, "ms")
        metrics.record("size", 7, "By")

    context = served(make, handle, "aws", stage="prod")
    found = documents(capsys)
    for document in found:
        check_embedded(document)
        assert document["invocation_id"] == "id-1"
        assert document["trace_id"] == context.trace_id
        assert document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "shop"
    one, two, rest = found
    assert one["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [
        ["service", "function", "stage", "place"]
    ]
    assert (one["service"], one["function"], one["stage"]) == ("shop", "f", "prod")
    assert (one["place"], one["orders.placed"]) == ("a", 3)
    assert (two["place"], two["orders.placed"]) == ("b", 1)
    assert rest["took"] == [1.5, 2]
    assert rest["size"] == 7
    assert rest["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "took", "Unit": "Milliseconds"}, {"Name": "size", "Unit": "Bytes"},
    ]  # fmt: skip


def test_limits_of_the_format_make_more_documents(make: Any, capsys: Any) -> None:
    def handle(metrics: Metrics) -> None:
        for number in range(250):
            metrics.count(f"m{number}")
            metrics.record("v", number)

    served(make, handle, "aws")
    found = documents(capsys)
    names: list[str] = []
    values: list[int] = []
    for document in found:
        check_embedded(document)
        names += [m["Name"] for m in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
        if "v" in document:
            part = document["v"]
            values += part if isinstance(part, list) else [part]
    assert sorted(values) == list(range(250))
    assert len(set(names)) == 251
    assert names.count("v") == 3


def test_documents_are_not_too_large(make: Any, capsys: Any) -> None:
    def handle(metrics: Metrics) -> None:
        for number in range(100):
            for _ in range(100):
                metrics.record("m" * 250 + str(number), -1.2345678901234567e-100)

    served(make, handle, "aws")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        check_embedded(json.loads(line))
        assert len(line.encode()) < 256_000


def test_elsewhere_as_records(make: Any, capsys: Any, monkeypatch: Any) -> None:
    # Metrics are no chatter: the level of the log is not theirs.
    monkeypatch.setenv("PORTAFAAS_LOG_LEVEL", "error")

    def handle(metrics: Metrics) -> None:
        metrics.count("orders", 2, place="a", new=True, number=7)
        for value in (3, 1, 2):
            metrics.record("took", value, "s")

    context = served(make, handle, "gcp")
    out, err = capsys.readouterr()
    assert out == ""
    orders, took = [json.loads(line) for line in err.splitlines()]
    assert orders["message"] == "metric orders"
    assert orders["metric"] == {
        "name": "orders", "kind": "count", "value": 2,
        "attributes": {"place": "a", "new": "true", "number": "7"},
    }  # fmt: skip
    assert took["metric"] == {
        "name": "took", "kind": "value", "count": 3, "sum": 6, "min": 1, "max": 3, "unit": "s",
    }  # fmt: skip
    assert took["trace_id"] == context.trace_id


def test_on_azure_the_message_holds_the_metric(make: Any, caplog: Any) -> None:
    served(make, lambda metrics: metrics.count("orders"), "azure")
    (record,) = caplog.records
    assert json.loads(record.getMessage()) == {
        "metric": {"name": "orders", "kind": "count", "value": 1}
    }


def test_written_once_and_begun_anew(make: Any, capsys: Any) -> None:
    def handle(request: Request, context: Context) -> None:
        context.metrics.count("n")
        context.metrics.count("n")

    function = make(handle)
    for _ in range(2):
        run(function, Request(), Context(function, "1", target="aws"))
    assert [document["n"] for document in documents(capsys)] == [2, 2]


def test_a_handler_that_fails_has_its_metrics_written(make: Any, capsys: Any) -> None:
    def handle(request: Request, context: Context) -> None:
        context.metrics.count("n")
        raise ValueError

    function = make(handle)
    assert run(function, Request(), Context(function, "1", target="aws")).status == 500
    assert [document["n"] for document in documents(capsys)] == [1]


def test_a_closed_output_does_not_fail_the_invocation(make: Any, monkeypatch: Any) -> None:
    import io
    import sys

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    served(make, lambda metrics: metrics.count("n"), "aws")


@pytest.mark.parametrize("unit", sorted(UNITS, key=str))
def test_units_have_a_name_in_cloudwatch(unit: str | None) -> None:
    assert UNITS[unit] in CLOUDWATCH


NAMES = ["", "1a", ".a", "a b", "a:b", "\u00e4", "a" * 256, "_aws", "service", "trace_id", 7, None]


@pytest.mark.parametrize("name", NAMES)
def test_bad_names(context: Context, name: Any) -> None:
    with pytest.raises(ValueError, match="metric name"):
        context.metrics.count(name)
    with pytest.raises(ValueError, match="metric name"):
        context.metrics.record(name, 1)
    assert context.metrics.take() == []


@pytest.mark.parametrize("name", ["a", "A.b-c_d/e", "a" * 255])
def test_good_names(context: Context, name: str) -> None:
    context.metrics.count(name)
    assert [series.name for series in context.metrics.take()] == [name]


@pytest.mark.parametrize("value", ["1", None, True, [1]])
def test_values_that_are_no_numbers(context: Context, value: Any) -> None:
    for call in (context.metrics.count, context.metrics.record):
        with pytest.raises(TypeError, match="is no number"):
            call("a", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2.0**361])
def test_numbers_that_cannot_be_recorded(context: Context, value: float) -> None:
    for call in (context.metrics.count, context.metrics.record):
        with pytest.raises(ValueError, match="cannot be recorded"):
            call("a", value)


def test_counts_only_grow(context: Context) -> None:
    with pytest.raises(ValueError, match="below 0"):
        context.metrics.count("a", -1)
    context.metrics.record("b", -1)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"service": "x"}, ValueError),
        ({"m": "x"}, ValueError),
        ({"a b": "x"}, ValueError),
        ({"": "x"}, ValueError),
        ({"a" * 256: "x"}, ValueError),
        ({"a": ""}, ValueError),
        ({"a": " "}, ValueError),
        ({"a": "\u00e4"}, ValueError),
        ({"a": "x\n"}, ValueError),
        ({"a": "x" * 1025}, ValueError),
        ({"a": 1.5}, TypeError),
        ({"a": None}, TypeError),
        ({f"a{n}": "x" for n in range(MAX_ATTRIBUTES + 1)}, ValueError),
    ],
)
def test_bad_attributes(context: Context, attributes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        context.metrics.count("m", **attributes)
    assert context.metrics.take() == []


def test_as_many_attributes_as_cloudwatch_has_dimensions(make: Any, capsys: Any) -> None:
    many = {f"a{n}": "x" for n in range(MAX_ATTRIBUTES)}
    served(make, lambda metrics: metrics.count("m", **many), "aws", stage="prod")
    (document,) = documents(capsys)
    check_embedded(document)
    assert len(document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) == 30


def test_a_name_is_one_metric(context: Context) -> None:
    context.metrics.count("a")
    with pytest.raises(ValueError, match="is a count"):
        context.metrics.record("a", 1)
    context.metrics.record("b", 1, "s")
    with pytest.raises(ValueError, match="of unit s"):
        context.metrics.record("b", 1, "ms")
    with pytest.raises(ValueError, match="is not one of"):
        context.metrics.record("c", 1, "fortnights")
    with pytest.raises(ValueError, match="is a count"):
        context.metrics.record("a", 1, "s", other="attribute")


def test_too_many(context: Context) -> None:
    for number in range(1000):
        context.metrics.count(f"m{number}")
    context.metrics.count("m0")
    with pytest.raises(ValueError, match="more than 1000"):
        context.metrics.count("m1000")


def test_a_secret_is_not_written(make: Any, capsys: Any, monkeypatch: Any) -> None:
    from portafaas.runtime import secrets

    monkeypatch.setattr(secrets, "redacted", {"top-secret": None})
    served(make, lambda metrics: metrics.count("m", who="a-top-secret-b"), "aws")
    assert documents(capsys)[0]["who"] == "a-[redacted]-b"
