"""Trace context: what is understood, what is made of it, and whether OpenTelemetry agrees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as api
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from portafaas.runtime.context import Context
from portafaas.runtime.deliver import run_event, run_messages
from portafaas.runtime.event import Event
from portafaas.runtime.handler import batch_handler
from portafaas.runtime.http import Request
from portafaas.runtime.message import Message
from portafaas.runtime.serve import run
from portafaas.runtime.trace import parse_parent, parse_state, parse_xray, sampled

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

PARENTS: list[Any] = [
    GOOD,
    f"00-{TRACE}-{SPAN}-00",
    f"00-{TRACE}-{SPAN}-ff",
    f"00-{TRACE}-{SPAN}-03",
    f" {GOOD}\t",
    f"cc-{TRACE}-{SPAN}-01",
    f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be",
]
NONE: list[Any] = [
    None, "", 7, "00", GOOD[:-1], GOOD + "0", GOOD + "-01", GOOD.upper(),
    f"ff-{TRACE}-{SPAN}-01", f"0g-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}{SPAN}-01", f"00_{TRACE}_{SPAN}_01",
    f"cc-{TRACE}-{SPAN}-01.what", f"00-{TRACE[:-1]}g-{SPAN}-01", f"00-{TRACE}-{SPAN}-0x",
    f"{GOOD},{GOOD}", f"00-{TRACE}-{SPAN}-\u0661\u0661", f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
]  # fmt: skip


@pytest.mark.parametrize("text", PARENTS)
def test_a_parent(text: str) -> None:
    found = parse_parent(text)
    assert found is not None
    assert (found.trace_id, found.span_id) == (TRACE, SPAN)
    assert found.sampled == bool(int(text.strip()[53:55], 16) & 1)


@pytest.mark.parametrize("text", NONE)
def test_no_parent(text: Any) -> None:
    assert parse_parent(text) is None


def theirs(headers: dict[str, str]) -> Any:
    """Return what OpenTelemetry's propagator makes of headers."""
    found = TraceContextTextMapPropagator().extract(headers)
    return api.get_current_span(found).get_span_context()


@pytest.mark.parametrize("text", [p for p in PARENTS if p == p.strip()] + NONE[3:])
def test_opentelemetry_agrees(text: Any) -> None:
    found, other = parse_parent(text), theirs({"traceparent": str(text)})
    if found is None and other.is_valid:
        # Its pattern takes the header's start only for what it does not know.
        assert text.startswith("cc-"), text
    else:
        assert (found is not None) == other.is_valid
    if found is not None:
        assert api.format_trace_id(other.trace_id) == found.trace_id
        assert api.format_span_id(other.span_id) == found.span_id
        assert other.trace_flags.sampled == found.sampled


STATES = [
    ("a=1", "a=1"),
    ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    (" a=1 , b=2\t", "a=1,b=2"),
    ("a=1,,b=2,", "a=1,b=2"),
    ("t1@v=x", "t1@v=x"),
    ("1a@v=x", "1a@v=x"),
    ("a-b*c/d_e=!~", "a-b*c/d_e=!~"),
    (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
]
BAD_STATES = [
    None, "", "a", "=1", "a=", "A=1", "1a=1", "a=1,a=2", "a=b=c", "a=\u00e4", "a b=1", "@v=1",
    "a@=1", "a@1v=1", f"a@{'v' * 15}=1", "a=x\x00", ",".join(f"k{n}=v" for n in range(33)),
    "a=" + "x" * 257, "a" * 257 + "=1", "a=" + "x" * 250 + ",b=" + "x" * 256 + ",c=1",
]  # fmt: skip


@pytest.mark.parametrize(("text", "kept"), STATES)
def test_a_state(text: str, kept: str) -> None:
    assert parse_state(text) == kept


@pytest.mark.parametrize("text", BAD_STATES)
def test_a_state_that_is_not_valid_is_dropped(text: Any) -> None:
    assert parse_state(text) == ""


def test_a_bad_state_does_not_harm_the_parent() -> None:
    found = parse_parent(GOOD, "a=b=c")
    assert found is not None
    assert found.state == ""


XRAY = [
    ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
     ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", True)),
    ("Self=1-1-1; Sampled=1 ;Parent=53995C3F42CD8AD8;Root=1-5759e988-bd862e3fe1be46a994272793",
     ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", True)),
    ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
     ("5759e988bd862e3fe1be46a994272793", "", None)),
    ("Root=1-5759e988-bd862e3fe1be46a994272793",
     ("5759e988bd862e3fe1be46a994272793", "", None)),
    ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000;Sampled=1",
     ("5759e988bd862e3fe1be46a994272793", "", True)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "facts"), XRAY)
def test_xray(text: str, facts: Any) -> None:
    found = parse_xray(text)
    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled) == facts


