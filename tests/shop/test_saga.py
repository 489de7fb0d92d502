"""The saga: the workflow of examples/shop-saga with its real handlers, in virtual time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from portafaas.adapter import TaskStimulus
from portafaas.adapter.capability import Capability, Support
from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
from portafaas.deployment.workflows import RunState, StepEvent
from portafaas.graph.machine_svg import machine_svg
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.local import resources
from portafaas.local.operations import LocalWorkflows
from portafaas.local.secrets import LocalSecrets
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.pipeline import check as check_plan
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.plan.entry import function_spec
from portafaas.plan.machines import every_step
from portafaas.registry import get_adapter
from portafaas.runtime import Context, NotWaiting, Request, Task, secrets
from portafaas.runtime.function import Function
from portafaas.runtime.task import run_task
from portafaas.runtime.workflow import Call
from tests.workflows.virtual import Trace, execute

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SAGA = Path(__file__).parents[2] / "examples" / "shop-saga"
KEY = "0123456789abcdef0123456789abcdef"
ORDER = {
    "id": "c0ffee", "customer": "Ada",
    "lines": [{"sku": "tea", "count": 2}, {"sku": "cup", "count": 1}, {"sku": "pot", "count": 3}],
}  # fmt: skip
CENTS = 2 * 450 + 1200 + 3 * 3900
LARGE = {**ORDER, "lines": [{"sku": "tea", "count": 2}, {"sku": "pot", "count": 20}]}


@pytest.fixture(scope="module")
def plan() -> BuildPlan:
    return build_plan(load_manifest(SAGA / "portafaas.yaml"))


class Runs(ModuleType):
    """A driver: this machine's, and runs that wait once for a signal."""

    def __init__(self) -> None:
        super().__init__("saga_runs")
        mine = ("signal_run",)
        rest = {n: v for n, v in vars(resources).items() if n not in mine and n[:2] != "__"}
        self.__dict__.update(rest)
        self.waiting = True
        self.signals: list[Any] = []

    def signal_run(self, address: str, run: str, name: str, payload: Any) -> None:
        if not self.waiting:
            raise NotWaiting("it does not wait")
        self.waiting = False
        self.signals.append((run, name, payload))


@dataclass
class Shop:
    """Runs of the saga; functions in ``failing`` raise the error of that name."""

    plan: BuildPlan
    store: Path
    runs: Runs
    failing: dict[str, str] = field(default_factory=dict)
    made: dict[str, Function] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def function(self, name: str) -> tuple[Function, Context]:
        if name not in self.made:
            self.made[name] = Function(function_spec(self.plan, self.plan.function(name)))
        return self.made[name], Context(self.made[name], "i-1", target="local")

    def run(self, order: dict[str, Any], signals: Any = None) -> Trace:
        machine = self.plan.workflow("fulfil").machine
        return execute(machine, order, self.call, signals=signals)

    def call(self, call: Call) -> tuple[float, dict[str, Any]]:
        self.answers.append(self.answer(call))
        return 1.0, self.answers[-1]

    def answer(self, call: Call) -> dict[str, Any]:
        if call.name in self.failing:
            return {"error": self.failing[call.name], "cause": "so it is"}
        task = Task(
            call.input, workflow="fulfil", run="run-1", step=call.step, attempt=call.attempt,
            key=f"run-1/{call.key}",
        )  # fmt: skip
        function, context = self.function(call.name)
        return run_task(function, task, context)

    def rows(self, table: str) -> dict[str, Any]:
        found = resources.scan(str(self.store / "table" / table))
        return {next(iter(row.values())): row for row in found}

    def payment(self) -> Any:
        return self.rows("payments").get("c0ffee", {})

    def stock(self) -> dict[str, tuple[int, dict[str, int]]]:
        return {sku: (row["left"], row["held"]) for sku, row in self.rows("stock").items()}


