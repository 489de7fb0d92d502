"""Firestore documents as plain values, from protobuf or JSON. Ships; imports load on first use.

Field numbers and wire format:
https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto
https://protobuf.dev/programming-guides/encoding/
Integral doubles become int; timestamps RFC 3339 text; bytes base64 text; references their name;
geo points ``{"latitude", "longitude"}``. Both forms give the same values.
"""

from __future__ import annotations

from portafaas_gcp.runtime.shapes import unwrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Same as protobuf's own limit; Firestore allows 20 levels of maps and arrays.
_DEEPEST = 100


class Document:
    """A document: ``name`` is its full path, ``fields`` its values."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self.fields = fields


def from_protobuf(data: bytes) -> tuple[Document | None, Document | None]:
    """Return the new and the old document of a ``DocumentEventData`` message.

    Raises ValueError when the bytes are no such message.
    """
    images: list[Document | None] = [None, None]
    for number, wire, value in _fields(data):
        if number in (1, 2):
            images[number - 1] = _document(_bytes(wire, value))
    return images[0], images[1]


def _document(data: bytes) -> Document:
    name, fields = "", {}
    for number, wire, value in _fields(data):
        if number == 1:
            name = _text(_bytes(wire, value))
        elif number == 2:
            key, found = _entry(_bytes(wire, value), 0)
            fields[key] = found
    return Document(name, fields)


def _entry(data: bytes, depth: int) -> tuple[str, Any]:
    key, found = "", None
    for number, wire, value in _fields(data):
        if number == 1:
            key = _text(_bytes(wire, value))
        elif number == 2:
            found = _value(_bytes(wire, value), depth + 1)
    return key, found


def _value(data: bytes, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"the document is nested deeper than {_DEEPEST} levels")
    out: Any = None
    for number, wire, value in _fields(data):
        if number == 1:
            out = bool(_varint(wire, value))
        elif number == 2:
            whole = _varint(wire, value)
            out = whole - 2**64 if whole >= 2**63 else whole
        elif number == 3:
            out = _number(_double(wire, value))
        elif number in (5, 17):
            out = _text(_bytes(wire, value))
        elif number == 6:
            inner = (_bytes(w, v) for n, w, v in _fields(_bytes(wire, value)) if n == 1)
            out = dict(_entry(piece, depth) for piece in inner)
        elif number == 8:
            parts = {n: _double(w, v) for n, w, v in _fields(_bytes(wire, value))}
            out = _point(parts.get(1, 0.0), parts.get(2, 0.0))
        elif number == 9:
            inner = (_bytes(w, v) for n, w, v in _fields(_bytes(wire, value)) if n == 1)
            out = [unwrapped(_value(piece, depth + 1)) for piece in inner]
        elif number == 10:
            parts2 = {n: _varint(w, v) for n, w, v in _fields(_bytes(wire, value))}
            out = _timestamp(parts2.get(1, 0), parts2.get(2, 0))
        elif number == 11:
            out = None
        elif number == 18:
            from binascii import b2a_base64

            out = b2a_base64(_bytes(wire, value), newline=False).decode("ascii")
    return out


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield (field number, wire type, int or bytes) of a message; raises ValueError."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        wire = tag & 7
        value: Any
        if wire == 0:
            value, position = _read_varint(data, position)
        else:
            if wire == 2:
                size, position = _read_varint(data, position)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise ValueError(f"no Firestore event: unknown protobuf wire type {wire}")
            value = data[position : position + size]
            position += size
            if position > end:
                raise ValueError("no Firestore event: the protobuf message is cut short")
        if tag < 8:
            raise ValueError("no Firestore event: protobuf field number 0")
        yield tag >> 3, wire, value


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while shift < 70:
        if position >= len(data):
            raise ValueError("no Firestore event: the protobuf message is cut short")
        byte = data[position]
        position += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result & (2**64 - 1), position
        shift += 7
    raise ValueError("no Firestore event: a protobuf number has more than 64 bits")


def _varint(wire: int, value: Any) -> int:
    if wire != 0:
        raise ValueError(f"no Firestore event: number with protobuf wire type {wire}")
    return int(value)


def _bytes(wire: int, value: Any) -> bytes:
    if wire != 2:
        raise ValueError(f"no Firestore event: text or message with protobuf wire type {wire}")
    return bytes(value)


def _double(wire: int, value: Any) -> float:
    if wire != 1:
        raise ValueError(f"no Firestore event: double with protobuf wire type {wire}")
    from struct import unpack

    return float(unpack("<d", value)[0])


def _text(data: bytes) -> str:
    return data.decode("utf-8")


def _number(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _point(latitude: float, longitude: float) -> dict[str, int | float]:
    return {"latitude": _number(latitude), "longitude": _number(longitude)}


def _timestamp(seconds: int, nanos: int) -> str:
    """Return RFC 3339 with 0, 3, 6 or 9 fractional digits, as the JSON form has it."""
    from datetime import datetime, timedelta

    if seconds >= 2**63:
        seconds -= 2**64
    try:
        moment = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError as exc:
        raise ValueError(f"no Firestore event: timestamp of {seconds} seconds") from exc
    text = moment.isoformat()
    if nanos:
        digits = f"{nanos:09d}"
        while digits.endswith("000"):
            digits = digits[:-3]
        text += f".{digits}"
    return f"{text}Z"


def from_json(data: Any) -> tuple[Document | None, Document | None]:
    """Return the new and the old document of an event in JSON; raises ValueError."""
    if not isinstance(data, dict):
        raise ValueError(f"a Firestore event must be a JSON object, not {type(data).__name__}")
    return _json_document(data.get("value")), _json_document(data.get("oldValue"))


def _json_document(data: Any) -> Document | None:
    # 1st gen sends {} for no document.
    if not data:
        return None
    if not isinstance(data, dict):
        raise ValueError(f"a document must be a JSON object, not {type(data).__name__}")
    return Document(str(data.get("name", "")), _json_fields(data, 0))


def _json_fields(data: Any, depth: int) -> dict[str, Any]:
    fields = data.get("fields") or {} if isinstance(data, dict) else None
    if not isinstance(fields, dict):
        raise ValueError("the fields of a document or map must be a JSON object")
    return {str(name): _json_value(value, depth + 1) for name, value in fields.items()}


def _json_value(data: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"the document is nested deeper than {_DEEPEST} levels")
    if not isinstance(data, dict) or len(data) > 1:
        raise ValueError("a value of a document must be a JSON object with one member")
    for kind, value in data.items():
        try:
            if kind in ("booleanValue", "stringValue", "referenceValue", "timestampValue"):
                return value
            if kind == "bytesValue":
                return value.replace("-", "+").replace("_", "/")
            if kind == "integerValue":
                return int(value)
            if kind == "doubleValue":
                return _number(float(value))
            if kind == "nullValue":
                return None
            if kind == "mapValue":
                return _json_fields(value, depth)
            if kind == "arrayValue":
                items = value.get("values") or ()
                return [unwrapped(_json_value(item, depth + 1)) for item in items]
            if kind == "geoPointValue":
                return _point(float(value.get("latitude", 0)), float(value.get("longitude", 0)))
        except (TypeError, AttributeError) as exc:
            raise ValueError(f"{kind} of a document cannot be {type(value).__name__}") from exc
        raise ValueError(f"unknown kind of value {kind!r}")
    return None
