"""Rows as the protobuf messages that Firestore sends; the counterpart of ``runtime/firestore``.

https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any


def event_data(
    name: str, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None, time: str
) -> bytes:
    """Return a ``DocumentEventData``; *name* is the document's full path, *time* RFC 3339 UTC.

    Values are JSON values; raises TypeError for others.
    """
    out = b""
    if new is not None:
        out += _message(1, _document(name, new, time))
    if old is not None:
        out += _message(2, _document(name, old, time))
    if new is not None and old is not None:
        missing = object()
        changed = sorted(
            key for key in {*new, *old} if new.get(key, missing) != old.get(key, missing)
        )
        out += _message(3, b"".join(_message(1, key.encode("utf-8")) for key in changed))
    return out


def _document(name: str, fields: Mapping[str, Any], time: str) -> bytes:
    moment = _timestamp(time)
    return b"".join(
        (
            _message(1, name.encode("utf-8")),
            *(_message(2, _entry(key, value)) for key, value in fields.items()),
            _message(3, moment),
            _message(4, moment),
        )
    )


def _timestamp(time: str) -> bytes:
    from datetime import datetime

    moment = datetime.fromisoformat(time)
    seconds, micros = int(moment.timestamp() // 1), moment.microsecond
    out = _number(1, seconds)
    return out + _number(2, micros * 1000) if micros else out


def _entry(key: str, value: Any) -> bytes:
    return _message(1, key.encode("utf-8")) + _message(2, _value(value))


def _value(value: Any) -> bytes:
    if value is None:
        return _number(11, 0)
    if isinstance(value, bool):
        return _number(1, int(value))
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return _number(2, value)
    if isinstance(value, (int, float)):
        return _varint(3 << 3 | 1) + struct.pack("<d", float(value))
    if isinstance(value, str):
        return _message(17, value.encode("utf-8"))
    if isinstance(value, (list, tuple)):
        return _message(9, b"".join(_message(1, _value(item)) for item in value))
    if isinstance(value, Mapping):
        return _message(6, b"".join(_message(1, _entry(k, v)) for k, v in value.items()))
    raise TypeError(f"a row cannot hold {type(value).__name__!r}")


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & (2**64 - 1))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
