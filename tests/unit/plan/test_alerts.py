"""Alerts: which metric is of what, thresholds, and whom they tell."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.plan import AlertPlan

GOOD = [
    ("{metric: errors, function: web}", ("errors", "web", "", 0.0)),
    ("{metric: errors, function: web, threshold: 3}", ("errors", "web", "", 3.0)),
    ("{metric: latency-p95, function: web, threshold: 500ms}", ("latency-p95", "web", "", 0.5)),
    ("{metric: latency-p95, function: web, threshold: 2}", ("latency-p95", "web", "", 2.0)),
    ("{metric: dead-letters, queue: jobs}", ("dead-letters", "", "jobs", 0.0)),
    ("{metric: dead-letters, function: tick}", ("dead-letters", "tick", "", 0.0)),
    ("{metric: oldest-message, queue: plain, threshold: 10m}",
     ("oldest-message", "", "plain", 600.0)),
]  # fmt: skip


def block(spec: str, notify: str = "[ops]") -> str:
    return f"alerts:\n  a: {spec[:-1]}, notify: {notify}}} #!\n"


@pytest.mark.parametrize(("spec", "facts"), GOOD)
def test_an_alert(planned: Any, spec: str, facts: Any) -> None:
    (found,) = planned(block(spec)).alerts
    assert isinstance(found, AlertPlan)
    assert (found.metric, found.function, found.queue, found.threshold) == facts
    assert (found.name, found.window, found.notify) == ("a", 300, ("ops",))


BAD = [
    # of what
    ("{metric: errors}", "PF2018", "alerts.a", "'errors' is of a function"),
    ("{metric: errors, queue: jobs}", "PF2018", "alerts.a", "'errors' is of a function"),
    ("{metric: errors, function: web, queue: jobs}", "PF2018", "alerts.a", "is of a function"),
    ("{metric: latency-p95, queue: jobs, threshold: 1s}", "PF2018", "alerts.a", "of a function"),
    ("{metric: oldest-message, function: web, threshold: 1s}", "PF2018", "alerts.a", "of a queue"),
    ("{metric: oldest-message, threshold: 1s}", "PF2018", "alerts.a", "of a queue"),
    ("{metric: dead-letters}", "PF2018", "alerts.a", "of a queue or a function"),
    ("{metric: dead-letters, queue: jobs, function: tick}", "PF2018", "alerts.a", "of a queue or"),
    # names
    ("{metric: errors, function: wev}", "PF2002", "alerts.a.function", "no function is called"),
    ("{metric: dead-letters, queue: job}", "PF2002", "alerts.a.queue", "no queue is called 'job'"),
    ("{metric: oldest-message, queue: x, threshold: 1s}", "PF2002", "alerts.a.queue", "no queue"),
    # thresholds
    ("{metric: latency-p95, function: web}", "PF2018", "alerts.a", "needs a threshold"),
    ("{metric: oldest-message, queue: jobs}", "PF2018", "alerts.a", "needs a threshold"),
    ("{metric: errors, function: web, threshold: 5m}", "PF2018", "alerts.a.threshold",
     "'5m' is a duration"),
    ("{metric: dead-letters, queue: jobs, threshold: 5m}", "PF2018", "alerts.a.threshold",
     "is a duration"),
    # dead letters
    ("{metric: dead-letters, queue: plain}", "PF2018", "alerts.a.queue", "has no dead letters"),
    ("{metric: dead-letters, function: web}", "PF2018", "alerts.a.function", "called by HTTP"),
    ("{metric: dead-letters, function: work}", "PF2018", "alerts.a.function", "its queue's"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "code", "path", "text"), BAD)
def test_a_wrong_alert(check: Any, spec: str, code: str, path: str, text: str) -> None:
    check(block(spec), code, (path, text))


def test_a_channel_that_is_not_there(check: Any) -> None:
    good = "{metric: errors, function: web}"
    (found,) = check(block(good, "[opz]"), "PF2002", ("alerts.a.notify[0]", "no channel"))
    assert "ops" in found.hint
    (found,) = check(block(good, "[ops, zzz]"), "PF2002", ("alerts.a.notify[1]", "'zzz'"))
    assert found.hint == "declare it under channels:"


def test_hints_say_what_to_write(refused: Any) -> None:
    found = refused(block("{metric: dead-letters, function: work}"))
    assert [problem.hint for problem in found] == ["write queue: jobs"]
    found = refused(block("{metric: errors, function: wev}"))
    assert "web" in found[0].hint


SCHEMA = [
    "{metric: error, function: web, notify: [ops]}",
    "{metric: errors, function: web}",
    "{metric: errors, function: web, notify: []}",
    "{metric: errors, function: web, notify: [ops, ops]}",
    "{metric: errors, function: web, notify: [ops], threshold: -1}",
    "{metric: errors, function: web, notify: [ops], threshold: soon}",
    "{metric: errors, function: web, notify: [ops], window: 2m}",
    "{metric: errors, function: web, notify: [ops], windows: 5m}",
]


@pytest.mark.parametrize("spec", SCHEMA)
def test_what_the_schema_refuses(refused: Any, spec: str) -> None:
    (found,) = refused(f"alerts:\n  a: {spec}\n")
    assert found.code.startswith("PF10")
    assert found.line == 13


CHANNELS = [
    "{}",
    "{email: nobody}",
    "{email: 'a b@example.com'}",
    "{webhook: 'http://example.com'}",
    "{webhook: 'https://'}",
    "{phone: '1'}",
]


@pytest.mark.parametrize("spec", CHANNELS)
def test_channels_the_schema_refuses(refused: Any, spec: str) -> None:
    (found,) = refused(f"  other: {spec}\n")
    assert (found.code[:4], found.line) == ("PF10", 12)


def test_channels(planned: Any) -> None:
    plan = planned("  hook: {webhook: 'https://example.com/x', email: a@b.cd}\n")
    assert [(c.name, c.email, c.webhook) for c in plan.channels] == [
        ("ops", "ops@example.com", ""),
        ("hook", "a@b.cd", "https://example.com/x"),
    ]


def test_windows_and_descriptions(planned: Any) -> None:
    spec = "{metric: errors, function: web, window: 1h, description: x}"
    (found,) = planned(block(spec)).alerts
    assert (found.window, found.description) == (3600, "x")


def test_all_problems_at_once(refused: Any) -> None:
    found = refused(
        "alerts:\n"
        "  a: {metric: errors, function: no, notify: [nobody]}\n"
        "  b: {metric: latency-p95, queue: no, notify: [ops]}\n"
    )
    told = sorted((problem.code, problem.line) for problem in found)
    assert told == [
        ("PF2002", 13), ("PF2002", 13), ("PF2002", 14), ("PF2018", 14), ("PF2018", 14),
    ]  # fmt: skip
