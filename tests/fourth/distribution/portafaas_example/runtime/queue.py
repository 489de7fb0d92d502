"""Bridge of queue functions. Ships."""

from __future__ import annotations

from portafaas.runtime.deliver import report, run_messages
from portafaas.runtime.message import Message
from portafaas_example.runtime.common import context_of, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of a queue function."""
    from binascii import a2b_base64

    def entry(event: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, list[str]]:
        messages = [
            Message(
                letter["ticket"],
                a2b_base64(letter["payload"]),
                attributes=visible(letter["labels"]),
                key=letter["lane"] if function.trigger["ordered"] else None,
                queue=function.trigger["queue"],
                attempt=letter["tries"],
                time=letter["sent"],
                raw=letter,
            )
            for letter in event["letters"]
        ]
        trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
        context = context_of(function, event, facts, trace)
        try:
            failed = run_messages(function, messages, context)
        except Exception as exc:  # the handler could not be loaded
            report(function, context, exc)
            failed = [message.id for message in messages]
        return {"returned": failed}

    return entry