@pytest.mark.parametrize(
    "text",
    [None, "", "Root=", "Root=2-5759e988-bd862e3fe1be46a994272793", "Root=1-5759e988", "x;y",
     "Root=1-00000000-000000000000000000000000", "Root=1-5759e988-bd862e3fe1be46a99427279g"],
)  # fmt: skip
def test_no_xray(text: Any) -> None:
    assert parse_xray(text) is None


SAMPLERS = [
    # sampler, decision without a parent, with a sampled one, with an unsampled one
    ("", True, True, False),
    ("parentbased_always_on", True, True, False),
    ("parentbased_always_off", False, True, False),
    ("always_on", True, True, True),
    ("always_off", False, False, False),
    (" Always_Off ", False, False, False),
    ("unheard-of", True, True, False),
]


@pytest.mark.parametrize(("name", "root", "with_sampled", "without"), SAMPLERS)
def test_samplers(
    monkeypatch: Any, name: str, root: bool, with_sampled: bool, without: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    yes, no = parse_parent(GOOD), parse_parent(f"00-{TRACE}-{SPAN}-00")
    assert [sampled(TRACE, parent) for parent in (None, yes, no)] == [root, with_sampled, without]


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_a_ratio_samples_what_opentelemetry_samples(number: int, ratio: float) -> None:
    trace_id = f"{number:032x}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
        patch.setenv("OTEL_TRACES_SAMPLER_ARG", repr(ratio))
        decision = TraceIdRatioBased(ratio).should_sample(None, number, "x").decision
        assert sampled(trace_id, None) == decision.is_sampled()


@pytest.mark.parametrize("argument", ["", "x", "-1", "1.5", "nan"])
def test_a_bad_ratio_samples_all(monkeypatch: Any, argument: str) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    assert sampled("f" * 32, None)
    assert not sampled("f" * 32, parse_parent(f"00-{TRACE}-{SPAN}-00"))


def request(make: Any, headers: dict[str, str], target: str = "local") -> Context:
    """Return the context of a request that has been served."""
    seen: list[Context] = []
    function = make(lambda request, context: seen.append(context))
    given_headers = Request(headers=headers)
    context = Context(
        function, "1", target=target, trace_parent=given_headers.headers.get("traceparent")
    )
    run(function, given_headers, context)
    assert seen == [context]
    return context


def test_a_request_continues_its_caller_s_trace(make: Any) -> None:
    context = request(make, {"traceparent": GOOD, "tracestate": "a=1"})
    assert context.trace_id == TRACE
    assert context.span_id not in (SPAN, "0" * 16)
    assert (context.span.parent_id, context.span.state) == (SPAN, "a=1")
    headers = {"traceparent": context.span.header(), "tracestate": context.span.state}
    other = theirs(headers)
    assert api.format_trace_id(other.trace_id) == TRACE
    assert api.format_span_id(other.span_id) == context.span_id
    assert other.trace_flags.sampled
    assert other.trace_state.to_header() == "a=1"


def test_a_request_without_a_trace_begins_one(make: Any) -> None:
    one, two = (request(make, {"traceparent": "bad", "tracestate": "a=1"}) for _ in "ab")
    assert one.trace_id != two.trace_id
    assert one.span.parent_id == one.span.state == ""
    assert theirs({"traceparent": one.span.header()}).is_valid


def test_the_ids_of_an_invocation_do_not_change(context: Context) -> None:
    assert context.trace_id == context.trace_id
    assert context.span_id == context.span_id


XRAY_TEXT = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_xray_is_the_parent_when_there_is_no_other(make: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    context = request(make, {"x-amzn-trace-id": XRAY_TEXT}, "aws")
    assert context.trace_id == "5759e988bd862e3fe1be46a994272793"
    assert context.span.parent_id == "53995c3f42cd8ad8"
    both = request(make, {"x-amzn-trace-id": XRAY_TEXT, "traceparent": GOOD}, "aws")
    assert (both.trace_id, both.span.parent_id) == (TRACE, SPAN)


def test_lambda_tells_the_segment_in_a_variable(make: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", XRAY_TEXT)
    assert request(make, {}, "aws").span.parent_id == "53995c3f42cd8ad8"
    assert request(make, {}, "gcp").span.parent_id == ""
    assert request(make, {"traceparent": GOOD}, "aws").span.parent_id == SPAN
    root = {"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    assert request(make, root, "aws").span.parent_id == "53995c3f42cd8ad8"


def test_an_event_continues_the_trace_of_its_extension(make: Any) -> None:
    function = make(lambda event, context: None, kind="topic", topic="t", filter={})
    context = Context(function, "1")
    event = Event("1", "/s", "t", extensions={"traceparent": GOOD, "tracestate": "b=2"})
    run_event(function, event, context)
    assert (context.trace_id, context.span.parent_id, context.span.state) == (TRACE, SPAN, "b=2")
    assert context.trace_parent == GOOD


def messages(*parents: str) -> list[Message]:
    return [
        Message(str(n), b"", attributes={"traceparent": parent} if parent else {}, queue="q")
        for n, parent in enumerate(parents)
    ]


def other(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def test_each_message_of_a_run_has_a_span_of_its_own(make: Any) -> None:
    seen: list[tuple[str, str, str]] = []

    def handle(message: Message, context: Context) -> None:
        seen.append((context.trace_id, context.span_id, context.span.parent_id))
        assert context.correlation_id == context.trace_id

    function = make(handle, kind="queue", queue="q", batch=3)
    run_messages(function, messages(other(1), "", other(3)), Context(function, "1"))
    assert [trace for trace, _, _ in seen][::2] == [f"{1:032x}", f"{3:032x}"]
    assert [parent for _, _, parent in seen] == [f"{1:016x}", "", f"{3:016x}"]
    assert len({span for _, span, _ in seen}) == 3


def test_a_batch_begins_a_trace_with_links(make: Any) -> None:
    seen: list[Context] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        seen.append(context)

    function = make(handle, kind="queue", queue="q", batch=3)
    for sent in (messages(other(1), "", other(3)), messages(other(1))):
        context = Context(function, "1", trace_parent=sent[0].attributes["traceparent"])
        run_messages(function, sent, context)
        assert context.trace_id not in (f"{1:032x}", f"{3:032x}")
        assert context.span.parent_id == ""
        links = [(link.trace_id, link.span_id) for link in context.span.links]
        assert links == [(f"{n:032x}", f"{n:016x}") for n in ((1, 3) if len(sent) == 3 else (1,))]


def test_a_batch_handler_may_follow_each_message(make: Any) -> None:
    seen: list[tuple[str, str, str]] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        before = context.trace_id, context.span_id, context.correlation_id
        for message in batch:
            with context.following(message) as same:
                assert same is context and context.payload is message
                seen.append((context.trace_id, context.span.parent_id, context.correlation_id))
        with pytest.raises(ValueError), context.following(batch.messages[0]):
            raise ValueError
        with pytest.raises(TypeError, match="takes a message, not 'str'"):
            context.following("not a message").__enter__()  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="without having been entered"):
            context.following(batch.messages[0]).__exit__(None, None, None)
        assert (context.trace_id, context.span_id, context.correlation_id) == before
        assert context.payload is batch

    function = make(handle, kind="queue", queue="q", batch=3)
    sent = messages(other(1), "", other(3))
    sent[0].attributes = {**sent[0].attributes, "correlationid": "order-one"}
    context = Context(function, "1")
    run_messages(function, sent, context)
    assert [(trace, parent) for trace, parent, _ in seen][::2] == [
        (f"{1:032x}", f"{1:016x}"), (f"{3:032x}", f"{3:016x}"),
    ]  # fmt: skip
    assert [c for _, _, c in seen] == ["order-one", seen[1][0], f"{3:032x}"]
    assert context.correlation_id == context.trace_id


def test_a_batch_of_one_matter_has_its_correlation_id(make: Any) -> None:
    seen: list[str] = []

    @batch_handler
    def handle(batch: Any, context: Context) -> None:
        seen.append(context.correlation_id)

    function = make(handle, kind="queue", queue="q", batch=3)
    for ids in (("a",), ("a", "a"), ("a", "b"), ("a", ""), ("a b",)):
        sent = messages(*("" for _ in ids))
        for message, value in zip(sent, ids, strict=True):
            message.attributes = {**message.attributes, "correlationid": value}
        run_messages(function, sent, Context(function, "1"))
    assert seen[:2] == ["a", "a"] and all(len(found) == 32 for found in seen[2:])


CORRELATIONS = [
    ("abc-1", "abc-1"),
    ("x" * 128, "x" * 128),
    ("!~", "!~"),
    ("", None),
    ("x" * 129, None),
    ("a b", None),
    ("a\tb", None),
    ("\u00e4", None),
]


@pytest.mark.parametrize(("given_id", "kept"), CORRELATIONS)
def test_correlation_ids(make: Any, given_id: str, kept: str | None) -> None:
    context = request(make, {"X-Correlation-Id": given_id})
    assert context.correlation_id == (kept or context.trace_id)
    function = make(lambda payload, context: None, kind="queue", queue="q", batch=1)
    context = Context(function, "1")
    run_messages(
        function, [Message("1", b"", attributes={"correlationid": given_id}, queue="q")], context
    )
    assert context.correlation_id == (kept or context.trace_id)
    function = make(lambda payload, context: None, kind="topic", topic="t", filter={})
    context = Context(function, "1")
    run_event(function, Event("1", "/s", "t", extensions={"correlationid": given_id}), context)
    assert context.correlation_id == (kept or context.trace_id)
