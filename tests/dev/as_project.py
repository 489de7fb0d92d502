"""A project whose functions fail as they are told, and its broker, delivering as a platform does.

A message says what is to become of it: ``fails``, ``fails 2`` (twice, then well), ``throttled``,
``permanent``, ``exits``, ``exits 1``, ``hogs 1`` (memory), anything else is done. Every delivery that a handler sees is
a line of a log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from portafaas.adapter.delivery import DeliveryRules
from portafaas.emulation import emulated
from portafaas.local import resources
from portafaas.local.deliveries import Lease
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks, Report
from portafaas.runtime.resources import Outgoing
from portafaas.runtime.rows import Write
from tests.faults.target import PYTHON

MANIFEST = """\
portafaas: 1
name: as-it-is
python: "PYTHON"
defaults:
  timeout: 5s
  retry: {attempts: 3, initial: 90.2s, max: 1h, backoff: exponential, jitter: false}
functions:
  web: {handler: "app:web", trigger: {http: {method: POST, path: /web, max-body: 95000000}}}
  work: {handler: "app:work", trigger: {queue: {name: jobs, batch: 10}}}
  step:
    handler: app:work
    trigger: {queue: {name: steps, batch: 5}}
    retry: {attempts: 3, initial: 0.3s, backoff: fixed, jitter: false}
  hear: {handler: "app:hear", trigger: {topic: {name: news}}}
  row:
    handler: app:row
    trigger: {table: {name: orders, on: [upsert], images: [new]}}
    retry: {attempts: 2, initial: 0.2s, backoff: fixed, jitter: false}
  tick:
    handler: app:tick
    trigger: {schedule: {cron: "* * * * *"}}
    retry: {attempts: 2, initial: 0.2s, backoff: fixed, jitter: false}
queues:
  jobs: {dead-letter: true}
  steps: {ordered: true, dead-letter: true}
topics: {news: {}}
tables: {orders: {key: id}}
""".replace("PYTHON", PYTHON)

SOURCE = '''\
import os
import time

from portafaas.runtime.taxonomy import Permanent, Throttled


def act(kind, what, attempt, *facts):
    with open(os.environ["LOG"], "a") as file:
        file.write(" | ".join(map(str, (kind, what, attempt, *facts))) + "\\n")
    word, _, times = what.partition(" ")
    if times.isdigit() and attempt > int(times):
        return
    if word == "fails":
        raise ValueError("no")
    if word == "throttled" and attempt == 1:
        raise Throttled("slow down", retry_after=700.5)
    if word == "permanent":
        raise Permanent("never")
    if word == "exits":
        os._exit(3)
    if word == "hogs":
        held = b"x" * (400 << 20)
        time.sleep(1.5)


def work(message, context):
    act("message", message.text, message.attempt, message.id, message.key, message.attributes)


def hear(event, context):
    act("event", event.data["do"], event.attempt, event.id, event.type)


def row(event, context):
    act("row", event.new["do"], event.attempt)


def tick(event, context):
    with open(os.environ["LOG"] + ".tick") as file:
        act("tick", file.read(), event.attempt, event.time)


def web(request, context):
    if request.query["give"] == "span":
        return {"span": context.span.span_id, "trace": context.span.trace_id}
    return {"got": len(request.body), "target": context.target, "more": "x" * int(request.query["give"])}
'''


class Cloud(Hooks):
    """The project on a target; a context manager. ``reports`` is what became of deliveries."""

    def __init__(self, folder: Path, target: str) -> None:
        self.target = target
        self.root = folder / "project"
        self.root.mkdir()
        (self.root / "portafaas.yaml").write_text(MANIFEST)
        (self.root / "app.py").write_text(SOURCE)
        self.log = folder / "log"
        self.reports: list[Report] = []
        #: What processes told beside their answers.
        self.facts: list[Mapping[str, Any]] = []
        #: Ids of each lease, and the store's time when it was taken.
        self.leases: list[tuple[str, tuple[str, ...], float]] = []
        self._stack = ExitStack()
        self.vendor = self._stack.enter_context(
            emulated(self.root / "portafaas.yaml", None, target)
        )
        self.plan = self.vendor.plan
        self.dispatcher = self._stack.enter_context(
            Dispatcher(
                self.plan, self.root, fast=True, hooks=self, extra={"LOG": str(self.log)},
                vendor=self.vendor, observed=True,
            )
        )  # fmt: skip

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def leased(self, lease: Lease, pid: int) -> None:
        ids = tuple(item.id for item in lease.items)
        self.leases.append((lease.function, ids, self.dispatcher.broker.clock.now()))

    def settled(self, reports: Sequence[Report]) -> None:
        self.reports += reports

    def observed(self, facts: Mapping[str, Any]) -> None:
        self.facts.append(facts)

    def spans(self) -> list[tuple[str, str, bool, str]]:
        """Of each message that a handler has had: lease, id, whether it failed, and why."""
        return [
            (str(one["run"]), one["of"], one["failed"], one["error"])
            for one in self.facts
            if one["observed"] == "span"
        ]

    def rules(self, function: str) -> DeliveryRules:
        return self.vendor.rules()[function]

    def send(self, queue: str, *texts: str, key: str | None = None) -> None:
        address = str(resources.store(self.root, "") / "queue" / queue)
        messages = [
            Outgoing(f"{text}#{number}", text.encode(), key=key, attributes={"a": "b"})
            for number, text in enumerate(texts)
        ]
        resources.send(address, messages, key is not None)

    def publish(self, *texts: str) -> None:
        address = str(resources.store(self.root, "") / "topic" / "news")
        messages = [
            Outgoing(
                f"{text}#{number}", json.dumps({"do": text}).encode(),
                content_type="application/json",
                attributes={
                    "ce-specversion": "1.0", "ce-id": f"{text}#{number}", "ce-source": "/test",
                    "ce-type": "test.happened",
                },
            )
            for number, text in enumerate(texts)
        ]  # fmt: skip
        resources.publish(address, messages, False)

    def put(self, id: str, text: str) -> None:
        address = str(resources.store(self.root, "") / "table" / "orders")
        row = {"id": id, "do": text}
        resources.write_row(address, Write("put", {"id": id}, row=row), "")

    def fire(self, text: str, instant: str) -> None:
        self.log.with_suffix(".tick").write_text(text)
        assert self.dispatcher.broker.fire(self.plan.function("tick"), instant)

    def run(self) -> list[Report]:
        """Deliver all; return what became of it, and begin a new log."""
        self.reports.clear()
        self.leases.clear()
        self.facts.clear()
        self.log.write_text("")
        self.dispatcher.run()
        return list(self.reports)

    def seen(self) -> list[tuple[str, int]]:
        """What handlers have been given: the text, and which attempt it said."""
        lines = [line.split(" | ") for line in self.log.read_text().splitlines()]
        return [(line[1], int(line[2])) for line in lines]

    def told(self) -> list[tuple[str, float]]:
        """What became of each delivery: the word, and the seconds until the next."""
        return [(report.what, round(report.seconds, 1)) for report in self.reports]


def letters(cloud: Cloud, origin: str) -> list[tuple[str, int]]:
    """Return reason and attempts of the letters of a box, and remove them."""
    broker = cloud.dispatcher.broker
    found = broker.letters.list(origin)
    broker.letters.purge(found)
    facts = [json.loads(item.letter or "{}") for item in found]
    return [(fact["reason"], fact["attempts"]) for fact in facts]

