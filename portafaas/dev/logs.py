"""What is printed of an application's work: readable lines, or JSON as the shipped runtime's is."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from time import time
from typing import IO, Any, Literal

from portafaas.dev.lines import about, brief, pieces
from portafaas.dev.record import Invocation
from portafaas.errors import Diagnostic
from portafaas.printable import plain

#: What a record of the runtime has for everybody; the rest is the handler's own.
_COMMON = frozenset(
    ("time", "severity", "message", "logger", "service", "function", "invocation_id",
     "correlation_id", "trace_id", "span_id", "stage", "exception", "pf_failed_attempts")
)  # fmt: skip
#: What is left of control characters in texts of several lines.
_LINES = "\t\n"
_COLOURS = {
    "DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1",
}  # fmt: skip
#: Invocations that went well and are printed one by one, of those that are printed together.
_ONE_BY_ONE = 20


def entry_of(line: str, when: float = 0.0) -> dict[str, Any]:
    """Return a line that a process printed: ``time`` (seconds), ``level``, ``text``, ``fields``.

    A record of the runtime is taken apart; of anything else ``level`` is "".
    """
    if line.startswith('{"_aws"') and (found := _embedded(line, when)) is not None:
        return found
    if line.startswith("{") and '"severity"' in line:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "message" in record:
            text = str(record["message"])
            if record.get("exception"):
                text = f"{text}\n{record['exception']}"
            fields = {name: value for name, value in record.items() if name not in _COMMON}
            return {
                "time": _seconds(record.get("time")) or when or time(),
                "level": str(record.get("severity", "")),
                "text": text,
                "fields": fields,
            }
    return {"time": when or time(), "level": "", "text": line, "fields": {}}


def _embedded(line: str, when: float) -> dict[str, Any] | None:
    """Return the metrics of a line of CloudWatch's embedded format, which a package for AWS prints.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    try:
        record = json.loads(line)
        names = [
            metric["Name"]
            for directive in record["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        ]
        fields = {name: record[name] for name in names}
        moment = record["_aws"]["Timestamp"] / 1000
    except (ValueError, KeyError, TypeError):
        return None
    return {"time": moment or when, "level": "INFO", "text": "metrics", "fields": fields}


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


class Console:
    """Prints to *out*, from any thread; *json_lines*: one JSON object a line.

    Colours are for terminals, and not with ``NO_COLOR`` (https://no-color.org).
    """

    def __init__(
        self, out: IO[str] | None = None, *, json_lines: bool = False, quiet: bool = False
    ) -> None:
        self._out = out or sys.stderr
        self._json = json_lines
        self._quiet = quiet
        self._lock = threading.Lock()
        self._width = 12
        self._colour = not json_lines and self._out.isatty() and not os.environ.get("NO_COLOR")

    def names(self, functions: Iterable[str]) -> None:
        """Make room for the names of functions."""
        self._width = min(28, max([12, *(len(name) for name in functions)]))

    def notice(self, text: str, level: Literal["INFO", "WARNING", "ERROR"] = "INFO") -> None:
        """Print what ``dev`` itself has to say."""
        if self._quiet and level == "INFO":
            return
        if self._json:
            self._line(json.dumps(self._record(level, text)))
        else:
            self._head(time(), "dev", level if level != "INFO" else "", text)

    def diagnostics(self, found: Iterable[Diagnostic], summary: str = "") -> None:
        """Print problems, one a line, as ``check`` does."""
        if summary:
            self.notice(summary, "ERROR")
        for each in found:
            if self._json:
                record = self._record(each.severity.upper(), str(each))
                self._line(json.dumps({**record, "diagnostic": each.as_dict()}))
            else:
                colour = {"error": "31;1", "warning": "33;1", "note": "36;1"}[each.severity]
                self._line(
                    f"{self._styled(each.severity + ':', colour)} {plain(str(each), _LINES)}"
                )

    def log(self, function: str, line: str, entry: Mapping[str, Any]) -> None:
        """Print a line of a function's process."""
        if self._quiet:
            return
        if self._json:
            self._line(
                line
                if entry["level"]
                else json.dumps(
                    {**self._record("INFO", entry["text"]), "function": function},
                    ensure_ascii=False,
                )
            )
            return
        text = brief(plain(str(entry["text"]), _LINES))
        fields = entry["fields"]
        metric = fields.get("metric")
        if isinstance(metric, dict):
            rest = {name: value for name, value in metric.items() if name not in ("name", "kind")}
            text, fields = f"{metric.get('kind')} {metric.get('name')}", rest
        if fields:
            shown = " ".join(f"{name}={_short(value)}" for name, value in fields.items())
            first, newline, rest_ = text.partition("\n")
            text = f"{first}  {self._styled(shown, '2')}{newline}{rest_}"
        self._head(entry["time"], function, entry["level"], text)

    def unserved(self, method: str, path: str, status: int) -> None:
        """Print a request that is for no function."""
        if not self._quiet and not self._json:
            text = f"{plain(method)} {plain(path)} {self._styled(str(status), '33')}"
            self._head(time(), "-", "", text)

    def invocations(self, done: Sequence[Invocation]) -> None:
        """Print what was called and what came of it; a crowd of the same as one line."""
        if self._quiet:
            return
        fine = [one for one in done if one.status == "ok"]
        crowd: dict[str, int] = {}
        single = {id(one) for one in fine[:_ONE_BY_ONE]} if len(fine) > _ONE_BY_ONE else None
        lines = []
        for one in done:
            if one.status == "ok" and single is not None and id(one) not in single:
                crowd[one.function] = crowd.get(one.function, 0) + 1
            elif self._json:
                record = self._record("INFO" if one.status == "ok" else "ERROR", about(one))
                lines.append(json.dumps({**record, **one.summary()}, ensure_ascii=False))
            else:
                text = "".join(self._styled(plain(part), code) for part, code in pieces(one))
                lines.append(self._text(one.started + one.seconds, one.function, "", text))
        for function, count in crowd.items():
            text = self._styled(f"and {count} more that went well", "2")
            lines.append(self._text(time(), function, "", text))
        if lines:
            self._line("\n".join(lines))

    def _head(self, when: float, function: str, level: str, text: str) -> None:
        self._line(self._text(when, function, level, text))

    def _text(self, when: float, function: str, level: str, text: str) -> str:
        moment = datetime.fromtimestamp(when).strftime("%H:%M:%S.%f")[:-3]
        label = f"{self._styled(level, _COLOURS.get(level, ''))} " if level else ""
        name = self._styled(f"{function[: self._width]:<{self._width}}", _of(function))
        first, *rest = text.split("\n")
        lines = [f"{self._styled(moment, '2')} {name} {label}{first}"]
        indent = " " * (self._width + 14)
        lines += [f"{indent}{line}" for line in rest if line]
        return "\n".join(lines)

    def _line(self, text: str) -> None:
        with self._lock:
            try:
                self._out.write(text + "\n")
                self._out.flush()
            except (OSError, ValueError):
                # The terminal is gone; that is no reason to end.
                return

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text

    @staticmethod
    def _record(level: str, message: str) -> dict[str, Any]:
        from portafaas.runtime.text import epoch_time

        return {"time": epoch_time(time()), "severity": level, "message": message}


def _of(name: str) -> str:
    """Return the colour of a function: the same each time."""
    if name == "dev":
        return "1"
    return ("34", "35", "36", "32", "94", "95", "96", "92")[sum(name.encode()) % 8]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = plain(text)
    return text if len(text) <= 200 else text[:199] + "\u2026"
