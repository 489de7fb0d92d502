"""Random messages and events reach queue and topic handlers unchanged on every target."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from portafaas.adapter import MessageStimulus, QueueStimulus, TopicStimulus

pytestmark = pytest.mark.vendor

# The same examples on every run: new ones come with new strategies, not by luck.
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)

ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

# SQS takes XML characters only in attribute values, and no empty ones.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html
XML = st.characters(
    exclude_categories=["Cs"],
    exclude_characters=[chr(c) for c in range(32) if chr(c) not in "\t\n\r"] + ["\ufffe", "\uffff"],
)
VALUES = st.text(XML, min_size=1, max_size=12)

# SQS: letters, digits, "_", "-" and "."; no "." first, last or twice in a row; "aws." and "amazon."
# are its own. At most ten.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
# Pub/Sub: none that begins with "goog". https://cloud.google.com/pubsub/docs/publisher
# The project's own begin with "pf-" (E-5).
NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,6}(\.[A-Za-z0-9_-]{1,4})?", fullmatch=True).filter(
    lambda name: not name.lower().startswith(("aws", "amazon", "goog", "pf-"))
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=6)

# A FIFO queue's group: letters, digits and punctuation.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
KEYS = st.text(ALNUM + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", min_size=1, max_size=6)

# Every broker makes ids of its own; these characters are in all of them.
IDS = st.text(ALNUM + "-", min_size=1, max_size=12)
TIMES = st.datetimes(
    min_value=datetime(2020, 1, 1),
    max_value=datetime(2035, 1, 1),
).map(lambda at: at.isoformat(timespec="milliseconds") + "Z")

BODIES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(str.encode),
    st.binary(max_size=20).map(base64.b64encode),
    st.sampled_from([b"", b"{}", b"null", b'"a"', b"\n", b" ", b"\xef\xbb\xbf{}"]),
)


@st.composite
def batches(draw: st.DrawFn, *, ordered: bool = False, even: bool = False) -> QueueStimulus:
    ids = draw(st.lists(IDS, min_size=1, max_size=7, unique=True))
    failing = st.sampled_from([b'{"do": "raise"}', b'{"do": "exit"}', b'{"do": "return", "value": 7}'])
    few = draw(st.lists(KEYS, min_size=1, max_size=2))
    return QueueStimulus(
        tuple(
            MessageStimulus(
                name,
                draw(st.one_of(BODIES, BODIES, failing)),
                draw(ATTRIBUTES),
                draw(st.sampled_from(few)) if ordered else draw(st.none() | KEYS),
                draw(st.just(1) if even else st.integers(1, 3)),
                draw(TIMES),
                draw(st.none() | st.sampled_from(["application/json", "text/plain"])),
            )
            for name in ids
        )
    )


def _bodies(sent: QueueStimulus) -> list[str]:
    return [base64.b64encode(message.body).decode() for message in sent.messages]


@settings(PROPERTY, max_examples=20)
@given(batches())
def test_messages_arrive_the_same(agree, sent):
    for function in ("work", "work-many"):
        observed = agree(function, sent)
        assert [seen["body"] for seen in observed.seen] == _bodies(sent)
        assert [seen["id"] for seen in observed.seen] == [item.id for item in sent.messages]


@settings(PROPERTY, max_examples=20)
@given(batches(ordered=True))
def test_ordered_messages_are_held_back_the_same(agree, sent):
    observed = agree("work-ordered", sent)
    # Whatever failed, each key's messages came in order and none after a failed one.
    failed = set(observed.outcome["failed"])
    for key in {item.key for item in sent.messages}:
        states = [item.id in failed for item in sent.messages if item.key == key]
        assert states == sorted(states)


# AWS and the local runner have five in a batch, Azure and Google one: a message that follows a failed
# one of its key is not delivered on any, whether it waits in the same batch or in the queue (E-8).
@pytest.mark.parametrize("number", range(7))
def test_ordered_messages_wait_in_the_queue(agree, number):
    messages = tuple(
        MessageStimulus(
            f"m-{index}", b'{"do": "raise"}' if index == number else b"{}", {}, "ab"[index % 2]
        )
        for index in range(8)
    )
    observed = agree("work-ordered", QueueStimulus(messages))
    after = [f"m-{index}" for index in range(number, 8, 2)]
    assert observed.outcome["failed"] == after
    assert [s["id"] for s in observed.seen if s["id"] in after] == after[:1]


@settings(PROPERTY, max_examples=20)
@given(batches(even=True).filter(lambda sent: all(b"return" not in m.body for m in sent.messages)))
def test_batch_handlers_report_the_same(agree, sent):
    # Batches are cut differently (E-6): what fails a whole batch, and the attempt that the context
    # of a batch tells, is left out.
    if any(b"exit" in message.body for message in sent.messages):
        sent = QueueStimulus(sent.messages[:1])
    agree("work-batch", sent)


# CloudEvents attribute names: lower-case letters and digits, 20 at most; values: no control
# characters. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#attributes
CE_VALUES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=12
)
CORE = ("id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "specversion")
EXTENSIONS = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
        lambda name: name not in (*CORE, "data", "key", "partitionkey")
    ),
    CE_VALUES,
    max_size=3,
)
TYPES = st.sampled_from(
    [
        "application/json", "application/json; charset=utf-8", "application/vnd.api+json",
        "text/plain", "text/plain; charset=latin-1", "text/csv;charset=nonsense",
        "application/octet-stream", "image/png", "application/xml", "APPLICATION/JSON", "x",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
DATA = st.one_of(BODIES, JSON.map(lambda value: json.dumps(value).encode()))


@st.composite
def binary_events(draw: st.DrawFn) -> TopicStimulus:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": draw(CE_VALUES),
        "ce-source": draw(CE_VALUES),
        "ce-type": draw(CE_VALUES),
    }
    for name, values in (("subject", CE_VALUES), ("time", TIMES), ("dataschema", CE_VALUES)):
        if draw(st.booleans()):
            attributes[f"ce-{name}"] = draw(values)
    attributes |= {f"ce-{name}": value for name, value in draw(EXTENSIONS).items()}
    # No "ce-" of the sender's own making, and no more than the ten that SNS delivers.
    attributes |= draw(st.dictionaries(NAMES.filter(lambda n: not n.lower().startswith("ce-")), VALUES, max_size=2))
    dropped = draw(st.sampled_from([None, None, None, "ce-id", "ce-type", "ce-source"]))
    attributes.pop(dropped or "", None)
    return TopicStimulus(
        MessageStimulus(
            draw(IDS), draw(DATA), attributes, draw(st.none() | KEYS), draw(st.integers(1, 3)),
            draw(TIMES), draw(st.none() | TYPES),
        )
    )  # fmt: skip


@st.composite
def structured_events(draw: st.DrawFn) -> TopicStimulus:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": draw(CE_VALUES),
        "source": draw(CE_VALUES),
        "type": draw(CE_VALUES),
        **draw(st.dictionaries(st.sampled_from(["subject", "dataschema"]), CE_VALUES)),
        **draw(EXTENSIONS),
    }
    if draw(st.booleans()):
        event["datacontenttype"] = draw(TYPES)
    if draw(st.booleans()):
        event["data"] = draw(JSON)
    elif draw(st.booleans()):
        event["data_base64"] = base64.b64encode(draw(st.binary(max_size=20))).decode()
    for name in draw(st.sets(st.sampled_from([*event]), max_size=1)):
        if draw(st.booleans()):
            event[name] = draw(SCALARS)  # what a careless sender makes of an attribute
    body = json.dumps(event, ensure_ascii=draw(st.booleans())).encode()
    return TopicStimulus(
        MessageStimulus(
            draw(IDS), body, draw(ATTRIBUTES), draw(st.none() | KEYS), 1, draw(TIMES),
            draw(st.sampled_from(
                ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"]
            )),
        )
    )  # fmt: skip


def plain_events() -> st.SearchStrategy[TopicStimulus]:
    return st.builds(
        TopicStimulus,
        st.builds(
            MessageStimulus,
            IDS, DATA, ATTRIBUTES, st.none() | KEYS, st.integers(1, 3), TIMES, st.none() | TYPES,
        ),
    )  # fmt: skip


def _structured(text: str) -> TopicStimulus:
    kind = "application/cloudevents+json"
    return TopicStimulus(MessageStimulus("m-1", text.encode(), content_type=kind))


@settings(PROPERTY, max_examples=40)
@example(
    _structured('{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data_base64": 7}')
)
@example(_structured("[]"))
@example(_structured("{"))
@example(_structured("[" * 100_000))
@given(st.one_of(binary_events(), structured_events(), plain_events()))
def test_topic_events_arrive_the_same(agree, sent):
    agree("on-event", sent)


@st.composite
def filtered_events(draw: st.DrawFn) -> TopicStimulus:
    types = st.sampled_from(["order.placed", "order.paid", "order.lost", "ORDER.PAID", "order.paid "])
    tiers = st.sampled_from(["gold", "silver", "Gold", "goldish"])
    attributes = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": draw(types)}
    where = draw(st.sampled_from(["ce-tier", "tier", "both", "none"]))
    if where in ("ce-tier", "both"):
        attributes["ce-tier"] = draw(tiers)
    if where in ("tier", "both"):
        attributes["tier"] = draw(tiers)
    return TopicStimulus(MessageStimulus("m-1", draw(DATA), attributes))


@settings(PROPERTY, max_examples=20)
@given(filtered_events())
def test_filters_pass_the_same(agree, sent):
    agree("on-placed", sent)
