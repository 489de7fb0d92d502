"""What steps of a workflow do with documents: paths, templates, conditions. Ships; no imports.

Rules W-2 to W-10 of ``docs/spec/workflows.md``. Documents are JSON values and are never changed: a
result is put into a copy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Bytes of JSON of a document, an input or an output.
LARGEST = 262_144

RUNTIME = "States.Runtime"
TOO_LARGE = "States.DataLimitExceeded"
ALL = "States.ALL"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"
NO_CHOICE = "States.NoChoiceMatched"
TOO_MANY_ITEMS = "Map.TooManyItems"
LOOP_LIMIT = "Loop.LimitExceeded"
COMPENSATION = "Compensation.Failed"
INPUT = "Schema.InvalidInput"
OUTPUT = "Schema.InvalidOutput"
#: Errors that nobody catches; what has been done is not compensated.
FATAL = (RUNTIME, TOO_LARGE)


class Fault(Exception):
    """An error of a workflow, by its name."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause


_paths: dict[str, tuple[str | int, ...]] = {}


def parsed(path: str) -> tuple[str | int, ...]:
    """Return the names and indices of a path, without its ``$`` or ``$$``; raise ValueError."""
    found = _paths.get(path)
    if found is None:
        found = _paths[path] = tuple(_parse(path))
    return found


def _parse(path: str) -> list[str | int]:
    at = 2 if path.startswith("$$") else 1
    if not path.startswith("$"):
        raise ValueError(f"a path begins with $, not as {path!r}")
    out: list[str | int] = []
    while at < len(path):
        if path[at] == ".":
            end = at + 1
            while end < len(path) and (path[end].isalnum() or path[end] in "_-"):
                end += 1
            if end == at + 1:
                raise ValueError(f"a name is missing at {at} in {path!r}")
            out.append(path[at + 1 : end])
            at = end
        elif path.startswith("['", at):
            end = path.find("']", at)
            if end < 0:
                raise ValueError(f"an end is missing of [' at {at} in {path!r}")
            out.append(path[at + 2 : end])
            at = end + 2
        elif path[at] == "[":
            end = path.find("]", at)
            if not path[at + 1 : max(end, 0)].isdecimal():
                raise ValueError(f"an index is missing at {at} in {path!r}")
            out.append(int(path[at + 1 : end]))
            at = end + 1
        else:
            raise ValueError(f"nothing may be {path[at]!r} at {at} in {path!r}")
    return out


def is_path(value: Any) -> bool:
    """Tell whether a value of a template is a path rather than a text."""
    return isinstance(value, str) and value.startswith("$") and (
        len(value) == 1 or value[1] in ".[" or value.startswith("$$.")
    )  # fmt: skip


