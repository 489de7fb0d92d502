"""Events and messages as handlers see them. Ships; imports nothing at module level.

Every event speaks CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2). Names of
resources are those of the manifest, never the cloud's; the platform's payload is in ``raw``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


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
    """

    __slots__ = (
        "attempt",
        "attributes",
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} id={self.id!r} source={self.source!r}>"

    def json(self) -> Any:
        """Return the data as JSON: decoded already, or parsed from text or bytes.

        Raises ValueError when the data is not JSON.
        """
        data = self.data
        # Bytes of a JSON type are those that decode_data could not read.
        if isinstance(data, bytes) or (
            isinstance(data, str) and not _is_json(self.datacontenttype)
        ):
            import json

            return json.loads(data)
        return data

    def to_dict(self) -> dict[str, Any]:
        """Return the event in the CloudEvents JSON format (binary data as ``data_base64``).

        https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
        """
        out: dict[str, Any] = {"specversion": "1.0"}
        for name in _CORE:
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


class Message:
    """One message of a queue.

    Attributes:
        id: unique and the same on every redelivery.
        body: bytes, exactly as sent.
        attributes: dict of str.
        key: ordering key (ordered queues), or None.
        queue: name in the manifest.
        attempt: 1 on the first delivery, as far as the platform counts.
        time: when it was sent, RFC 3339 UTC with three fractional digits, or None.
        raw: the platform's payload.
    """

    __slots__ = ("attempt", "attributes", "body", "id", "key", "queue", "raw", "time")

    def __init__(
        self,
        id: str,
        body: bytes,
        *,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
        queue: str = "",
        attempt: int = 1,
        time: str | None = None,
        raw: Any = None,
    ) -> None:
        self.id = id
        self.body = body
        self.attributes = attributes if attributes is not None else {}
        self.key = key
        self.queue = queue
        self.attempt = attempt
        self.time = time
        self.raw = raw

    def __repr__(self) -> str:
        return f"<Message id={self.id!r} queue={self.queue!r} attempt={self.attempt}>"

    @property
    def text(self) -> str:
        """The body as UTF-8 text; raises UnicodeDecodeError when it is not."""
        return self.body.decode("utf-8")

    def json(self) -> Any:
        """Return the body parsed as JSON; raises ValueError when it is not."""
        import json

        return json.loads(self.body)


class Batch:
    """Up to ``batch`` messages of one queue, in order; iterates over its messages."""

    __slots__ = ("messages", "queue")

    def __init__(self, queue: str, messages: Iterable[Message]) -> None:
        self.queue = queue
        self.messages = tuple(messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.messages)} from {self.queue!r}>"


class BatchResult:
    """Which messages of a batch failed; the others are done and will not come again."""

    __slots__ = ("_failed",)

    def __init__(self, failed: Iterable[Message | str] = ()) -> None:
        self._failed: dict[str, None] = {}
        for message in failed:
            self.retry(message)

    def retry(self, message: Message | str) -> None:
        """Have *message* (or the message with that id) delivered again."""
        self._failed[message if isinstance(message, str) else message.id] = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the failed messages, in the order they were given."""
        return tuple(self._failed)


def _is_json(content_type: str | None) -> bool:
    if content_type is None:
        return False
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def decode_data(body: bytes, content_type: str | None) -> Any:
    """Return *body* as event data: JSON types, str for ``text/*``, else bytes; None if empty.

    A body that does not fit its content type stays bytes, so that no message is ever undecodable.
    """
    if not body:
        return None
    try:
        if _is_json(content_type):
            import json

            return json.loads(body)
        if content_type is not None and content_type.lower().startswith("text/"):
            return body.decode("utf-8")
    except (ValueError, RecursionError):
        return body
    return body


def event_from_message(
    body: bytes,
    attributes: Mapping[str, str],
    *,
    id: str,
    source: str,
    prefixes: tuple[str, ...] = ("ce-",),
    content_type: str | None = None,
    time: str | None = None,
    key: str | None = None,
    attempt: int = 1,
    raw: Any = None,
) -> Event:
    """Return the event that a topic's message carries.

    A body of type ``application/cloudevents+json`` is a structured event; attributes that begin
    with one of *prefixes* make a binary one; anything else is wrapped as an event of type
    ``portafaas.topic.message`` with the message's own id, *source* and *time*.
    """
    from portafaas.runtime.text import utc_time

    plain: dict[str, str] = {}
    context: dict[str, Any] = {}
    for name, value in attributes.items():
        for prefix in prefixes:
            if name.startswith(prefix):
                context[name[len(prefix) :].lower()] = value
                break
        else:
            if name.lower() == "content-type":
                content_type = content_type or value
            else:
                plain[name] = value
    data: Any
    if content_type and content_type.lower().startswith("application/cloudevents+json"):
        import json

        try:
            context = json.loads(body)
        except RecursionError:
            raise ValueError("the structured CloudEvent is nested too deeply") from None
        if not isinstance(context, dict):
            raise ValueError("a structured CloudEvent must be a JSON object")
        encoded = context.pop("data_base64", None)
        data = context.pop("data", None)
        if encoded is not None:
            from binascii import a2b_base64

            if not isinstance(encoded, str):
                raise ValueError("data_base64 of a structured CloudEvent must be text")
            data = a2b_base64(encoded)
        context = _as_text(context)
        # Data beside the attributes is JSON unless they say otherwise.
        content_type = context.get("datacontenttype") or (
            "application/json" if data is not None and encoded is None else None
        )
    else:
        content_type = context.get("datacontenttype") or content_type
        data = decode_data(body, content_type)
    context.pop("specversion", None)
    return Event(
        str(context.pop("id", id)),
        context.pop("source", source),
        context.pop("type", "portafaas.topic.message"),
        data,
        subject=context.pop("subject", None),
        time=utc_time(context.pop("time", None)) or time,
        datacontenttype=context.pop("datacontenttype", None) or content_type,
        dataschema=context.pop("dataschema", None),
        extensions=context,
        attributes=plain,
        key=key,
        attempt=attempt,
        raw=raw,
    )


def _as_text(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return context attributes in their string form, as a binary event has them.

    JSON may hold Boolean and Integer attributes, and null for an absent one:
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#22-type-system-mapping
    """
    out = {}
    for name, value in context.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int):
            value = str(value)
        elif not isinstance(value, str):
            raise ValueError(f"attribute {name!r} of a structured CloudEvent must be text")
        out[name] = value
    return out


def matches_filter(event: Event, wanted: Mapping[str, Iterable[str]]) -> bool:
    """Tell whether *event* passes a topic filter: every attribute equals one of its values.

    ``id source type subject`` and ``datacontenttype`` name context attributes; any other name is
    an extension attribute, or an attribute of the message.
    """
    for name, values in wanted.items():
        if name in _CORE:
            value = getattr(event, name)
        else:
            value = event.extensions.get(name, event.attributes.get(name))
        if value not in values:
            return False
    return True
