"""How a platform delivers, for ``portafaas dev --as``: what an adapter may say of it.

Optional: an adapter without a module ``emulation`` gets :class:`Emulation` itself, which delivers
as its ``encode`` and ``decode`` allow and is otherwise neutral. Numbers are data
(:class:`DeliveryRules`); the broker on this machine keeps to them. What only the adapter can know
are native requests, and what a bridge's call to its platform means for a delivery.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from portafaas.adapter.contract import Adapter, NativeRequest
from portafaas.adapter.stimulus import (
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    QueueStimulus,
    Stimulus,
    TopicStimulus,
)
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas.record import dataclass
from portafaas.runtime.control import ATTEMPT, DEAD, EXPIRES, SENT
from portafaas.runtime.text import epoch_time

if TYPE_CHECKING:
    from typing import Literal

    #: What waits behind a failure: nothing, what has its key, or all that the function gets.
    Order = Literal["none", "key", "all"]


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How what a function is triggered by reaches it on a platform. Seconds, bytes; 0 is none.

    The defaults are those of this machine (``docs/spec/recovery.md``, "On this machine").
    """

    #: Most messages of one invocation, whatever ``batch`` says.
    batch: int = 0
    order: Order = "none"
    #: What comes again lines up behind what waits by then: it is a copy.
    requeues: bool = False
    #: After a failure for which the bridge asked nothing: delivered again so much later, ...
    pace: float = 0.0
    #: ... twice as much after each delivery, up to this.
    longest: float = 0.0
    #: The process of the function ended, or took too long; None: as any failure.
    crash: float | None = None
    #: Nobody has answered: the instance is gone. A visibility timeout, a lock, a deadline.
    gone: float = 0.0
    #: ``pace``, ``crash`` and ``gone`` count from when it was received.
    since_received: bool = False
    #: With the instance goes the count of deliveries.
    forgets: bool = False
    #: What crashed, and is no copy, is lost.
    loses: bool = False
    #: What is in a batch that crashed comes one by one.
    parts: bool = False
    #: Deliveries after which the platform itself makes an end, ...
    receives: int = 0
    #: ... by a dead letter of reason ``platform``; else it is lost.
    buries: bool = True
    #: Handlers are told how often it was delivered.
    counted: bool = True
    #: How long the platform keeps it; 0: as the queue says, or 4 days.
    retention: int = 0
    #: What was kept for so long is a dead letter.
    keeps: bool = False
    #: Largest message, attributes included, ...
    message: int = 0
    #: ... of which a body that is no text is base64.
    text: bool = False

    def paced(self, deliveries: int) -> float:
        """Return the seconds until the next delivery after so many that have failed."""
        if self.longest <= self.pace:
            return self.pace
        return min(self.longest, self.pace * 2.0 ** min(max(deliveries, 1) - 1, 60))


@dataclass(frozen=True, slots=True)
class HttpRules:
    """What a platform's front end lets through, in bytes of a body; 0 is no limit.

    ``request_status`` and ``request_body`` are its answer to what is larger, ``response_...`` what
    a client gets instead of an answer that is.
    """

    request: int = 0
    #: Of the native request as JSON, in which a body may be base64.
    event: int = 0
    request_status: int = 413
    request_body: bytes = b""
    response: int = 0
    response_status: int = 500
    response_body: bytes = b""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery, as the broker on this machine has it; times are seconds since 1970.

    ``number`` is the broker's. ``body`` is a message's, or a neutral event as JSON; ``attributes``
    are as sent, portafaas' own among them. ``deliveries``: so far, this one included, of this copy.
    """

    number: int
    kind: str
    id: str
    key: str | None
    body: bytes
    content_type: str | None
    attributes: Mapping[str, str]
    sent: float
    expires: float | None
    deliveries: int

    @property
    def copied(self) -> bool:
        """Tell whether it is a copy that a bridge sent."""
        return ATTEMPT in self.attributes

    def control(self) -> dict[str, str]:
        """Return portafaas' own attributes, in the times of this machine's clock."""
        own = {name: value for name, value in self.attributes.items() if name[:3] == "pf-"}
        if SENT in own:
            own[SENT] = epoch_time(self.sent)
        if self.expires is None:
            own.pop(EXPIRES, None)
        else:
            own[EXPIRES] = str(self.expires)
        return own


@dataclass(frozen=True, slots=True)
class Wish:
    """What a bridge has asked of its platform for one delivery, while it was settling it.

    ``after``: seconds until the next delivery. ``copy``: that is a copy, with these attributes of
    portafaas' own. ``letter``: a copy went to the dead letters, with this text.
    """

    after: float | None = None
    copy: Mapping[str, str] | None = None
    letter: str | None = None

    @classmethod
    def sent(cls, attributes: Mapping[str, str], after: float) -> Self:
        """Return what a message with *attributes* is: a letter, or a copy in *after* seconds."""
        own = {name: text for name, text in attributes.items() if name.startswith("pf-")}
        letter = own.get(DEAD)
        return cls(letter=letter) if letter else cls(after, own)


class Emulation:
    """What an adapter knows of its platform's deliveries; this class knows none, and is neutral.

    Subclasses are the class ``Emulated`` of an adapter's module ``emulation``.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    def rules(self, plan: BuildPlan, function: FunctionPlan) -> DeliveryRules:
        """Return how *function* is delivered what triggers it; not of http and task."""
        retry = function.retry
        longest = retry.maximum if retry.backoff == "exponential" else retry.initial
        return DeliveryRules(
            order=order_of(plan, function),
            pace=retry.initial,
            longest=longest,
            receives=retry.attempts if has_dead_letters(plan, function) else 0,
            parts=True,
        )

    def http(self, plan: BuildPlan, function: FunctionPlan) -> HttpRules:
        """Return what the front end of an http function lets through."""
        return HttpRules()

    def environment(self, plan: BuildPlan, function: FunctionPlan) -> Mapping[str, str]:
        """Return variables that the function has when it is deployed, and here for its bridge.

        Where its copies and its dead letters go: what is sent there is told as a :class:`Wish`.
        """
        return {}

    def request(
        self, plan: BuildPlan, function: FunctionPlan, items: Sequence[Delivered]
    ) -> tuple[NativeRequest | None, str]:
        """Return the native request with *items*, and which function of the session it is for.

        "" is the session's own. None: the platform delivers nothing of it.
        """
        found = self.adapter.encode(plan, function, stimulus_of(items))
        return (found[0] if found else None), ""

    def failed(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        items: Sequence[Delivered],
        request: NativeRequest,
        result: Mapping[str, Any],
    ) -> set[int]:
        """Return the numbers of *items* that the platform takes for not done.

        *result* is ``{"ok", "value"}``, as for ``decode``.
        """
        outcome = self.adapter.decode(plan, function, stimulus_of(items), [(request, result)])
        assert isinstance(outcome, DeliveryOutcome)
        if items[0].kind != "queue":
            return {item.number for item in items} if outcome.failed else set()
        names = distinct(items)
        return {item.number for item in items if names[item.number] in outcome.failed}

    def wishes(
        self, function: FunctionPlan, items: Sequence[Delivered], told: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Wish]:
        """Return what the bridge asked for, by number of the delivery.

        *told* are the calls that it made: ``place``, ``operation`` and ``arguments``, as the local
        driver writes them down.
        """
        return {}


