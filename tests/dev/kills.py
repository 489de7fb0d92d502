"""kill -9 of ``portafaas dev``, and of its functions' processes, at random moments under load.

``python -m tests.dev.kills [--kills 200] [--seed N]``

Requests send, publish, write and start runs while functions of every kind work on that, each writing
down when it begins and ends what. The store writes down by itself, with triggers of this test, when it
commits that a delivery is settled, an idempotent piece of work done, a workflow's step answered. In the
end everything that was acknowledged must have been worked on, and nothing may have begun after the
store had it as done.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portafaas.local.broker import Broker
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.local.resources import store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan

MANIFEST = """\
portafaas: 1
name: kills
python: "3.11"
defaults: {timeout: 1s, retry: {attempts: 100, backoff: fixed, initial: 1s, jitter: false}}
functions:
  post:
    handler: app:post
    trigger: {http: {method: POST, path: /post}}
    timeout: 5s
    uses: [{send: jobs}, {send: steps}, {send: payments}, {publish: news}, {write: orders}, {write: rows}, {start: fulfil}]
  work: {handler: "app:work", trigger: {queue: {name: jobs, batch: 5}}, idempotency: {table: done}}
  step: {handler: "app:step", trigger: {queue: {name: steps, batch: 5}}}
  pay: {handler: "app:pay", trigger: {queue: {name: payments, batch: 5}}, idempotency: {table: done}}
  heard: {handler: "app:heard", trigger: {topic: {name: news}}, concurrency: 2}
  seen: {handler: "app:seen", trigger: {table: {name: rows}}}
  tick: {handler: "app:tick", trigger: {schedule: {cron: "* * * * *"}}}
  tock: {handler: "app:tock", trigger: {schedule: {cron: "0 0 1 1 *"}}}
  first: {handler: "app:first", trigger: {task: {}}, max-instances: 2}
  second: {handler: "app:second", trigger: {task: {}}, max-instances: 2, idempotency: {table: done}}
queues:
  jobs: {}
  steps: {ordered: true}
  payments: {}
topics: {news: {}}
tables:
  done: {key: id, ttl: expires}
  orders: {key: order, sort: part, outbox: true}
  rows: {key: id}
workflows:
  fulfil:
    steps:
      one: {task: first, retry: {attempts: 100, initial: 1s}, result: null}
      both:
        parallel:
          left: {steps: {left: {task: first, retry: {attempts: 100, initial: 1s}}}}
          right: {steps: {right: {task: second, retry: {attempts: 100, initial: 1s}}}}
        result: null
      two: {task: second, retry: {attempts: 100, initial: 1s}, result: null}
"""

HANDLERS = """\
import json
import os
import time

_ledger = os.open("ledger", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)


def note(what, function, id, n):
    line = json.dumps([what, function, id, n, time.time(), os.getpid()])
    os.write(_ledger, line.encode() + b"\\n")


def act(function, id, n):
    note("begin", function, id, n)
    time.sleep(0.003)
    note("end", function, id, n)


def post(request, context):
    order = request.json()
    n, kind = order["n"], order["kind"]
    if kind == "queue":
        context.queues["jobs"].send({"n": n})
    elif kind == "ordered":
        context.queues["steps"].send({"n": n}, key=order["key"])
    elif kind == "topic":
        context.topics["news"].publish({"n": n}, type="made")
    elif kind == "outbox":
        with context.outbox("orders") as box:
            box.put({"order": str(n), "part": "head"}, if_absent=True)
            box.send("payments", {"n": n})
    elif kind == "row":
        context.tables["rows"].put({"id": str(n)})
    elif kind == "run":
        return {"run": context.workflows["fulfil"].start({"n": n})}
    return {"n": n}


def work(message, context):
    act("work", message.id, message.json()["n"])


def step(message, context):
    act("step", message.id, message.json()["n"])


def pay(message, context):
    act("pay", message.id, message.json()["n"])


