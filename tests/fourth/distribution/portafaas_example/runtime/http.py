"""Bridge of http functions. Ships."""

from __future__ import annotations

from portafaas.runtime.http import Request
from portafaas.runtime.serve import run
from portafaas.runtime.text import percent_decode
from portafaas_example.runtime.common import context_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of an http function."""
    from binascii import a2b_base64, b2a_base64

    def entry(event: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        sent = event["request"]
        path, _, query = sent["target"].partition("?")
        fields = [(name, text) for name, text in sent["fields"] if "_" not in name]
        request = Request(
            sent["method"],
            percent_decode(path),
            query=query,
            headers=fields,
            body=a2b_base64(sent["body"]),
            raw=event,
        )
        trace = request.headers.get("traceparent")
        response = run(function, request, context_of(function, event, facts, trace))
        body = response.body or b""
        if isinstance(body, str):
            body = body.encode("utf-8")
        if not body:
            response.headers.pop("content-type", None)
        cookies = [("set-cookie", text) for text in response.cookies]
        return {
            "status": response.status,
            "fields": [*response.headers.items(), *cookies],
            "body": b2a_base64(body, newline=False).decode("ascii"),
        }

    return entry