def lookup(path: str, document: Any, context: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether there is something at *path*, and what."""
    value = context if path.startswith("$$") else document
    for part in parsed(path):
        if isinstance(part, str):
            if not isinstance(value, dict) or part not in value:
                return False, None
        elif not isinstance(value, list) or part >= len(value):
            return False, None
        value = value[part]  # type: ignore[index]
    return True, value


def at(path: str, document: Any, context: Mapping[str, Any]) -> Any:
    """Return what is at *path*; raise :class:`Fault` if nothing is."""
    there, value = lookup(path, document, context)
    if not there:
        raise Fault(RUNTIME, f"there is nothing at {path}")
    return value


def filled(template: Any, document: Any, context: Mapping[str, Any]) -> Any:
    """Return *template* with what its paths stand for."""
    if isinstance(template, str):
        return at(template, document, context) if is_path(template) else template
    if isinstance(template, dict):
        if len(template) == 1 and "$literal" in template:
            return template["$literal"]
        return {name: filled(value, document, context) for name, value in template.items()}
    if isinstance(template, list):
        return [filled(value, document, context) for value in template]
    return template


def put(path: str | None, document: Any, value: Any) -> Any:
    """Return *document* with *value* at *path*; names on the way are made."""
    if path is None:
        return document
    return _put(parsed(path), document, value, path)


def _put(parts: Sequence[str | int], document: Any, value: Any, path: str) -> Any:
    if not parts:
        return value
    part = parts[0]
    if isinstance(part, int) or not isinstance(document, dict):
        raise Fault(RUNTIME, f"nothing can be put at {path}")
    return {**document, part: _put(parts[1:], document.get(part, {}), value, path)}


def holds(when: Mapping[str, Any], document: Any, context: Mapping[str, Any]) -> bool:
    """Tell whether a condition holds."""
    ((word, rest),) = when.items()
    if word == "and":
        return all(holds(one, document, context) for one in rest)
    if word == "or":
        return any(holds(one, document, context) for one in rest)
    if word == "not":
        return not holds(rest, document, context)
    there, value = lookup(word, document, context)
    ((operator, other),) = rest.items()
    if operator == "is":
        return there and (other == "present" or kind_of(value) == other)
    known = True
    if is_path(other):
        known, other = lookup(other, document, context)
    if operator == "!=":
        return not (there and known and _equal(value, other))
    if not (there and known):
        return False
    if operator == "==":
        return _equal(value, other)
    if operator == "matches":
        return isinstance(value, str) and isinstance(other, str) and _matches(value, other)
    kind = kind_of(value)
    if kind not in ("number", "string") or kind_of(other) != kind:
        return False
    if operator == "<":
        return bool(value < other)
    if operator == "<=":
        return bool(value <= other)
    if operator == ">":
        return bool(value > other)
    return bool(value >= other)


def is_time(text: Any) -> bool:
    """Tell whether *text* is a time in UTC (RFC 3339): ``2030-01-31T12:00:00Z``."""
    from datetime import datetime

    if not isinstance(text, str) or not text.endswith("Z") or len(text) < 20:
        return False
    whole, _, part = text[:-1].partition(".")
    if not text.isascii() or ((part or "." in text) and not part.isdecimal()):
        return False
    try:
        return datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").isoformat() == whole
    except ValueError:
        return False


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _equal(value: Any, other: Any) -> bool:
    kind = kind_of(value)
    return kind == kind_of(other) and kind not in ("array", "object") and bool(value == other)


def _matches(value: str, pattern: str) -> bool:
    r"""Tell whether *value* is as *pattern*, where ``*`` is any text and ``\*`` itself."""
    pieces = [""]
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern):
            pieces[-1] += pattern[at + 1]
            at += 2
            continue
        if pattern[at] == "*":
            pieces.append("")
        else:
            pieces[-1] += pattern[at]
        at += 1
    if len(pieces) == 1:
        return value == pieces[0]
    first, *middle, last = pieces
    if len(value) < len(first) + len(last) or not value.startswith(first):
        return False
    start, end = len(first), len(value) - len(last)
    for piece in middle:
        found = value.find(piece, start, end)
        if found < 0:
            return False
        start = found + len(piece)
    return value.endswith(last)


def names(errors: Sequence[str], error: str) -> bool:
    """Tell whether a rule for *errors* is one for *error*."""
    if error in FATAL:
        return False
    return (
        error in errors or ALL in errors or (TASK_FAILED in errors and error != TIMEOUT)
    )  # fmt: skip


def delay(rule: Mapping[str, Any], tries: int) -> float:
    """Return the seconds that *rule* waits after its *tries*-th failure, without jitter."""
    seconds: float = rule["initial"]
    most = rule.get("max")
    for _ in range(tries - 1):
        seconds *= rule["factor"]
        if most is not None and seconds > most:
            break
    return seconds if most is None else min(seconds, most)


def check_schema(schema: Mapping[str, Any] | None, value: Any, error: str) -> None:
    """Raise :class:`Fault` with *error* if *value* is not what *schema* says (W-21)."""
    if schema is not None:
        from portafaas.runtime.schema import first

        cause = first(schema, value)
        if cause:
            raise Fault(error, cause)


def check_size(value: Any) -> Any:
    """Return *value*; raise :class:`Fault` if it is larger than a document may be."""
    import json

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if len(text) * 4 > LARGEST and len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise Fault(TOO_LARGE, f"more than {LARGEST} bytes of JSON")
    return value