@pytest.fixture
def shop(plan: BuildPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    LocalSecrets(tmp_path, plan).set("link-key", KEY.encode())
    for function in plan.functions:
        made = resources.environment(plan, function, tmp_path, "test", packaged=False)
        for name, value in {**function.environment, **made}.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("PORTAFAAS_WORKFLOW_FULFIL", "fulfil")
    # Read once in a process.
    monkeypatch.setattr("portafaas.runtime.config._settings", None)
    runs = Runs()
    monkeypatch.setitem(sys.modules, "saga_runs", runs)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "saga_runs")
    monkeypatch.syspath_prepend(str(SAGA))
    before = set(sys.modules)
    secrets.forget()
    yield Shop(plan, resources.store(tmp_path, ""), runs)
    secrets.forget()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "saga":
            del sys.modules[name]


def names(trace: Trace) -> list[str]:
    return [name for _, _, name, *_ in trace.calls]


def test_a_small_order_goes_out(shop: Shop) -> None:
    trace = shop.run(ORDER)
    assert trace.outcome["ok"]["cents"] == CENTS
    assert trace.outcome["ok"]["payment"] == {"id": "pay-c0ffee"}
    assert names(trace) == ["validate", "charge", "take", "take", "take", "mail", "pack"]
    assert shop.payment()["cents"] == CENTS
    assert shop.stock() == {"tea": (198, {"c0ffee": 2}), "cup": (199, {"c0ffee": 1}), "pot": (197, {"c0ffee": 3})}
    assert sorted(shop.rows("letters")) == ["c0ffee/thanks"]
    assert shop.rows("parcels")["c0ffee"]["lines"] == ORDER["lines"]


def test_everything_done_twice_is_done_once(shop: Shop) -> None:
    shop.run(ORDER)
    before = (shop.stock(), shop.rows("letters"), shop.payment())
    assert "ok" in shop.run(ORDER).outcome
    assert (shop.stock(), shop.rows("letters"), shop.payment()) == before


def test_a_busy_bank_is_asked_again(shop: Shop) -> None:
    trace = shop.run({**ORDER, "customer": "Patience"})
    assert "ok" in trace.outcome
    charges = [(time, attempt) for time, _, name, _, attempt, _ in trace.calls if name == "charge"]
    assert charges == [(1, 1), (4, 2), (9, 3)]  # two and four seconds between them


def test_a_declined_order(shop: Shop) -> None:
    trace = shop.run({**ORDER, "lines": [{"sku": "pot", "count": 60}]})
    assert trace.outcome == {"error": "PaymentDeclined", "cause": "no cover for 234000 cents"}
    assert names(trace) == ["validate", "charge", "apologise"]
    assert sorted(shop.rows("letters")) == ["c0ffee/sorry"]
    assert shop.stock() == {}


def test_an_invalid_order(shop: Shop) -> None:
    trace = shop.run({**ORDER, "lines": [{"sku": "gold", "count": 1}]})
    assert trace.outcome["error"] == "InvalidOrder"
    assert names(trace) == ["validate"]
    # What the schema says is held before any step.
    trace = shop.run({**ORDER, "lines": [{"sku": "gold"}]})
    assert trace.outcome == {"error": "Schema.InvalidInput", "cause": '$.lines[0]: "count" is missing'}
    assert names(trace) == []


def test_what_is_sold_out_undoes_the_rest(shop: Shop) -> None:
    for number in (1, 2):
        lines = [{"sku": "cup", "count": 100}]
        assert "ok" in shop.run({**ORDER, "id": f"first-{number}", "lines": lines}, approved()).outcome
    trace = shop.run(ORDER)
    assert trace.outcome == {"error": "OutOfStock", "cause": "0 of cup are left, not 1"}
    # Waited for all lines; undone in reverse order of the lines, the payment last.
    assert names(trace) == ["validate", "charge", *["take"] * 3, "apologise", "release", "release", "refund"]
    assert [call[3]["sku"] for call in trace.calls if call[2] == "release"] == ["pot", "tea"]
    assert shop.stock()["pot"] == (200, {}) and shop.stock()["tea"] == (200, {})
    assert shop.payment()["refunds"] == 1


def approved(yes: bool = True, after: float = 3600.0) -> dict[str, tuple[float, Any]]:
    return {"approved": (after, {"yes": yes, "by": "Grace"})}


