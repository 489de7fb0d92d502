"""What a test and a process of a handler tell each other: faults to come, and what was logged.

The other side is ``portafaas.testing.inside``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.testing.inside import portafaas_testing_faults as inside
from portafaas.testing.records import Line

#: Folder of what goes into a handler's process.
INSIDE = Path(__file__).parent / "inside"


def line_of(entry: Mapping[str, Any]) -> Line:
    """Return the line of one object of the structured log."""
    level, message = str(entry.get("severity", "")).lower(), str(entry.get("message", ""))
    return Line(level, message, entry)


def error_of(lines: Sequence[Line]) -> str:
    """Return what a failed handler's log says of its exception: type and text."""
    for line in lines:
        # Some platforms count failures by what is before it.
        start = line.message.find("handler exceeded its timeout")
        if start >= 0:
            return line.message[start:]
        _, failed, text = line.message.partition("handler failed: ")
        if failed:
            trace = str(line.fields.get("exception") or "").rstrip().rpartition("\n")[2]
            return trace.removeprefix("portafaas.runtime.taxonomy.") or text
    return ""


def write_faults(file: Path, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the faults to come where a process of a handler takes them from."""
    import base64
    import pickle

    found: dict[str, list[Any]] = {}
    for name, faults in waiting.items():
        found[name] = [dict(fault) for fault in faults]
        for fault in found[name]:
            if isinstance(fault.get("error"), BaseException):
                # Protocol 4 is that of every Python that a target has.
                try:
                    data = pickle.dumps(fault["error"], 4)
                except Exception as exc:
                    raise TypeError(
                        f"{fault['error']!r} cannot get into the function's process: {exc}"
                    ) from exc
                fault["error"] = base64.b64encode(data).decode("ascii")
    file.write_text(json.dumps(found), encoding="utf-8")
    # That there is another order: what has been waited for is over.
    file.with_suffix(inside.ORDER).touch()
    file.with_suffix(inside.LOG).write_bytes(b"")


def read_log(faults: Path) -> list[Line]:
    """Return what handlers logged since :func:`write_faults` wrote the file *faults*."""
    text = faults.with_suffix(inside.LOG).read_text(encoding="utf-8")
    return [line_of(json.loads(line)) for line in text.splitlines()]


def read_faults(file: Path) -> dict[str, list[Any]]:
    """Return what :func:`write_faults` wrote, and no process has taken."""
    try:
        found: dict[str, list[Any]] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
