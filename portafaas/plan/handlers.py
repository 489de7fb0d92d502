"""Find a handler in the source by its syntax tree; nothing of the user's is imported at build."""

from __future__ import annotations

import ast
from pathlib import Path

from portafaas.record import dataclass

#: Handler base class -> the trigger kind it serves.
BASES = {
    "HttpHandler": "http",
    "QueueHandler": "queue",
    "BatchHandler": "queue",
    "EventHandler": "topic",
    "ObjectHandler": "object",
    "ChangeHandler": "table",
    "ScheduleHandler": "schedule",
}


@dataclass(frozen=True, slots=True)
class Source:
    """What one module of the project defines."""

    file: Path
    names: dict[str, ast.stmt]
    #: True when the names cannot be known: a star import or a module-level ``__getattr__``.
    open_ended: bool
    error: SyntaxError | None = None


def find_module(root: Path, module: str) -> Path | None:
    """Return the file of *module* below *root*, or None."""
    base = root.joinpath(*module.split("."))
    package = base / "__init__.py"
    single = base.with_name(f"{base.name}.py")
    if single.is_file():
        return single
    return package if package.is_file() else None


def read_module(file: Path, text: bytes | None = None) -> Source:
    """Return the top-level names of *file*; a syntax error is kept, not raised."""
    try:
        tree = ast.parse(file.read_bytes() if text is None else text, str(file))
    except (SyntaxError, ValueError) as exc:
        error = exc if isinstance(exc, SyntaxError) else SyntaxError(str(exc))
        return Source(file, {}, False, error)
    names: dict[str, ast.stmt] = {}
    open_ended = _collect(tree.body, names)
    return Source(file, names, open_ended or "__getattr__" in names)


def _collect(body: list[ast.stmt], names: dict[str, ast.stmt]) -> bool:
    open_ended = False
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                names[node.name] = node
            case ast.Assign():
                for target in node.targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            names[name.id] = node
            case ast.AnnAssign() | ast.AugAssign():
                if isinstance(node.target, ast.Name):
                    names[node.target.id] = node
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    if alias.name == "*":
                        open_ended = True
                    else:
                        names[alias.asname or alias.name.partition(".")[0]] = node
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                for block in ("body", "orelse", "finalbody"):
                    open_ended |= _collect(getattr(node, block, []), names)
                for handler in getattr(node, "handlers", []):
                    open_ended |= _collect(handler.body, names)
            case _:
                pass
    return open_ended


def kind_of(node: ast.stmt) -> str | None:
    """Return the trigger kind that a class's bases name, or None when they do not tell."""
    if not isinstance(node, ast.ClassDef):
        return None
    for base in node.bases:
        name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        if name in BASES:
            return BASES[name]
    return None


def is_async(node: ast.stmt) -> bool:
    """Tell whether a handler is an async function or a class with an async ``handle``."""
    if isinstance(node, ast.AsyncFunctionDef):
        return True
    return isinstance(node, ast.ClassDef) and any(
        isinstance(item, ast.AsyncFunctionDef) and item.name == "handle" for item in node.body
    )