def test_a_large_order_waits(shop: Shop) -> None:
    trace = shop.run(LARGE, approved())
    assert trace.outcome["ok"]["approval"] == {"yes": True, "by": "Grace"}
    assert names(trace) == ["validate", "charge", "take", "take", "ask", "mail", "pack"]
    assert trace.seconds > 3600
    assert sorted(shop.rows("letters")) == ["c0ffee/question", "c0ffee/thanks"]


@pytest.mark.parametrize("answer", ["no", "none"])
def test_a_large_order_that_nobody_wants(shop: Shop, answer: str) -> None:
    trace = shop.run(LARGE, approved(False) if answer == "no" else None)
    why = "it was turned down" if answer == "no" else "nobody approved it within two days"
    assert trace.outcome == {"error": "NotApproved", "cause": why}
    assert names(trace)[-4:] == ["apologise", "release", "release", "refund"]
    assert all(held == {} for _, held in shop.stock().values())
    assert shop.payment()["refunds"] == 1


@pytest.mark.parametrize("function", ["validate", "charge", "take", "ask", "mail", "pack"])
def test_whatever_fails_all_before_it_is_undone(shop: Shop, function: str) -> None:
    shop.failing = {function: "Broken"}
    trace = shop.run(LARGE, approved())
    assert trace.outcome == {"error": "Broken", "cause": "so it is"}
    order = ["validate", "charge", "take", "ask", "mail"]
    place = order.index("mail" if function == "pack" else function)
    undone = (["release"] * 2 if place > 2 else []) + (["refund"] if place > 1 else [])
    assert [n for n in names(trace) if n in ("release", "refund")] == undone
    assert all(held == {} and left == 200 for left, held in shop.stock().values())
    assert shop.payment().get("refunds", 0) == (place > 1)


def test_a_compensation_that_fails_is_told_and_stops_no_other(shop: Shop) -> None:
    shop.failing = {"mail": "Broken", "release": "Gone"}
    trace = shop.run(LARGE, approved())
    assert trace.outcome == {"error": "Compensation.Failed", "cause": "Broken"}
    assert names(trace).count("release") == 20 and names(trace)[-1] == "refund"
    assert shop.payment()["refunds"] == 1


def events_of(shop: Shop, trace: Trace) -> list[StepEvent]:
    """Return the calls of a run as its history tells of them."""
    out = []
    for (time, step, _, _, attempt, place), answer in zip(trace.calls, shop.answers, strict=True):
        begun = 1_800_000_000.0 + time
        out.append(StepEvent(begun, step, "started", place, attempt))
        error, cause = answer.get("error", ""), answer.get("cause", "")
        what: Any = "failed" if error else "succeeded"
        out.append(StepEvent(begun + 1, step, what, place, attempt, None, error, cause))
    return out


def test_the_pictures_of_the_documentation(shop: Shop, request: pytest.FixtureRequest) -> None:
    workflow = shop.plan.workflow("fulfil")
    shop.run({**ORDER, "id": "early", "lines": [{"sku": "pot", "count": 10}]})
    for number in range(2):
        more = {"id": f"early-{number}", "lines": [{"sku": "pot", "count": 45}]}
        shop.run({**ORDER, **more}, approved())
    shop.run({**ORDER, "id": "late", "lines": [{"sku": "pot", "count": 51}]}, approved())
    shop.answers.clear()
    trace = shop.run({**ORDER, "customer": "Patience", "lines": [*LARGE["lines"][:1], {"sku": "pot", "count": 51}]})
    assert trace.outcome == {"error": "OutOfStock", "cause": "49 of pot are left, not 51"}
    began = 1_800_000_000.0
    run = RunState(
        "fulfil", "run-1", "failed", began, began + trace.seconds,
        error=trace.outcome["error"], cause=trace.outcome["cause"],
    )  # fmt: skip
    events = events_of(shop, trace)
    for name, text in (
        ("fulfil", machine_svg(workflow)), ("fulfil-run", machine_svg(workflow, run, events)),
    ):  # fmt: skip
        file = PICTURES / f"{name}.svg"
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert file.read_text() == text


