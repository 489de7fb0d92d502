"""Events as handlers see them. Ships; imports nothing at module level.

Every event speaks CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2). Names of
resources are those of the manifest, never the cloud's; the platform's payload is in ``raw``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


class Event:
    """One CloudEvents 1.0 event.

    Attributes:
        id: unique per source and the same on every redelivery.
        source, type: CloudEvents context attributes (str).
        subject, time, datacontenttype, dataschema: str or None; time is RFC 3339 UTC with three
            fractional digits.
        data: decoded JSON for a JSON content type, str for ``text/*``, else bytes; None if absent.
        extensions: CloudEvents extension attributes (dict of str).
        attributes: the message's other attributes (dict of str), such as a filter sees.
        key: ordering key, or None.
        attempt: 1 on the first delivery, as far as the platform counts.
        raw: the platform's payload.
        control: portafaas' own attributes of the message, or None; see ``control.py``.
    """

    __slots__ = (
        "attempt",
        "attributes",
        "control",
        "data",
        "datacontenttype",
        "dataschema",
        "extensions",
        "id",
        "key",
        "raw",
        "source",
        "subject",
        "time",
        "type",
    )

    def __init__(
        self,
        id: str,
        source: str,
        type: str,
        data: Any = None,
        *,
        subject: str | None = None,
        time: str | None = None,
        datacontenttype: str | None = None,
        dataschema: str | None = None,
        extensions: Mapping[str, str] | None = None,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
        attempt: int = 1,
        raw: Any = None,
        control: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        self.source = source
        self.type = type
        self.data = data
        self.subject = subject
        self.time = time
        self.datacontenttype = datacontenttype
        self.dataschema = dataschema
        self.extensions = dict(extensions or ())
        self.attributes = dict(attributes or ())
        self.key = key
        self.attempt = attempt
        self.raw = raw
        self.control = control
        if control is not None and "pf-attempt" in control:
            from portafaas.runtime.control import carried

            self.attempt += carried(control)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} id={self.id!r} source={self.source!r}>"

    def json(self) -> Any:
        """Return the data as JSON: decoded already, or parsed from text or bytes.

        Raises :class:`~portafaas.runtime.taxonomy.Unreadable`, a ValueError, when it is not JSON.
        """
        data = self.data
        # Bytes of a JSON type are those that decode_data could not read.
        if isinstance(data, bytes) or (
            isinstance(data, str) and not is_json(self.datacontenttype)
        ):
            import json

            try:
                return json.loads(data)
            except (ValueError, RecursionError) as exc:
                from portafaas.runtime.taxonomy import Unreadable

                raise Unreadable(f"the data of event {self.id} is not JSON: {exc}") from exc
        return data

    def to_dict(self) -> dict[str, Any]:
        """Return the event in the CloudEvents JSON format (binary data as ``data_base64``).

        https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
        """
        out: dict[str, Any] = {"specversion": "1.0"}
        for name in CORE:
            value = getattr(self, name)
            if value is not None:
                out[name] = value
        out.update(self.extensions)
        if isinstance(self.data, bytes):
            from binascii import b2a_base64

            out["data_base64"] = b2a_base64(self.data, newline=False).decode("ascii")
        elif self.data is not None:
            out["data"] = self.data
        return out


class ObjectEvent(Event):
    """An object was created or deleted in a bucket.

    Attributes (beside those of Event): ``bucket`` (name in the manifest), ``key`` (decoded name of
    the object; also ``subject``), ``kind`` (``created`` or ``deleted``), ``size`` (bytes, None for
    a deletion), ``etag`` (opaque str or None).
    """

    __slots__ = ("bucket", "etag", "kind", "size")

    key: str

    def __init__(
        self,
        id: str,
        source: str,
        *,
        bucket: str,
        key: str,
        kind: str,
        size: int | None = None,
        etag: str | None = None,
        time: str | None = None,
        attempt: int = 1,
        raw: Any = None,
    ) -> None:
        data: dict[str, Any] = {"bucket": bucket, "key": key}
        if size is not None:
            data["size"] = size
        if etag is not None:
            data["etag"] = etag
        super().__init__(
            id,
            source,
            f"portafaas.object.{kind}",
            data,
            subject=key,
            time=time,
            datacontenttype="application/json",
            key=key,
            attempt=attempt,
            raw=raw,
        )
        self.bucket = bucket
        self.kind = kind
        self.size = size
        self.etag = etag


class ChangeEvent(Event):
    """A row of a table changed.

    Attributes (beside those of Event): ``table`` (name in the manifest), ``kind`` (``insert``,
    ``update``, ``delete``, or ``upsert`` where the trigger asks for no difference), ``keys`` (the
    row's key, a dict), ``new`` and ``old`` (the row after and before, a dict, or None where there
    is none or the trigger did not ask for it).
    """

    __slots__ = ("keys", "kind", "new", "old", "table")

    def __init__(
        self,
        id: str,
        source: str,
        *,
        table: str,
        kind: str,
        keys: Mapping[str, Any],
        new: Mapping[str, Any] | None = None,
        old: Mapping[str, Any] | None = None,
        time: str | None = None,
        attempt: int = 1,
        raw: Any = None,
    ) -> None:
        data: dict[str, Any] = {"keys": dict(keys)}
        if new is not None:
            data["new"] = new
        if old is not None:
            data["old"] = old
        subject = "/".join(str(value) for value in keys.values())
        super().__init__(
            id,
            source,
            f"portafaas.table.{kind}",
            data,
            subject=subject,
            time=time,
            datacontenttype="application/json",
            key=subject,
            attempt=attempt,
            raw=raw,
        )
        self.table = table
        self.kind = kind
        self.keys = dict(keys)
        self.new = new
        self.old = old


class ScheduleEvent(Event):
    """A schedule fired.

    ``time`` is the instant the schedule names (on the minute), not the instant of delivery.
    """

    __slots__ = ()

    def __init__(
        self, id: str, source: str, *, time: str | None, attempt: int = 1, raw: Any = None
    ) -> None:
        super().__init__(
            id, source, "portafaas.schedule.fired", time=time, attempt=attempt, raw=raw
        )


def is_json(content_type: str | None) -> bool:
    """Tell whether data of this content type is JSON."""
    if content_type is None:
        return False
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
