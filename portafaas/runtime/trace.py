"""The span of one invocation: ids, parent, sampling; correlation ids. Ships; loaded when asked for.

https://www.w3.org/TR/trace-context/
https://opentelemetry.io/docs/specs/otel/trace/sdk/#sampling
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context

_HEX = frozenset("0123456789abcdef")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
#: Characters of ``tracestate`` beyond which it is not carried on (the standard's least).
MAX_STATE = 512
#: Characters of a correlation id.
MAX_CORRELATION = 128


class Parent:
    """Where a trace comes from: hexadecimal ids, ``sampled`` (None: undecided), ``tracestate``."""

    __slots__ = ("sampled", "span_id", "state", "trace_id")

    def __init__(self, trace_id: str, span_id: str, sampled: bool | None, state: str = "") -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled
        self.state = state


class Span:
    """The span of one invocation.

    Attributes:
        trace_id, span_id: 32 and 16 lower-case hexadecimal digits.
        parent_id: 16 digits, or empty for the first span of a trace.
        sampled: whether it is recorded (bool).
        state: ``tracestate`` to carry on, or empty.
        links: spans of the messages of a batch (list of :class:`Parent`).
        start: seconds since 1970.
        attributes: what the handler's own code has set, beside what is known anyway.
    """

    __slots__ = (
        "attributes",
        "links",
        "parent_id",
        "sampled",
        "span_id",
        "start",
        "state",
        "trace_id",
    )

    def __init__(self, parent: Parent | None, start: float, links: list[Parent]) -> None:
        from os import urandom

        self.trace_id = parent.trace_id if parent is not None else _random(urandom, 16)
        self.span_id = _random(urandom, 8)
        self.parent_id = parent.span_id if parent is not None else ""
        self.state = parent.state if parent is not None else ""
        self.sampled = sampled(self.trace_id, parent)
        self.links = links
        self.start = start
        self.attributes: dict[str, Any] = {}

    def header(self) -> str:
        """Return the ``traceparent`` of what this invocation sends."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def _random(urandom: Any, size: int) -> str:
    while True:
        found: str = urandom(size).hex()
        # All zeros mean "none": https://www.w3.org/TR/trace-context/#trace-id
        if found.strip("0"):
            return found


def parse_parent(text: Any, state: Any = None) -> Parent | None:
    """Return the parent that a ``traceparent`` names, or None when it is not valid.

    https://www.w3.org/TR/trace-context/#traceparent-header-field-values: a version other than 00
    may have more after the flags, ``ff`` is never valid.
    """
    if not isinstance(text, str):
        return None
    text = text.strip(" \t")
    if len(text) < 55 or text[2] != "-" or text[35] != "-" or text[52] != "-":
        return None
    version, trace_id, span_id, flags = text[:2], text[3:35], text[36:52], text[53:55]
    if not _HEX.issuperset(version + trace_id + span_id + flags) or version == "ff":
        return None
    if len(text) > 55 and (version == "00" or text[55] != "-"):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & 1), parse_state(state))


def parse_state(text: Any) -> str:
    """Return *text* when it is a valid ``tracestate``, else an empty string.

    https://www.w3.org/TR/trace-context/#tracestate-header-field-values: at most 32 members, no key
    twice. One that is not valid is dropped as a whole.
    """
    if not isinstance(text, str) or not text or len(text) > MAX_STATE:
        return ""
    members = []
    keys = set()
    for piece in text.split(","):
        member = piece.strip(" \t")
        if not member:
            continue
        key, equals, value = member.partition("=")
        if not equals or not _state_key(key) or not _state_value(value) or key in keys:
            return ""
        keys.add(key)
        members.append(member)
    return ",".join(members) if len(members) <= 32 else ""


def _state_key(key: str) -> bool:
    tenant, at, system = key.partition("@")
    rest = _LETTERS | frozenset("_-*/")
    if not at:
        return 0 < len(key) <= 256 and key[0].isalpha() and rest.issuperset(key)
    return (
        0 < len(tenant) <= 241
        and rest.issuperset(tenant)
        and tenant[0].isalnum()
        and 0 < len(system) <= 14
        and rest.issuperset(system)
        and system[0].isalpha()
    )


def _state_value(value: str) -> bool:
    return (
        0 < len(value) <= 256
        and value.isascii()
        and value.isprintable()
        and "=" not in value
        and value[-1] != " "
    )


