"""The shipped decoder and the build-time encoder against Google's own protobuf classes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.events.cloud.firestore_v1 import (
    ArrayValue,
    Document,
    DocumentEventData,
    MapValue,
    Value,
)
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng
from hypothesis import given
from hypothesis import strategies as st

from portafaas_gcp.documents import event_data
from portafaas_gcp.runtime.firestore import from_json, from_protobuf

NAME = "projects/p/databases/(default)/documents/things/a"

KINDS: list[tuple[str, Value, Any]] = [
    ("nothing", Value(), None),
    ("null", Value(null_value=NULL_VALUE), None),
    ("true", Value(boolean_value=True), True),
    ("false", Value(boolean_value=False), False),
    ("zero", Value(integer_value=0), 0),
    ("largest", Value(integer_value=2**63 - 1), 2**63 - 1),
    ("least", Value(integer_value=-(2**63)), -(2**63)),
    ("minus one", Value(integer_value=-1), -1),
    ("double", Value(double_value=0.1), 0.1),
    ("negative double", Value(double_value=-5e-324), -5e-324),
    ("integral double", Value(double_value=5.0), 5),
    ("infinite", Value(double_value=math.inf), math.inf),
    ("empty text", Value(string_value=""), ""),
    ("text", Value(string_value="grüße ☃ 𝄞"), "grüße ☃ 𝄞"),
    ("bytes", Value(bytes_value=b"\x00\xff>?"), "AP8+Pw=="),
    ("no bytes", Value(bytes_value=b""), ""),
    ("reference", Value(reference_value=NAME), NAME),
    (
        "point",
        Value(geo_point_value=LatLng(latitude=51.4543, longitude=-1.0)),
        {"latitude": 51.4543, "longitude": -1},
    ),
    ("origin", Value(geo_point_value=LatLng()), {"latitude": 0, "longitude": 0}),
    ("second", Value(timestamp_value=Timestamp(seconds=1)), "1970-01-01T00:00:01Z"),
    (
        "millisecond",
        Value(timestamp_value=Timestamp(seconds=1587651833, nanos=241000000)),
        "2020-04-23T14:23:53.241Z",
    ),
    (
        "nanosecond",
        Value(timestamp_value=Timestamp(seconds=-1, nanos=1)),
        "1969-12-31T23:59:59.000000001Z",
    ),
    (
        "first",
        Value(timestamp_value=Timestamp(seconds=-62135596800)),
        "0001-01-01T00:00:00Z",
    ),
    ("empty list", Value(array_value=ArrayValue()), []),
    (
        "list",
        Value(array_value=ArrayValue(values=[Value(integer_value=1), Value(string_value="x")])),
        [1, "x"],
    ),
    ("empty map", Value(map_value=MapValue()), {}),
    (
        "map",
        Value(
            map_value=MapValue(
                fields={
                    "": Value(boolean_value=True),
                    "in": Value(map_value=MapValue(fields={"n": Value(null_value=NULL_VALUE)})),
                    "list": Value(array_value=ArrayValue(values=[Value(map_value=MapValue())])),
                }
            )
        ),
        {"": True, "in": {"n": None}, "list": [{}]},
    ),
]


def _event(**fields: Value) -> DocumentEventData:
    return DocumentEventData(value=Document(name=NAME, fields=fields))


@pytest.mark.parametrize(("value", "wanted"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_every_kind_of_value(value: Value, wanted: Any) -> None:
    data = DocumentEventData.serialize(_event(x=value))
    new, old = from_protobuf(data)
    assert old is None and new is not None and new.name == NAME
    assert new.fields == {"x": wanted}
    assert type(new.fields["x"]) is type(wanted)


@pytest.mark.parametrize(("value", "wanted"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_json_gives_the_same_values(value: Value, wanted: Any) -> None:
    data = json.loads(json.dumps(MessageToDict(DocumentEventData.pb(_event(x=value)))))
    new, _ = from_json(data)
    assert new is not None and new.fields == {"x": wanted}
    assert type(new.fields["x"]) is type(wanted)


def test_not_a_number_stays_one() -> None:
    new, _ = from_protobuf(DocumentEventData.serialize(_event(x=Value(double_value=math.nan))))
    assert new is not None and math.isnan(new.fields["x"])


def test_both_images_and_what_is_not_read() -> None:
    event = DocumentEventData(
        value=Document(name=NAME, fields={"a": Value(integer_value=2)}, update_time=Timestamp()),
        old_value=Document(name=NAME, create_time=Timestamp(seconds=5)),
        update_mask={"field_paths": ["a"]},
    )
    # Unknown fields of every wire type, such as a later version may add.
    later = b"\xc0\x06\x05" b"\xc1\x06" + bytes(8) + b"\xc2\x06\x01x" b"\xc5\x06" + bytes(4)
    new, old = from_protobuf(DocumentEventData.serialize(event) + later)
    assert new is not None and new.fields == {"a": 2}
    assert old is not None and old.fields == {} and old.name == NAME
    assert from_protobuf(b"") == (None, None)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=5))
def test_rows_survive_google_s_classes(row: dict[str, Any]) -> None:
    ours = event_data(NAME, row, {"was": 1}, "2026-11-23T10:00:00.250Z")
    message = DocumentEventData.deserialize(ours)
    assert message.value.create_time.timestamp() == 1795428000.25
    assert sorted(message.update_mask.field_paths) == sorted({*row, "was"})
    for data in (ours, DocumentEventData.serialize(message)):
        new, old = from_protobuf(data)
        assert new is not None and old is not None
        assert new.fields == row and old.fields == {"was": 1}
    new, _ = from_json(json.loads(json.dumps(MessageToDict(DocumentEventData.pb(message)))))
    assert new is not None and new.fields == row


def test_rows_hold_json_only() -> None:
    with pytest.raises(TypeError, match="bytes"):
        event_data(NAME, {"a": b""}, None, "2026-11-23T10:00:00Z")


GOOD = DocumentEventData.serialize(_event(**{f"f{n}": kind[1] for n, kind in enumerate(KINDS)}))


def _agrees_with_google(data: bytes) -> None:
    """Ours reads what Google's parser reads, and fails in no other way than ValueError."""
    try:
        from_protobuf(data)
    except ValueError as exc:
        try:
            DocumentEventData.deserialize(data)
        except DecodeError:
            return
        # Google's skips a known field of another type, and takes any timestamp.
        assert "wire type" in str(exc) or "timestamp" in str(exc)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_broken_messages(at: int, byte: int, cut: bool) -> None:
    _agrees_with_google(GOOD[:at] if cut else GOOD[:at] + bytes((byte,)) + GOOD[at + 1 :])


