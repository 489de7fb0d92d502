"""``portafaas deliver``: real handlers in real processes, and what is left when those are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from portafaas.cli import cli
from portafaas.local import resources
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Lease
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks, Report
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Outgoing

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
defaults: {retry: {attempts: 3, initial: 10m, max: 1h, backoff: fixed, jitter: false}}
functions:
  place:
    handler: app:place
    trigger: {http: {method: POST, path: /orders}}
    uses: [{send: jobs}, {publish: news}, {write: orders}, {write: uploads}]
  work: {handler: "app:work", trigger: {queue: {name: jobs, batch: 10}}, uses: [{send: steps}], timeout: 1s}
  step: {handler: "app:step", trigger: {queue: {name: steps, batch: 5}}}
  batch: {handler: "app:Batches", trigger: {queue: {name: batches, batch: 5}}}
  hear: {handler: "app:hear", trigger: {topic: {name: news}}}
  row: {handler: "app:row", trigger: {table: {name: orders}}}
  file: {handler: "app:file", trigger: {object: {bucket: uploads}}}
  broken: {handler: "broken:nothing", trigger: {queue: {name: breaks}}}
  tick: {handler: "app:tick", trigger: {schedule: {cron: "* * * * *"}}}
queues:
  jobs: {dead-letter: true}
  steps: {ordered: true, dead-letter: true}
  batches: {dead-letter: true}
  breaks: {dead-letter: true}
topics: {news: {}}
tables: {orders: {}}
buckets: {uploads: {}}
"""

