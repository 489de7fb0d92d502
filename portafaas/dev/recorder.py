"""Records of deliveries and of workflows' calls, made of what the dispatcher tells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import random
from time import time
from typing import Any

from portafaas.dev.activity import Activity
from portafaas.dev.logs import Console, entry_of
from portafaas.dev.record import Invocation
from portafaas.local.deliveries import Lease, Settled
from portafaas.local.hooks import Hooks, How, Report
from portafaas.local.making import Note
from portafaas.local.orders import Order
from portafaas.plan import BuildPlan


class Recorder(Hooks):
    """Makes records of deliveries and of workflows' calls; for the dispatcher's thread.

    Of what went well the share *duplicates* (0 to 1) is delivered once more, as platforms may.
    """

    def __init__(
        self, plan: BuildPlan, activity: Activity, console: Console, duplicates: float = 0.0
    ) -> None:
        self._plan = plan
        self._activity = activity
        self._console = console
        self._kinds = {function.name: function.kind for function in plan.functions}
        #: By lease, or mark of a call.
        self._open: dict[str, Invocation] = {}
        self._spans: dict[str, list[dict[str, Any]]] = {}
        self._how: dict[str, tuple[How, str]] = {}
        self._lease: Lease | None = None
        self._duplicates = duplicates
        #: Ids of the lease's items that come once more though they are done.
        self._twice: list[str] = []

    def leased(self, lease: Lease, pid: int) -> None:
        """Begin a record."""
        function = lease.function
        self._open[lease.id] = Invocation(
            function, self._kinds[function], time(), attempt=max(i.attempts for i in lease.items),
            box=lease.items[0].box, request=_request(self._kinds[function], lease), mark=lease.id,
        )  # fmt: skip

    def called(self, order: Order, pid: int) -> None:
        """Begin a record."""
        mark = order.mark
        self._open[mark] = Invocation(
            order.function, "task", time(), attempt=order.attempt, box=f"workflow/{order.workflow}",
            request={"task": order.task()}, correlation_id=order.run, mark=mark,
        )  # fmt: skip

    def observed(self, facts: Mapping[str, Any]) -> None:
        """Add what a process says to the record."""
        run = str(facts.get("run", ""))
        one = self._open.get(run)
        if facts["observed"] == "log":
            for line in str(facts["text"]).splitlines():
                entry = entry_of(line, facts["time"])
                if one is not None:
                    one.logs.append(entry)
                self._console.log(one.function if one is not None else "-", line, entry)
            return
        if one is None:
            return
        span = {
            "name": one.function if not facts["of"] else str(facts["of"]),
            "start": facts["start"],
            "seconds": max(0.0, facts["end"] - facts["start"]),
            "status": "error" if facts["error"] or facts["failed"] else "ok",
            "span_id": facts["span_id"],
            "parent": facts["parent_id"],
        }
        if not one.spans:
            one.id = facts["invocation_id"]
            one.trace_id, one.span_id = facts["trace_id"], facts["span_id"]
            one.parent_id = facts["parent_id"]
            one.correlation_id = facts["correlation_id"]
        one.spans.append(span)
        if facts["error"]:
            one.error = facts["error"]

    def ended(self, subject: Lease | Order, how: How, why: str) -> None:
        """Note how a process came to its end."""
        mark = subject.id if isinstance(subject, Lease) else subject.mark
        self._how[mark] = (how, why)

    def answered(self, lease: Lease, settled: Settled) -> Settled:
        """Remember the lease that is settled next."""
        self._lease = lease
        self._twice = []
        return self._repeated(lease, settled) if self._duplicates else settled

    def _repeated(self, lease: Lease, settled: Settled) -> Settled:
        """Have some of what is done delivered again."""
        if self._plan.function(lease.function).retry.attempts < 2:
            # A second delivery would make a dead letter of it.
            return settled
        others = {*settled.again, *settled.dead, *settled.untried, *settled.lost}
        again = dict(settled.again)
        for item in lease.items:
            # Once each.
            if item.number not in others and item.deliveries == 1 and random() < self._duplicates:
                again[item.number] = 0.0
                self._twice.append(item.id)
        return replace(settled, again=again)

    def settled(self, reports: Sequence[Report]) -> None:
        """Finish the record of a delivery."""
        lease, self._lease = self._lease, None
        if lease is None or (one := self._finished(lease.id)) is None:
            return
        how = self._how.pop(lease.id, None)
        again = {
            report.id: round(report.seconds, 3)
            for report in reports
            if report.what == "again" and report.id not in self._twice
        }
        dead = {report.id: report.letter.get("reason", "") for report in reports
                if report.what == "dead"}  # fmt: skip
        held = [report.id for report in reports if report.what == "held"]
        one.response = {"ids": [report.id for report in reports]}
        if one.kind == "queue":
            one.links = [each for each in _traces(lease) if each != one.trace_id]
        twice = ("twice", self._twice)
        for name, value in (("again", again), ("dead", dead), ("held", held), twice):
            if value:
                one.response[name] = value
        one.error = (
            (how[1] if how else "")
            or next((report.error for report in reports if report.error), "")
            or one.error
        )
        if how is not None:
            one.status = how[0]
        elif dead:
            one.status = "dead"
        elif again or held:
            late = one.error.startswith("HandlerTimeout")
            one.status = "timeout" if late else "again"
        else:
            one.error = ""
        self._activity.record(one)
        self._activity.tell({"type": "boxes", "boxes": sorted({report.box for report in reports})})

    def replied(self, order: Order, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Finish the record of a call."""
        mark = order.mark
        one = self._finished(mark)
        if one is not None:
            how = self._how.pop(mark, None)
            one.response = (
                {"output": answer["ok"]}
                if "ok" in answer
                else {"error": answer.get("error", ""), "cause": answer.get("cause", "")}
            )
            if "ok" in answer:
                one.error = ""
            else:
                one.error = f"{answer.get('error', '')}: {answer.get('cause', '')}"
                late = str(answer.get("error")) == "States.Timeout"
                one.status = how[0] if how else "timeout" if late else "error"
            self._activity.record(one)
        return answer

    def _finished(self, mark: str) -> Invocation | None:
        one = self._open.pop(mark, None)
        if one is not None:
            one.seconds = time() - one.started
        return one

    def fired(self, function: str, instant: str) -> None:
        """Tell that a schedule has fired."""
        self._activity.tell({"type": "fired", "function": function, "instant": instant})

    def noted(self, note: Note) -> None:
        """Tell of a run."""
        self._activity.tell(
            {
                "type": "run", "workflow": note.workflow, "run": note.run, "what": note.what,
                "step": note.step, "place": note.place, "attempt": note.attempt,
                "error": note.error, "cause": note.cause,
            }
        )  # fmt: skip
        if note.what == "ended" and not note.inner:
            how = f"failed, {note.error}: {note.cause}" if note.error else "succeeded"
            self._console.notice(f"{note.workflow} {note.run}: {how}",
                                 "WARNING" if note.error else "INFO")  # fmt: skip


def _traces(lease: Lease) -> list[str]:
    """Return the traces in which messages were sent.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    parts = [item.attributes.get("traceparent", "").split("-") for item in lease.items]
    return list(dict.fromkeys(part[1] for part in parts if len(part) == 4))


def _request(kind: str, lease: Lease) -> dict[str, Any]:
    """Return the neutral stimulus of a lease."""
    from portafaas.adapter.neutral import stimulus_to_json
    from portafaas.adapter.stimulus import MessageStimulus, QueueStimulus, TopicStimulus
    from portafaas.runtime.control import split
    from portafaas.runtime.text import epoch_time

    if kind not in ("queue", "topic"):
        try:
            found: dict[str, Any] = json.loads(lease.items[0].body)
        except ValueError:
            found = {kind: {"body": lease.items[0].body.decode("utf-8", "replace")}}
        return found
    messages = tuple(
        MessageStimulus(
            item.id, item.body, split(item.attributes)[0], item.key, item.attempts,
            epoch_time(item.sent), item.content_type,
        )
        for item in lease.items
    )  # fmt: skip
    if kind == "queue":
        return stimulus_to_json(QueueStimulus(messages))
    return stimulus_to_json(TopicStimulus(messages[0]))
