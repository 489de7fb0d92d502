"""The rate limit of a route: the bucket, the gate, and an instance's share."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.errors import PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.plan.entry import function_spec
from portafaas.runtime.context import Context
from portafaas.runtime.http import Request
from portafaas.runtime.rate import Bucket
from portafaas.runtime.serve import run


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bucket(clock: Clock, per_second: float, burst: float) -> Bucket:
    return Bucket({"per_second": per_second, "burst": burst}, clock)


def test_a_burst_and_then_the_rate(clock: Clock) -> None:
    tokens = bucket(clock, 2, 3)
    assert [tokens.take() for _ in range(5)] == [0, 0, 0, 1, 1]
    clock.now += 0.5
    assert [tokens.take(), tokens.take()] == [0, 1]
    clock.now += 100
    assert [tokens.take() for _ in range(4)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("per_second", "passed", "wait"),
    [(1, 0, 1), (10, 0, 1), (0.5, 0, 2), (0.1, 0, 10), (0.1, 9.5, 1), (0.1, 2, 8), (1 / 60, 0, 60),
     (1 / 60, 0.5, 60), (0.3, 0, 4)],
)  # fmt: skip
def test_the_wait_is_whole_seconds_rounded_up(
    clock: Clock, per_second: float, passed: float, wait: int
) -> None:
    tokens = bucket(clock, per_second, 1)
    assert tokens.take() == 0
    clock.now += passed
    assert tokens.take() == wait


@given(
    st.floats(0.001, 100),
    st.integers(1, 50),
    st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate(rate: float, burst: int, steps: list[float]) -> None:
    clock = Clock()
    tokens = bucket(clock, rate, burst)
    begin, taken = clock.now, 0
    for step in steps:
        clock.now += step
        taken += tokens.take() == 0
        assert taken <= burst + rate * (clock.now - begin) + 1e-6


@given(st.floats(0.01, 100), st.integers(1, 5))
def test_who_waits_as_told_gets_a_token(rate: float, burst: int) -> None:
    clock = Clock()
    tokens = bucket(clock, rate, burst)
    while not (wait := tokens.take()):
        continue
    clock.now += wait + 1e-6
    assert tokens.take() == 0


def test_a_clock_that_was_set_back_takes_nothing_away(clock: Clock) -> None:
    tokens = bucket(clock, 1, 2)
    assert tokens.take() == 0
    clock.now -= 3600
    assert [tokens.take(), tokens.take()] == [0, 1]
    clock.now += 1
    assert [tokens.take(), tokens.take()] == [0, 1]


def test_threads_share_a_bucket(clock: Clock) -> None:
    tokens = bucket(clock, 1, 100)
    taken: list[int] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        taken.extend(tokens.take() for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(0) == 100
    assert len(taken) == 400


def test_the_gate_answers_429(make: Any) -> None:
    calls: list[int] = []
    function = make(lambda request, context: calls.append(1), rate={"per_second": 0.01, "burst": 2})
    answers = [run(function, Request(), Context(function, "1")) for _ in range(4)]
    assert [answer.status for answer in answers] == [204, 204, 429, 429]
    assert len(calls) == 2
    refused = answers[2]
    assert refused.headers["retry-after"] == "100"
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.body or "") == {
        "type": "about:blank", "title": "Too Many Requests", "status": 429,
    }  # fmt: skip


def test_what_never_reaches_the_route_costs_no_token(make: Any) -> None:
    function = make(
        lambda request, context: None,
        rate={"per_second": 0.01, "burst": 1},
        methods=["POST"],
        cors={"origins": ["*"], "methods": ["POST"], "headers": ["*"], "expose": [],
              "credentials": False, "max_age": 1},
    )  # fmt: skip
    preflight = Request(
        "OPTIONS", "/", headers={"origin": "https://a", "access-control-request-method": "POST"}
    )
    seen = [
        run(function, request, Context(function, "1")).status
        for request in (Request(path="/other"), Request("GET"), preflight, Request("POST"),
                        Request("POST"))
    ]  # fmt: skip
    assert seen == [404, 405, 204, 204, 429]


def test_the_limit_comes_before_size_and_caller(make: Any) -> None:
    function = make(
        lambda request, context: None,
        rate={"per_second": 0.01, "burst": 1},
        max_body=1,
        auth={"scheme": "iam"},
    )
    large = Request(body=b"xx")
    assert run(function, large, Context(function, "1")).status == 413
    assert run(function, large, Context(function, "1")).status == 429


def test_each_route_has_a_bucket_of_its_own(make: Any) -> None:
    one, two = (
        make(lambda request, context: None, rate={"per_second": 0.01, "burst": 1}) for _ in "ab"
    )
    assert run(one, Request(), Context(one, "1")).status == 204
    assert run(two, Request(), Context(two, "1")).status == 204
    assert run(one, Request(), Context(one, "1")).status == 429


def share(tmp_path: Path, rate: str, instances: int) -> dict[str, Any]:
    (tmp_path / "m.py").write_text("def f(event, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions:\n  web:\n    handler: m:f\n"
        f"    max-instances: {instances}\n    trigger: {{http: {{path: /, rate: {rate}}}}}\n"
    )
    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    found: dict[str, Any] = function_spec(plan, plan.functions[0])["trigger"]["rate"]
    return found


@pytest.mark.parametrize("instances", [0, 11])
def test_a_rate_that_instances_cannot_share_is_refused(tmp_path: Path, instances: int) -> None:
    most = f"    max-instances: {instances}\n" if instances else ""
    (tmp_path / "m.py").write_text("def f(event, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(
        f"portafaas: 1\nname: shop\nfunctions:\n  web:\n    handler: m:f\n{most}"
        "    trigger: {http: {path: /, rate: {requests: 10}}}\n"
    )
    with pytest.raises(PlanError) as caught:
        build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.path) == ("PF2019", "$.functions.web.trigger.http.rate")


@pytest.mark.parametrize(
    ("rate", "instances", "per_second", "burst"),
    [
        ("{requests: 10}", 1, 10, 10),
        ("{requests: 10}", 5, 2, 2),
        ("{requests: 10}", 4, 2.5, 2),
        ("{requests: 60, per: 1m}", 2, 0.5, 30),
        ("{requests: 10, burst: 20}", 10, 1, 2),
        ("{requests: 1, burst: 10}", 10, 0.1, 1),
    ],
)
def test_an_instance_s_share(
    tmp_path: Path, rate: str, instances: int, per_second: float, burst: int
) -> None:
    found = share(tmp_path, rate, instances)
    assert found["per_second"] == pytest.approx(per_second)
    assert found["burst"] == burst