SOURCE = '''\
import os, sys, time
from portafaas.runtime import BatchResult, BatchHandler
from portafaas.runtime.taxonomy import Permanent, Throttled

def note(what, *facts):
    with open("log", "a") as file:
        file.write(" ".join([what, *map(str, facts)]) + "\\n")

def place(request, context):
    context.queues["jobs"].send("ok")
    context.topics["news"].publish({"n": 1}, type="order.placed")
    context.tables["orders"].put({"id": "1"})
    context.buckets["uploads"].write("a.txt", "text")

def work(message, context):
    note("work", message.text, message.attempt, message.id, context.attempt)
    what = message.text
    if what == "permanent": raise Permanent("never")
    if what == "poison": message.json()
    if what == "fails": raise ValueError("no")
    if what == "throttled" and message.attempt < 2: raise Throttled("slow down", retry_after=3000)
    if what == "exits": os._exit(3)
    if what == "leaves": sys.exit(1)
    if what == "hangs":
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(30)
    if what == "sleeps": time.sleep(30)
    if what == "sends": context.queues["steps"].send({"n": 0}, key="sent")

def step(message, context):
    n = message.json()["n"]
    note("step", message.key, n, message.attempt)
    if n == 1 and message.attempt < 3: raise ValueError("not yet")
    if n == 5: raise Permanent("never")

class Batches(BatchHandler):
    def handle(self, batch, context):
        result = BatchResult()
        note("batch", *(f"{m.text}/{m.attempt}" for m in batch))
        for message in batch:
            if message.text == "again" and message.attempt < 2: result.retry(message, after=30)
            if message.text == "dead": result.dead_letter(message, "by hand")
            if message.text == "drop": result.drop(message)
        return result

def hear(event, context):
    note("hear", event.type, event.attempt, event.data["n"], context.attempt)
    if event.attempt < 2: raise ValueError("what?")

def row(event, context):
    note("row", event.kind, event.new)
    raise Permanent("no")

def file(event, context): note("file", event.key, event.size)
def tick(event, context): note("tick", event.time)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("nothing = None\nraise RuntimeError('no import')\n")
    return tmp_path


@pytest.fixture
def plan(project: Path) -> BuildPlan:
    return build_plan(load_manifest(project / "portafaas.yaml"))


def send(project: Path, queue: str, *bodies: Any, key: str | None = None, **facts: Any) -> list[str]:
    made = []
    for body in bodies:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        id_ = os.urandom(8).hex()
        made.append(Outgoing(id_, data, key=key, attributes={"pf-id": id_, "own": "1"}, **facts))
    resources.send(str(resources.store(project, "") / "queue" / queue), made, key is not None)
    return [message.id for message in made]


def log(project: Path) -> list[str]:
    file = project / "log"
    return file.read_text().splitlines() if file.exists() else []


def deliver(project: Path, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    done = CliRunner().invoke(
        cli,
        ["deliver", "-m", str(project / "portafaas.yaml"), "--format", "json", *arguments],
        catch_exceptions=False,
    )
    assert done.exit_code == status, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


class Seen(Hooks):
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def settled(self, reports: Sequence[Report]) -> None:
        self.reports += reports


def run(plan: BuildPlan, project: Path, **facts: Any) -> list[Report]:
    """Deliver everything, and return what became of it."""
    seen = Seen()
    with (project / "out").open("a") as output, Dispatcher(
        plan, project, fast=True, hooks=seen, output=output
    ) as dispatcher:
        dispatcher.run(**facts)
    return seen.reports


def test_what_invoke_left_behind_reaches_its_functions(project: Path) -> None:
    done = CliRunner().invoke(cli, ["invoke", "place", "-m", str(project / "portafaas.yaml")])
    assert done.exit_code == 0
    started = time.monotonic()
    *lines, totals = deliver(project, "--fast", status=1)
    assert time.monotonic() - started < 20, "nobody waited ten minutes"
    assert sorted(line.rsplit(" ", 1)[0] if line.startswith("work") else line for line in log(project)) == sorted([
        f"work ok 1 {next(x['id'] for x in lines if x['function'] == 'work')}",
        "hear order.placed 1 1 1", "hear order.placed 2 1 2",
        "row upsert {'id': '1'}", "file a.txt 4",
    ])  # fmt: skip
    assert totals == {"totals": {"delivered": 3, "again": 1, "held": 0, "dead": 1, "waiting": 0}}
    outcomes = {(x["function"], x["attempt"]): x["outcome"] for x in lines}
    assert outcomes == {
        ("work", 1): "delivered", ("hear", 1): "again", ("hear", 2): "delivered",
        ("row", 1): "dead", ("file", 1): "delivered",
    }  # fmt: skip
    assert deliver(project, "--fast") == [
        {"totals": {"delivered": 0, "again": 0, "held": 0, "dead": 0, "waiting": 0}}
    ]


def test_failures_end_as_their_kind_says(project: Path, plan: BuildPlan) -> None:
    bodies = ("ok", "permanent", "poison", "fails", "throttled", "leaves", "sends")
    ids = dict(zip(send(project, "jobs", *bodies), bodies, strict=True))
    reports = run(plan, project)
    found = defaultdict(list)
    for report in reports:
        found[ids.get(report.id, "sent")].append((report.what, round(report.seconds)))
    again = ("again", 600)
    assert found == {
        "ok": [("delivered", 0)], "permanent": [("dead", 0)], "poison": [("dead", 0)],
        "fails": [again, again, ("dead", 0)], "throttled": [("again", 3000), ("delivered", 0)],
        "leaves": [again, again, ("dead", 0)], "sends": [("delivered", 0)],
        "sent": [("delivered", 0)],
    }  # fmt: skip
    letters = {ids[r.id]: (r.letter["reason"], r.letter["attempts"]) for r in reports if r.what == "dead"}
    assert letters == {
        "permanent": ("permanent", 1), "poison": ("poison", 1), "fails": ("attempts", 3),
        "leaves": ("attempts", 3),
    }  # fmt: skip
    assert "step sent 0 1" in log(project)


def test_a_process_that_ends_or_hangs_takes_nothing_with_it(project: Path, plan: BuildPlan) -> None:
    (exits,) = send(project, "jobs", "exits")
    send(project, "jobs", "ok", "ok", "ok")
    reports = run(plan, project)
    assert [r.id for r in reports if r.what == "dead"] == [exits]
    (letter,) = (r.letter for r in reports if r.what == "dead")
    assert (letter["reason"], letter["attempts"], letter["function"]) == ("attempts", 3, "work")
    assert "status 3" in next(r.error for r in reports if r.what == "again")
    assert sum(r.what == "delivered" for r in reports) == 3
    assert sum(line.startswith("work exits") for line in log(project)) == 3


def test_a_handler_that_cannot_be_interrupted_is_killed(
    project: Path, plan: BuildPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas.local import deliverer

    monkeypatch.setattr(deliverer, "GRACE", 0.2)
    monkeypatch.setattr(deliverer, "START", 2.0)
    send(project, "jobs", "sleeps")
    (hangs,) = send(project, "jobs", "hangs", delay=60)
    seen = Seen()

    def stop() -> bool:
        return any("did not answer" in report.error for report in seen.reports)

    with Dispatcher(plan, project, fast=True, hooks=seen) as dispatcher:
        dispatcher.run(until=stop)
    assert [(r.id == hangs, r.what) for r in seen.reports] == [(False, "again"), (True, "again")]
    # Time went by as far as that, and no farther.
    assert sum(line.startswith("work") for line in log(project)) == 2


def test_keys_keep_their_order_through_failures(project: Path, plan: BuildPlan) -> None:
    send(project, "steps", *({"n": n} for n in range(4)), key="a")
    send(project, "steps", {"n": 5}, {"n": 6}, key="b")
    run(plan, project)
    assert [line for line in log(project) if " a " in line] == [
        "step a 0 1", "step a 1 1", "step a 1 2", "step a 1 3", "step a 2 1", "step a 3 1",
    ]  # fmt: skip
    assert [line for line in log(project) if " b " in line] == ["step b 5 1", "step b 6 1"]


def test_a_batch_handler_says_what_becomes_of_each(project: Path, plan: BuildPlan) -> None:
    send(project, "batches", "ok", "again", "dead", "drop")
    reports = run(plan, project)
    assert log(project) == ["batch ok/1 again/1 dead/1 drop/1", "batch again/2"]
    assert [(r.what, r.seconds) for r in reports] == [
        ("delivered", 0), ("again", 30), ("dead", 0), ("delivered", 0), ("delivered", 0),
    ]  # fmt: skip
    assert reports[2].letter["reason"] == "handler" and reports[2].error == "by hand"


def test_a_handler_that_cannot_be_imported_fails_each_time(project: Path, plan: BuildPlan) -> None:
    send(project, "breaks", "x")
    reports = run(plan, project)
    assert [r.what for r in reports] == ["again", "again", "dead"]
    assert "no import" in reports[-1].error


def test_once_delivers_what_is_due_and_no_more(project: Path) -> None:
    send(project, "jobs", "fails")
    send(project, "jobs", "ok", delay=900)
    assert deliver(project, "--once")[-1] == {
        "totals": {"delivered": 0, "again": 1, "held": 0, "dead": 0, "waiting": 2}
    }
    assert deliver(project, "--once") == [
        {"totals": {"delivered": 0, "again": 0, "held": 0, "dead": 0, "waiting": 2}}
    ]
    with Broker(resources.store(project, ""), build_plan(load_manifest(project / "portafaas.yaml"))) as b:
        b.clock.advance(901)
    assert deliver(project, "--once")[-1]["totals"]["delivered"] == 1


def test_without_fast_it_waits(project: Path) -> None:
    send(project, "jobs", "ok", delay=1)
    started = time.monotonic()
    assert deliver(project)[-1]["totals"]["delivered"] == 1
    assert time.monotonic() - started > 0.9


def test_text_says_it_in_lines(project: Path) -> None:
    send(project, "jobs", "fails")
    done = CliRunner().invoke(cli, ["deliver", "-m", str(project / "portafaas.yaml"), "--fast"])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("work: ") and lines[0].endswith("failed, again in 600.0 s")
    assert lines[2].endswith(", attempt 3: dead letter, attempts (ValueError: no)")
    assert lines[3] == "0 delivered, 2 put off, 1 dead letters, 0 waiting"
    done = CliRunner().invoke(cli, ["deliver", "--once", "--fast"])
    assert done.exit_code == 2


def test_a_schedule_is_delivered_as_an_event(project: Path, plan: BuildPlan) -> None:
    with Dispatcher(plan, project, fast=True) as dispatcher:
        dispatcher.broker.fire(plan.function("tick"), "2026-11-23T10:07:00Z")
        dispatcher.run()
    assert log(project) == ["tick 2026-11-23T10:07:00.000Z"]


def test_follow_fires_schedules_and_ends_at_ctrl_c(
    project: Path, plan: BuildPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas.local import dispatch

    start = time.monotonic()
    # A clock that is half a second before a full minute.
    monkeypatch.setattr(dispatch, "time", lambda: 1_764_000_000 - 0.5 + time.monotonic() - start)
    with Dispatcher(plan, project, schedules=True) as dispatcher:
        dispatcher.run(follow=True, until=lambda: bool(log(project)))
    assert log(project) == ["tick 2025-11-24T16:00:00.000Z"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_back_what_was_under_way(
    project: Path, number: signal.Signals, status: int
) -> None:
    send(project, "jobs", "sleeps")
    process = subprocess.Popen(
        [sys.executable, "-m", "portafaas", "deliver", "--follow", "--format", "json"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not any(line.startswith("work") for line in log(project)):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == status, out
    assert json.loads(out.splitlines()[-1])["totals"]["waiting"] == 1
    connection = sqlite3.connect(resources.store(project, "") / "resources.db")
    try:
        found = connection.execute("select state, attempts from deliveries").fetchall()
    finally:
        connection.close()
    assert found == [("waiting", 0)]


STORM = """\
portafaas: 1
name: storm
python: "3.11"
defaults: {retry: {attempts: 100, initial: 0.01s, max: 1s, backoff: fixed}}
functions:
  first: {handler: "app:first", trigger: {queue: {name: orders, batch: 10}}, concurrency: 3, uses: [{send: keyed}]}
  second: {handler: "app:second", trigger: {queue: {name: keyed, batch: 4}}, concurrency: 2}
queues:
  orders: {dead-letter: true}
  keyed: {ordered: true, dead-letter: true}
"""
STORM_SOURCE = """\
import os, time
from portafaas.runtime.taxonomy import Permanent
file = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def first(message, context):
    n = int(message.text)
    if n % 100 == 99:
        raise Permanent("poison")
    time.sleep(0.001)
    context.queues["keyed"].send({"n": n}, key=str(n % 7))
    os.write(file, f"first {n}\\n".encode())

def second(message, context):
    n = message.json()["n"]
    os.write(file, f"begin {message.key} {message.id} {n}\\n".encode())
    time.sleep(0.001)
    os.write(file, f"end {message.key} {message.id} {n}\\n".encode())
"""


def test_killed_at_any_time_it_loses_nothing(tmp_path: Path) -> None:
    """1,000 messages; the dispatcher and its workers are killed again and again."""
    (tmp_path / "portafaas.yaml").write_text(STORM)
    (tmp_path / "app.py").write_text(STORM_SOURCE)
    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    store = resources.store(tmp_path, "")
    resources.send(
        str(store / "queue/orders"), [Outgoing(str(n), str(n).encode()) for n in range(1000)], False
    )
    program = (
        "import sys; from pathlib import Path; from portafaas.local.dispatch import *\n"
        "from portafaas.manifest.load import load_manifest\n"
        "from portafaas.plan.build import build_plan\n"
        "class Pids(Hooks):\n"
        "    def leased(self, lease, pid): print(pid, flush=True)\n"
        "plan = build_plan(load_manifest(Path('portafaas.yaml').absolute()))\n"
        "with Dispatcher(plan, Path.cwd(), fast=True, hooks=Pids()) as d: d.run()\n"
    )
    chance = random.Random(4)
    kills = Counter[str]()
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        # So many leases until the next kill: of whom is left to chance.
        left = chance.randrange(1, 30) if kills.total() < 24 else 10**9
        ended = True
        for line in process.stdout:
            left -= 1
            if left > 0:
                continue
            time.sleep(chance.random() / 100)
            if chance.random() < 0.5:
                process.kill()
                kills["dispatcher"] += 1
                ended = False
                break
            try:
                os.kill(int(line), signal.SIGKILL)
                kills["worker"] += 1
            except ProcessLookupError:
                pass
            left = chance.randrange(1, 30) if kills.total() < 24 else 10**9
        process.stdout.close()
        process.wait(timeout=60)
        if ended:
            break
    assert process.returncode == 0
    assert min(kills["dispatcher"], kills["worker"]) >= 6, kills
    with Broker(store, plan) as broker:
        assert [broker.waiting(function) for function in plan.functions] == [0, 0]
        poison = sorted(item.body.decode() for item in broker.letters.list("queue/orders"))
        assert poison == sorted(str(n) for n in range(99, 1000, 100)), "each once"
        assert broker.letters.count("queue/keyed") == 0
    lines = [line.split() for line in log(tmp_path)]
    good = {str(n) for n in range(1000) if n % 100 != 99}
    assert {line[1] for line in lines if line[0] == "first"} == good
    assert {line[3] for line in lines if line[0] == "end"} == good
    # Within a key nothing begins before what was sent earlier has ended.
    sent = [m["id"] for m in resources.messages(store, "queue", "keyed")]
    finished: set[str] = set()
    begun: dict[str, list[str]] = defaultdict(list)
    for what, key, id_, *_ in (line for line in lines if line[0] != "first"):
        if what == "end":
            finished.add(id_)
        elif id_ not in begun[key]:
            assert finished.issuperset(begun[key]), (key, id_)
            begun[key].append(id_)
    for key, ids in begun.items():
        assert ids == [id_ for id_ in sent if id_ in set(ids)], key


def test_hooks_see_the_lease_and_the_process(project: Path, plan: BuildPlan) -> None:
    send(project, "jobs", "ok")
    found: list[tuple[Lease, int]] = []

    class Watching(Hooks):
        def leased(self, lease: Lease, pid: int) -> None:
            found.append((lease, pid))
            os.kill(pid, 0)

    with Dispatcher(plan, project, hooks=Watching()) as dispatcher:
        dispatcher.run()
    ((lease, pid),) = found
    assert lease.function == "work" and lease.items[0].body == b"ok" and pid != os.getpid()
