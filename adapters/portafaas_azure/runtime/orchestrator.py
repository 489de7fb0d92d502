"""Runs a workflow inside Durable Functions: one orchestration a run. Ships.

:mod:`portafaas.runtime.workflow` says what is to be done; this module has it done by tasks of
``azure-functions-durable``, which replays the orchestration from its history whenever something has
happened. So nothing here may depend on anything but the history: no clock, no chance, no order that
differs from one process to the next.

Branches run side by side within the one orchestration. The extension replays what the SDK lists, in
order, and waits for each entry before it looks at the next: what begins while something else is
still awaited must be listed so that it is not waited for there. :func:`_begun` does that.
https://github.com/Azure/azure-functions-durable-extension/blob/dev/src/WebJobs.Extensions.DurableTask/Listener/OutOfProcOrchestrationShim.cs

Inputs, results and signals are JSON *texts*: the SDK makes objects of some JSON values, and .NET
reads what looks like a time. The custom status of a run that goes on is ``{"waiting": {signal:
[token]}, "children": [instance], "taken": [by]}``; of one that failed ``{"error", "cause"}``.
``taken`` names the last signals that were taken, by what their senders called them: an event is
raised without an answer, and of two for one wait the second is nothing to the run.
"""

from __future__ import annotations

from portafaas.runtime.states import RUNTIME, TASK_FAILED, TIMEOUT, Fault
from portafaas.runtime.workflow import Call, Signal, Sleep, Together, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from datetime import datetime
    from typing import Any

#: Seconds of one timer; the extension takes six days at most, and SDKs differ beyond.
LONGEST_TIMER = 5 * 86_400.0
#: Seconds after which nobody is there to see; what waits longer waits so long.
FOREVER = 100 * 365 * 86_400.0
#: Characters of a custom status as JSON; it takes 16 KB of UTF-16.
#: https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-custom-orchestration-status
LARGEST_STATUS = 7500
#: What ends the name of a workflow's orchestrator.
SUFFIX = "__workflow"
#: The activity that says what a workflow is.
DEFINITION = "portafaas__definition"
#: How often it is asked when it does not answer.
ASKED = 5
#: Signals that the status tells to have been taken; who sent one looks within a second.
TAKEN = 40
#: Characters of the status for them.
_FOR_TAKEN = TAKEN * 20


_nothing: list[Any] = []


class WorkflowFailed(Exception):
    """The run failed; its text is ``{"error", "cause"}``."""


def entry_of(workflow: str) -> str:
    """Return the name of *workflow*'s orchestrator."""
    return workflow.replace("-", "_") + SUFFIX


def bind(workflow: str) -> Callable[[Any], str]:
    """Return what the worker calls with the orchestration's history."""
    from azure.durable_functions import Orchestrator

    _hasten()
    handle: Callable[[Any], str] = Orchestrator.create(
        lambda context: drive(context, workflow)
    )
    return handle


def drive(context: Any, workflow: str) -> Generator[Any, Any, str]:
    """Run *workflow* in the orchestration *context*; return ``{"ok": output}`` as JSON text.

    Raises WorkflowFailed when the run fails. A run that a parent started returns ``{"ok"}``,
    ``{"error", "cause"}``, or ``{"stopped"}`` when its time is over.
    """
    from json import dumps

    document = unwrapped(context.get_input(), "input")
    taken: list[str] = []
    answer = yield from _defined(context, workflow)
    if "ok" in answer:
        run_ = _Run(context, workflow)
        answer = yield from run_.all(answer["ok"], document)
        taken = run_.taken
    if document.get("sub"):
        # The parent's history shows the answer alone.
        return dumps({**answer, "of": document.get("of")})
    if "ok" in answer:
        return dumps(answer)
    text = dumps(answer)
    told: dict[str, Any] = {"taken": taken} if taken else {}
    if len(text) <= LARGEST_STATUS - _FOR_TAKEN:
        told |= {"error": answer["error"], "cause": answer["cause"]}
    else:
        # The output has it all, among the platform's words.
        told["failed"] = True
    context.set_custom_status(told)
    raise WorkflowFailed(text)


def _defined(context: Any, workflow: str) -> Generator[Any, Any, dict[str, Any]]:
    """Return ``{"ok": normal form}`` as it was when the run began, from then on by its history.

    A package that is deployed later may have another one, which the history would not fit.
    """
    answer: dict[str, Any] = {}
    for _ in range(ASKED):
        try:
            found = yield context.call_activity(DEFINITION, entry_of(workflow))
        except Exception as exc:
            answer = failure_of(exc)
        else:
            return unwrapped(found, "ok")
    return answer


