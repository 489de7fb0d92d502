"""Workflows on Azure: the real SDK in Microsoft's worker, histories by our own engine.

``python -m tests.workflows.azureapp 500`` runs that many generated definitions of each family.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portafaas.errors import DeploymentError
from portafaas.runtime.resources import NotFound, NotWaiting, ResourceError
from portafaas_azure.deployment.workflows import AzureWorkflows
from portafaas_azure.runtime import resources
from tests.workflows import azure_api, azureapp, histories, published, scripts
from tests.workflows.azure_engine import QUICK, Engine, Instance
from tests.workflows.cases import CASES, Case, err, ok
from tests.workflows.generated import FAMILIES, generate

pytestmark = pytest.mark.vendor

#: Definitions of each family.
FEW = 4
DAY = 86_400

#: What the cases by hand do not show: who waits for whom, and for how long.
OWN = [
    Case(
        "own-apart",
        {"p": {"parallel": {
            "a": {"steps": {"x": {"task": "one"}, "w": {"wait": {"signal": "go"}}}},
            "b": {"steps": {"l": {"wait": {"seconds": 5}}, "y": {"task": "two"},
                            "z": {"task": "three"}}}}}},
        signals={"go": (DAY, 1)},
    ),
    Case("own-long", {"w": {"wait": {"seconds": 40 * DAY}}, "x": {"task": "one"}}),
    Case(
        "own-late",
        {"w": {"wait": {"signal": "go", "timeout": "1h"}, "catch": [{"next": "v", "result": None}]},
         "v": {"wait": {"signal": "go"}, "result": "$.v"}},
    ),
    Case(
        "own-jitter",
        {"m": {"map": {"items": "$.list", "most": 9, "steps": {"x": {
            "task": "one",
            "retry": {"attempts": 2, "initial": "100s", "jitter": True}}}}}},
        {"list": [1, 2, 3]},
        answers={"one": {"by": [
            {"input": n, "answers": [err("Busy"), ok(n)]} for n in (1, 2, 3)]}},
    ),
    Case(
        "own-outer",
        {"c": {"workflow": "inner", "result": "$.c"}, "x": {"task": "two"}},
        workflows={"inner": {"q": {"wait": {"signal": "go"}}, "r": {"task": "one"}}},
    ),
    Case("own-cause", {"f": {"fail": {"error": "Long", "cause": "$.text"}}}, {"text": "ü\"{" * 9000}),
    Case(
        "own-many",
        {"p": {"parallel": {
            f"a{k}": {"steps": {f"q{k}": {"parallel": {
                f"b{n}": {"steps": {f"w{k}-{n}": {"wait": {"signal": f"{'s' * 30}-{k}-{n}"}}}}
                for n in range(80)}}}}
            for k in range(2)}}},
        signals={f"{'s' * 30}-{k}-{n}": (1, n) for n in range(80) for k in range(2)},
    ),
    Case(
        "own-broken",
        {"c": {"workflow": "inner"}},
        workflows={"inner": {"f": {"fail": {"error": "Gone", "cause": "away"}}}},
    ),
    Case("own-kept", {"w": {"wait": {"signal": "go"}}, "x": {"task": "one"}}),
    Case("own-waits", {"w": {"wait": {"signal": "go"}}, "x": {"wait": {"signal": "more"}}}),
    Case("own-ends", {"w": {"wait": {"signal": "go"}}}),
    Case("own-breaks", {"w": {"wait": {"signal": "go"}}, "f": {"fail": {"error": "Broken"}}}),
    Case(
        "own-nested",
        {"c": {"workflow": "mid", "timeout": "10s", "catch": [{"next": "x", "result": None}]},
         "y": {"task": "two"}, "x": {"task": "one"}},
        workflows={
            "mid": {"d": {"workflow": "deep", "timeout": "1h",
                          "catch": [{"next": "z", "result": None}]}, "z": {"task": "three"}},
            "deep": {"w": {"wait": {"seconds": 1800}}, "v": {"task": "three"}},
        },
    ),
    Case(
        "own-within",
        {"c": {"workflow": "mid", "timeout": "1h"}, "x": {"task": "one"}},
        workflows={
            "mid": {"d": {"workflow": "deep", "timeout": "10s",
                          "catch": [{"next": "z", "result": None}]}, "z": {"task": "three"}},
            "deep": {"w": {"wait": {"seconds": 1800}}, "v": {"task": "two"}},
        },
    ),
    Case(
        "own-saga",
        {"a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": "$.a"}},
         "b": {"task": "two"}},
        answers={"one": [ok(5)], "two": [err("Declined", "no money")]},
    ),
]  # fmt: skip
EXTRA = {
    "begin": {"handler": "begin:begin", "trigger": {"http": {"method": "POST", "path": "/begin"}},
              "uses": [{"start": "own-outer"}, {"start": "own-saga"}]},
}  # fmt: skip


def drawn() -> list[Case]:
    return [generate(family, seed) for family in FAMILIES for seed in range(FEW)]


def taken() -> list[Case]:
    """Return published cases, but a map of a map of 1000 items each (PF3002)."""
    return [case for case in published.sample(5, 2) if "map-nested" not in case.name]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    folder = tmp_path_factory.mktemp("flows")
    every = [*CASES, *OWN, *drawn(), *taken(), histories.RUN]
    with azureapp.worker(folder, every, EXTRA) as found:
        yield found


def called(told: Path) -> list[tuple[str, Any]]:
    return [(entry["function"], entry["input"]) for entry in scripts.ledger(told)]


def test_cases_by_hand(world: Any) -> None:
    session, told = world
    assert azureapp.differences(session, told, CASES) == {}


def test_generated_definitions(world: Any) -> None:
    session, told = world
    assert azureapp.differences(session, told, drawn()) == {}


@pytest.mark.skipif(not published.there(), reason="shared/cases is not here")
def test_published(world: Any, tmp_path: Path) -> None:
    session, told = world
    assert azureapp.differences(session, told, taken()) == {}


def test_the_time_of_a_sub_workflow_ends_what_is_below_it(world: Any) -> None:
    session, told = world
    cases = [case for case in OWN if case.name in ("own-nested", "own-within")]
    assert azureapp.differences(session, told, cases) == {}
    assert called(told) == [("three", {}), ("one", {"did": "three"})]


def own(world: Any, name: str) -> tuple[Engine, Case, Path]:
    session, told = world
    case = next(one for one in OWN if one.name == name)
    scripts.prepare(told, [case])
    return azureapp.engine_of(session), case, told


def test_a_branch_that_waits_holds_up_no_other(world: Any) -> None:
    """What the extension replays in order must not wait for a signal of another branch."""
    engine, case, told = own(world, "own-apart")
    begun: list[tuple[str, float]] = []
    invoke, start = engine.invoke, engine.now

    def watched(name: str, request: Mapping[str, Any]) -> Any:
        begun.append((name, (engine.now - start).total_seconds()))
        return invoke(name, request)

    engine.invoke = watched
    instance = azureapp.run(engine, case)
    assert azureapp.outcome(instance)["ok"][0] == 1
    times = {name: when for name, when in begun if "__" not in name}
    assert times["one"] < 1 and 5 <= times["two"] < times["three"] < 7
    assert (engine.now - start).total_seconds() >= DAY
    assert [name for name, _ in called(told)] == ["one", "two", "three"]


def test_a_long_wait_is_several_timers(world: Any) -> None:
    engine, case, _ = own(world, "own-long")
    start = engine.now
    instance = azureapp.run(engine, case)
    assert "ok" in azureapp.outcome(instance)
    assert timedelta(days=40) <= engine.now - start < timedelta(days=40, minutes=1)
    assert sum(what[0] == 5 for what in instance.scheduled.values()) == 8


def test_a_signal_that_came_too_late_is_nothing_to_the_next_wait(world: Any) -> None:
    engine, case, _ = own(world, "own-late")
    tokens: list[str] = []

    def seen(instance: Instance) -> None:
        for found in instance.custom.get("waiting", {}).values():
            tokens.extend(found)

    instance = azureapp.start(engine, case)
    engine.told[:] = [seen]
    engine.run(3601)
    first, second = tokens
    engine.raise_event(instance.id, f"go.{first}", json.dumps(json.dumps({"payload": 1})))
    engine.run(10)
    assert instance.status == "Running"
    engine.raise_event(instance.id, f"go.{second}", json.dumps(json.dumps({"payload": 2})))
    engine.run()
    assert azureapp.outcome(instance) == {"ok": {"v": 2}}


def test_what_does_not_fit_into_the_status(world: Any) -> None:
    session, told = world
    cases = [case for case in OWN if case.name in ("own-cause", "own-many")]
    assert azureapp.differences(session, told, cases) == {}


def test_a_run_goes_on_as_it_began_when_another_definition_is_deployed(
    world: Any, tmp_path: Path
) -> None:
    engine, case, told = own(world, "own-kept")
    instance = azureapp.start(engine, case)
    engine.run(10)
    ((token,),) = instance.custom["waiting"].values()
    other = Case("own-kept", {"y": {"task": "two"}, "w": {"wait": {"signal": "gone"}}})
    with azureapp.worker(tmp_path, [other]) as (session, later):
        engine.invoke = azureapp.engine_of(session).invoke
        engine.raise_event(instance.id, f"go.{token}", json.dumps(json.dumps({"payload": 7})))
        engine.run()
        assert azureapp.outcome(instance) == {"ok": {"did": "one"}}
        assert called(later) == [("one", 7)] and called(told) == []


def test_jitter_differs_by_place_and_never_between_replays(world: Any) -> None:
    engine, case, _ = own(world, "own-jitter")
    instance = azureapp.run(engine, case)
    assert azureapp.outcome(instance) == {"ok": [1, 2, 3]}
    fires = [what[1] for what in instance.scheduled.values() if what[0] == 5]
    assert len(set(fires)) == 3
    assert instance.replays > 3


def test_a_process_that_dies_is_a_failed_task(world: Any) -> None:
    """As :data:`CASES` have it, but here it is seen that the worker really went."""
    session, told = world
    case = next(one for one in CASES if "dies" in one.needs)
    engine = azureapp.engine_of(session)
    scripts.prepare(told, [case])
    failed: list[str] = []
    invoke = engine.invoke

    def watched(name: str, request: Mapping[str, Any]) -> Any:
        found = invoke(name, request)
        if not found.ok:
            failed.append(found.error.type)
        return found

    engine.invoke = watched
    azureapp.run(engine, case)
    assert set(failed) == {"WorkerProcessExit"}


def test_a_sub_workflow_says_how_it_ended(operated: Any) -> None:
    """Its parent gets that as its result, and it is completed for Durable Functions."""
    engine, flows, _ = operated
    run = flows.start("own-within", {})
    engine.run()
    assert flows.status("own-within", run).output == {"did": "one"}
    (deep,) = flows.runs("own-within-deep", 10)
    assert (deep.state, deep.output) == ("canceled", None)
    (mid,) = flows.runs("own-within-mid", 10)
    assert (mid.state, mid.output) == ("succeeded", {"did": "three"})
    run = flows.start("own-broken", {})
    engine.run()
    assert flows.status("own-broken", run).error == "Gone"
    (inner,) = flows.runs("own-broken-inner", 10)
    assert (inner.state, inner.error, inner.cause) == ("failed", "Gone", "away")


# The control function, the driver, and who operates.


def request_of(method: str, path: str, body: Any, caller: str) -> dict[str, Any]:
    """Return what the host sends the control function."""
    words = dict(zip(("workflow", "run", "signal"), path.strip("/").split("/")[2:], strict=False))
    data = None if body is None else base64.b64encode(body).decode()
    return {
        "type": "http",
        "value": {
            "method": method, "url": f"https://app.azurewebsites.net{path}", "query": {},
            "headers": {"x-ms-client-principal-id": caller} if caller else {},
            "params": words, "body": data,
        },
    }  # fmt: skip


class Site:
    """The workflows' app: what comes by HTTP goes to the control function in the worker."""

    def __init__(self, session: Any, url: str) -> None:
        self.caller = "me"
        self.codes: list[int] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self.handle_one("GET")

            def do_POST(self) -> None:
                self.handle_one("POST")

            def handle_one(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                trigger = request_of(method, self.path, body or None, site.caller)
                inputs = {"client": {"type": "string", "value": azure_api.client(url)}}
                found = session.invoke(
                    {"trigger": trigger, "metadata": {}, "inputs": inputs},
                    function="portafaas__workflows",
                )
                assert found.ok, found.error
                answer = base64.b64decode(found.value["body"])
                site.codes.append(found.value["status"])
                self.send_response(found.value["status"])
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def address(self, workflow: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/portafaas/workflows/{workflow}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(world: Any) -> Iterator[tuple[Engine, Site, Path]]:
    session, told = world
    scripts.prepare(told, OWN)
    engine = azureapp.engine_of(session)
    with azure_api.served(engine, keyed=False) as url:
        found = Site(session.another(), url)
        yield engine, found, told
        found.close()


def test_the_driver_starts_asks_and_signals(site: Any) -> None:
    engine, app, told = site
    address = app.address("own-outer")
    run = resources.start_run(address, {"n": [1, "2026-01-01T00:00:00Z", {"__class__": "x"}]})
    assert resources.run_status(address, run).state == "running"
    with pytest.raises(NotWaiting):
        resources.signal_run(address, run, "go", 1)
    engine.run(10)
    # The sub-workflow waits, and it is the run that is asked and signalled.
    assert resources.run_status(address, run).waiting == ("go",)
    with pytest.raises(NotWaiting):
        resources.signal_run(address, run, "other", 1)
    resources.signal_run(address, run, "go", {"by": "me", "at": "2026-01-01T00:00:00Z"})
    engine.run()
    found = resources.run_status(address, run)
    assert (found.state, found.waiting) == ("succeeded", ())
    # The sub-workflow is a run of its own, too: what its tasks are told leads to it.
    inner = next(id for id in engine.instances if "~" in id)
    assert scripts.ledger(told)[0]["run"] == inner
    app.caller = "you"
    assert resources.run_status(app.address("own-outer-inner"), inner).output == {"did": "one"}
    app.caller = "me"
    assert found.output == {"did": "two"}
    assert called(told)[0] == ("one", {"by": "me", "at": "2026-01-01T00:00:00Z"})
    outer = called(told)[1][1]
    assert outer["n"] == [1, "2026-01-01T00:00:00Z", {"__class__": "x"}]
    with pytest.raises(NotWaiting):
        resources.signal_run(address, run, "go", 1)


def test_the_driver_tells_how_a_run_failed(site: Any) -> None:
    engine, app, _ = site
    address = app.address("own-saga")
    run = resources.start_run(address, {})
    engine.run()
    found = resources.run_status(address, run)
    assert (found.state, found.error, found.cause) == ("failed", "Declined", "no money")
    # Another workflow's run is not there.
    with pytest.raises(NotFound):
        resources.run_status(app.address("own-outer"), run)
    with pytest.raises(NotFound):
        resources.run_status(address, "nobody")
    with pytest.raises(NotFound):
        resources.run_status(address, "a/../b")


def test_only_who_may_start_a_workflow_does(site: Any) -> None:
    engine, app, _ = site
    for caller, workflow in (("me", "own-long"), ("", "own-saga"), ("you", "own-saga")):
        app.caller = caller
        with pytest.raises(ResourceError, match="may use"):
            resources.start_run(app.address(workflow), {})
        assert app.codes[-1] == 403
    assert engine.instances == {}


def test_a_start_that_is_repeated_starts_one_run(site: Any) -> None:
    from portafaas_azure.runtime.runs import call

    engine, app, _ = site
    for _ in range(2):
        call("POST", app.address("own-saga"), "", {"run": "r1", "input": {}}, "start", 1)
        engine.run()
    assert [*engine.instances] == ["r1"]
    for bad in ("r/1", "r~1", "", "x" * 101):
        with pytest.raises(ResourceError, match=r"400|no id|no such"):
            call("POST", app.address("own-saga"), "", {"run": bad, "input": {}}, "start", 1)


@pytest.fixture
def operated(world: Any) -> Iterator[tuple[Engine, AzureWorkflows, Path]]:
    session, told = world
    scripts.prepare(told, OWN)
    engine = azureapp.engine_of(session)

    def send(method: str, url: str, api: str, body: Any = None) -> Any:
        assert (method, url) == ("POST", "https://arm/sites/flows/host/default/listkeys")
        return {"masterKey": "m", "systemKeys": {"durabletask_extension": azure_api.KEY}}

    account: Any = SimpleNamespace(cloud=SimpleNamespace(arm="https://arm"), send=send, retries=0)
    plan: Any = SimpleNamespace(
        workflows=[
            SimpleNamespace(name=name, machine=machine)
            for case in (*OWN, histories.RUN) for name, machine in scripts.machines(case).items()
        ]
    )  # fmt: skip
    with azure_api.served(engine, keyed=True) as url:
        yield engine, AzureWorkflows(account, plan, "/sites/flows", url), told


def code(raised: Any) -> str:
    return str(raised.value.diagnostics[0].code)


def test_operating_a_run_that_waits(operated: Any) -> None:
    engine, flows, _ = operated
    run = flows.start("own-outer", {"n": 1})
    engine.run(10)
    found = flows.status("own-outer", run)
    assert (found.state, found.input, found.waiting) == ("running", {"n": 1}, ("go",))
    assert found.started > 0 and found.ended == 0
    told = [(e.place, e.what, e.attempt, e.detail) for e in flows.history("own-outer", run)]
    assert told == [("c", "started", 1, {"n": 1})]
    with pytest.raises(DeploymentError) as raised:
        flows.signal("own-outer", run, "other", 1)
    assert code(raised) == "PF8041"
    flows.signal("own-outer", run, "go", {"by": "me"})
    engine.run()
    found = flows.status("own-outer", run)
    assert (found.state, found.output) == ("succeeded", {"did": "two"})
    events = [(e.step, e.what, e.attempt, e.detail) for e in flows.history("own-outer", run)]
    assert events == [
        ("c", "started", 1, {"n": 1}),
        ("c", "succeeded", 1, {"did": "one"}),
        ("x", "started", 1, {"n": 1, "c": {"did": "one"}}),
        ("x", "succeeded", 1, {"did": "two"}),
    ]
    (inner,) = flows.runs("own-outer-inner", 10)
    events = [
        (e.step, e.what, e.attempt, e.detail) for e in flows.history("own-outer-inner", inner.run)
    ]
    assert events == [
        ("q", "waiting", 0, None),
        ("q", "succeeded", 0, {"by": "me"}),
        ("r", "started", 1, {"by": "me"}),
        ("r", "succeeded", 1, {"did": "one"}),
    ]
    with pytest.raises(DeploymentError) as raised:
        flows.signal("own-outer", run, "go", 1)
    assert code(raised) == "PF8041"
    with pytest.raises(DeploymentError) as raised:
        flows.cancel("own-outer", run)
    assert code(raised) == "PF8042"
    with pytest.raises(DeploymentError) as raised:
        flows.status("own-saga", run)
    assert code(raised) == "PF8040"


def test_of_two_signals_for_one_wait_one_is_taken(
    operated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both senders have seen the run wait, and an event is accepted whatever becomes of it."""
    engine, flows, told = operated
    waits = flows._waits

    def first(found: Any, deep: int) -> Iterator[Any]:
        for one in [*waits(found, deep)]:
            if case == "own-kept":  # Both are there when the run looks.
                text = json.dumps(json.dumps({"payload": 1, "by": "other"}))
                engine.raise_event(one[1], f"go.{one[2]}", text)
            else:
                with monkeypatch.context() as patch:
                    patch.setattr(flows, "_waits", waits)
                    flows.signal(case, run, "go", 1)
            yield one

    for case in ("own-kept", "own-waits", "own-ends", "own-breaks"):
        run = flows.start(case, {})
        engine.run(10)
        with monkeypatch.context() as patch, pytest.raises(DeploymentError) as raised:
            patch.setattr(flows, "_waits", first)
            flows.signal(case, run, "go", 2)
        assert code(raised) == "PF8041", case
        engine.run()
        state = {"own-waits": "running", "own-breaks": "failed"}.get(case, "succeeded")
        assert flows.status(case, run).state == state
    assert called(told) == [("one", 1)]


def test_operating_a_run_that_fails_and_one_that_is_canceled(operated: Any) -> None:
    engine, flows, told = operated
    first = flows.start("own-saga", {})
    engine.run()
    found = flows.status("own-saga", first)
    assert (found.state, found.error, found.cause) == ("failed", "Declined", "no money")
    whats = [(e.step, e.what, e.error) for e in flows.history("own-saga", first)]
    assert whats == [
        ("a", "started", ""), ("a", "succeeded", ""), ("b", "started", ""),
        ("b", "failed", "Declined"), ("a", "started", ""), ("a", "undone", ""),
    ]  # fmt: skip
    scripts.prepare(told, OWN)
    second = flows.retry("own-saga", first)
    engine.run()
    runs = flows.runs("own-saga", 10)
    assert {one.run for one in runs} == {first, second}
    assert [one.run for one in flows.runs("own-saga", 1)] == [runs[0].run]
    waiting = flows.start("own-outer", {})
    engine.run(5)
    assert len(engine.instances) > azure_api.PAGE
    flows.cancel("own-outer", waiting)
    engine.run()
    assert flows.status("own-outer", waiting).state == "canceled"
    (inner,) = flows.runs("own-outer-inner", 10)
    assert inner.state == flows.status("own-outer-inner", inner.run).state == "canceled"
    # The sub-workflow too, which would have gone on.
    assert {one.status for one in engine.instances.values()} == {"Failed", "Terminated"}
    assert QUICK < 1


def test_a_history_is_what_others_tell(operated: Any) -> None:
    engine, flows, told = operated
    scripts.prepare(told, [histories.RUN])
    run = azureapp.run(engine, histories.RUN).id
    found, wanted = flows.history("told", run), histories.wanted()
    assert histories.places(found) == histories.places(wanted)
    assert histories.errors(found) == histories.errors(wanted)
    assert histories.details(found) == histories.details(wanted)
    assert histories.in_order(found)
    # What the signal carried is not shown: of what came behind it, calls are told, and no inputs.
    with azure_api.served(engine, keyed=True, bare=True) as url:
        bare = AzureWorkflows(flows.account, flows.plan, "/sites/flows", url).history("told", run)
    assert histories.places(bare) == [one for one in histories.places(wanted) if one[0] != "p"]
    assert [e.detail for e in bare[-4:]] == [None, None, None, {"did": "undo"}]
