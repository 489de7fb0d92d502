"""Calls of functions by the server and from Python, and what is recorded and printed of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from portafaas.dev.answers import STATUS, Answer, HttpRequest, invocation, outcome_of
from portafaas.dev.effects import spans_of, taken
from portafaas.dev.logs import entry_of
from portafaas.dev.pool import Pool
from portafaas.dev.record import Invocation
from portafaas.errors import InvocationError
from portafaas.local.resources import store

if TYPE_CHECKING:
    from portafaas.adapter import HttpStimulus, Stimulus
    from portafaas.dev.service import Dev


class Calls:
    """Those of one application."""

    def __init__(self, dev: Dev) -> None:
        self._dev = dev
        #: Of requests that are under way, by their number.
        self._logs: dict[int, list[dict[str, Any]]] = {}

    async def request(self, function: str, stimulus: HttpStimulus) -> Any:
        """Return the HttpOutcome of a request, whatever its path; on the server's event loop."""
        pool = self._pool(function)
        began = time()
        headers = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in stimulus.headers
        ]
        request = (
            stimulus.method, stimulus.path, stimulus.query, headers, stimulus.body, stimulus.caller,
        )  # fmt: skip
        number, future = self._dev.instances.http(pool, request)
        answer = await future
        self.answered(pool, number, request, answer, began)
        return outcome_of(answer)

    async def invoke(self, function: str, stimulus: Stimulus) -> tuple[str, dict[str, Any]]:
        """Call a function with a neutral stimulus, around the broker; on the event loop.

        Returns the invocation's id, and the outcome as JSON (``outcome_to_json``), or ``error``
        when its process ended.
        """
        from portafaas.adapter import HttpStimulus
        from portafaas.adapter.neutral import outcome_to_json, stimulus_to_json

        if isinstance(stimulus, HttpStimulus):
            before = self._dev.instances._number
            outcome = await self.request(function, stimulus)
            return self._dev.instances.id(before + 1), outcome_to_json(outcome)
        pool = self._pool(function)
        began = time()
        document = stimulus_to_json(stimulus)
        number, future = self._dev.instances.event(pool, document)
        answer = await future
        logs = self._logs.pop(number, [])
        outcome = {"error": answer[4]} if answer[3] else json.loads(answer[2])
        failed = bool(outcome.get("failed")) or "error" in outcome
        one = Invocation(
            function, pool.function.kind, began, time() - began,
            STATUS[answer[3]] if answer[3] else "error" if failed else "ok",
            self._dev.instances.id(number), request=document, response=outcome, logs=logs,
            error=answer[4] or str(outcome.get("cause") or outcome.get("error") or ""),
            mark=self._dev.instances.id(number),
        )  # fmt: skip
        self._dev.activity.record(one)
        self._dev.wake()
        return one.id, outcome

    def _pool(self, function: str) -> Pool:
        pool = self._dev.instances.pools.get(function)
        if pool is None:
            raise InvocationError(f"no function is called {function!r}", code="PF7002")
        return pool

    def answered(
        self, pool: Pool, number: int, request: HttpRequest, answer: Answer, began: float
    ) -> None:
        """Record a request; of one that went well only when there is time."""
        logs = self._logs.pop(number, None) if self._logs else None
        made = partial(self._made, pool, number, request, answer, began, time() - began, logs)
        if pool.uses:
            # It may have sent something.
            self._dev.deliveries.wake()
            self._dev.activity.record(made())
        else:
            self._dev.activity.record(made if answer[3] == 0 and logs is None else made())

    def _made(
        self, pool: Pool, number: int, request: HttpRequest, answer: Answer, began: float,
        seconds: float, logs: list[dict[str, Any]] | None,
    ) -> Invocation:  # fmt: skip
        id = self._dev.instances.id(number)
        return invocation(
            pool.function.name, id, request, answer, began, seconds, logs or [],
            id if pool.uses else "",
        )  # fmt: skip

    def printed(self, function: str, number: int, stream: int, when: float, data: bytes) -> None:
        """Take what a function's process printed; for the event loop's thread."""
        for line in data.decode("utf-8", "replace").splitlines():
            entry = entry_of(line, when)
            if number:
                pool = self._dev.instances.pools.get(function)
                if pool is not None and number in pool.pending:
                    self._logs.setdefault(number, []).append(entry)
                else:
                    self._dev.activity.add(self._dev.instances.id(number), "logs", entry)
            self._dev.console.log(function, line, entry)
            self._dev.activity.tell({"type": "log", "function": function, **entry})

    def before(self, made: Sequence[Invocation]) -> None:
        """Finish records before they are written; in the record's thread."""
        for one in made:
            one.target = self._dev.target
        marks = {one.mark: one for one in made if one.mark}
        if marks:
            for mark, effects in taken(store(self._dev.root, self._dev.stage), list(marks)).items():
                marks[mark].effects.extend(effects)
        self._dev.console.invocations(made)

    def spans(self, document: Mapping[str, Any]) -> None:
        """Add spans (an ExportTraceServiceRequest as JSON) to the invocations they belong to."""
        for trace_id, span in spans_of(document):
            for one in self._dev.activity.list(trace_id=trace_id, limit=50):
                self._dev.activity.add(one["id"], "spans", span)