class _Branch:
    """A generator that runs; ``parent`` gets what it returns, as the answer at ``index``."""

    __slots__ = ("answers", "index", "left", "parent", "running", "waiting")

    def __init__(self, running: Any, parent: _Branch | None = None, index: int = 0) -> None:
        self.running = running
        self.parent = parent
        self.index = index
        #: While it waits for several: their answers, how many have none, and who has not begun.
        self.answers: list[Any] = []
        self.left = 0
        self.waiting: list[tuple[int, Any]] = []


class _Wait:
    """What a branch waits for: ``task`` (None for time alone), at most until ``until``."""

    __slots__ = ("branch", "request", "task", "timer", "token", "until")

    def __init__(self, branch: _Branch | None, request: Any, task: Any = None) -> None:
        self.branch = branch
        self.request = request
        self.task = task
        self.timer: Any = None
        self.token = ""
        self.until: datetime | None = None


class _Run:
    """One run: its branches, and the durable tasks that are awaited."""

    __slots__ = ("answer", "context", "fresh", "id", "pending", "ready", "taken", "told",
                 "until", "workflow")  # fmt: skip

    def __init__(self, context: Any, workflow: str) -> None:
        self.context = context
        self.workflow = workflow
        self.id: str = context.instance_id
        #: Tasks by what waits for them, in the order in which they began.
        self.pending: dict[Any, _Wait] = {}
        #: Tasks that nobody has told the extension of.
        self.fresh: list[Any] = []
        #: Branches that can go on, with what they are sent.
        self.ready: list[tuple[_Branch, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.until: datetime | None = None
        self.told: Any = None
        #: What the senders of the last signals that were taken called them.
        self.taken: list[str] = []

    def all(
        self, machine: Mapping[str, Any], document: Mapping[str, Any]
    ) -> Generator[Any, Any, dict[str, Any]]:
        """Run the machine to its end; return what comes of it."""
        from datetime import datetime

        if document.get("until"):
            self.until = datetime.fromisoformat(document["until"])
            end = _Wait(None, None)
            end.until = self.until
            self.arm(end)
        self.ready.append((_Branch(run(machine, document.get("input"), self.id)), None))
        while True:
            while self.ready and self.answer is None:
                branch, answer = self.ready.pop(0)
                self.go(branch, answer)
            if self.answer is not None:
                for task, wait in self.pending.items():
                    if wait.timer is task and not task.is_completed:
                        task.cancel()
                if self.taken:
                    self.tell()
                return self.answer
            self.tell()
            if self.fresh:
                fresh, self.fresh = self.fresh, []
                yield _begun(self.context, fresh)
            done = yield self.context.task_any(list(self.pending))
            self.came(done)

    def go(self, branch: _Branch, answer: Any) -> None:
        """Send *answer* to a branch, and begin what it asks for."""
        try:
            if isinstance(answer, Fault):
                request = branch.running.throw(answer)
            else:
                request = branch.running.send(answer)
        except StopIteration as end:
            self.ended(branch, end.value)
            return
        if isinstance(request, Call):
            self.call(branch, request)
        elif isinstance(request, Sleep):
            self.sleep(branch, request)
        elif isinstance(request, Signal):
            self.signal(branch, request)
        else:
            self.together(branch, request)

    def ended(self, branch: _Branch, value: Any) -> None:
        parent = branch.parent
        if parent is None:
            self.answer = value
            return
        parent.answers[branch.index] = value
        parent.left -= 1
        if parent.waiting:
            index, running = parent.waiting.pop(0)
            self.ready.append((_Branch(running, parent, index), None))
        elif not parent.left:
            self.ready.append((parent, parent.answers))

    def together(self, branch: _Branch, request: Together) -> None:
        branch.answers = [None] * len(request.running)
        branch.left = len(request.running)
        branch.waiting = list(enumerate(request.running))
        if not branch.left:
            self.ready.append((branch, []))
        for _ in range(min(request.limit, branch.left)):
            index, running = branch.waiting.pop(0)
            self.ready.append((_Branch(running, branch, index), None))

    def call(self, branch: _Branch, request: Call) -> None:
        from json import dumps

        context = self.context
        until = self.after(request.timeout)
        name = request.name.replace("-", "_")
        if request.kind == "workflow":
            # The child stops by itself: nobody may end another orchestration from here.
            ends = [moment for moment in (until, self.until) if moment is not None]
            of = [request.place, request.step, request.attempt]
            document = {"input": request.input, "sub": True, "of": of}
            if ends:
                document["until"] = min(ends).isoformat()
            child = f"{self.id.partition('~')[0]}~{self.digest(request.place)}"
            task = context.call_sub_orchestrator(name + SUFFIX, dumps(document), child)
            wait = _Wait(branch, request, task)
            wait.token, wait.until = child, until
            self.begin(wait)
            return
        document = {
            "input": request.input,
            "workflow": self.workflow,
            "run": self.id,
            "step": request.step,
            "attempt": request.attempt,
            "key": f"{self.id}/{request.key}",
            "place": request.place,
        }
        wait = _Wait(branch, request, context.call_activity(name, dumps(document)))
        wait.until = until
        self.begin(wait)
        if until is not None:
            self.arm(wait)

    def sleep(self, branch: _Branch, request: Sleep) -> None:
        wait = _Wait(branch, request)
        seconds = request.seconds
        if seconds is None:
            try:
                wait.until = moment_of(str(request.until))
            except ValueError:
                text = f"until of {request.step} is {request.until!r}, which is no time"
                self.ready.append((branch, Fault(RUNTIME, text)))
                return
        else:
            if request.jitter:
                seconds *= int(self.digest(request.place)[:8], 16) / 0x100000000
            wait.until = self.after(seconds)
        if wait.until is None or wait.until <= self.context.current_utc_datetime:
            self.ready.append((branch, None))
            return
        self.arm(wait)

    def signal(self, branch: _Branch, request: Signal) -> None:
        # A name of its own for every wait: what comes too late for one is nothing to the next.
        token = self.digest(request.place)[:12]
        task = self.context.wait_for_external_event(f"{request.name}.{token}")
        wait = _Wait(branch, request, task)
        wait.token = token
        wait.until = self.after(request.timeout)
        self.begin(wait)
        if wait.until is not None:
            self.arm(wait)

    def begin(self, wait: _Wait) -> None:
        self.pending[wait.task] = wait
        self.fresh.append(wait.task)

    def arm(self, wait: _Wait) -> None:
        """Begin a timer for ``until``, or for as far as one timer goes."""
        from datetime import timedelta

        assert wait.until is not None
        furthest = self.context.current_utc_datetime + timedelta(seconds=LONGEST_TIMER)
        wait.timer = self.context.create_timer(min(wait.until, furthest))
        self.pending[wait.timer] = wait
        self.fresh.append(wait.timer)

    def after(self, seconds: float | None) -> datetime | None:
        from datetime import timedelta

        if seconds is None:
            return None
        now: datetime = self.context.current_utc_datetime
        return now + timedelta(seconds=min(seconds, FOREVER))

    def digest(self, place: str) -> str:
        """Return a hash of *place* in this run."""
        from hashlib import sha256

        return sha256(f"{self.id}\n{place}".encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def came(self, task: Any) -> None:
        """Take what has come, be it what was waited for or the end of the time for it."""
        wait = self.pending.pop(task)
        if task is wait.timer:
            assert wait.until is not None
            if wait.until > task_time(task):
                self.arm(wait)
                return
            if wait.task is not None:
                del self.pending[wait.task]
        elif wait.timer is not None:
            del self.pending[wait.timer]
            if not wait.timer.is_completed:
                wait.timer.cancel()
        if wait.branch is None:
            self.answer = {"stopped": True}
        elif wait.task is None:
            self.ready.append((wait.branch, None))
        elif task is wait.timer:
            self.ready.append((wait.branch, {"error": TIMEOUT, "cause": ""}))
        else:
            self.answered(wait, task)

    def answered(self, wait: _Wait, task: Any) -> None:
        result = task.result
        assert wait.branch is not None
        if isinstance(result, Exception):
            self.ready.append((wait.branch, failure_of(result)))
            return
        if isinstance(wait.request, Signal):
            carried = unwrapped(result, "payload")
            if "payload" not in carried:  # Raised by hand.
                carried = {"payload": result}
            by = carried.get("by")
            if isinstance(by, str) and 0 < len(by) <= 16:
                self.taken = [*self.taken, by][-TAKEN:]
            self.ready.append((wait.branch, {"ok": carried["payload"]}))
            return
        answer = unwrapped(result, "ok")
        if answer.get("stopped"):
            if wait.until is None or (self.until is not None and self.until < wait.until):
                self.answer = answer
                return
            answer = {"error": TIMEOUT, "cause": ""}
        answer.pop("of", None)
        self.ready.append((wait.branch, answer))

    def tell(self) -> None:
        """Say in the status which signals and sub-workflows are waited for, and what was taken."""
        waiting: dict[str, list[str]] = {}
        children: list[str] = []
        left = LARGEST_STATUS - 50 - _FOR_TAKEN
        for task, wait in self.pending.items():
            if task is not wait.task or not wait.token:
                continue
            name = wait.request.name if isinstance(wait.request, Signal) else ""
            left -= len(wait.token) + 4 + (len(name) + 8 if name not in waiting else 0)
            if left < 0:
                # The others are named when these are done.
                break
            if name:
                waiting.setdefault(name, []).append(wait.token)
            else:
                children.append(wait.token)
        status = {"waiting": waiting, "children": children, "taken": self.taken}
        if waiting or children or self.told is not None:
            self.told = status
            self.context.set_custom_status(status)


def unwrapped(value: Any, key: str) -> dict[str, Any]:
    """Return the object that *value* is the JSON text of, however often it has become one.

    What somebody hands in by hand is no such text: it is what *key* stands for.
    """
    from json import loads

    found = value
    for _ in range(4):
        if not isinstance(found, str):
            break
        try:
            found = loads(found)
        except ValueError:
            break
    if isinstance(value, str) and isinstance(found, dict):
        if key in found or "error" in found or "stopped" in found:
            return found
    return {key: value}


def task_time(task: Any) -> Any:
    """Return when a timer was to fire."""
    action = task.action_repr
    return (action[0] if isinstance(action, list) else action).fire_at


def failure_of(error: Exception) -> dict[str, str]:
    """Return what a task that did not answer is to the workflow: it never raises by itself.

    The host words its own timeout so:
    https://github.com/Azure/azure-webjobs-sdk/blob/dev/src/Microsoft.Azure.WebJobs.Host/Exceptions/FunctionTimeoutException.cs
    """
    text = str(error)
    if "FunctionTimeoutException" in text or "Timeout value of " in text:
        return {"error": TIMEOUT, "cause": ""}
    return {"error": TASK_FAILED, "cause": text[:4096]}


def moment_of(text: str) -> datetime:
    """Return the moment of an RFC 3339 text; raises ValueError."""
    from datetime import datetime, timezone

    # Python 3.10 reads neither "Z" nor fractions of other than three or six digits.
    whole, dot, rest = text.strip().replace("z", "Z").partition(".")
    if dot:
        zone = rest.lstrip("0123456789")
        digits = rest[: len(rest) - len(zone)]
        if not digits:
            raise ValueError(f"no digits after the point of {text!r}")
        whole += f".{digits[:6]:0<6}"
    elif whole.endswith("Z"):
        whole, zone = whole[:-1], "Z"
    else:
        zone = ""
    found = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    utc = timezone.utc  # noqa: UP017 (datetime.UTC is 3.11)
    return found.replace(tzinfo=utc) if found.tzinfo is None else found.astimezone(utc)


def _hasten() -> None:
    """Have the SDK read times faster: three quarters of a replay were its reading of any format."""
    from importlib import import_module

    module = import_module("azure.durable_functions.models.history.HistoryEvent")
    known = getattr(module, "dt_parse", None)
    if known is None or getattr(known, "__module__", "") == __name__:
        return

    def parse(text: Any, *more: Any, **others: Any) -> Any:
        if not more and not others and isinstance(text, str) and text[-1:] == "Z":
            try:
                return moment_of(text)
            except ValueError:
                pass
        return known(text, *more, **others)

    module.dt_parse = parse  # type: ignore[attr-defined]


def _begun(context: Any, tasks: list[Any]) -> Any:
    """Return what to yield to have *tasks* begin, and go on at once.

    "Any of these, or nothing": nothing is there already, for the SDK and for the extension. The
    SDK leaves out of its list what it takes for begun, and would leave out an empty "all".
    """
    if not _nothing:
        from azure.durable_functions.models.Task import WhenAllTask

        class Nothing(WhenAllTask):  # type: ignore[misc]
            _is_scheduled = False

        _nothing.append(Nothing)
    return context.task_any([*tasks, _nothing[0]([], context._replay_schema)])
