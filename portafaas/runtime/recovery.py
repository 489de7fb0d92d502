"""What becomes of a failure: again, later, or a dead letter. Ships; loaded at the first failure.

One ``retry`` policy holds on every target. The decision is made here, from the error, the policy
and how often and how long it has been tried; a bridge only carries it out, through its
:class:`Settlement`. ``docs/spec/recovery.md`` has the rules (F-1 to F-12).
"""

from __future__ import annotations

from portafaas.runtime import control as ours
from portafaas.runtime.context import log_failure
from portafaas.runtime.taxonomy import Throttled, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, Protocol

    from portafaas.runtime.context import Context
    from portafaas.runtime.event import Event
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import Message

    class Settlement(Protocol):
        """What a bridge can do with what it was delivered, beside passing or failing it.

        An item is a Message or an Event whose ``raw`` is the platform's payload. Neither method is
        called with an empty sequence. Neither needs to be complete: what it does not return fails,
        and comes again at the platform's own pace.
        """

        def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
            """Have each item delivered again after its seconds, and not before.

            Returns the ids of items that are settled now, since a copy is on its way (with
            ``pf-id``, ``pf-attempt`` and ``pf-sent``); all others the bridge reports as failed.
            """

        def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
            """Copy each item to the dead letters, with ``Letter.text()`` as ``pf-dead``.

            Returns the ids of those that are there now. May raise ResourceError when none is.
            """


#: Bytes of a letter: what one attribute takes everywhere (Pub/Sub: 1024).
_LONGEST = 1000
#: Seconds of an invocation that are not spent waiting for another attempt.
_MARGIN = 1.0


class Failure:
    """One item that was not done, as it was when its handler ended.

    Attributes:
        item: the Message or Event.
        wish: ``fail`` (the policy decides), or of a batch handler ``again`` or ``dead``.
        after: seconds of ``again``; None is the policy's own.
        error: what was raised, the handler's reason, or None.
        trace, correlation: of the attempt.
    """

    __slots__ = ("after", "correlation", "error", "item", "trace", "wish")

    def __init__(
        self,
        context: Context,
        item: Message | Event,
        error: BaseException | str | None,
        wish: str = "fail",
        after: float | None = None,
    ) -> None:
        self.item = item
        self.wish = wish
        self.after = after
        self.error = error
        try:
            self.trace = str(context.span.header())
            self.correlation = str(context.correlation_id)
        except Exception:
            # A handler may have overwritten anything; its failure is worth more.
            self.trace = self.correlation = ""


