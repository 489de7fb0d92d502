"""Workflows: runs are started, looked at and signalled here, and done by an engine."""

from __future__ import annotations

import json

from portafaas.runtime.resources import NotFound

from .store import effect, now, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from portafaas.runtime.workflows import RunStatus

#: A run, and those that it waits for; and the steps of these that wait for a signal.
_TREE = (
    "with recursive tree (id) as (select ? union all select runs.id from runs "
    "join tree on runs.parent = tree.id where runs.state = 'running')"
)
_WAITS = (
    "run in (select id from tree) and kind = 'signal' and ended is null "
    "and (due is null or due > ?)"
)


def start_run(address: str, input: Any) -> str:
    """Start a run: whoever works on the store's workflows takes it up."""
    from portafaas.runtime.resources import new_id

    run = new_id()
    with opened(address) as (connection, name):
        connection.execute(
            "insert into runs (id, workflow, state, input, started, wake) "
            "values (?, ?, 'running', ?, ?, 0)",
            (run, name, json.dumps(input), now(connection)),
        )
        effect(connection, kind="workflow", name=name, verb="start", run=run, input=input)
    return run


def run_status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    from portafaas.runtime.workflows import RunStatus

    with opened(address) as (connection, name):
        state, text = _run(connection, name, run)
        waiting = waited_for(connection, run) if state == "running" else ()
    outcome = json.loads(text) if text else {}
    return RunStatus(
        run, state, outcome.get("ok"), outcome.get("error", ""), outcome.get("cause", ""), waiting
    )


def signal_run(address: str, run: str, name: str, payload: Any) -> None:
    """Hand *payload* to a run; raises NotFound and NotWaiting."""
    from portafaas.runtime.resources import NotWaiting

    with opened(address) as (connection, workflow):
        state, _ = _run(connection, workflow, run)
        moment = now(connection)
        found = connection.execute(
            f"{_TREE} select number, run from steps where {_WAITS} and name = ? "
            "order by number limit 1",
            (run, moment, name),
        ).fetchone()
        if state != "running":
            raise NotWaiting(f"run {run} of {workflow!r} has ended: it is {state}")
        if found is None:
            raise NotWaiting(f"run {run} of {workflow!r} does not wait for the signal {name!r}")
        number, waiting = found
        connection.execute(
            "update steps set answer = ?, ended = ? where number = ?",
            (json.dumps({"ok": payload}), moment, number),
        )
        connection.execute("update runs set wake = 0 where id = ?", (waiting,))
        effect(
            connection, kind="workflow", name=workflow, verb="signal", run=run, signal=name,
            payload=payload,
        )  # fmt: skip


def waited_for(connection: sqlite3.Connection, run: str) -> tuple[str, ...]:
    """Return the names of the signals that a run waits for, or one that it runs."""
    found = connection.execute(
        f"{_TREE} select distinct name from steps where {_WAITS} order by name",
        (run, now(connection)),
    )
    return tuple(name for (name,) in found.fetchall())


def _run(connection: sqlite3.Connection, workflow: str, run: str) -> tuple[Any, str | None]:
    found = connection.execute(
        "select state, outcome from runs where id = ? and workflow = ?", (run, workflow)
    ).fetchone()
    if found is None:
        raise NotFound(f"workflow {workflow!r} has no run {run!r}")
    return found[0], found[1]
