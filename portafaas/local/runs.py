"""The runs of workflows in the store on this machine: rows of ``runs`` and ``steps``.

``portafaas.local.driver`` has the tables. A row of ``steps`` is one request of a run, by its place:
opened when the run asks for it, and answered once. Every method is one transaction, or part of the
caller's.

Two tables that are only ever written together, and therefore one class of 300 lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

from portafaas.local.driver.portafaas_local_resources import waited_for
from portafaas.local.store import Store
from portafaas.record import dataclass

#: Seconds that runs are kept which have ended (Step Functions: 90 days).
RETENTION = 90 * 86_400

_RUN = (
    "number, id, workflow, state, input, machine, outcome, started, ended, parent, place, owner"
)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is kept; times are those of the store's clock."""

    number: int
    id: str
    workflow: str
    #: ``running``, ``succeeded``, ``failed``, ``canceled``.
    state: str
    input: Any
    #: Its normal form; None until somebody takes it up.
    machine: Mapping[str, Any] | None
    #: ``{"ok"}`` or ``{"error", "cause"}`` of one that has ended by itself.
    outcome: Mapping[str, Any] | None
    started: float
    ended: float | None
    #: The run that waits for it, and the place of its request.
    parent: str | None
    place: str | None
    #: Who works on it.
    owner: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """One request of a run; ``answer`` counts once ``ended`` is there."""

    place: str
    #: ``function``, ``workflow``, ``sleep``, ``signal``.
    kind: str
    step: str
    name: str
    attempt: int
    compensates: str
    input: Any
    begun: float
    due: float | None
    ended: float | None
    answer: Any


