"""JSON values in the shapes that Firestore keeps, and back. Ships; imports nothing.

Firestore keeps all JSON values but a list directly inside a list, which becomes a map
``{"pf-list": [...]}`` there; a map in a list that looks like one of these is ``{"pf-map": {...}}``.
https://cloud.google.com/firestore/docs/concepts/data-types
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_LIST = "pf-list"
_MAP = "pf-map"
#: Field with the time at which Firestore deletes a document. The TTL policies of Terraform's
#: provider take no names that need quotes, so that a row's own attribute of this name is moved.
EXPIRES = "pfExpires"
_OWN = "pf-"
#: Bytes of a document's id: https://cloud.google.com/firestore/quotas#limits
_LONGEST_ID = 1500


def document_id(keys: Sequence[Any]) -> str:
    """Return the id of the document with these keys, one or two: ``key`` or ``key:sort``.

    No two rows share one. ``%``, ``/`` and what Firestore does not take are percent-encoded; ids
    that would be too long are a hash.
    """
    parts = [str(key).replace("%", "%25").replace("/", "%2F") for key in keys]
    if len(parts) > 1:
        parts[0] = parts[0].replace(":", "%3A")
    text = ":".join(parts)
    if text in (".", "..") or (text.startswith("__") and text.endswith("__")):
        text = f"%{ord(text[0]):02X}{text[1:]}"
    if len(text.encode("utf-8")) > _LONGEST_ID:
        from hashlib import sha256

        return f"%sha256-{sha256(text.encode('utf-8')).hexdigest()}"
    return text


def fields_of(row: Mapping[str, Any], ttl: str) -> dict[str, Any]:
    """Return the fields of a row's document, with the time at which Firestore may delete it.

    That is a timestamp, which a row has none of: a field of our own, made of attribute *ttl*.
    https://cloud.google.com/firestore/docs/ttl
    """
    found = {_field(name): stored(value) for name, value in row.items()}
    end = row.get(ttl) if ttl else None
    if isinstance(end, (int, float)) and not isinstance(end, bool):
        from contextlib import suppress
        from datetime import datetime, timedelta, timezone

        start = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 (Python 3.10)
        with suppress(OverflowError):  # beyond the year 9999: never
            found[EXPIRES] = start + timedelta(seconds=end)
    return found


def row_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a document's fields, which are JSON values."""
    return {
        name[len(_OWN) :] if name == _OWN + EXPIRES else name: value
        for name, value in fields.items()
        if name == _OWN + EXPIRES or not (name == EXPIRES or name.startswith(_OWN))
    }


def _field(name: str) -> str:
    return _OWN + name if name == EXPIRES else name


def stored(value: Any) -> Any:
    """Return a JSON value as it is kept."""
    if isinstance(value, dict):
        return {name: stored(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_list(item) for item in value]
    return value


def _in_list(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return {_LIST: stored(value)}
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in (_LIST, _MAP):
        return {_MAP: stored(value)}
    return stored(value)


def unwrapped(value: Any) -> Any:
    """Return an item of a list as it was before it was stored."""
    if isinstance(value, dict) and len(value) == 1:
        [(name, inner)] = value.items()
        if (name == _LIST and isinstance(inner, list)) or (
            name == _MAP and isinstance(inner, dict)
        ):
            return inner
    return value


def loaded(value: Any) -> Any:
    """Return what the client read as the JSON value that the bridge of a table function gives.

    Whole doubles are int; of what others may have stored, timestamps are RFC 3339 text, bytes
    base64 text, references their name, and geo points ``{"latitude", "longitude"}``.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: loaded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [unwrapped(loaded(item)) for item in value]
    if isinstance(value, bytes):
        from binascii import b2a_base64

        return b2a_base64(value, newline=False).decode("ascii")
    if hasattr(value, "rfc3339"):
        # 0, 3, 6 or 9 digits of a fraction.
        moment, _, fraction = value.rfc3339().rstrip("Z").partition(".")
        fraction = fraction.ljust(9, "0")
        while fraction.endswith("000"):
            fraction = fraction[:-3]
        return f"{moment}.{fraction}Z" if fraction else f"{moment}Z"
    if hasattr(value, "latitude"):
        return {"latitude": loaded(value.latitude), "longitude": loaded(value.longitude)}
    if hasattr(value, "_document_path"):
        return value._document_path
    return str(value)
