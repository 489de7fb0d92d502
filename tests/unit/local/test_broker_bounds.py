"""What a step of the local broker costs, and what it keeps, does not grow with what waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portafaas.local import resources
from portafaas.local import retention as module
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Settled
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Outgoing

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
functions:
  work: {handler: "app:f", trigger: {queue: {name: jobs, batch: 3}}}
  step: {handler: "app:f", trigger: {queue: {name: steps, batch: 3}}}
  tell: {handler: "app:f", trigger: {http: {path: /}}, uses: [{send: jobs}]}
queues:
  jobs: {dead-letter: true}
  steps: {ordered: true}
"""


class World:
    """A broker, and who sends to it."""

    def __init__(self, root: Path) -> None:
        (root / "portafaas.yaml").write_text(MANIFEST)
        (root / "app.py").write_text("def f(event, context): ...\n")
        self.plan = build_plan(load_manifest(root / "portafaas.yaml"))
        self.folder = resources.store(root, self.plan.stage)
        self.broker = Broker(self.folder, self.plan)

    def send(self, queue: str, count: int, **facts: object) -> None:
        some = [Outgoing(f"m{n}", b"{}", **facts) for n in range(count)]  # type: ignore[arg-type]
        resources.send(str(self.folder / "queue" / queue), some, self.plan.queue(queue).ordered)
        self.broker.take_in()

    def work(self, do: Callable[[], object]) -> int:
        """Return how many hundred instructions of SQLite's machine *do* takes."""
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        self.broker.store.connection.set_progress_handler(step, 100)
        do()
        self.broker.store.connection.set_progress_handler(None, 100)
        return count

    def steps(self) -> dict[str, int]:
        """Return what each step costs now."""
        work, step = self.plan.function("work"), self.plan.function("step")

        def turn(function: object) -> None:
            lease = self.broker.lease(function, 30.0)  # type: ignore[arg-type]
            assert lease is not None and len(lease.items) == 3
            self.broker.settle(lease, Settled())

        return {
            "take_in": self.work(self.broker.take_in),
            "ready": self.work(self.broker.ready),
            "queue": self.work(lambda: turn(work)),
            "ordered": self.work(lambda: turn(step)),
            "next_due": self.work(self.broker.next_due),
            "sweep": self.work(self.broker.sweep),
        }


def test_a_step_costs_the_same_however_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL", 100)
    world = World(tmp_path)
    with world.broker as broker:
        world.send("jobs", 30)
        world.send("jobs", 30, delay=900)
        world.send("steps", 30, key="k")
        few = world.steps()
        world.send("jobs", 3000, delay=600)
        world.send("jobs", 3000, attributes={"pf-expires": "4000000000"})
        world.send("steps", 3000, key="k")
        for _ in range(3):
            broker.sweep()
        many = world.steps()
    for name, cost in many.items():
        # A scan of what waits would be at least 90.
        assert cost <= few[name] + 20, (name, few, many)


def test_what_was_shared_out_is_kept_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL", 20)
    world = World(tmp_path)
    with world.broker as broker:
        world.send("steps", 1, key="k", dedup="once")
        world.send("jobs", 100)
        connection = broker.store.connection
        connection.executemany(
            "insert into effects (run, effect) values ('r', ?)", [(json.dumps({"n": n}),) for n in range(50)]
        )
        broker.sweep()
        kept = resources.messages(world.folder, "queue", "jobs")
        assert [each["id"] for each in kept] == [f"m{n}" for n in range(80, 100)]
        assert [each["n"] for each in resources.effects(world.folder, "r")] == list(range(30, 50))
        # It is known again, though long shared out.
        world.send("steps", 1, key="k", dedup="once")
        assert broker.waiting(world.plan.function("step")) == 1
        assert broker.waiting(world.plan.function("work")) == 100


def test_what_is_not_shared_out_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL", 5)
    world = World(tmp_path)
    with world.broker as broker:
        some = [Outgoing(f"m{n}", b"{}") for n in range(50)]
        resources.send(str(world.folder / "queue" / "jobs"), some, False)
        broker.sweep()
        assert len(resources.messages(world.folder, "queue", "jobs")) == 50
        assert broker.take_in() == 50


def test_a_retention_removes_the_old_behind_the_young(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.broker as broker:
        world.send("jobs", 2500)
        broker.clock.advance(200_000)
        world.send("jobs", 3)
        broker.clock.advance(200_000)
        broker.sweep()
        assert broker.waiting(world.plan.function("work")) == 3


def test_killed_brokers_leave_nothing_for_ever(tmp_path: Path) -> None:
    world = World(tmp_path)
    files = world.folder / "dispatchers"
    world.broker.owner.lock()
    for name, age in (("killed", 7200), ("young", 60)):
        (files / name).touch()
        os.utime(files / name, (time.time() - age,) * 2)
    mine = files / world.broker.owner.id
    os.utime(mine, (1.0, 1.0))
    with Broker(world.folder, world.plan) as other:
        other.owner.lock()
        assert {file.name for file in files.iterdir()} == {"young", world.broker.owner.id, other.owner.id}
    world.broker.close()
    assert not mine.exists()


def test_a_process_does_not_grow_with_what_it_has_been_at() -> None:
    # As a variable of the environment each mark would stay: 9 MB.
    source = """
import os, resource
from portafaas.local.observed import Observer

observer = Observer(os.open(os.devnull, os.O_WRONLY))
observer.begin("first")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for n in range(100_000):
    observer.begin(f"{n:032x}")
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
os.write(1, str(grown).encode())
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    assert int(done.stdout) < 2000