def test_there_is_an_event_for_each_function(plan: BuildPlan) -> None:
    events = {file.stem: json.loads(file.read_text()) for file in (SAGA / "events").glob("*.json")}
    assert set(events) == {function.name for function in plan.functions}
    steps = {name for name, _ in every_step(plan.workflow("fulfil").machine)}
    for name, event in events.items():
        stimulus = stimulus_from_json(event)
        assert plan.function(name).kind == next(iter(event))
        assert not isinstance(stimulus, TaskStimulus) or stimulus.step in steps


@pytest.fixture
def page(shop: Shop) -> tuple[Callable[..., Any], Runs, str]:
    """Return what answers requests, the driver, and the query of the link that was mailed."""
    asked = {"order": "c0ffee", "customer": "<b>Ada</b>", "cents": 58000}
    shop.call(Call("ask", "ask", "function", "ask", asked, 1, None))
    link = urlsplit(re.findall(r"http\S+", shop.rows("letters")["c0ffee/question"]["text"])[0])
    assert link.path == "/approvals"

    def request(method: str, query: str, body: str = "") -> Any:
        function, context = shop.function("approve")
        return function.handle(Request(method, link.path, query=query, body=body), context)

    return request, shop.runs, link.query


def test_the_page_asks_and_a_post_decides_once(page: Any) -> None:
    request, runs, query = page
    shown = request("GET", query)
    assert shown.status == 200 and "&lt;b&gt;Ada" in shown.body and "580.00" in shown.body
    assert shown.headers["referrer-policy"] == "no-referrer" and runs.signals == []
    assert request("POST", query, "by=Grace").status == 400 and runs.signals == []
    assert request("POST", query, "by=Grace+Hopper&answer=yes").status == 200
    assert runs.signals == [("run-1", "approved", {"yes": True, "by": "Grace Hopper"})]
    assert request("POST", query, "by=Grace&answer=no").status == 409
    assert len(runs.signals) == 1


