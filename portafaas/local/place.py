"""An execution environment of a function: its package in a platform's runtime, by its rules.

It takes what ``portafaas.local.worker`` takes of a function from its sources. Beside ``again``,
``dead`` and ``untried`` its answer to deliveries may have ``copies``, ``lost`` and ``alone`` (see
``portafaas.local.deliveries.Settled``), ``why`` it failed, and ``how`` the process came to its end.
"""

from __future__ import annotations

import base64
import json
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from portafaas.adapter import HttpOutcome, HttpStimulus, NativeRequest, TaskOutcome, TaskStimulus
from portafaas.adapter.delivery import Delivered, Wish, limited, refused
from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
from portafaas.local.driver.portafaas_local_resources import RUN_FILE, TOLD
from portafaas.local.memory import Scales
from portafaas.runtime import states
from portafaas.vendor import NativeError, NativeResult, VendorSession

if TYPE_CHECKING:
    from portafaas.local.collector import Collector

#: Type of the error of what had too much memory.
_MEMORY = "OutOfMemory"
#: Seconds that a span may be later than the answer; the second: after one that never came.
_LATE, _MISSED = 2.0, 0.05
#: Seconds that a runtime may take to start; what a platform allows depends on its machines.
_INIT = 60.0


class Place:
    """One execution environment of the function *name*.

    *file* is that of :class:`portafaas.local.vendor.Vendor`, *variables* are the function's, and
    *scratch* is a folder for files of its own.
    """

    def __init__(
        self, file: Path, name: str, variables: Mapping[str, str], scratch: Path
    ) -> None:
        adapter, plan, self._package, facts, self._python = pickle.loads(file.read_bytes())
        self._adapter, self._plan = adapter, plan
        self._facts: Mapping[str, Any] = facts[name]
        self._function = plan.function(name)
        self._emulation = adapter.emulation()
        own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
        self._told, self._run = own / "told", own / "run"
        self._variables = {
            **variables, TOLD: str(self._told), RUN_FILE: str(self._run),
        }  # fmt: skip
        self._session: VendorSession | None = None
        #: Whether its memory is, which is that of all that this process has started.
        self.limited = False
        #: Gets what the process tells beside its answers, if somebody wants to know.
        self.observed: Callable[[dict[str, Any]], None] | None = None
        self._collector: Collector | None = None
        self._patience = _LATE

    def close(self) -> None:
        """End the runtime."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def observe(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Have *tell* get what functions print, and spans that no collector of the user's gets."""
        from portafaas.local.collector import ENDPOINT, SAID, Collector

        self.observed = tell
        if not any(name in self._variables for name in SAID):
            self._collector = Collector()
            self._variables[ENDPOINT] = self._collector.url

    def begin(self, run: str) -> None:
        """Say which mark the effects of the next order have."""
        self._run.write_text(run, encoding="utf-8")

    def ready(self) -> VendorSession:
        """Return the runtime, started."""
        if self._session is None:
            facts = self._facts
            self._session = self._adapter.vendor_runtime().start(
                self._package,
                entry=facts["entry"],
                function=self._function.entry,
                python=self._python,
                env={**self._variables},
                timeout=float(facts["timeout"]),
                memory=facts["memory"],
                settings={"init_timeout": _INIT},
            )
        return self._session

    def invoke(self, request: NativeRequest, function: str = "") -> NativeResult:
        """Have the runtime called with a native request, for another *function* of its if named."""
        session = self.ready()
        begun, why = time(), ""
        if self.limited:
            with Scales(self._facts["memory"]) as scales:
                result = session.invoke(request.payload, function=function or None)
            why = scales.why
        else:
            result = session.invoke(request.payload, function=function or None)
        if why and result.error is not None:
            result = replace(result, error=NativeError("exit", _MEMORY, why))
        logs = result.logs
        if self.observed is not None:
            if logs:
                self.observed({"observed": "log", "time": time(), "stream": 2, "text": logs})
        elif logs:
            sys.stdout.write(logs if logs.endswith("\n") else f"{logs}\n")
            sys.stdout.flush()
        self._collected(result, begun)
        return result

    def _collected(self, result: NativeResult, begun: float) -> None:
        """Hand on the spans of an invocation that began at *begun*."""
        died = result.error is not None and result.error.kind != "handler"
        if self.observed is None or self._collector is None:
            return
        found = self._collector.taken(0.0 if died else self._patience, begun)
        if not died:
            self._patience = _LATE if found else _MISSED
        for facts in found:
            self.observed(facts)

    # An event, as 'portafaas invoke' and the HTTP server have it.

    def event(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver a neutral event and return the outcome as JSON values.

        With ``how`` (``timeout``, ``exit``, ``memory``, ``handler``, ``init``; ``refused`` by the
        platform's front end) and ``why``, when it did not go well.
        """
        stimulus = stimulus_from_json(document)
        plan, function = self._plan, self._function
        requests = self._adapter.encode(plan, function, stimulus)
        if not isinstance(stimulus, HttpStimulus):
            answers, said = self._answers(requests)
            outcome = self._adapter.decode(plan, function, stimulus, answers)
            return outcome_to_json(outcome) | said
        limits = self._emulation.http(plan, function)
        over = refused(limits, stimulus, requests[0])
        if over is not None:
            return outcome_to_json(over) | {"how": "refused", "why": "the request is too large"}
        answers, said = self._answers(requests)
        outcome = self._adapter.decode(plan, function, stimulus, answers)
        assert isinstance(outcome, HttpOutcome)
        return outcome_to_json(limited(limits, outcome)) | said

    def _answers(
        self, requests: Sequence[NativeRequest]
    ) -> tuple[list[tuple[NativeRequest, dict[str, Any]]], dict[str, str]]:
        answers, said = [], {}
        for request in requests:
            result = self.invoke(request)
            answers.append((request, {"ok": result.ok, "value": result.value}))
            if result.error is not None:
                why = f"{result.error.type}: {result.error.message}"
                how = "memory" if result.error.type == _MEMORY else str(result.error.kind)
                said = {"how": how, "why": why}
        return answers, said

    def task(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Do one call for a workflow; return ``{"ok"}`` or ``{"error", "cause"}``."""
        stimulus = TaskStimulus(**document)
        (request,) = self._adapter.encode(self._plan, self._function, stimulus)
        result = self.invoke(request)
        if result.error is not None and result.error.kind == "timeout":
            seconds = self._function.timeout
            cause = f"{self._function.name} took over {seconds} s"
            return {"error": states.TIMEOUT, "cause": cause}
        answer = {"ok": result.ok, "value": result.value}
        outcome = self._adapter.decode(
            self._plan, self._function, stimulus, [(request, answer)]
        )
        assert isinstance(outcome, TaskOutcome)
        if outcome.error:
            return {"error": outcome.error, "cause": outcome.cause}
        return {"ok": outcome.output}

    # Deliveries, as the broker has them.

    def items(self, order: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Deliver *order* (of ``worker.order_of``) as the platform would, and say what follows."""
        items = [_delivered(one) for one in order]
        plan, function, emulation = self._plan, self._function, self._emulation
        rules = emulation.rules(plan, function)
        request, name = emulation.request(plan, function, items)
        if request is None:
            return {"again": [], "dead": [], "untried": []}
        self.ready()
        self._told.write_bytes(b"")
        begun = monotonic()
        result = self.invoke(request, name)
        passed = monotonic() - begun if rules.since_received else 0.0
        answer = {"ok": result.ok, "value": result.value}
        numbers = {item.number for item in items}
        died = result.error is not None and result.error.kind in ("exit", "timeout")
        failed = numbers if died else emulation.failed(plan, function, items, request, answer)
        wishes = emulation.wishes(function, items, self._calls())
        again, dead, copies, lost = [], [], [], []
        for item in items:
            number, wish = item.number, wishes.get(item.number, Wish())
            if number not in failed:
                if wish.letter is not None:
                    dead.append((number, wish.letter))
                elif wish.copy is not None:
                    again.append((number, wish.after))
                    copies.append((number, wish.copy))
            elif wish.after is not None and wish.copy is None:
                again.append((number, wish.after))
            elif died and rules.loses and not item.copied:
                lost.append(number)
            else:
                pace = rules.paced(item.deliveries)
                if died and rules.crash is not None:
                    pace = rules.crash
                if 0 < rules.receives <= item.deliveries and not rules.since_received:
                    # It is not delivered again: the platform makes an end of it.
                    pace = 0.0
                again.append((number, max(0.0, pace - passed)))
        why = f"{result.error.type}: {result.error.message}" if result.error else ""
        how = ""
        if died and result.error is not None:
            memory = result.error.type == _MEMORY
            how = "memory" if memory else "timeout" if result.error.kind == "timeout" else "crash"
        return {
            "again": again, "dead": dead, "untried": [], "copies": copies, "lost": lost,
            "alone": died and rules.parts, "why": why, "how": how,
        }  # fmt: skip

    def _calls(self) -> list[dict[str, Any]]:
        text = self._told.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def _delivered(one: Mapping[str, Any]) -> Delivered:
    return Delivered(
        one["number"], one["kind"], one["id"], one["key"], base64.b64decode(one["body"]),
        one["content_type"], one["attributes"], one["sent"], one["expires"], one["attempts"],
    )  # fmt: skip
