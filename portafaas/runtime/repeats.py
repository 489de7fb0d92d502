"""By what something that comes again is recognised: its key, and a digest of its content. Ships."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from portafaas.runtime.event import Event
    from portafaas.runtime.http import Request
    from portafaas.runtime.message import Message
    from portafaas.runtime.task import Task

#: Characters of an ``idempotency-key``.
MAX_KEY = 255
#: Methods that may be repeated anyway: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


def request_key(spec: Mapping[str, Any], request: Request) -> str | None:
    """Return the key of a request, each caller's apart from others'; None when it has none.

    Raises HttpError 400 for a malformed one, and for none where one is required.
    """
    from portafaas.runtime.http import HttpError

    if request.method in _SAFE:
        return None
    path = spec.get("key")
    if path:
        key = found_at(request.json(), path)
        if key is None and spec.get("required"):
            raise HttpError(400, f"the body has no {shown(path)}, by which repeats are recognised")
    else:
        key = request.headers.get("idempotency-key")
        if key is not None:
            key = key.strip()
            if len(key) > 1 and key[0] == key[-1] == '"':
                key = key[1:-1]  # a string of RFC 9651
            if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
                raise HttpError(
                    400, f"idempotency-key is not 1 to {MAX_KEY} printable ASCII characters"
                )
        elif spec.get("required"):
            raise HttpError(400, "the header idempotency-key is missing")
    if key is None:
        return None
    caller = request.identity
    if caller is None:
        return key
    # Nobody gets another's answer by guessing the key.
    return f"{caller.scheme}\n{caller.claims.get('iss', '')}\n{caller.subject}\n{key}"


def request_digest(request: Request) -> str:
    """Return the digest of what is asked."""
    head = f"{request.method}\n{request.path}\n{request.raw_query}\n"
    return sha256(head, request.body)


def delivery_key(spec: Mapping[str, Any], item: Message | Event) -> str:
    """Return the key of a message or an event; raises Poison for one without a required key."""
    path = spec.get("key")
    if path:
        key = found_at(item.json(), path)
        if key is not None:
            return f"path\n{key}"
        if spec.get("required"):
            from portafaas.runtime.taxonomy import Poison

            raise Poison(f"{item.id} has no {shown(path)}, by which repeats are recognised")
    source = getattr(item, "source", None)
    if source is not None:
        return f"event\n{source}\n{item.id}"
    dedup = (item.control or {}).get("pf-dedup")
    return f"message\n{item.id}" if dedup is None else f"dedup\n{dedup}"


def delivery_digest(item: Any) -> str:
    """Return the digest of a message's body or an event's data."""
    if hasattr(item, "body"):
        return sha256("", item.body)
    data = item.data
    if not isinstance(data, bytes):
        import json

        data = json.dumps(data, sort_keys=True, default=str).encode("utf-8")
    return sha256(f"{item.type}\n{item.subject or ''}\n", data)


def task_key(spec: Mapping[str, Any], task: Task) -> str:
    """Return the key of a workflow's task; raises Poison for one without a required key."""
    path = spec.get("key")
    if path:
        key = found_at(task.input, path)
        if key is not None:
            return f"path\n{key}"
        if spec.get("required"):
            from portafaas.runtime.taxonomy import Poison

            raise Poison(f"{task.id} has no {shown(path)}, by which repeats are recognised")
    return f"task\n{task.key}"


def task_digest(task: Task) -> str:
    """Return the digest of a task's input."""
    import json

    return sha256("", json.dumps(task.input, sort_keys=True).encode("utf-8"))


def found_at(value: Any, path: Sequence[str | int]) -> str | None:
    """Return the text or whole number at *path*, as text; None when there is no such thing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def shown(path: Sequence[str | int]) -> str:
    """Return a path as the manifest has it: ``$.order.id``."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def sha256(head: str, body: bytes = b"") -> str:
    """Return the digest of *head* and *body*, in hexadecimal."""
    import hashlib

    return hashlib.sha256(head.encode("utf-8", "surrogatepass") + body).hexdigest()