def test_a_bad_link_decides_nothing(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request, runs, query = page
    for bad in ("", "token=", "token=a.b", query[:-1], f"{query}A", query.replace("token=", "token=A")):
        for method in ("GET", "POST"):
            assert request(method, bad, "answer=yes").status == 403
    import time

    later = time.time() + 2 * 24 * 3600 + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert request("GET", query).status == request("POST", query, "answer=yes").status == 410
    assert runs.signals == []


def project(folder: Path) -> Path:
    """Copy the example, for the Python that runs the tests; return its manifest."""
    shutil.copytree(SAGA, folder, ignore=shutil.ignore_patterns("out", ".portafaas", "__pycache__"))
    manifest = folder / "portafaas.yaml"
    text, python = manifest.read_text(), f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert 'python: "3.12"' in text
    manifest.write_text(text.replace('python: "3.12"', f'python: "{python}"'))
    return manifest


def deliver_killed(root: Path) -> tuple[int, str]:
    """Deliver, and kill with all it started as soon as a step has ended.

    Returns how many steps ended, 0 when there was nothing left to do, and what was printed.
    """
    command = [sys.executable, "-m", "portafaas", "deliver", "--fast"]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    ended, said = 0, ""
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            said += line
            if re.match(r"fulfil \S+: \S+!\d+ (succeeded|failed)", line):
                ended = 1
                os.killpg(process.pid, signal.SIGKILL)
                break
    return ended, said


@pytest.mark.skipif(os.name != "posix", reason="kills process groups")
def test_killed_behind_every_step_it_ends_and_does_everything_once(tmp_path: Path) -> None:
    """A large order on this machine's engine: kill -9 at every boundary, approval by the link."""
    root = tmp_path / "saga"
    manifest = project(root)
    plan = build_plan(load_manifest(manifest))
    LocalSecrets(root, plan).set("link-key", KEY.encode())
    workflows = LocalWorkflows(root, plan)
    run = workflows.start("fulfil", {**LARGE, "customer": "Patience"})
    store = resources.store(root, "")

    def to_the_end() -> int:
        kills = 0
        while deliver_killed(root)[0]:
            kills += 1
            assert kills < 40
        return kills

    # validate, three times charge, two lines (which may both be over by then), ask.
    assert to_the_end() in (6, 7)
    state = workflows.status("fulfil", run)
    assert state.state == "running" and state.waiting == ("approved",)
    (letter,) = resources.scan(str(store / "table/letters"))
    link = urlsplit(re.findall(r"http\S+", letter["text"])[0])
    approve = plan.function("approve")
    variables = resources.environment(plan, approve, root, "test", packaged=False)
    with LocalRunner(plan, root, variables) as runner:

        def answer(token: str) -> int:
            request = {"method": "POST", "path": link.path, "query": token, "body": "by=Grace&answer=yes"}
            status: int = runner.deliver(approve, stimulus_from_json({"http": request}))["status"]
            return status

        assert answer(link.query.replace("token=", "token=A")) == 403
        assert answer(link.query) == 200
        assert answer(link.query) == 409
    assert to_the_end() in (1, 2)
    state = workflows.status("fulfil", run)
    assert state.state == "succeeded" and state.output["approval"] == {"yes": True, "by": "Grace"}
    rows = {name: list(resources.scan(str(store / "table" / name))) for name in ("payments", "letters", "parcels", "stock")}
    assert [row["order"] for row in rows["payments"]] == [row["id"] for row in rows["parcels"]] == ["c0ffee"]
    assert sorted(row["id"] for row in rows["letters"]) == ["c0ffee/question", "c0ffee/thanks"]
    assert {row["sku"]: row["left"] for row in rows["stock"]} == {"tea": 198, "pot": 180}
    events = workflows.history("fulfil", run)
    done = [(event.place, event.attempt) for event in events if event.what == "succeeded"]
    assert len(done) == len(set(done))
    picture = machine_svg(plan.workflow("fulfil"), state, events)
    assert ">succeeded · 3 attempts" in picture and ">not reached<" in picture


@pytest.mark.vendor
@pytest.mark.parametrize("target", ["aws", "azure", "gcp"])
def test_in_the_vendors_runtime(target: str, tmp_path: Path) -> None:
    """Steps answer as here, and a link that a step made there opens there."""
    adapter = get_adapter(target)
    wanted = (Capability.TRIGGER_TASK, Capability.WORKFLOW)
    if any(adapter.capabilities[one] is Support.NOT_IMPLEMENTED for one in wanted):
        pytest.skip(f"{target} has no tasks of workflows yet")
    manifest = project(tmp_path / "saga")
    build(manifest, (target,))
    (item,) = check_plan(manifest, (target,))
    root = manifest.parent
    LocalSecrets(root, item.plan).set("link-key", KEY.encode())
    variables: dict[str, str] = {}
    for function in item.plan.functions:
        variables |= resources.environment(item.plan, function, root, "test", packaged=True)
    package = root / "out" / target
    with PackageRunner(
        item.adapter, item.plan, package / "shop-saga.zip",
        package / "shop-saga.deployment.json", tmp_path / "package", variables,
    ) as runner:  # fmt: skip

        def call(name: str, event: dict[str, Any]) -> dict[str, Any]:
            delivery = runner.deliver(item.plan.function(name), stimulus_from_json(event))
            return outcome_to_json(delivery.outcome)

        def of(name: str) -> Any:
            return json.loads((SAGA / "events" / f"{name}.json").read_text())

        assert call("charge", of("charge")) == {"output": {"id": "pay-c0ffee"}}
        declined = of("charge")
        declined["task"]["input"] |= {"order": "other", "cents": 999_999}
        told = {"error": "PaymentDeclined", "cause": "no cover for 999999 cents"}
        assert call("charge", declined) == told
        assert call("ask", of("ask")) == {"output": None}
        (letter,) = resources.scan(str(resources.store(root, "") / "table/letters"))
        link = urlsplit(re.findall(r"http\S+", letter["text"])[0])
        page = {"method": "GET", "path": link.path, "query": link.query}
        shown = call("approve", {"http": page})
        assert shown["status"] == 200 and "Order c0ffee of Ada over 580.00." in shown["body"]
        assert call("approve", {"http": {**page, "query": f"{link.query}A"}})["status"] == 403
