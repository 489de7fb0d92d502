"""Messages that wait in the local broker, drained: how fast, in how much memory, and whether all.

Each variant sends its messages to the store of a project of its own, then a dispatcher in a process
of its own, or ``portafaas dev`` (``dev-...``), which records what happens as well, delivers them to
a handler that notes the number of each in a file. Printed: messages a second; the share of the
floor, which is what the store cannot be without: one transaction that leases and one that removes,
for as many messages as the variant takes at once, in a database opened alike, measured right after
it; the processor time of a message, which depends less on what else the machine does (floor, and
all processes that deliver); and the peak of resident memory of dispatcher and function after 10 %
and at the end. A message that is missing, or came twice, ends it with an error.

    python benchmarks/dev_drain.py [--messages 100000] [--variants single,batch,...]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

from portafaas.local.broker import Broker
from portafaas.local.dispatch import Dispatcher
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.local.hooks import Hooks, Report
from portafaas.local.resources import publish, send, store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Outgoing

_MANIFEST = """\
portafaas: 1
name: drain
python: "3.11"
functions:
  single: {handler: "work:one", trigger: {queue: {name: single}}}
  batch: {handler: "work:one", trigger: {queue: {name: batch, batch: 10}}}
  ordered: {handler: "work:one", trigger: {queue: {name: ordered, batch: 10}}}
  topic: {handler: "work:one", trigger: {topic: {name: topic}}}
queues:
  single: {}
  batch: {}
  ordered: {ordered: true}
topics:
  topic: {}
"""
_HANDLER = """\
import os
import struct

ledger = os.open("ledger", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)

def one(message, context):
    data = message.data if hasattr(message, "data") else message.json()
    os.write(ledger, struct.pack("<Q", data["n"]))
"""
#: How many messages a variant takes at once, and of how many keys they are.
VARIANTS = {
    "single": (1, 0), "batch": (10, 0), "ordered": (10, 500), "topic": (1, 0),
    "dev-single": (1, 0), "dev-batch": (10, 0),
}  # fmt: skip


class Watch(Hooks):
    """Counts, and looks at the memory once a tenth is done."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.done = 0
        self.pid = 0
        self.samples: dict[str, list[float]] = {}

    def leased(self, lease: Any, pid: int) -> None:
        self.pid = pid

    def settled(self, reports: Sequence[Report]) -> None:
        before, self.done = self.done, self.done + sum(r.what == "delivered" for r in reports)
        if before < self.messages // 10 <= self.done:
            self.look("10 %")
        if before < self.messages <= self.done:
            self.look("100 %")

    def look(self, when: str) -> None:
        self.samples[when] = [*memory(os.getpid()), *memory(self.pid)]


def memory(pid: int) -> tuple[float, float]:
    """Return resident memory in MiB, and its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024


def drain(root: Path, messages: int) -> None:
    """Deliver all; print what was seen. Runs in a process of its own."""
    plan = build_plan(load_manifest(root / "portafaas.yaml"))
    watch = Watch(messages)
    start = perf_counter()
    with Dispatcher(plan, root, hooks=watch) as dispatcher:
        dispatcher.run()
    seconds = perf_counter() - start
    used = os.times()
    busy = used.user + used.system + used.children_user + used.children_system
    print(json.dumps({"seconds": seconds, "busy": busy, "samples": watch.samples}))


def drain_by_dev(root: Path, messages: int) -> dict[str, Any]:
    """Have ``portafaas dev`` deliver all; return what :func:`drain` prints."""
    command = [sys.executable, "-m", "portafaas", "dev", "--port", "0", "--no-reload"]
    ledger, samples = root / "ledger", {}
    start = perf_counter()
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log)
    try:
        for when, count in (("10 %", messages // 10), ("100 %", messages)):
            while not ledger.exists() or ledger.stat().st_size < 8 * count:
                if process.poll() is not None or perf_counter() - start > 3600:
                    raise SystemExit((root / "log").read_text()[-2000:])
                sleep(0.01)
            seconds = perf_counter() - start
            sleep(0.5)  # what is settled, and recorded, after the handler has done it
            workers = [memory(pid) for pid in children(process.pid)]
            most = max(workers, default=(0.0, 0.0), key=lambda each: each[1])
            samples[when] = [*memory(process.pid), *most]
        busy = sum(processor(pid) for pid in (process.pid, *children(process.pid)))
    finally:
        process.terminate()
        process.wait(30)
    return {"seconds": seconds, "busy": busy, "samples": samples}


def processor(pid: int) -> float:
    """Return the seconds of processor that a process has taken."""
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def children(parent: int) -> list[int]:
    """Return the processes that *parent* has started for deliveries."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                facts = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(facts[1]) == parent and b"local.child" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def feed(root: Path, name: str, messages: int, keys: int) -> float:
    """Send *messages*; return the seconds that took."""
    folder = store(root, "")
    start = perf_counter()
    for first in range(0, messages, 100):
        # With what every client adds: an identity of the trace.
        some = [
            Outgoing(
                f"m-{n}",
                json.dumps({"n": n, "customer": "c-7", "note": "x" * 80}).encode(),
                content_type="application/json",
                attributes={"traceparent": f"00-{n:032x}-{n:016x}-01"}
                | ({"ce-id": f"m-{n}", "ce-type": "made"} if name == "topic" else {}),
                key=f"k-{n * 7919 % keys}" if keys else None,
            )
            for n in range(first, min(first + 100, messages))
        ]
        if name == "topic":
            publish(str(folder / "topic" / name), some, False)
        else:
            send(str(folder / "queue" / name), some, keys > 0)
    return perf_counter() - start


def floor(folder: Path, messages: int, size: int) -> tuple[float, float]:
    """Return messages a second, and seconds of processor of one, of two transactions for
    *size* of them, in a store opened alike.
    """
    connection = database(str(folder))
    connection.execute(
        "create table floor (number integer primary key, state text, body blob, lease text)"
    )
    connection.execute("create index floor_state on floor (state, number)")
    connection.execute("begin")
    connection.executemany(
        "insert into floor values (?, 'waiting', ?, null)",
        ((n, b"x" * 200) for n in range(messages)),
    )
    connection.execute("commit")
    start, used = perf_counter(), process_time()
    for first in range(0, messages, size):
        numbers = [(n,) for n in range(first, min(first + size, messages))]
        connection.execute("begin immediate")
        connection.executemany(
            "update floor set state = 'leased', lease = 'x' where number = ?", numbers
        )
        connection.execute("commit")
        connection.execute("begin immediate")
        connection.executemany("delete from floor where number = ?", numbers)
        connection.execute("commit")
    taken, used = perf_counter() - start, process_time() - used
    connection.close()
    return messages / taken, used / messages


def one(name: str, messages: int) -> float:
    """Run a variant and print its line; return its share of the floor."""
    size, keys = VARIANTS[name]
    with tempfile.TemporaryDirectory(prefix="drain-") as folder:
        root = Path(folder)
        (root / "portafaas.yaml").write_text(_MANIFEST)
        (root / "work.py").write_text(_HANDLER)
        fed = feed(root, name.removeprefix("dev-"), messages, keys)
        if name.startswith("dev-"):
            found = drain_by_dev(root, messages)
        else:
            command = [sys.executable, __file__, "--drain", str(root), "--messages", str(messages)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
        data = (root / "ledger").read_bytes()
        numbers = [n for (n,) in struct.iter_unpack("<Q", data)]
        if sorted(numbers) != list(range(messages)):
            missing = len(set(range(messages)) - set(numbers))
            raise SystemExit(f"{name}: {missing} missing, {len(numbers) - len(set(numbers))} twice")
        if keys:
            last: dict[int, int] = {}
            for n in numbers:
                key = n * 7919 % keys
                if last.get(key, -1) > n:
                    raise SystemExit(f"{name}: {n} came after {last[key]}, of one key")
                last[key] = n
        plan = build_plan(load_manifest(root / "portafaas.yaml"))
        with Broker(store(root, ""), plan) as broker:
            left = sum(broker.waiting(function) for function in plan.functions)
        if left:
            raise SystemExit(f"{name}: {left} still wait")
        size_mb = sum(f.stat().st_size for f in store(root, "").glob("resources.db*")) / 1e6
        rate = messages / found["seconds"]
        bare, cost = floor(root / "floor", min(messages, 20_000), size)
    early, late = found["samples"]["10 %"], found["samples"]["100 %"]
    print(
        f"{name:10} {rate:7.0f} /s  floor {bare:7.0f} /s  ratio {rate / bare:5.3f}  "
        f"processor {cost * 1e6:4.0f} and {found['busy'] / messages * 1e6:5.0f} us  "
        f"sent at {messages / fed:6.0f} /s  store {size_mb:5.1f} MB  "
        f"dispatcher {early[1]:.1f} -> {late[1]:.1f} MiB  function {early[3]:.1f} -> {late[3]:.1f}"
    )
    return float(rate / bare)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--drain", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drain:
        drain(options.drain, options.messages)
        return
    print(f"SQLite {sqlite3.sqlite_version}, load {os.getloadavg()[0]:.1f}")
    for name in options.variants.split(","):
        one(name, options.messages)


if __name__ == "__main__":
    main()
