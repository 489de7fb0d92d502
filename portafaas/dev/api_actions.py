"""What the dashboard does: sends, invokes, fires, redrives, signals."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from portafaas.adapter.neutral import is_neutral, stimulus_from_json
from portafaas.adapter.stimulus import HttpStimulus, Stimulus, TaskStimulus
from portafaas.dev.api_http import Call, Refused
from portafaas.dev.api_runs import known_workflow, operations
from portafaas.dev.api_store import broker_of, clock, known_box
from portafaas.dev.api_views import known_function
from portafaas.dev.missed import latest
from portafaas.plan import FunctionPlan, ScheduleTrigger

#: Seconds by which the clock may be advanced at once: a year.
_FARTHEST = 366 * 86_400
#: Seconds that a request waits for what is due until the new time.
_PATIENCE = 20.0


async def invoke(call: Call) -> dict[str, Any]:
    """Call a function with a neutral event.

    Of http and task functions the answer is the outcome; others get it from their box, like what
    the platform delivers: the answer has the ids.
    """
    dev = call.dev
    function = known_function(dev.plan, call.params["function"])
    event = call.given("event", dict)
    if not is_neutral(event) or next(iter(event)) != function.kind:
        hint = f"{function.name} has a {function.kind} trigger: the event has one key, of that name"
        raise Refused(422, "PF7001", "this is no neutral event for the function", hint)
    try:
        stimulus = stimulus_from_json(event)
    except (TypeError, ValueError, AttributeError) as exc:
        raise Refused(422, "PF7001", f"the event cannot be read: {exc}") from None
    if isinstance(stimulus, (HttpStimulus, TaskStimulus)):
        id_, outcome = await dev.invoke(function.name, stimulus)
        return {"outcome": outcome, "invocation": id_}
    ids = await asyncio.to_thread(_handed, dev, function, stimulus)
    dev.wake()
    return {"queued": ids}


def _handed(dev: Any, function: FunctionPlan, stimulus: Stimulus) -> list[str]:
    with broker_of(dev) as broker:
        return broker.hand(function, stimulus)


def _client(dev: Any, kind: str, name: str) -> Any:
    """Return the client of a resource, as a script has it."""
    from portafaas.connection import reach

    context = reach(dev.plan, dev.root)
    known = {"queues": dev.plan.queues, "topics": dev.plan.topics}[kind]
    if name not in {one.name for one in known}:
        raise Refused(404, "PF8059", f"there is no {kind[:-1]} {name!r}")
    return getattr(context, kind)[name]


def send(call: Call) -> dict[str, Any]:
    """Send a message to a queue: ``body``, ``key``, ``attributes``, ``delay``."""
    queue = _client(call.dev, "queues", call.params["queue"])
    given = _members(call, "body", ("key", "attributes", "delay", "dedup", "ttl"))
    try:
        id_ = queue.send(given.pop("body"), **given)
    except (TypeError, ValueError) as exc:
        raise Refused(422, "PF8059", f"the message cannot be sent: {exc}") from None
    call.dev.wake()
    return {"id": id_}


def publish(call: Call) -> dict[str, Any]:
    """Publish an event to a topic: ``data``, ``type``, ``subject``, ``attributes``, ``key``."""
    topic = _client(call.dev, "topics", call.params["topic"])
    given = _members(call, "data", ("type", "subject", "attributes", "key"))
    try:
        id_ = topic.publish(given.pop("data"), **given)
    except (TypeError, ValueError) as exc:
        raise Refused(422, "PF8059", f"the event cannot be published: {exc}") from None
    call.dev.wake()
    return {"id": id_}


def _members(call: Call, needed: str, others: tuple[str, ...]) -> dict[str, Any]:
    given = call.body
    if not isinstance(given, dict) or needed not in given:
        raise Refused(422, "PF8059", f"it must be a JSON object with {needed!r}")
    unknown = sorted(set(given) - {needed, *others})
    if unknown:
        allowed = ", ".join((needed, *others))
        raise Refused(422, "PF8059", f"it may not have {unknown[0]!r}", f"allowed: {allowed}")
    return dict(given)


def fire(call: Call) -> dict[str, Any]:
    """Have a schedule fire now, with the latest instant that it names."""
    from portafaas.adapter.stimulus import ScheduleStimulus

    dev = call.dev
    function = known_function(dev.plan, call.params["function"])
    if not isinstance(function.trigger, ScheduleTrigger):
        raise Refused(422, "PF8059", f"{function.name} has no schedule")
    instant = latest(function.trigger, datetime.fromtimestamp(clock(call)["now"], UTC))
    if instant is None:
        raise Refused(422, "PF8059", "this schedule never fires")
    ids = _handed(dev, function, ScheduleStimulus(f"{instant:%Y-%m-%dT%H:%M:%S}.000Z"))
    dev.made_up(function.name)
    dev.wake()
    return {"queued": ids, "instant": instant.timestamp()}


def redrive(call: Call) -> dict[str, Any]:
    """Deliver dead letters of a box again: ``numbers``, or ``all`` that are there now."""
    box = known_box(call.dev.plan, call.params["box"])
    with broker_of(call.dev) as broker:
        moved = broker.letters.redrive(_chosen(call, broker, box))
    call.dev.wake()
    return {"moved": moved}


def purge(call: Call) -> dict[str, Any]:
    """Remove dead letters of a box for good: ``numbers``, or ``all`` that are there now."""
    box = known_box(call.dev.plan, call.params["box"])
    with broker_of(call.dev) as broker:
        return {"purged": broker.letters.purge(_chosen(call, broker, box))}


def _chosen(call: Call, broker: Any, box: str) -> list[Any]:
    numbers, everything = call.given("numbers", list, None), call.given("all", bool, False)
    if (numbers is None) != everything:
        raise Refused(422, "PF8059", "say the numbers of the letters, or all")
    found: list[Any] = broker.letters.list(box, bodies=False)
    return found if everything else [item for item in found if item.number in numbers]


def start(call: Call) -> dict[str, Any]:
    """Start a run of a workflow with ``input``."""
    flow = known_workflow(call.dev.plan, call.params["workflow"])
    value = call.given("input", object, None)
    _fits(flow, value)
    run = operations(call.dev).start(flow.name, value)
    call.dev.wake()
    return {"workflow": flow.name, "run": run}


def _fits(flow: Any, value: Any) -> None:
    """Raise Refused, PF8043, with the places where an input is not what its schema says."""
    from portafaas.runtime.workflows import checked

    try:
        checked(value)
    except (TypeError, ValueError) as exc:
        raise Refused(422, "PF8043", f"the input cannot be used: {exc}") from None
    if flow.input.document:
        from jsonschema import Draft202012Validator

        found = Draft202012Validator(flow.input.document).iter_errors(value)
        problems = [f"{error.json_path}: {error.message}" for error in found]
        if problems:
            raise Refused(422, "PF8043", "the input does not fit its schema", "; ".join(problems))


def signal(call: Call) -> dict[str, Any]:
    """Hand a run the signal ``name`` with ``payload``."""
    flow, run = call.params["workflow"], call.params["run"]
    name = call.given("name", str)
    operations(call.dev).signal(flow, run, name, call.given("payload", object, None))
    call.dev.wake()
    return {"workflow": flow, "run": run, "signal": name}


def cancel(call: Call) -> dict[str, Any]:
    """Stop a run."""
    flow, run = call.params["workflow"], call.params["run"]
    operations(call.dev).cancel(flow, run)
    call.dev.wake()
    return {"workflow": flow, "run": run, "state": "canceled"}


def retry(call: Call) -> dict[str, Any]:
    """Start a new run with the input of one that has ended."""
    flow = call.params["workflow"]
    new = operations(call.dev).retry(flow, call.params["run"])
    call.dev.wake()
    return {"workflow": flow, "run": new}


def advance(call: Call) -> dict[str, Any]:
    """Set a virtual clock forward by ``seconds``: what is due by then is done on the way.

    Answers after :data:`_PATIENCE` seconds at the latest, whether all of it is done or not.
    """
    seconds = call.given("seconds", (int, float))
    if isinstance(seconds, bool) or not 0 < seconds <= _FARTHEST:
        raise Refused(422, "PF8059", "seconds must be more than 0, and a year at most")
    done = call.dev.clock.advance(float(seconds), _PATIENCE)
    return {**clock(call), "done": done}