def heard(event, context):
    act("heard", event.id, event.data["n"])


def seen(event, context):
    act("seen", event.id, int(event.keys["id"]))


def tick(event, context):
    act("tick", event.id, event.time)


def tock(event, context):
    act("tock", event.id, event.time)


def first(task, context):
    act("first", f"{task.key}!{task.attempt}", task.input["n"])
    return task.key


def second(task, context):
    act("second", f"{task.key}!{task.attempt}", task.input["n"])
    return task.key
"""

#: What the store commits, as it does.
AUDIT = """
create table audit (what text not null, box text not null, id text not null, at real not null);
create trigger audit_settled after delete on deliveries when old.state = 'leased' begin
    insert into audit values ('settled', old.box, old.id, (julianday('now') - 2440587.5) * 86400.0);
end;
create trigger audit_done after insert on items
when new.name = 'done' and json_extract(new.row, '$.state') = 'completed' begin
    insert into audit values ('done', '', new.key, (julianday('now') - 2440587.5) * 86400.0);
end;
create trigger audit_answered after update of answer on steps
when new.answer is not null and old.answer is null and new.kind = 'function' begin
    insert into audit values ('answered', new.run, new.place, (julianday('now') - 2440587.5) * 86400.0);
    insert into audit select 'succeeded', new.run, new.place, (julianday('now') - 2440587.5) * 86400.0
    where json_type(new.answer, '$.ok') is not null;
end;
"""
KINDS = ("queue", "ordered", "topic", "outbox", "row", "run")
#: Who works on what was asked for by a request of a kind.
WORKERS = {
    "queue": ("work",), "ordered": ("step",), "topic": ("heard",), "outbox": ("pay",), "row": ("seen",),
    "run": ("first", "second"), "fire": ("tock",),
}  # fmt: skip
#: Calls of each task in one run.
CALLS = {"first": 2, "second": 2}
#: Boxes by function.
BOXES = {
    "work": "queue/jobs", "step": "queue/steps", "pay": "queue/payments", "heard": "function/heard",
    "seen": "function/seen", "tick": "function/tick", "tock": "function/tock",
}  # fmt: skip
#: Seconds by which the clock of the store's triggers, in milliseconds, may be ahead of the handlers'.
_BLUR = 0.002


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the ledger: *what* is ``begin`` or ``end``."""

    what: str
    function: str
    id: str
    n: Any
    at: float
    pid: int