def parse_xray(text: Any) -> Parent | None:
    """Return the parent that an X-Ray header names: ``Root=1-<8 digits>-<24 digits>;Parent=...``.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    A segment that X-Ray does not record (``Sampled=0``, which Lambda writes whenever X-Ray is off)
    is no parent that anybody could find: the trace goes on without it, its sampling undecided.
    """
    if not isinstance(text, str):
        return None
    fields = {}
    for piece in text.split(";"):
        name, _, value = piece.strip().partition("=")
        fields[name.lower()] = value.strip().lower()
    root = fields.get("root", "")
    trace_id = root[2:10] + root[11:]
    if (
        len(root) != 35
        or root[:2] != "1-"
        or root[10] != "-"
        or not _HEX.issuperset(trace_id)
        or not trace_id.strip("0")
    ):
        return None
    span_id = fields.get("parent", "")
    recorded = fields.get("sampled") == "1"
    if not recorded or len(span_id) != 16 or not _HEX.issuperset(span_id) or not span_id.strip("0"):
        span_id = ""
    return Parent(trace_id, span_id, True if recorded else None)


def sampled(trace_id: str, parent: Parent | None) -> bool:
    """Tell whether a span is recorded, as ``OTEL_TRACES_SAMPLER`` and its ``_ARG`` say.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration
    Names that are not known count as the default, ``parentbased_always_on``.
    """
    from os import environ

    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if name not in ("always_on", "always_off", "traceidratio"):
        if parent is not None and parent.sampled is not None:
            return parent.sampled
        name = name.removeprefix("parentbased_")
    if name == "always_off":
        return False
    if name != "traceidratio":
        return True
    try:
        ratio = float(environ.get("OTEL_TRACES_SAMPLER_ARG", "") or 1.0)
    except ValueError:
        ratio = 1.0
    if not 0.0 <= ratio <= 1.0:
        ratio = 1.0
    # As OpenTelemetry for Python does it: the last 8 bytes of the id against a bound.
    return int(trace_id[16:], 16) < round(ratio * (1 << 64))


def span_of(context: Context) -> Span:
    """Return a fresh span for *context*, whose payload says where the trace comes from."""
    payload = context.payload
    start = begun(context)
    messages = getattr(payload, "messages", None)
    if messages is not None:
        # Messages of several traces: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
        found = [parent_of(None, message.attributes) for message in messages]
        return Span(None, start, [parent for parent in found if parent is not None])
    headers = getattr(payload, "headers", None)
    carried = headers if headers is not None else carried_by(payload)
    parent = parent_of(context.trace_parent, carried)
    if parent is None and headers is not None:
        parent = parse_xray(headers.get("x-amzn-trace-id"))
    if context.target == "aws" and (parent is None or not parent.span_id):
        from os import environ

        # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        parent = parse_xray(environ.get("_X_AMZN_TRACE_ID")) or parent
    return Span(parent, start, [])


def begun(context: Context) -> float:
    """Return when the invocation began, in seconds since 1970; now if the handler hid it."""
    try:
        return context.deadline - context._function.timeout
    except TypeError:
        from time import time

        return time()


def parent_of(trace_parent: str | None, carried: Mapping[str, str]) -> Parent | None:
    """Return the parent that a bridge found, or else the one *carried* by the payload."""
    given = carried.get("traceparent")
    state = carried.get("tracestate") if trace_parent in (None, given) else None
    return parse_parent(trace_parent or given, state) or (
        parse_parent(given, carried.get("tracestate")) if trace_parent else None
    )


def carried_by(payload: Any) -> Mapping[str, str]:
    """Return the attributes of a message, or of an event with its extensions."""
    attributes: Mapping[str, str] = getattr(payload, "attributes", None) or {}
    extensions = getattr(payload, "extensions", None)
    return {**attributes, **extensions} if extensions else attributes


def correlation_of(context: Context) -> str:
    """Return the id that this invocation shares with all that led to it and follows from it.

    The header ``x-correlation-id``, the attribute ``correlationid`` (of a batch: of all its
    messages), else the trace id.
    """
    payload = context.payload
    headers = getattr(payload, "headers", None)
    messages = getattr(payload, "messages", None)
    given: str | None
    if headers is not None:
        given = headers.get("x-correlation-id")
    elif messages is not None:
        # A batch has one when all its messages have the same.
        shared = {message.attributes.get("correlationid") for message in messages}
        given = shared.pop() if len(shared) == 1 else None
    else:
        given = carried_by(payload).get("correlationid")
    return str(given if valid_correlation(given) else context.span.trace_id)


def valid_correlation(text: Any) -> bool:
    """Tell whether *text* may be a correlation id: 1 to 128 visible ASCII characters."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_CORRELATION
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )
