"""JSON text to plain values, with the line and column of each; ``text`` does it for YAML.

RFC 8259, by the scanners of :mod:`json`. YAML is nearly a superset, but not of escapes of two
halves of a character (``\\ud83d\\ude00``), nor of tabs; and what it says of a forgotten comma is of
YAML.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import NUMBER_RE
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.manifest.text import MAX_DEPTH, Path, json_path

_BLANK = re.compile(r"[ \t\n\r]*")
_WORDS: tuple[tuple[str, Any], ...] = (("null", None), ("true", True), ("false", False))
_BRACKETS = {"{": "}", "[": "]"}


class _Wrong(Exception):
    """Tells of what ends the reading: the text, the place in it, the code."""

    def __init__(self, text: str, at: int, code: str = "PF1005") -> None:
        super().__init__(text)
        self.at = at
        self.code = code


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.positions: dict[Path, tuple[int, int]] = {}
        self.problems: list[Diagnostic] = []
        self.lines = [0, *(found.end() for found in re.finditer("\n", text))]

    def position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def problem(self, code: str, at: int, message: str, path: Path, hint: str | None) -> None:
        line, column = self.position(at)
        where = json_path(path) if code != "PF1005" else None
        self.problems.append(
            Diagnostic(
                code, message, path=where, file=self.file, line=line, column=column, hint=hint
            )
        )

    def blank(self, at: int) -> int:
        found = _BLANK.match(self.text, at)
        return found.end() if found else at

    def expected(self, what: str, at: int) -> _Wrong:
        found = repr(self.text[at]) if at < len(self.text) else "the end of the file"
        return _Wrong(f"not valid JSON: {what} is expected, not {found}", at)

    def whole(self) -> Any:
        """Return the value of the whole text."""
        value, at = self.value(self.blank(0), (), 1)
        at = self.blank(at)
        if at < len(self.text):
            raise self.expected("the end of the file", at)
        return value

    def value(self, at: int, path: Path, depth: int) -> tuple[Any, int]:
        """Return the value that begins at *at*, and where it ends."""
        first = self.text[at : at + 1]
        self.positions.setdefault(path, self.position(min(at, max(len(self.text) - 1, 0))))
        if first in _BRACKETS:
            if depth > MAX_DEPTH:
                raise _Wrong("values are nested too deeply", at, "PF1006")
            read = self.object if first == "{" else self.array
            return read(self.blank(at + 1), path, depth)
        if first == '"':
            return self.string(at)
        for word, value in _WORDS:
            if self.text.startswith(word, at):
                return value, at + len(word)
        found = NUMBER_RE.match(self.text, at)
        if found is None:
            raise self.expected("a value", at)
        whole, fraction, exponent = found.groups()
        if fraction or exponent:
            return float(whole + (fraction or "") + (exponent or "")), found.end()
        try:
            return int(whole), found.end()
        except ValueError as exc:  # More digits than Python reads.
            raise _Wrong(f"not valid JSON: {exc}", at) from None

    def string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self.text, at + 1, True)
        except JSONDecodeError as exc:
            told = exc.msg.removesuffix(" at").lower()
            raise _Wrong(f"not valid JSON: {told}", exc.pos) from None
        return text, end

    def array(self, at: int, path: Path, depth: int) -> tuple[list[Any], int]:
        out: list[Any] = []
        if self.text[at : at + 1] == "]":
            return out, at + 1
        while True:
            one, at = self.value(self.blank(at), (*path, len(out)), depth + 1)
            out.append(one)
            at = self.blank(at)
            mark = self.text[at : at + 1]
            if mark == "]":
                return out, at + 1
            if mark != ",":
                raise self.expected("',' or ']'", at)
            at += 1

    def object(self, at: int, path: Path, depth: int) -> tuple[dict[str, Any], int]:
        out: dict[str, Any] = {}
        lines: dict[str, int] = {}
        if self.text[at : at + 1] == "}":
            return out, at + 1
        while True:
            at = self.blank(at)
            if self.text[at : at + 1] != '"':
                raise self.expected("a name in double quotes", at)
            begin = at
            name, at = self.string(at)
            at = self.blank(at)
            if self.text[at : at + 1] != ":":
                raise self.expected("':'", at)
            at = self.blank(at + 1)
            here = (*path, name)
            if name in lines:
                self.problem(
                    "PF1003", begin, f"key {name!r} appears twice; first on line {lines[name]}",
                    here, "remove one of them",
                )  # fmt: skip
            else:
                lines[name] = self.position(begin)[0]
                if self.text[at : at + 1] in _BRACKETS:
                    # As in YAML: a block is pointed at its key.
                    self.positions[here] = self.position(begin)
            out[name], at = self.value(at, here, depth + 1)
            at = self.blank(at)
            mark = self.text[at : at + 1]
            if mark == "}":
                return out, at + 1
            if mark != ",":
                raise self.expected("',' or '}'", at)
            at += 1


def parse_json(text: str, file: str) -> tuple[Any, dict[Path, tuple[int, int]], list[Diagnostic]]:
    """Return the value, the (line, column) by path, and the problems of one JSON document.

    PF1005 for what is no JSON, PF1003 for a name that an object has twice, PF1006 for what is
    nested too deeply.
    """
    if not text.strip(" \t\n\r"):
        return None, {}, [Diagnostic("PF1005", "the file is empty", file=file)]
    reader = _Reader(text, file)
    try:
        value = reader.whole()
    except _Wrong as exc:
        reader.problem(exc.code, exc.at, str(exc), (), None)
        return None, {}, reader.problems
    return value, reader.positions, reader.problems
