"""``portafaas workflow`` and ``deliver`` on this machine: real functions in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from portafaas.connection import connect
from portafaas.local.operations import LocalWorkflows
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime import InvalidInput
from tests.workflows.kills import PROJECT

MANIFEST = """\
portafaas: 1
name: flow
functions:
  place: {handler: "app:place", trigger: {queue: {name: orders}}, uses: [{start: fulfil}]}
  ask: {handler: "app:ask", trigger: {http: {path: /, method: GET}}, uses: [{send: orders}, {start: fulfil}]}
  work: {handler: "app:work", timeout: 1s, max-instances: 2, trigger: {task: {}}}
queues:
  orders: {}
workflows:
  fulfil:
    input: {type: object, required: [id], properties: {id: {type: string}, n: {type: integer}}}
    steps:
      charge: {task: work, result: $.payment, retry: {attempts: 3, initial: 1h}, compensate: {task: work, input: undo}}
      check: {choice: [{when: {$.n: {">": 1}}, next: approve}], default: late}
      approve: {wait: {signal: approved, timeout: 1d}, result: $.by, catch: [{errors: [States.Timeout], next: late, result: $.error}]}
      done: {succeed: true}
      late: {task: work, input: hang, timeout: 300ms, catch: [{errors: [States.Timeout], next: slow, result: $.late}]}
      slow: {task: work, input: hang, result: $.slow}
  quick:
    steps:
      one: {task: work, input: quick}
  sleepy: {steps: {one: {wait: {seconds: 1h}}}}
  ask: {steps: {one: {wait: {signal: approved, timeout: 1d}}}}
"""
APP = """\
import os, time

def place(message, context):
    context.workflows["fulfil"].start(message.json())

def ask(request, context):
    context.queues["orders"].send({"id": "queued", "n": 2})
    flow = context.workflows["fulfil"]
    try:
        flow.start({"id": 7})
    except ValueError as exc:
        assert exc.problems == (("$.id", "7 is not of type string"),), exc.problems
    else:
        raise AssertionError("it was started")
    run = flow.start({"id": "asked", "n": 2})
    return {"run": run, "state": flow.status(run).state}

