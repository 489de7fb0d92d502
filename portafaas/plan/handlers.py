"""Find a handler in the source by its syntax tree; nothing of the user's is imported at build."""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast

#: Handler base class -> the trigger kind it serves.
BASES = {
    "HttpHandler": "http",
    "QueueHandler": "queue",
    "BatchHandler": "queue",
    "EventHandler": "topic",
    "ObjectHandler": "object",
    "ChangeHandler": "table",
    "ScheduleHandler": "schedule",
    "TaskHandler": "task",
}


_FUNCTION = 0x1 | 0x2  # CO_OPTIMIZED and CO_NEWLOCALS: no class has them
_ASYNC = 0x80 | 0x200  # CO_COROUTINE and CO_ASYNC_GENERATOR


class Source:
    """What one module of the project defines."""

    def __init__(self, file: Path, text: bytes | None = None, code: CodeType | None = None) -> None:
        """Take the module's *text*, or its *code* where somebody has compiled it already."""
        self.file = file
        self._text = text
        self._given = code

    def plain_function(self, name: str) -> bool | None:
        """Tell whether the function *name* is async; None where only the syntax tree can tell.

        The name must be bound once, by a ``def``: then the compiled module says all there is to
        know, and takes half the time of a tree.
        """
        code = self._code
        if code is None or name not in code.co_names:
            return None
        from opcode import opmap

        index = code.co_names.index(name)
        if index > 255 or code.co_code.count(bytes((opmap["STORE_NAME"], index))) != 1:
            return None
        found = [
            inner
            for inner in code.co_consts
            if isinstance(inner, CodeType) and inner.co_name == name
        ]
        if len(found) != 1 or found[0].co_flags & _FUNCTION != _FUNCTION:
            return None
        if found[0].co_argcount != 2 or found[0].co_kwonlyargcount:
            return None  # defaults are not in the code: see misfit()
        return bool(found[0].co_flags & _ASYNC)

    @cached_property
    def text(self) -> bytes:
        """The source."""
        if self._text is not None:
            return self._text
        with open(self.file, "rb", buffering=0) as handle:  # noqa: PTH123 - pathlib is slow
            return handle.read()

    @cached_property
    def _code(self) -> CodeType | None:
        if self._given is not None:
            return self._given
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return compile(self.text, str(self.file), "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return None

    @cached_property
    def _parsed(self) -> tuple[dict[str, ast.stmt], bool, SyntaxError | None]:
        import ast

        try:
            tree = ast.parse(self.text, str(self.file))
        except (SyntaxError, ValueError) as exc:
            error = exc if isinstance(exc, SyntaxError) else SyntaxError(str(exc))
            return {}, False, error
        names: dict[str, ast.stmt] = {}
        open_ended = _collect(tree.body, names)
        return names, open_ended or "__getattr__" in names, None

    @property
    def names(self) -> dict[str, ast.stmt]:
        """The statements that bind the top-level names."""
        return self._parsed[0]

    @property
    def own_names(self) -> list[str]:
        """The public names that are defined here and not imported, sorted."""
        import ast

        imports = (ast.Import, ast.ImportFrom)
        return sorted(
            name
            for name, node in self.names.items()
            if not name.startswith("_") and not isinstance(node, imports)
        )

    @property
    def open_ended(self) -> bool:
        """True when the names cannot be known: a star import or a module-level ``__getattr__``."""
        return self._parsed[1]

    @property
    def error(self) -> SyntaxError | None:
        """Why it is not Python, if it is not."""
        return None if self._code is not None else self._parsed[2]


def find_module(root: Path, module: str) -> Path | None:
    """Return the file of *module* below *root*, or None."""
    base = os.path.join(root, *module.split("."))  # noqa: PTH118 - there may be hundreds
    for file in (f"{base}.py", f"{base}/__init__.py"):
        if os.path.isfile(file):  # noqa: PTH113
            return Path(file)
    return None


def read_module(file: Path, code: CodeType | None = None) -> Source:
    """Return what *file* defines; a syntax error is kept, not raised.

    *code* is the module compiled, if anybody has it: it saves compiling it here.
    """
    return Source(file, code=code) if code is not None else _source(file, Source(file).text)


@lru_cache(maxsize=1024)
def _source(file: Path, text: bytes) -> Source:
    # The plans of several targets look at the same modules.
    return Source(file, text)


def _collect(body: list[ast.stmt], names: dict[str, ast.stmt]) -> bool:
    import ast

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
    import ast

    if not isinstance(node, ast.ClassDef):
        return None
    for base in node.bases:
        name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        if name in BASES:
            return BASES[name]
    return None


def is_async(node: ast.stmt) -> bool:
    """Tell whether a handler is an async function or a class with an async ``handle``."""
    import ast

    if isinstance(node, ast.AsyncFunctionDef):
        return True
    return isinstance(node, ast.ClassDef) and any(
        isinstance(item, ast.AsyncFunctionDef) and item.name == "handle" for item in node.body
    )


#: Trigger kind -> what its handlers call their first argument.
_FIRST = {"http": "request", "queue": "message", "task": "task"}


def misfit(node: ast.stmt, kind: str) -> tuple[str, str] | None:
    """Say why what *node* binds cannot be called with an event of *kind* and a context, and a fix.

    None where it can, or only a run would tell: behind decorators, base classes, assignments.
    """
    import ast

    defs = (ast.FunctionDef, ast.AsyncFunctionDef)
    event = _FIRST.get(kind, "event")
    function, name, own = node, "", 0
    if isinstance(node, ast.ClassDef):
        methods = {each.name: each for each in node.body if isinstance(each, defs)}
        called = "handle" if "handle" in methods else "__call__"
        if called not in methods:
            if node.bases or node.decorator_list:
                return None
            return (
                f"class {node.name} has no method 'handle'",
                f"def handle(self, {event}, context)",
            )
        function, name, own = methods[called], f"{node.name}.{called}", 1
    if not isinstance(function, defs) or function.decorator_list:
        return None
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)][own:]
    least = len(names) - len(given.defaults)
    named = any(default is None for default in given.kw_defaults)
    if (len(names) >= 2 or given.vararg) and least <= 2 and not named:
        return None
    shown = ", ".join([*names, *(each.arg for each in given.kwonlyargs)])
    head = "self, " if own else ""
    return (
        f"{name or function.name}({shown}) is called with two arguments: {event}, context",
        f"def {function.name}({head}{event}, context)",
    )
