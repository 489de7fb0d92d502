"""Cases and generated definitions on Google's target: their traces are those of the reference.

Real are the sources, the functions-framework and the driver; ``gcp_engine.py`` says of what the
emulator is put right. More generated ones: ``PORTAFAAS_FLOW_GENERATED=500`` of each family.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import DeploymentError
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import NotFound, NotWaiting
from portafaas.vendor.contract import VendorRuntimeError
from portafaas.vendor.environment import prepare
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.vendor import runtime
from tests.workflows import histories, published, scripts
from tests.workflows.cases import CASES, Case
from tests.workflows.gcp import PARENT, Engine, Functions, deploy, eventually
from tests.workflows.generated import FAMILIES, generate
from tests.workflows.traces import difference

pytestmark = pytest.mark.vendor

#: What really takes its time.
REAL = ("sub-timeout",)
#: Of each family.
GENERATED = int(os.environ.get("PORTAFAAS_FLOW_GENERATED", "8"))


class World:
    """The emulator, and the scripted functions in functions-framework."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = folder / "records"
        scripts.prepare(self.records, [])
        manifest = scripts.project(folder / "functions", [])
        package = build(manifest, ["gcp"])[0].package
        zipfile.ZipFile(package).extractall(folder / "package")
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        python = prepare("gcp", runtime(), version)
        self.functions = Functions(
            folder / "package",
            build_plan(load_manifest(manifest), "gcp"),
            python,
            {"PORTAFAAS_FLOW_PLAN": str(self.records)},
        )
        self.engine = Engine()

    def plan(self, case: Case) -> BuildPlan:
        return build_plan(load_manifest(scripts.project(self.folder / "p", [case])), "gcp")

    def deploy(self, case: Case) -> BuildPlan:
        plan = self.plan(case)
        deploy(self.engine, plan, case.name, self.functions)
        scripts.prepare(self.records, [case])
        # gunicorn takes a status of 3 for a worker that cannot start, and ends.
        file = self.records / "plan.json"
        file.write_text(file.read_text().replace('"exit": 3', '"exit": 1'))
        return plan

    def differs(self, case: Case) -> str:
        self.deploy(case)
        clock = "real" if case.name in REAL else "wait"
        outcome = self.engine.run(case.name, case.input, case.signals, clock)
        return difference(scripts.reference(case), scripts.ledger(self.records, case), outcome)

    def close(self) -> None:
        self.functions.close()
        self.engine.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        made = World(tmp_path_factory.mktemp("flow-gcp"))
    except VendorRuntimeError as exc:
        pytest.skip(f"workflows-emulator cannot be installed: {exc}")
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(world: World, case: Case) -> None:
    assert not [found for found in ADAPTER.check(world.plan(case)) if found.severity == "error"]
    assert not world.differs(case)


@pytest.mark.skipif(not published.there(), reason="shared/cases is not here")
def test_published(world: World) -> None:
    found = {case.name: world.differs(case) for case in published.sample(5)}
    assert {name: text for name, text in found.items() if text} == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_generated(world: World, family: str) -> None:
    ran = 0
    for seed in range(GENERATED):
        case = generate(family, seed)
        refused = [found for found in ADAPTER.check(world.plan(case)) if found.severity == "error"]
        if refused:
            # Nothing but what is documented to be too much.
            assert all("waits for a signal" in one.message for one in refused)
            continue
        ran += 1
        problem = world.differs(case)
        assert not problem, f"generate({family!r}, {seed}): {problem}"
    assert ran > GENERATED / 2


# Operating: the driver of handlers, and the engine of the command line.

WAITS = Case(
    "waits",
    {
        "a": {"task": "one", "result": "$.a"},
        "both": {
            "parallel": {
                "left": {"steps": {"l": {"wait": {"signal": "go-left"}}}},
                "right": {"steps": {"r": {"wait": {"signal": "go-right", "timeout": "1h"}}}},
            },
            "result": "$.said",
        },
        "z": {"task": "two", "input": "$.said"},
    },
    {"n": 1},
)
SAGA = Case(
    "saga",
    {
        "a": {"task": "one", "compensate": {"task": "undo"}},
        "again": {
            "loop": {
                "while": {"$.n": {"<": 2}},
                "steps": {"inc": {"task": "two", "retry": {"initial": "1s"}}},
                "most": 5,
            }
        },
        "c": {"task": "three", "catch": [{"errors": ["Other"], "next": "d"}]},
        "d": {"succeed": True},
    },
    {},
    answers={
        "one": [{"n": 0}],
        "two": [("Busy", ""), {"n": 1}, {"n": 2}],
        "three": ["Broken"],
    },
)