@dataclass(slots=True)
class Evidence:
    """What happened.

    ``acknowledged``: what was asked for and confirmed, by kind: numbers, and when. ``keys``: of what is
    in order. ``commits``: (what, box or run, id) -> when the store had it. ``rows``: numbers of rows of
    the outbox's table. ``runs``: states of runs by number.
    """

    acknowledged: dict[str, dict[Any, float]] = field(default_factory=lambda: {k: {} for k in WORKERS})
    asked: dict[Any, float] = field(default_factory=dict)
    keys: dict[Any, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    commits: dict[tuple[str, str, str], float] = field(default_factory=dict)
    rows: set[Any] = field(default_factory=set)
    runs: dict[Any, str] = field(default_factory=dict)
    dead: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    #: Seconds from each start after a kill until a request was answered.
    starts: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def judge(found: Evidence) -> list[str]:
    """Return what was promised and not kept."""
    problems = list(found.problems)
    begun: dict[tuple[str, Any], list[Note]] = {}
    ended: dict[tuple[str, Any], list[Note]] = {}
    for note in found.notes:
        (begun if note.what == "begin" else ended).setdefault((note.function, note.n), []).append(note)
    # Nothing acknowledged is lost.
    for kind, numbers in found.acknowledged.items():
        for n in numbers:
            for function in WORKERS[kind]:
                # Attempts at one step are one.
                calls = len({note.id.partition("!")[0] for note in ended.get((function, n), ())})
                if calls < (CALLS[function] if kind == "run" else 1):
                    problems.append(f"lost: {kind} {n} was acknowledged; {function} ended {calls} times")
    for n in found.rows:
        if ("pay", n) not in ended:
            problems.append(f"lost: order {n} was committed, its message never arrived")
    problems += [f"run {n} is {state}" for n, state in found.runs.items() if state != "succeeded"]
    for n in found.acknowledged["run"]:
        if n not in found.runs:
            problems.append(f"lost: run {n} was acknowledged, and is not there")
    # Nothing is there that was not committed.
    for function, n in ended:
        if function == "pay" and n not in found.rows:
            problems.append(f"order {n} was not committed, its message arrived")
    # Nothing committed is repeated.
    for note in found.notes:
        if note.what != "begin":
            continue
        for what, when in _commits(found, note):
            if note.at > when + _BLUR:
                late = note.at - when
                problems.append(
                    f"repeated: {note.function} began {note.id} ({note.n}) {late:.3f} s after it was {what}"
                )
    # What is in order stays so.
    chains: dict[str, list[Any]] = {}
    for n in sorted(found.acknowledged["ordered"], key=lambda n: found.asked[n]):
        chains.setdefault(found.keys[n], []).append(n)
    for key, chain in chains.items():
        for before, after in itertools.pairwise(chain):
            if ("step", before) in ended and ("step", after) in begun:
                over = min(note.at for note in ended["step", before])
                if (start := min(note.at for note in begun["step", after])) < over:
                    problems.append(f"out of order: {after} of {key} began {over - start:.3f} s early")
    if found.dead:
        problems.append(f"{found.dead} dead letters")
    return problems


def _commits(found: Evidence, note: Note) -> Iterable[tuple[str, float]]:
    box = BOXES.get(note.function)
    places = []
    if box is not None:
        places.append(("settled", box, note.id))
    else:
        run, _, place = note.id.partition("/")
        places.append(("answered", run, place))
        places.append(("succeeded", run, place.partition("!")[0]))
    if note.function in ("work", "pay", "second"):
        places.append(("done", note.function, note.id.partition("!")[0]))
    for one in places:
        if one in found.commits:
            yield one[0], found.commits[one]


class Killed:
    """The project in a folder, ``portafaas dev`` that runs it, and who asks it things."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        (root / "portafaas.yaml").write_text(MANIFEST)
        (root / "app.py").write_text(HANDLERS)
        self.plan = build_plan(load_manifest(root / "portafaas.yaml"))
        self.folder = store(root, "")
        with Broker(self.folder, self.plan) as broker:
            broker.store.connection.executescript(AUDIT)
        self.dice = random.Random(seed)
        self.found = Evidence()
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (root / "dev.log").open("ab")
        self._over = threading.Event()
        self._numbers = iter(range(10_000_000))
        self._lock = threading.Lock()
        self._answers = 0
        self._threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []

    # The process

    def start(self) -> None:
        """Start it, and wait until a request is answered."""
        begin = time.monotonic()
        tries = 0
        while True:
            if self._process is None or self._process.poll() is not None:
                if tries:
                    # A killed one's processes may hold its port or its lock for a moment: no longer.
                    time.sleep(0.1)
                tries += 1
                if tries > 20:
                    raise RuntimeError("it does not start again: " + self.log())
                self._process = subprocess.Popen(
                    [
                        sys.executable, "-m", "portafaas", "dev", "--port", str(self.port), "--no-reload",
                        "--log-format", "json",
                    ],
                    cwd=self.root, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
                    start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                )  # fmt: skip
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            if time.monotonic() - begin > 90:
                raise RuntimeError("it does not answer: " + self.log())
            time.sleep(0.02)
        self.found.starts.append(time.monotonic() - begin)
        if tries > 1:
            self.found.kills["starts that were refused at first"] += tries - 1

    def log(self) -> str:
        """Return the end of what it printed."""
        return (self.root / "dev.log").read_text(errors="replace")[-2000:]

    def kill(self, what: str) -> None:
        """Kill ``dev``, its process group; ``all``, its functions' processes, too; or one ``worker``."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended by itself, with {self._process.returncode}: {self.log()}")
        children = descendants(self._process.pid)
        if what == "worker":
            if not children:
                return
            _kill(self.dice.choice(children))
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if what == "all":
                for child in children:
                    _kill(child)
            self._process = None
        self.found.kills[what] += 1

    def stop(self) -> None:
        """End everything."""
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        if self._process is not None and self._process.poll() is None:
            children = descendants(self._process.pid)
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                self.found.problems.append("it did not end when it was told to")
            end = time.monotonic() + 10
            while (left := [pid for pid in children if _alive(pid)]) and time.monotonic() < end:
                time.sleep(0.02)
            if left:
                self.found.problems.append(f"{len(left)} processes outlive it")
        self._log.close()

    # The load

    def load(self, clients: int, pause: float) -> None:
        """Begin to ask."""

        def run(do: Callable[[], None]) -> None:
            try:
                do()
            except BaseException as exc:
                self.failures.append(exc)

        for number in range(clients):
            dice = random.Random(self.dice.random())
            do = lambda number=number, dice=dice: self._client(f"c{number}", dice, pause)  # noqa: E731
            self._threads.append(threading.Thread(target=run, args=(do,)))
        self._threads.append(threading.Thread(target=run, args=(self._fire,)))
        for thread in self._threads:
            thread.start()

    def _client(self, key: str, dice: random.Random, pause: float) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            with self._lock:
                n = next(self._numbers)
            kind = dice.choice(KINDS)
            body = json.dumps({"n": n, "kind": kind, "key": key})
            self.found.asked[n] = time.time()
            if kind == "ordered":
                self.found.keys[n] = key
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", "/post", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.found.acknowledged[kind][n] = time.time()
                    self._answers += 1
                elif answer.status not in (502, 503, 504):
                    self.found.problems.append(f"{kind} {n} was answered {answer.status}")
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.1)
            time.sleep(pause * dice.random())
        if connection is not None:
            connection.close()

    def _fire(self) -> None:
        """Have a schedule's function run, as the instants of its schedule do."""
        year = 2030
        with Broker(self.folder, self.plan) as broker:
            while not self._over.wait(0.1):
                instant = f"{year}-01-01T00:00:00.000Z"
                if broker.fire(self.plan.function("tock"), instant):
                    self.found.acknowledged["fire"][instant] = time.time()
                year += 1
                if year > 9990:
                    return

    def rampage(self, kills: int) -> None:
        """Kill it again and again."""
        self.start()
        for _ in range(kills):
            before, end = self._answers, time.monotonic() + 60
            while self._answers == before:
                if time.monotonic() > end:
                    raise RuntimeError("no request is answered any more: " + self.log())
                if self.failures:
                    raise self.failures[0]
                time.sleep(0.005)
            time.sleep(self.dice.random() * 0.5)
            self.kill(self.dice.choices(("dev", "all", "worker"), (4, 2, 4))[0])
            if self._process is None:
                self.start()

    def settle(self, limit: float) -> None:
        """Ask no more, and wait until nothing is left to do."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        if self.failures:
            raise self.failures[0]
        with Broker(self.folder, self.plan) as broker:
            end, left = time.monotonic() + limit, {"?": 1}
            while left and time.monotonic() < end:
                time.sleep(0.1)
                left = self._left(broker)
        if left:
            self.found.problems.append(f"not over after {limit} s: {left}")

    def _left(self, broker: Broker) -> dict[str, int]:
        def count(query: str) -> int:
            (number,) = broker.store.connection.execute(query).fetchone()
            return int(number or 0)

        left = {
            "messages": count(
                "select count(*) from messages where number > "
                "coalesce((select value from broker where name = 'taken'), 0)"
            ),
            "changes": count("select count(*) from changes"),
            "runs": count("select count(*) from runs where state = 'running'"),
            "outbox": count("select count(*) from items where sort like 'pf-outbox/%'"),
            **{f.name: broker.waiting(f) for f in self.plan.functions if f.kind not in ("http", "task")},
        }
        return {name: number for name, number in left.items() if number}

    def evidence(self) -> Evidence:
        """Return all that was seen."""
        found = self.found
        for line in (self.root / "ledger").read_bytes().splitlines():
            # A line is one write: whole, or not there.
            found.notes.append(Note(*json.loads(line)))
        connection = database(str(self.folder))
        claims = _claims(found.notes)
        for what, box, id_, at in connection.execute("select what, box, id, at from audit"):
            place = (what, box, id_.partition("!")[0] if what == "succeeded" else id_)
            if what == "done":
                if id_ not in claims:
                    found.problems.append(f"done, but never begun: {id_}")
                    continue
                place = ("done", *claims[id_])
            # Of several copies of a message, which outbox and relay may make, the last.
            found.commits[place] = max(at, found.commits.get(place, 0.0)) if what == "settled" else at
        for (key,) in connection.execute(
            "select distinct key from items where name = 'orders' and sort = 'head'"
        ):
            found.rows.add(int(key))
        for state, text in connection.execute("select state, input from runs where parent is null"):
            found.runs[json.loads(text)["n"]] = state
        (found.dead,) = connection.execute(
            "select count(*) from deliveries where state = 'dead'"
        ).fetchone()
        connection.close()
        return found


def _claims(notes: Iterable[Note]) -> dict[str, tuple[str, str]]:
    """Return function and id of the work, by the key of its record of idempotency."""
    from portafaas.runtime.repeats import sha256

    known = {(note.function, note.id.partition("!")[0]) for note in notes}
    kinds = {"work": "message", "pay": "message", "second": "task"}
    return {
        function + "/" + sha256(kinds[function] + "\n" + id_): (function, id_)
        for function, id_ in known
        if function in kinds
    }


def descendants(pid: int) -> list[int]:
    """Return the processes that *pid* has started, and those that these have."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return sorted(found)


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def execute(
    root: Path, kills: int, seed: int, *, clients: int = 3, pause: float = 0.02, limit: float = 180.0
) -> Evidence:
    """Run it all in *root*, an empty folder; return what was seen, not judged."""
    begin = time.monotonic()
    killed = Killed(root, seed)
    try:
        killed.load(clients, pause)
        killed.rampage(kills)
        killed.settle(limit)
    finally:
        killed.stop()
    found = killed.evidence()
    found.seconds = time.monotonic() - begin
    return found


def main() -> int:
    """Print what was seen; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        found = execute(Path(folder), options.kills, options.seed, clients=options.clients)
    problems = judge(found)
    print(summary(found, options.seed))
    for problem in problems[:50]:
        print(problem)
    print(f"{len(problems)} problems")
    return int(bool(problems))


def summary(found: Evidence, seed: int) -> str:
    """Return what happened, in some lines."""
    begun = Counter((n.function, n.id) for n in found.notes if n.what == "begin")
    over = Counter(n.function for n in found.notes if n.what == "end")
    again = Counter(function for (function, _), count in begun.items() for _ in range(count - 1))
    committed = Counter(what for what, _, _ in found.commits)
    starts = sorted(found.starts)
    return "\n".join(
        (
            f"seed {seed}, {found.seconds:.0f} s; killed: {dict(found.kills)}",
            f"acknowledged: {({k: len(v) for k, v in found.acknowledged.items()})} "
            f"of {len(found.asked)} asked",
            f"worked on: {dict(over)}",
            f"begun again: {dict(again)}",
            f"committed: {dict(committed)}",
            f"started in {starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s at most",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
