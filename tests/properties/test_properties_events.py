"""Random objects, rows and instants reach event handlers unchanged on every target."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from portafaas.adapter import ChangeStimulus, ObjectStimulus, ScheduleStimulus

pytestmark = pytest.mark.vendor

# The same examples on every run: new ones come with new strategies, not by luck.
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)

TIMES = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1)).map(
    lambda at: at.isoformat(timespec="milliseconds") + "Z"
)

# Azure refuses control characters in blob names, and names or segments that end with a dot or a
# slash. https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
# Google refuses CR, LF and the names "." and "..". https://cloud.google.com/storage/docs/objects#naming
# S3 takes any UTF-8. All: 1024 bytes (Azure: characters).
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"))
NASTY = st.sampled_from(
    ["%2F", "%20", "%", "+", " ", "?", "#", "&", "=", "a/b", "//", "@", ":", "\\", '"', "'", "~", "*"]
)


def _allowed(key: str) -> bool:
    return bool(key) and key[-1] not in "./\\" and not key.startswith("/") and "./" not in key


KEYS = (
    st.lists(st.one_of(st.text(CHARACTERS, max_size=6), NASTY), max_size=6)
    .map("".join)
    .filter(_allowed)
)
OBJECTS = {
    "size": st.integers(0, 2**42),
    # Opaque; what all clouds' are made of.
    "etag": st.text("0123456789abcdefABCDEF-", min_size=1, max_size=32),
    "time": TIMES,
    "sequencer": st.text("0123456789ABCDEF", min_size=6, max_size=20),
}


@settings(PROPERTY, max_examples=80)
@given(st.builds(ObjectStimulus, st.sampled_from(["created", "deleted"]), KEYS, **OBJECTS))
def test_object_events_arrive_the_same(agree, sent):
    observed = agree("on-removed", sent)
    assert [seen["key"] for seen in observed.seen] == [sent.key]


PIECES = st.sampled_from(["in/", "in", "IN/", "/", "x", ".csv", ".CSV", "csv", ".csv.gz", "ü", "%2F"])


@settings(PROPERTY, max_examples=60)
@given(
    st.builds(
        ObjectStimulus,
        st.just("created"),
        st.lists(PIECES, min_size=1, max_size=4).map("".join).filter(_allowed),
        **OBJECTS,
    )
)
def test_prefix_and_suffix_pass_the_same(agree, sent):
    observed = agree("on-upload", sent)
    fits = sent.key.startswith("in/") and sent.key.endswith(".csv")
    assert len(observed.seen) == fits


# What the three stores all take. Cosmos holds numbers as doubles, so that whole ones are exact up to
# 2**53 only; DynamoDB takes 38 digits and
# magnitudes of 1e-130 to 9.9e125; Firestore has no array directly in an array, no names of the form
# __x__, and 20 levels; DynamoDB has no empty names. Cosmos has system properties, and takes "id".
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
# https://firebase.google.com/docs/firestore/quotas#collections_documents_and_fields
# https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits
SYSTEM = {"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn", "id", "ttl"}
FIELDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda name: name not in SYSTEM and not (name.startswith("__") and name.endswith("__"))
)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53), 2.0**53).filter(
    lambda number: number == 0 or 1e-60 < abs(number) < 2**53
)
TEXTS = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    lists = st.lists(inner.filter(lambda value: not isinstance(value, list)), max_size=3)
    return lists | st.dictionaries(FIELDS, inner, max_size=3)


JSON = st.recursive(SCALARS, _nested, max_leaves=8)
ROWS = st.dictionaries(FIELDS, JSON, max_size=4)
KEY_VALUES = st.text(min_size=1, max_size=8) | st.integers(-(2**53) + 1, 2**53 - 1)


@st.composite
def changes(draw: st.DrawFn, keys: tuple[str, ...], kinds: tuple[str, ...]) -> ChangeStimulus:
    kind = draw(st.sampled_from(kinds))
    named = {name: draw(KEY_VALUES) for name in keys}
    new = {**draw(ROWS), **named} if kind != "delete" else None
    old = {**draw(ROWS), **named} if kind != "insert" else None
    name = draw(st.text("0123456789abcdef", min_size=1, max_size=12))
    # Cosmos DB's _ts, and as a rule DynamoDB's, is in whole seconds.
    # https://learn.microsoft.com/rest/api/cosmos-db/documents
    time = f"{draw(TIMES)[:19]}.000Z"
    return ChangeStimulus(kind, named, new, old, time, name)


@settings(PROPERTY, max_examples=80)
@given(changes(("order_id",), ("insert", "update")))
def test_upserts_arrive_the_same(agree, sent):
    agree("on-upsert", sent)


@settings(PROPERTY, max_examples=60)
@given(changes(("sku", "place"), ("insert", "update", "delete")))
def test_changes_arrive_the_same(agree, sent):
    agree("on-change", sent)


@settings(PROPERTY, max_examples=30)
@given(changes(("id",), ("insert", "update", "delete")))
def test_kinds_are_told_apart_the_same(agree, sent):
    for function in ("on-insert", "on-delete"):
        agree(function, sent)


# Whole minutes, which is what schedules fire at; half of them within two days of a change of clocks.
_CHANGES = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
INSTANTS = st.one_of(
    st.datetimes(
        min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)
    ),
    st.builds(
        lambda at, minutes: at + timedelta(minutes=minutes),
        st.sampled_from(_CHANGES),
        st.integers(-3000, 3000),
    ),
    # Those that the kit's schedules name.
    st.builds(
        lambda day, hour, minute: datetime(2026, 1, 1, hour, minute, tzinfo=UTC) + timedelta(day),
        st.integers(0, 364),
        st.integers(0, 6),
        st.sampled_from([0, 5, 30]),
    ),
).map(lambda at: at.replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:00.000Z"))


@settings(PROPERTY, max_examples=100)
@given(INSTANTS)
@example("2026-03-29T00:30:00.000Z")
@example("2026-10-25T01:30:00.000Z")
def test_schedules_fire_the_same(agree, at):
    for function in ("on-minute", "on-morning", "on-night"):
        agree(function, ScheduleStimulus(at))