@given(st.binary(max_size=40))
def test_noise(data: bytes) -> None:
    _agrees_with_google(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x0a", "cut short"),
        (b"\x0a\x05abc", "cut short"),
        (b"\x0b", "wire type 3"),
        (b"\x02\x00", "field number 0"),
        (b"\x08\x01", "wire type 0"),
        (b"\xff" * 11, "64 bits"),
        (b"\x0a\x03\x0a\x01\xff", "utf-8"),
    ],
)
def test_malformed_protobuf(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        from_protobuf(data)


def test_depth_is_limited() -> None:
    value: dict[str, Any] = {"integerValue": "1"}
    for _ in range(5000):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(ValueError, match="deeper"):
        from_json({"value": {"name": NAME, "fields": {"x": value}}})
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    with pytest.raises(ValueError, match="deeper"):
        from_protobuf(event_data(NAME, {"x": nested}, None, "2026-11-23T10:00:00Z"))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "JSON object"),
        ({"value": []}, None),
        ({"value": [1]}, "JSON object"),
        ({"value": {"fields": 1}}, "fields"),
        ({"value": {"fields": {"a": 1}}}, "one member"),
        ({"value": {"fields": {"a": {"stringValue": "", "nullValue": None}}}}, "one member"),
        ({"value": {"fields": {"a": {"integerValue": "x"}}}}, "invalid literal"),
        ({"value": {"fields": {"a": {"integerValue": None}}}}, "integerValue"),
        ({"value": {"fields": {"a": {"arrayValue": 3}}}}, "arrayValue"),
        ({"value": {"fields": {"a": {"mapValue": 3}}}}, "JSON object"),
        ({"value": {"fields": {"a": {"vectorValue": 3}}}}, "vectorValue"),
    ],
)
def test_malformed_json(data: Any, text: str | None) -> None:
    if text is None:
        assert from_json(data) == (None, None)
        return
    with pytest.raises(ValueError, match=text):
        from_json(data)


def test_published_examples(cases: Any) -> None:
    simple = json.loads(
        (cases / "db" / "google-cloudevents__data__DocumentEventData-simple.json").read_text()
    )
    new, old = from_json(simple)
    assert new is not None and old is not None
    assert new.fields == {"another test": "asd", "count": 4, "foo": "bar"}
    assert old.fields["count"] == 3
    rich = json.loads(
        (cases / "db" / "google-cloudevents__data__DocumentEventData-complex.json").read_text()
    )
    new, old = from_json(rich)
    assert old is None and new is not None
    assert new.fields["geoPointValue"] == {"latitude": 51.4543, "longitude": -0.9781}
    assert new.fields["mapValue"] == {"field1": "x", "field2": ["x", 1]}
