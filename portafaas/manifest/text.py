"""YAML text to plain values, with the line and column of each.

Scalars follow the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema): ``on``,
``yes`` and ``no`` are strings, only ``true`` and ``false`` are booleans. PyYAML parses; its own
constructor is not used since it follows YAML 1.1, forgets positions and lets a repeated key win.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from portafaas.errors import Diagnostic

Path = tuple[str | int, ...]

#: More nodes than any sane manifest, fewer than an alias bomb makes.
MAX_NODES = 200_000
MAX_DEPTH = 100

_INLINE = re.compile(r"(?:[-?:] ){50}")

_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KNOWN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge", "timestamp", "value")
)


def json_path(path: Path) -> str:
    """Return *path* as ``$.functions.a.uses[0]``; unusual keys are quoted."""
    out = "$"
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            out += f".{part}"
        else:
            out += f"[{part!r}]"
    return out


class _Builder:
    """Turns a node graph into values; collects positions and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.positions: dict[Path, tuple[int, int]] = {}
        self.problems: list[Diagnostic] = []
        self.count = 0
        self._open: set[int] = set()

    def problem(self, code: str, node: Any, path: Path, message: str, hint: str) -> None:
        mark = node.start_mark
        self.problems.append(
            Diagnostic(
                code,
                message,
                path=json_path(path),
                file=self.file,
                line=mark.line + 1,
                column=mark.column + 1,
                hint=hint,
            )
        )

    def build(self, node: Any, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            return None
        mark = node.start_mark
        self.positions.setdefault(path, (mark.line + 1, mark.column + 1))
        if node.tag not in _KNOWN_TAGS:
            self.problem(
                "PF1006", node, path, f"tag {node.tag!r} is not allowed", "write a plain value"
            )
            return None
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if id(node) in self._open:
            self.problem(
                "PF1006", node, path, "an alias refers to its own anchor", "break the cycle"
            )
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            return self.mapping(node, path)
        finally:
            self._open.discard(id(node))

    @staticmethod
    def scalar(node: Any) -> Any:
        text: str = node.value
        if node.style not in (None, "") or (node.tag == "tag:yaml.org,2002:str" and not text):
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        first = text[0]
        if first in "+-.0123456789":
            if _INT.match(text):
                return int(text)
            if _BASED.match(text):
                return int(text, 0)
            if _FLOAT.match(text):
                return float(text)
        return text

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if key == "<<" and key_node.style in (None, ""):
                for name, value in self.merge(value_node, path):
                    merged.setdefault(name, value)
                continue
            if not isinstance(key, str):
                shown = getattr(key_node, "value", key)
                self.problem(
                    "PF1006", key_node, path, f"key {shown!r} is not text", "put it in quotes"
                )
                continue
            if key in seen:
                self.problem(
                    "PF1003",
                    key_node,
                    (*path, key),
                    f"key {key!r} appears twice; first on line {seen[key]}",
                    "remove one of them",
                )
                continue
            mark = key_node.start_mark
            seen[key] = mark.line + 1
            here = (*path, key)
            # A scalar is pointed at itself, a block at its key: that is where the eye looks.
            if not isinstance(value_node, yaml.ScalarNode):
                self.positions[here] = (mark.line + 1, mark.column + 1)
            out[key] = self.build(value_node, here)
        for name, value in merged.items():
            out.setdefault(name, value)
        return out

    def merge(self, node: Any, path: Path) -> Iterator[tuple[str, Any]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.problem("PF1006", source, path, "'<<' needs a mapping", "alias a mapping")
                continue
            value = self.build(source, path)
            if isinstance(value, dict):
                yield from value.items()


def _line(text: str, position: int | None) -> int | None:
    # The reader counts bytes of UTF-8; close enough to name the line of a forbidden character.
    if position is None:
        return None
    return text.encode("utf-8", "surrogatepass")[:position].count(b"\n") + 1


def parse(text: str, file: str) -> tuple[Any, dict[Path, tuple[int, int]], list[Diagnostic]]:
    """Return the value, the (line, column) by path, and the problems of one YAML document."""
    deep = [Diagnostic("PF1006", "values are nested too deeply", file=file, line=1)]
    # libyaml's binding composes nodes by recursion in C, which would end the process.
    if text.count("[") + text.count("{") > 1000 or _INLINE.search(text):
        if _depth(text) > MAX_DEPTH:
            return None, {}, deep
    try:
        return _parse(text, file)
    except RecursionError:
        return None, {}, deep


def _depth(text: str) -> int:
    depth = deepest = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                deepest = max(deepest, depth)
                if depth > MAX_DEPTH:
                    break
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        pass  # told by the parse that follows
    return deepest


def _parse(text: str, file: str) -> tuple[Any, dict[Path, tuple[int, int]], list[Diagnostic]]:
    loader = None
    try:
        loader = _LOADER(text)
        node = loader.get_single_node()
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        what = getattr(exc, "problem", None) or str(exc).partition("\n")[0]
        context = getattr(exc, "context", None)
        diagnostic = Diagnostic(
            "PF1005",
            f"not valid YAML: {what}{f' ({context})' if context else ''}",
            file=file,
            line=mark.line + 1 if mark else _line(text, getattr(exc, "position", None)),
            column=mark.column + 1 if mark else None,
        )
        return None, {}, [diagnostic]
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        return None, {}, [Diagnostic("PF1005", "the file is empty", file=file)]
    builder = _Builder(file)
    value = builder.build(node, ())
    if builder.count > MAX_NODES:
        builder.problems.append(
            Diagnostic(
                "PF1006",
                f"aliases expand to more than {MAX_NODES} values",
                file=file,
                hint="write the values out",
            )
        )
    return value, builder.positions, builder.problems