class Letter:
    """Why something became a dead letter; the rest of it is kept as it was delivered.

    Attributes:
        reason: ``attempts`` (all used up), ``age`` (older than ``max-age``), ``permanent``,
            ``poison``, or ``handler`` (a batch handler said so).
        error: type and text of the last error, or the handler's reason.
        attempts: deliveries in all.
        function: that failed at it.
        id: of the message or event.
        time: when it was given up, RFC 3339 UTC.
        trace: W3C ``traceparent`` of the last attempt; correlation: its correlation id.
    """

    __slots__ = ("attempts", "correlation", "error", "function", "id", "reason", "time", "trace")

    def __init__(self, reason: str, failure: Failure, attempts: int, function: str) -> None:
        from time import time

        from portafaas.runtime.text import epoch_time

        self.reason = reason
        self.error = described(failure.error)
        self.attempts = attempts
        self.function = function
        self.id = str(failure.item.id)
        self.time = epoch_time(time())
        self.trace = failure.trace
        self.correlation = failure.correlation

    def __repr__(self) -> str:
        return f"<Letter {self.reason} id={self.id!r} attempts={self.attempts}>"

    def text(self) -> str:
        """Return it as one line of ASCII JSON of at most 1000 bytes; the error gives way."""
        import json

        facts = {name: getattr(self, name) for name in self.__slots__}
        # What gives way first is least needed: the id is beside it, as ``pf-id``.
        longest = (("error", _LONGEST), ("correlation", 128), ("id", 256), ("function", 64))
        for name, most in longest:
            facts[name] = facts[name][:most]
        for name, _ in longest:
            while True:
                text = json.dumps(facts, separators=(",", ":"))
                over, value = len(text) - _LONGEST, facts[name]
                if over <= 0:
                    return text
                if not value:
                    break
                # One character is at most twelve: a pair of surrogates, escaped.
                facts[name] = value[: max(0, len(value) - max(1, over // 12))]
        return text


def address(what: str, function: Function) -> str:
    """Return the value of ``PORTAFAAS_<what>_<function>``, "" when it is not set.

    ``DEAD`` is where the function's dead letters go, ``SOURCE`` where a copy of what it was
    delivered has to be sent to reach it again, both as the target's driver takes them.
    """
    from os import environ

    return environ.get(f"PORTAFAAS_{what}_{function.name}".upper().replace("-", "_"), "")


def delay_of(policy: Mapping[str, Any], attempt: int, error: object = None) -> float:
    """Return how many seconds lie between the attempt that failed and the next one.

    ``initial``, or with exponential backoff ``initial * 2 ** (attempt - 1)``, at most ``max``; with
    jitter between half of that and all of it. Never less than a Throttled asks for.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("equal jitter")
    """
    delay = float(policy["initial"])
    if policy["backoff"] == "exponential":
        delay = min(delay * 2.0 ** min(max(attempt, 1) - 1, 60), float(policy["max"]))
    if policy["jitter"]:
        from random import random

        delay *= 0.5 + random() / 2
    # Other libraries' errors have an attribute of this name, too, with anything in it.
    return max(delay, error.retry_after) if isinstance(error, Throttled) else delay


def judge(
    function: Function,
    item: Message | Event,
    error: object,
    attempt: int,
    after: float | None = None,
) -> tuple[str, float]:
    """Return ``("again", seconds)``, or the reason why *item* is a dead letter and 0.

    The seconds are *after* where a batch handler has said so. Without dead letters the answer is
    always "again".
    """
    policy = function.retry
    delay = delay_of(policy, attempt, error) if after is None else after
    if not address("DEAD", function):
        return "again", delay
    kind = kind_of(error) if isinstance(error, BaseException) else "retryable"
    if kind in ("permanent", "poison"):
        return kind, 0.0
    if attempt >= policy["attempts"]:
        return "attempts", 0.0
    age = _age(item)
    if age is not None and age + delay > policy["max_age"]:
        return "age", 0.0
    return "again", delay


def _age(item: Message | Event) -> float | None:
    """Return how many seconds ago *item* was sent, as far as it says."""
    control = item.control
    sent = (control.get(ours.SENT) if control else None) or item.time
    if not sent:
        return None
    from datetime import datetime
    from time import time

    try:
        return time() - datetime.fromisoformat(sent.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def described(error: BaseException | str | None) -> str:
    """Return type and text of *error*, whatever its ``__str__`` does."""
    if error is None or isinstance(error, str):
        return error or ""
    try:
        text = str(error)
    except BaseException:
        text = ""
    name = type(error).__name__
    # More than a letter, or a line of the log, has room for is of no use.
    return f"{name}: {text[:10_000]}" if text else name


def settle(
    function: Function, context: Context, failures: Sequence[Failure], settlement: Settlement
) -> set[str]:
    """Carry out what :func:`judge` says of *failures*; return the ids to report as failed.

    Never raises: what cannot be buried, or put off, comes again.
    """
    later: list[tuple[Any, float]] = []
    dead: list[tuple[Any, Letter]] = []
    for failure in failures:
        item, error = failure.item, failure.error
        if failure.wish == "dead" and address("DEAD", function):
            dead.append((item, Letter("handler", failure, item.attempt, function.name)))
            continue
        reason, delay = judge(function, item, error, item.attempt, failure.after)
        if reason == "again":
            later.append((item, delay))
        else:
            dead.append((item, Letter(reason, failure, item.attempt, function.name)))
    if dead:
        buried = _try(context, "dead letters were not kept: %r", settlement.bury, dead)
        for item, letter in dead:
            if item.id in buried:
                _log(context, item, letter)
            else:
                later.append((item, delay_of(function.retry, item.attempt)))
    # Of two deliveries of one message one may be buried, and the other not.
    failed = {item.id for item, _ in later}
    if later:
        failed -= _try(context, "the next delivery was not put off: %r", settlement.again, later)
    return failed


def _log(context: Context, item: Message | Event, letter: Letter) -> None:
    try:
        context.logger.error(
            "dead letter after %d attempts (%s): %s",
            letter.attempts,
            letter.reason,
            letter.error,
            extra={"message_id": item.id},
        )
    except Exception:
        # The handler may have done anything to its logger; the letter is kept.
        return


def _try(context: Context, message: str, action: Any, items: Any) -> set[str]:
    try:
        return set(action(items))
    except Exception as exc:
        log_failure(context, message, exc)
        return set()


def exhausted(
    function: Function, context: Context, item: Message | Event, settlement: Settlement
) -> bool:
    """Bury *item*, which has had all its attempts without an answer; tell whether it is done.

    Such is one whose handler ended the process: the platform has counted, and nobody has judged.
    """
    if not address("DEAD", function):
        return False
    text = "the function did not answer: it crashed, or was killed"
    letter = Letter("attempts", Failure(context, item, text), item.attempt - 1, function.name)
    buried = _try(
        context, "dead letters were not kept: %r", settlement.bury, [(item, letter)]
    )
    return item.id in buried


def next_step(
    function: Function,
    context: Context,
    event: Event,
    error: BaseException,
    settlement: Settlement | None,
    counted: bool,
) -> float | None:
    """Return the seconds after which the event is to be tried again in this invocation.

    Below 0: it is settled, the invocation has succeeded. None: the invocation fails, and the
    platform delivers again. Where the platform counts deliveries the next one is its own
    (*counted*); elsewhere attempts are made here for as long as the deadline allows.
    """
    if settlement is None:
        return None
    if counted:
        failed = settle(function, context, [Failure(context, event, error)], settlement)
        return None if event.id in failed else -1.0
    reason, delay = judge(function, event, error, event.attempt)
    if reason == "again":
        if event.attempt < function.retry["attempts"] and delay + _MARGIN < context.remaining():
            return delay
        # Out of time: the platform's own redelivery begins a new round.
        return None
    failed = settle(function, context, [Failure(context, event, error)], settlement)
    return None if event.id in failed else -1.0