class Runs(Store):
    """The runs of one service and stage; not for several threads. *folder* is the store's."""

    # Reading

    def run(self, id: str) -> Run | None:
        """Return a run."""
        row = self.connection.execute(f"select {_RUN} from runs where id = ?", (id,)).fetchone()
        return None if row is None else _run(row)

    def latest(self, workflow: str, limit: int) -> list[Run]:
        """Return runs of a workflow, the latest first."""
        rows = self.connection.execute(
            f"select {_RUN} from runs where workflow = ? order by number desc limit ?",
            (workflow, limit),
        )
        return [_run(row) for row in rows.fetchall()]

    def steps(self, id: str) -> list[Kept]:
        """Return what a run has asked for, in the order of asking."""
        rows = self.connection.execute(
            "select place, kind, step, name, attempt, compensates, input, begun, due, ended, "
            "answer from steps where run = ? order by number",
            (id,),
        ).fetchall()
        return [_kept(row) for row in rows]

    def waiting(self, id: str) -> tuple[str, ...]:
        """Return the names of the signals that a run waits for."""
        return waited_for(self.connection, id)

    def answers(self, id: str, places: Sequence[str]) -> list[tuple[str, Any, float]]:
        """Return those of *places* that others have answered: place, answer, when."""
        found = []
        for place in places:
            row = self.connection.execute(
                "select answer, ended from steps where run = ? and place = ? "
                "and ended is not null",
                (id, place),
            ).fetchone()
            if row is not None:
                found.append((place, json.loads(row[0]), row[1]))
        return found

    # Claims

    def awake(self, owner: str, now: float, limit: int) -> list[str]:
        """Return runs that *owner* has something to do for, or may take."""
        rows = self.connection.execute(
            "select id from runs where wake <= ? and (owner is null or owner = ?) "
            "order by wake, number limit ?",
            (now, owner, limit),
        )
        return [id for (id,) in rows.fetchall()]

    def claim(self, id: str, owner: str, seconds: float, machine: Mapping[str, Any]) -> None:
        """Have *owner* work on a run; its machine stays what it was at first."""
        self.connection.execute(
            "update runs set owner = ?, until = ?, machine = coalesce(machine, ?) where id = ?",
            (owner, time() + seconds, json.dumps(machine), id),
        )

    def extend(self, owner: str, seconds: float) -> None:
        """Keep what *owner* has: its leases end no sooner than in two thirds of *seconds*."""
        least = time() + seconds * 2 / 3
        late = "from runs where owner = ? and until < ?"
        if self.connection.execute(f"select 1 {late} limit 1", (owner, least)).fetchone():
            with self.transaction():
                self.connection.execute(
                    "update runs set until = ? where owner = ?", (time() + seconds, owner)
                )

    def free(self, owner: str, *, alive: Callable[[str], bool]) -> list[str]:
        """Take back what others than *owner* had who are gone; return those owners."""
        do = self.connection
        found = do.execute(
            "select owner, min(until) from runs where owner is not null and owner != ? "
            "group by owner",
            (owner,),
        ).fetchall()
        gone = [other for other, _ in found if not alive(other)]
        late = any(until < time() for other, until in found if other not in gone)
        if gone or late:
            with self.transaction():
                for other in gone:
                    do.execute("update runs set owner = null, wake = 0 where owner = ?", (other,))
                do.execute(
                    "update runs set owner = null, wake = 0 where owner != ? and until < ?",
                    (owner, time()),
                )
        return gone

    def drop(self, owner: str) -> None:
        """Give up what *owner* has."""
        with self.transaction():
            self.connection.execute(
                "update runs set owner = null, wake = 0 where owner = ? and state = 'running'",
                (owner,),
            )

    # Writing, inside a transaction

    def wake(self, id: str, when: float | None, owner: str | None) -> None:
        """Set when there is something to do for a run, and who works on it."""
        self.connection.execute(
            "update runs set wake = ?, owner = ? where id = ?", (when, owner, id)
        )

    def open(self, run: str, kept: Kept) -> None:
        """Keep a new request, answered or not."""
        self.connection.execute(
            "insert into steps (run, place, kind, step, name, attempt, compensates, input, begun, "
            "due, ended, answer) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run, kept.place, kept.kind, kept.step, kept.name, kept.attempt, kept.compensates,
                json.dumps(kept.input), kept.begun, kept.due, kept.ended,
                None if kept.ended is None else json.dumps(kept.answer),
            ),
        )  # fmt: skip

    def answer(self, run: str, place: str, answer: Any, now: float) -> bool:
        """Keep an answer; False when there was one."""
        done = self.connection.execute(
            "update steps set answer = ?, ended = ? where run = ? and place = ? "
            "and ended is null",
            (json.dumps(answer), now, run, place),
        )
        return done.rowcount == 1

    def start(
        self, id: str, workflow: str, input: Any, now: float, parent: str | None = None,
        place: str | None = None,
    ) -> None:  # fmt: skip
        """Keep a new run, unless there is one with that id."""
        self.connection.execute(
            "insert or ignore into runs (id, workflow, state, input, started, parent, place, wake) "
            "values (?, ?, 'running', ?, ?, ?, ?, 0)",
            (id, workflow, json.dumps(input), now, parent, place),
        )

    def end(self, run: Run, state: str, outcome: Mapping[str, Any] | None, now: float) -> None:
        """Record how a run has ended, and tell the run that waits for it."""
        self.connection.execute(
            "update runs set state = ?, outcome = ?, ended = ?, wake = null, owner = null "
            "where id = ?",
            (state, None if outcome is None else json.dumps(outcome), now, run.id),
        )
        if run.parent is None or run.place is None:
            return
        if outcome is None:
            outcome = {"error": "States.TaskFailed", "cause": f"run {run.id} was canceled"}
        if self.answer(run.parent, run.place, outcome, now):
            self.connection.execute(
                "update runs set wake = 0 where id = ? and state = 'running'", (run.parent,)
            )

    def cancel(self, run: Run, now: float) -> None:
        """Stop a run that is running, and those that it waits for."""
        self.end(run, "canceled", None, now)
        if run.owner is not None:
            # Whoever works on it is told.
            self.wake(run.id, 0, run.owner)
        children = self.connection.execute(
            f"select {_RUN} from runs where parent = ? and state = 'running'", (run.id,)
        )
        for row in children.fetchall():
            self.cancel(_run(row), now)

    # What is left to do

    def next_due(self, now: float, timeouts: bool) -> float | None:
        """Return when a timer of a run is due next that is not yet; None when there is none.

        Without *timeouts* those of signals and sub-workflows are no reason to wait.
        """
        later = (
            "from steps join runs on runs.id = steps.run where steps.ended is null "
            "and steps.due > ? and runs.state = 'running'"
        )
        do = self.connection
        if not timeouts:
            query = f"select 1 {later} and steps.kind = 'sleep' limit 1"
            if do.execute(query, (now,)).fetchone() is None:
                return None
        found: float | None = do.execute(f"select min(steps.due) {later}", (now,)).fetchone()[0]
        return found

    def held(self, id: str, now: float) -> bool:
        """Tell whether a run that has not ended cannot go on before a signal, or its timeout."""
        row = self.connection.execute(
            "select max(steps.kind = 'signal'), min(steps.kind = 'signal') from runs "
            "join steps on steps.run = runs.id and steps.ended is null "
            "where runs.id = ? and runs.state = 'running' "
            "and (runs.wake is null or runs.wake > ?)",
            (id, now),
        ).fetchone()
        return tuple(row) == (1, 1)

    def at_work(self, owner: str, now: float) -> bool:
        """Tell whether somebody else works on a run, or there is something to do for one."""
        query = (
            "select 1 from runs where (owner is not null and owner != ?) or wake <= ? limit 1"
        )
        return self.connection.execute(query, (owner, now)).fetchone() is not None

    def count(self, state: str) -> int:
        """Return how many runs there are that nobody waits for."""
        (count,) = self.connection.execute(
            "select count(*) from runs where state = ? and parent is null", (state,)
        ).fetchone()
        return int(count)

    def sweep(self, now: float) -> None:
        """Forget runs that ended long ago."""
        old = "ended < ?"
        do, least = self.connection, now - RETENTION
        if do.execute(f"select 1 from runs where {old} limit 1", (least,)).fetchone():
            with self.transaction():
                do.execute(
                    f"delete from steps where run in (select id from runs where {old})", (least,)
                )
                do.execute(f"delete from runs where {old}", (least,))


def _kept(row: Sequence[Any]) -> Kept:
    place, kind, step, name, attempt, compensates, input, begun, due, ended, answer = row
    return Kept(
        place, kind, step, name, attempt, compensates, _value(input), begun, due, ended,
        _value(answer),
    )  # fmt: skip


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _run(row: Sequence[Any]) -> Run:
    number, id, workflow, state, input, machine, outcome, *rest = row
    return Run(
        number, id, workflow, state, json.loads(input),
        _value(machine), _value(outcome), *rest,
    )  # fmt: skip