def is_ordered(plan: BuildPlan, function: FunctionPlan) -> bool:
    """Tell whether the queue or topic that triggers *function* is an ordered one."""
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger):
        return plan.queue(trigger.queue).ordered
    return isinstance(trigger, TopicTrigger) and plan.topic(trigger.topic).ordered


def order_of(plan: BuildPlan, function: FunctionPlan) -> Order:
    """Return what a failed delivery holds back where no platform does more: its key, or nothing."""
    return "key" if is_ordered(plan, function) or function.kind == "table" else "none"


def has_dead_letters(plan: BuildPlan, function: FunctionPlan) -> bool:
    """Tell whether what *function* cannot do becomes a dead letter (F-10)."""
    if isinstance(function.trigger, QueueTrigger):
        return bool(plan.queue(function.trigger.queue).dead_letter)
    return function.kind not in ("http", "task")


def addresses(function: FunctionPlan, source: str = "", dead: str = "") -> dict[str, str]:
    """Return the variables that say where copies and dead letters go; none for ""."""
    name = function.name.upper().replace("-", "_")
    found = {f"PORTAFAAS_SOURCE_{name}": source, f"PORTAFAAS_DEAD_{name}": dead}
    return {variable: place for variable, place in found.items() if place}


def stimulus_of(items: Sequence[Delivered]) -> Stimulus:
    """Return what *items* are to an adapter: messages of a queue, or one event."""
    from portafaas.adapter.neutral import stimulus_from_json

    first = items[0]
    if first.kind == "queue":
        names = distinct(items)
        return QueueStimulus(tuple(_message(item, names[item.number]) for item in items))
    if first.kind == "topic":
        return TopicStimulus(_message(first, first.id))
    return stimulus_from_json(json.loads(first.body))


def _message(item: Delivered, id: str) -> MessageStimulus:
    attributes = {name: text for name, text in item.attributes.items() if name[:3] != "pf-"}
    return MessageStimulus(
        id,
        item.body,
        {**attributes, **item.control()},
        item.key,
        item.deliveries,
        epoch_time(item.sent),
        item.content_type,
    )


def distinct(items: Sequence[Delivered]) -> dict[int, str]:
    """Return the platform's id of each message, by number: its own id, unless two have one."""
    taken: set[str] = set()
    found: dict[int, str] = {}
    for item in items:
        found[item.number] = item.id if item.id not in taken else f"{item.id}-{item.number}"
        taken.add(item.id)
    return found


def refused(
    rules: HttpRules, stimulus: HttpStimulus, request: NativeRequest
) -> HttpOutcome | None:
    """Return the front end's answer to a request that is larger than it takes, or None."""
    over = bool(rules.request) and len(stimulus.body) > rules.request
    # base64 makes four bytes of three: what is far below needs no measuring.
    if not over and rules.event and 2 * len(stimulus.body) > rules.event:
        over = len(json.dumps(request.payload).encode()) > rules.event
    return _answer(rules.request_status, rules.request_body) if over else None


def limited(rules: HttpRules, outcome: HttpOutcome) -> HttpOutcome:
    """Return what the client gets: not an answer that is larger than the front end takes."""
    if not rules.response or len(outcome.body) <= rules.response:
        return outcome
    return _answer(rules.response_status, rules.response_body)


def _answer(status: int, body: bytes) -> HttpOutcome:
    kind = "application/json" if body[:1] == b"{" else "text/plain; charset=utf-8"
    return HttpOutcome(status, (("content-type", kind),) if body else (), (), body)
