"""Queues and topics: rows of ``messages``, which a dispatcher shares out."""

from __future__ import annotations

import json
from time import time

from portafaas.runtime.control import split
from portafaas.runtime.resources import ResourceError

from .store import effect, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing

#: Seconds for which an ordered queue or topic knows what it has had (SQS FIFO: 5 minutes).
DEDUP = 300


def send(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a queue; none fails."""
    return _keep("queue", "send", address, messages, ordered)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a topic; none fails."""
    return _keep("topic", "publish", address, messages, ordered)


def _keep(
    kind: str, verb: str, address: str, messages: Sequence[Outgoing], ordered: bool
) -> list[tuple[int, str]]:
    with opened(address) as (connection, name):
        for message in messages:
            _measure(connection, f"{kind}/{name}", message)
            if ordered and message.dedup is not None:
                known = connection.execute(
                    "select 1 from messages where kind = ? and name = ? and dedup = ? and sent > ?",
                    (kind, name, message.dedup, time() - DEDUP),
                ).fetchone()
                if known:
                    continue
            connection.execute(
                "insert into messages (kind, name, id, body, content_type, attributes, key, delay,"
                " dedup, sent) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    kind, name, message.id, message.body, message.content_type,
                    json.dumps(message.attributes), message.key, message.delay, message.dedup,
                    time(),
                ),
            )  # fmt: skip
            facts: dict[str, Any] = {"id": message.id, "content_type": message.content_type}
            facts.update(_readable(message.body))
            facts["attributes"] = split(message.attributes)[0]
            for fact in ("key", "delay", "dedup"):
                if getattr(message, fact):
                    facts[fact] = getattr(message, fact)
            effect(connection, kind=kind, name=name, verb=verb, **facts)
    return []


def _measure(connection: sqlite3.Connection, place: str, message: Outgoing) -> None:
    """Raise ResourceError for a message that is larger than the platform takes that this is as."""
    found = connection.execute(
        "select name, value from broker where name in (?, ?)", (f"limit/{place}", f"text/{place}")
    ).fetchone()
    if found is None:
        return
    size, most = len(message.body), int(found[1])
    if found[0].startswith("text/") and not _is_text(message.body):
        size = (size + 2) // 3 * 4  # base64
    size += sum(len(n.encode()) + len(text.encode()) for n, text in message.attributes.items())
    if size > most:
        raise ResourceError(
            f"{place} takes messages of {most} bytes at most, attributes included; not of {size}"
        )


def _is_text(body: bytes) -> bool:
    """Tell whether *body* is characters of XML, which is all that some brokers carry."""
    import re

    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    # https://www.w3.org/TR/xml/#charsets
    return not re.search("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)


def _readable(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"body_base64": b64encode(body).decode("ascii")}
