"""Requests as a test words them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from portafaas.adapter import HttpStimulus


def stimulus_of(
    method: str,
    path: str,
    json_: Any,
    data: bytes | str | Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    query: Mapping[str, Any] | str | None,
    key: str | None,
    bearer: str | None,
    caller: str | None,
) -> HttpStimulus:
    """Return what is sent; the arguments are those of ``App.request``."""
    from urllib.parse import quote, urlencode

    if not path.startswith("/"):
        raise ValueError(f"a path begins with '/': {path!r}")
    path, _, text = path.partition("?")
    parts = [text] if text else []
    if query:
        parts.append(query if isinstance(query, str) else urlencode(dict(query), doseq=True))
    found = {name.lower(): value for name, value in (headers or {}).items()}
    if json_ is not None and data is not None:
        raise TypeError("give 'json' or 'data', not both")
    body = b""
    kind: Literal["", "application/json", "application/x-www-form-urlencoded"] = ""
    if json_ is not None:
        body, kind = json.dumps(json_, ensure_ascii=False).encode("utf-8"), "application/json"
    elif isinstance(data, Mapping):
        body, kind = urlencode(dict(data)).encode("ascii"), "application/x-www-form-urlencoded"
    elif data is not None:
        body = data.encode("utf-8") if isinstance(data, str) else bytes(data)
    if kind:
        found.setdefault("content-type", kind)
    if key is not None:
        found.setdefault("x-api-key", key)
    if bearer is not None:
        found.setdefault("authorization", f"Bearer {bearer}")
    encoded = quote(path, safe="/%:@!$&'()*+,;=-._~")
    return HttpStimulus(
        method.upper(), encoded, "&".join(parts), tuple(found.items()), body, caller
    )