@pytest.fixture
def cloud(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from portafaas_gcp.runtime import rest

    monkeypatch.setattr(rest, "_token", ("token", float("inf")))
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_WORKFLOWEXECUTIONS", world.engine.url)
    yield world


def _operations(plan: BuildPlan, world: World) -> Any:
    import google.auth.credentials
    import requests

    from portafaas_gcp.deployment.cloud import Cloud
    from portafaas_gcp.deployment.workflows import GcpWorkflows

    cloud = Cloud({"region": "europe-west1"})
    # Credentials are what test_gcp_engine_cloud.py is about.
    cloud._session, cloud._project = requests.Session(), "project-1"
    assert google.auth.credentials
    return GcpWorkflows(cloud, plan)


def _service(world: World, case: Case) -> BuildPlan:
    """Deploy under the name that the service's workflows have."""
    plan = world.deploy(case)
    deploy(world.engine, plan, case.name, world.functions)
    from portafaas_gcp.workflows import source

    made = source(plan, plan.workflow(case.name), world.functions.url)
    world.engine.deploy(f"flow-{case.name}", made)
    return plan


def test_driver_starts_tells_and_signals(cloud: World) -> None:
    from portafaas_gcp.runtime import resources

    _service(cloud, WAITS)
    address = f"{PARENT}/flow-waits"
    run = resources.start_run(address, {"n": 1})
    status = eventually(
        lambda: (s := resources.run_status(address, run)).waiting.__len__() == 2 and s
    )
    assert (status.state, set(status.waiting)) == ("running", {"go-left", "go-right"})
    with pytest.raises(NotWaiting):
        resources.signal_run(address, run, "other", 1)
    with pytest.raises(NotFound):
        resources.signal_run(address, "none", "go-left", 1)
    with pytest.raises(NotFound):
        resources.run_status(address, "none")
    resources.signal_run(address, run, "go-right", {"by": "ü"})
    # The callback of the other branch got it too, and did not take it.
    eventually(lambda: resources.run_status(address, run).waiting == ("go-left",))
    resources.signal_run(address, run, "go-left", None)
    done = eventually(lambda: (s := resources.run_status(address, run)).state != "running" and s)
    assert (done.state, done.output, done.waiting) == ("succeeded", {"did": "two"}, ())
    ledger = scripts.ledger(cloud.records, WAITS)
    assert [entry["input"] for entry in ledger] == [{"n": 1}, [None, {"by": "ü"}]]
    assert {entry["run"] for entry in ledger} == {run}
    with pytest.raises(NotWaiting):
        resources.signal_run(address, run, "go-left", None)
    with pytest.raises(ValueError, match="32768 bytes"):
        resources.start_run(address, "x" * 32_768)


@pytest.mark.parametrize("by", ["client", "command"])
def test_of_two_signals_for_one_wait_one_is_taken(
    cloud: World, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Both senders have seen the run wait; callbacks take what comes after, and keep it."""
    from portafaas_gcp.runtime import resources
    from portafaas_gcp.runtime import workflow as runs

    more = {"wait": {"signal": "more"}}
    plan = _service(cloud, Case("pair", {"w": {"wait": {"signal": "go"}}, "m": more}))
    workflows, address = _operations(plan, cloud), f"{PARENT}/flow-pair"
    monkeypatch.setattr(runs, "LOOKS", (0.01, 0.05, 0.05))
    run = resources.start_run(address, {})

    def waits_for(name: str) -> bool:
        return resources.run_status(address, run).waiting == (name,)

    eventually(lambda: waits_for("go"))
    listed, calls = runs.open_callbacks, [0]

    def stale(get: Any) -> list[str]:
        found = listed(get)
        calls[0] += 1
        if calls[0] == 2:
            resources.signal_run(address, run, "go", 1)
            eventually(lambda: waits_for("more"))
        return found

    with monkeypatch.context() as patch, pytest.raises((NotWaiting, DeploymentError)) as raised:
        patch.setattr(runs, "open_callbacks", stale)
        if by == "client":
            resources.signal_run(address, run, "go", 2)
        else:
            workflows.signal("pair", run, "go", 2)
    if isinstance(raised.value, DeploymentError):
        assert raised.value.diagnostics[0].code == "PF8041"
    resources.signal_run(address, run, "more", 3)
    done = eventually(lambda: (s := resources.run_status(address, run)).state != "running" and s)
    assert done.output == 3


def test_operations(cloud: World) -> None:
    plan = _service(cloud, WAITS)
    workflows = _operations(plan, cloud)
    run = workflows.start("waits", {"n": 2})
    found = eventually(lambda: (s := workflows.status("waits", run)).waiting and s)
    assert (found.state, found.input, found.ended) == ("running", {"n": 2}, 0.0)
    eventually(lambda: len(workflows.status("waits", run).waiting) == 2)
    for code, what in (
        ("PF8041", lambda: workflows.signal("waits", run, "gone", 1)),
        ("PF8040", lambda: workflows.status("waits", "none")),
        ("PF2002", lambda: workflows.start("wait", 1)),
        ("PF8043", lambda: workflows.start("waits", "x" * 40_000)),
        ("PF8042", lambda: workflows.retry("waits", run)),
    ):
        with pytest.raises(DeploymentError) as caught:
            what()
        assert caught.value.diagnostics[0].code == code
    waiting = {event.step for event in workflows.history("waits", run) if event.what == "waiting"}
    assert waiting == {"l", "r"}
    workflows.cancel("waits", run)
    assert workflows.status("waits", run).state == "canceled"
    for code, what in (
        ("PF8042", lambda: workflows.cancel("waits", run)),
        ("PF8041", lambda: workflows.signal("waits", run, "go-left", 1)),
    ):
        with pytest.raises(DeploymentError) as caught:
            what()
        assert caught.value.diagnostics[0].code == code
    again = workflows.retry("waits", run)
    states = {one.run: one.state for one in workflows.runs("waits", 10)}
    assert states[run] == "canceled" and states[again] == "running"
    assert len(workflows.runs("waits", 1)) == 1
    workflows.cancel("waits", again)


def test_parts_are_canceled_with_their_run(cloud: World) -> None:
    deep: dict[str, Any] = {"p3": {"parallel": {"c": {"steps": {"w": {"wait": {"seconds": 60}}}}}}}
    inner = {"p2": {"parallel": {"b": {"steps": deep}}}}
    case = Case("deep", {"p1": {"parallel": {"a": {"steps": inner}}}}, {})
    plan = _service(cloud, case)
    assert not ADAPTER.check(plan)
    workflows = _operations(plan, cloud)
    # Sleeping takes its time, so that there is something to cancel.
    started = cloud.engine.call(
        "POST",
        f"/v1/{PARENT}/flow-deep/executions",
        {"argument": json.dumps({"input": {}}), "labels": {"clock": "real-time"}},
    )
    run = started["name"].rpartition("/")[2]

    def executions() -> dict[str, str]:
        found = cloud.engine.call("GET", f"/v1/{PARENT}/flow-deep/executions")["executions"]
        return {one["name"].rpartition("/")[2]: one["state"] for one in found}

    eventually(lambda: len(executions()) == 2)
    assert [one.run for one in workflows.runs("deep", 10)] == [run]
    workflows.cancel("deep", run)
    assert set(executions().values()) == {"CANCELLED"}
    # A signal would not get there.
    deep["p3"]["parallel"]["c"]["steps"]["w"] = {"wait": {"signal": "go"}}
    (refused,) = ADAPTER.check(cloud.plan(case))
    assert refused.code == "PF3002" and "No signal gets there" in refused.message


def test_history(cloud: World) -> None:
    plan = _service(cloud, SAGA)
    workflows = _operations(plan, cloud)
    run = workflows.start("saga", {})
    done = eventually(lambda: (s := workflows.status("saga", run)).state != "running" and s, 20)
    assert (done.state, done.error, done.cause) == ("failed", "Broken", "so it is")
    found = [(event.place, event.what, event.attempt) for event in workflows.history("saga", run)]
    assert found == [
        ("a", "started", 1),
        ("a", "succeeded", 1),
        ("again", "started", 0),
        ("again/0/inc", "started", 1),
        ("again/0/inc", "failed", 1),
        ("again/0/inc", "started", 2),
        ("again/0/inc", "succeeded", 2),
        ("again/1/inc", "started", 1),
        ("again/1/inc", "succeeded", 1),
        ("again", "succeeded", 0),
        ("c", "started", 1),
        ("c", "failed", 1),
        ("a~undo", "started", 1),
        ("a~undo", "undone", 1),
    ]


def test_a_history_is_what_others_tell_but_for_what_is_not_kept(cloud: World) -> None:
    plan = _service(cloud, histories.RUN)
    labels = {"clock": "wait", "large": True, "signals": dict(histories.RUN.signals)}
    body = {"argument": json.dumps({"input": histories.RUN.input}), "labels": labels}
    name = cloud.engine.call("POST", f"/v1/{PARENT}/flow-told/executions", body)["name"]
    found = _operations(plan, cloud).history("told", name.rpartition("/")[2])
    assert histories.places(found) == histories.places(histories.wanted())
    assert {(e.error, e.cause, e.detail) for e in found} == {("", "", None)}
    assert histories.in_order(found)


def test_a_run_that_the_platform_ends() -> None:
    from portafaas_gcp.runtime.workflow import outcome

    payload = json.dumps({"message": "out of memory", "tags": ["ResourceLimitError"]})
    failed = {"state": "FAILED", "error": {"payload": payload}}
    assert outcome(failed) == ("failed", None, "States.Runtime", "out of memory")
    failed["error"] = {"payload": "text"}
    assert outcome(failed) == ("failed", None, "States.Runtime", "text")