def work(task, context):
    print("called", task.step, task.attempt)
    if task.input == "hang":
        time.sleep(20)
    if task.step == "charge" and task.attempt == 1 and task.input != "undo":
        os._exit(3)
    if task.step == "charge" and task.attempt == 2 and task.input != "undo":
        raise KeyError("card")
    return {"did": task.step}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def cli(root: Path, *arguments: str, status: int = 0, given: str = "") -> Any:
    """Run the command; return the JSON that it prints, or its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "portafaas", *arguments], cwd=root, input=given, text=True,
        capture_output=True, timeout=60, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    if "json" not in arguments:
        return done.stdout.splitlines()
    if arguments[0] == "deliver":
        return [json.loads(line) for line in done.stdout.splitlines()]
    return json.loads(done.stdout)


def codes(answer: Any) -> list[str]:
    return [one["code"] for one in answer["diagnostics"]]


def test_a_run_from_start_to_end(root: Path) -> None:
    (run,) = cli(root, "workflow", "start", "fulfil", "-i", '{"id": "a", "n": 2}')
    told = cli(root, "deliver", "--fast", "--format", "json")
    assert told[-1]["totals"]["runs"] == {"succeeded": 0, "failed": 0, "running": 1}
    assert [(one["what"], one["step"], one.get("error")) for one in told[:-1]] == [
        ("called", "charge", None), ("failed", "charge", "States.TaskFailed"),
        ("called", "charge", None), ("failed", "charge", "KeyError"),
        ("called", "charge", None), ("succeeded", "charge", None), ("waiting", "approve", None),
    ]  # fmt: skip
    found = cli(root, "workflow", "status", "fulfil", run, "--format", "json")
    assert (found["state"], found["waiting"], found["input"]) == ("running", ["approved"], {"id": "a", "n": 2})
    lines = cli(root, "workflow", "status", "fulfil", run)
    assert lines[-1].strip() == f"portafaas workflow signal fulfil {run} approved"
    wrong = cli(root, "workflow", "signal", "fulfil", run, "nope", "--format", "json", status=1)
    assert codes(wrong) == ["PF8041"]
    assert wrong["diagnostics"][0]["hint"] == "it waits for: approved"
    wrong = cli(root, "workflow", "retry", "fulfil", run, "--format", "json", status=1)
    assert codes(wrong) == ["PF8042"]
    cli(root, "workflow", "signal", "fulfil", run, "approved", "-i", "-", given='"ana"')
    assert cli(root, "deliver")[-1] == "1 runs succeeded, 0 failed, 0 running"
    found = cli(root, "workflow", "status", "fulfil", run, "--format", "json")
    assert found["output"] == {"id": "a", "n": 2, "payment": {"did": "charge"}, "by": "ana"}
    # Two retries of an hour and more took no time but the store's.
    assert found["started"][:13] != found["ended"][:13]
    events = cli(root, "workflow", "history", "fulfil", run, "--format", "json")
    assert [(one["step"], one["what"], one["attempt"]) for one in events] == [
        ("charge", "started", 1), ("charge", "failed", 1), ("charge", "started", 2),
        ("charge", "failed", 2), ("charge", "started", 3), ("charge", "succeeded", 3),
        ("check", "started", 0), ("check", "succeeded", 0), ("approve", "waiting", 0),
        ("approve", "succeeded", 0), ("done", "started", 0), ("done", "succeeded", 0),
    ]  # fmt: skip
    assert "failed 2" in "\n".join(cli(root, "workflow", "history", "fulfil", run))
    for verb, *more in (("signal", "approved"), ("cancel",)):
        wrong = cli(root, "workflow", verb, "fulfil", run, *more, "--format", "json", status=1)
        assert codes(wrong) == ["PF8041" if more else "PF8042"]
    (again,) = cli(root, "workflow", "retry", "fulfil", run)
    cli(root, "workflow", "cancel", "fulfil", again)
    runs = cli(root, "workflow", "list", "--format", "json")
    assert [(one["run"], one["state"]) for one in runs] == [(again, "canceled"), (run, "succeeded")]
    assert cli(root, "deliver")[-1] == "0 runs succeeded, 0 failed, 0 running"


def test_what_is_slow_and_what_nobody_approves(root: Path) -> None:
    (run,) = cli(root, "workflow", "start", "fulfil", "-i", '{"id": "a", "n": 2}')
    told = cli(root, "deliver", "--fast", "--timeouts", "--format", "json", status=1)
    found = cli(root, "workflow", "status", "fulfil", run, "--format", "json")
    assert (found["state"], found["error"]) == ("failed", "States.Timeout")
    assert found["cause"] == "work took over 1 s"
    failed = [(one["step"], one["error"]) for one in told if one.get("what") == "failed"]
    assert failed[2:] == [
        ("approve", "States.Timeout"), ("late", "States.Timeout"), ("slow", "States.Timeout"),
    ]  # fmt: skip
    events = cli(root, "workflow", "history", "fulfil", run, "--format", "json")
    assert [(e["place"], e["what"]) for e in events][-3:] == [
        ("slow", "failed"), ("charge~undo", "started"), ("charge~undo", "undone"),
    ]  # fmt: skip
    assert {"late", "approve"} == {e["step"] for e in events if e["what"] == "caught"}


def test_events_and_workflows_go_together(root: Path) -> None:
    event = '{"http": {"method": "GET", "path": "/"}}'
    answer = cli(root, "invoke", "ask", "-e", "-", "--format", "json", given=event)
    asked = json.loads(answer["body"])
    assert asked["state"] == "running"
    assert [effect["verb"] for effect in answer["effects"]] == ["send", "start"]
    last = cli(root, "deliver", "--fast", "--format", "json")[-1]["totals"]
    assert (last["delivered"], last["runs"]["running"]) == (1, 2)
    runs = cli(root, "workflow", "list", "fulfil", "--format", "json")
    assert {one["input"]["id"] for one in runs} == {"queued", "asked"}
    assert asked["run"] in {one["run"] for one in runs}


def test_several_processes_share_the_runs(tmp_path: Path) -> None:
    """One of them is killed: all runs end, and nothing is done twice."""
    root = tmp_path / "saga"
    shutil.copytree(PROJECT, root)
    workflows = LocalWorkflows(root, build_plan(load_manifest(root / "portafaas.yaml")))
    runs = [workflows.start("saga", {"fail": "", "lines": ["a"]}) for _ in range(10)]
    ledger = root / "ledger"
    environment = {**os.environ, "PORTAFAAS_SAGA_LEDGER": str(ledger)}
    command = [sys.executable, "-m", "portafaas", "deliver", "--fast"]
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(subprocess.Popen(
                command, cwd=root, env=environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )) for _ in range(2)
        )  # fmt: skip
        while not ledger.exists() or len(ledger.read_text().splitlines()) < 20:
            assert first.poll() is None
        first.kill()
        assert second.wait(60) == 0
    assert [workflows.status("saga", run).state for run in runs] == ["succeeded"] * 10
    # The places of the runs, each as often as there are runs.
    done = Counter(ledger.read_text().splitlines())
    assert set(done.values()) == {10}
    assert len(done) == 7


def test_start_waits_for_the_end(root: Path) -> None:
    found = cli(root, "workflow", "start", "quick", "--wait", "--format", "json")
    assert (found["state"], found["output"]) == ("succeeded", {"did": "one"})


def test_start_waits_no_longer_than_for_its_own_run(root: Path) -> None:
    """A run that sleeps for an hour holds up nobody who waits for another one."""
    (sleeping,) = cli(root, "workflow", "start", "sleepy")
    found = cli(root, "workflow", "start", "ask", "--wait", "--format", "json")
    assert (found["state"], found["waiting"]) == ("running", ["approved"])
    found = cli(root, "workflow", "status", "sleepy", sleeping, "--format", "json")
    assert found["state"] == "running"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting_and_not_the_run(
    root: Path, number: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "portafaas", "workflow", "start", "sleepy", "--wait"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        assert waiting.stderr is not None
        verb, run = waiting.stderr.readline().split()
        assert verb == "started"
        waiting.send_signal(number)
        out, told = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (status, "")
    assert told == f"{run} has not ended: 'portafaas deliver' goes on with it\n"
    assert cli(root, "workflow", "status", "sleepy", run, "--format", "json")["state"] == "running"


def test_what_cannot_be_started(root: Path) -> None:
    (root / "bad.json").write_text('{"id": 7, "n": "x"}')
    wrong = cli(root, "workflow", "start", "fulfil", "-i", "@bad.json", "--format", "json", status=1)
    assert codes(wrong) == ["PF8043", "PF8043"]
    assert [one["path"] for one in wrong["diagnostics"]] == ["$.id", "$.n"]
    wrong = cli(root, "workflow", "start", "fulfill", "--format", "json", status=1)
    assert codes(wrong) == ["PF8040"]
    assert wrong["diagnostics"][0]["hint"] == "did you mean 'fulfil'?"
    wrong = cli(root, "workflow", "status", "fulfil", "nobody", "--format", "json", status=1)
    assert codes(wrong) == ["PF8040"] and wrong["message"] == "not found:"
    large = json.dumps({"id": "x" * 300_000})
    wrong = cli(root, "workflow", "start", "fulfil", "-i", "-", "--format", "json", status=1, given=large)
    assert codes(wrong) == ["PF8043"]
    for text in ("{", "", "-"):
        for verb, *more in (("start",), ("signal", "run", "approved")):
            wrong = cli(
                root, "workflow", verb, "fulfil", *more, "-i", text, "--format", "json", status=1,
                given="[" * 100_000,
            )  # fmt: skip
            assert codes(wrong) == ["PF8043"]
    cli(root, "workflow", "start", "fulfil", "-i", "@nowhere.json", status=2)
    assert cli(root, "workflow", "list", "--format", "json") == []


def test_a_script_and_a_retry_are_held_to_the_schema(root: Path) -> None:
    flow = connect(root / "portafaas.yaml").workflows["fulfil"]
    with pytest.raises(InvalidInput, match=r"the input of 'fulfil': \$: \"id\" is missing; \$\.n: "):
        flow.start({"n": "x"})
    run = flow.start({"id": "a"})
    assert [one["run"] for one in cli(root, "workflow", "list", "fulfil", "--format", "json")] == [run]
    cli(root, "workflow", "cancel", "fulfil", run)
    file = root / "portafaas.yaml"
    file.write_text(MANIFEST.replace("required: [id]", "required: [id, n]"))
    wrong = cli(root, "workflow", "retry", "fulfil", run, "--format", "json", status=1)
    assert codes(wrong) == ["PF8043"]
    file.write_text(MANIFEST)
    cli(root, "workflow", "retry", "fulfil", run)
