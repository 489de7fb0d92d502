"""Values of a workflow's source: literals, paths and templates as expressions.

https://cloud.google.com/workflows/docs/reference/syntax/expressions
"""

from __future__ import annotations

import re
from typing import Any

from portafaas.runtime.states import is_path, parsed

Step = dict[str, Any]
#: What may stand between quotes in an expression as it is.
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;/#!-]*")
#: Characters of an expression: https://cloud.google.com/workflows/quotas
LONGEST = 400


def expression(code: str) -> str:
    """Return a value that is what *code* evaluates to."""
    return f"${{{code}}}"


def quoted(text: str) -> str:
    """Return *text* as a literal within an expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for letter, name in (("\n", "n"), ("\r", "r"), ("\t", "t")):
        escaped = escaped.replace(letter, f"\\{name}")
    return f'"{escaped}"'


def literal(value: Any) -> Any:
    """Return a JSON value so that it stands for itself, whatever texts are in it."""
    if isinstance(value, str):
        if "${" not in value:
            return value
        parts = value.split("${")
        return expression(' + "$" + "{" + '.join(quoted(part) for part in parts))
    if isinstance(value, dict):
        return {name: literal(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [literal(item) for item in value]
    return value


def root_of(path: str, document: str, context: str) -> str:
    """Return the variable that a path begins at."""
    return context if path.startswith("$$") else document


class Rendering:
    """Makes a value of a template, and the steps that have to come before it.

    *prefix* begins the names of these steps. A path of plain names becomes an expression, which
    fails where nothing is there. One with an index, or with unusual names, is looked up by a step:
    whether a text has an index is documented nowhere.
    """

    def __init__(self, prefix: str, document: str = "document", context: str = "context") -> None:
        self.steps: list[Step] = []
        self._prefix = prefix
        self._roots = (document, context)

    def value(self, template: Any) -> Any:
        """Return *template* as a value of the source."""
        if isinstance(template, str):
            return self.path(template) if is_path(template) else literal(template)
        if isinstance(template, dict):
            if len(template) == 1 and "$literal" in template:
                return literal(template["$literal"])
            return {name: self.value(item) for name, item in template.items()}
        if isinstance(template, list):
            return [self.value(item) for item in template]
        return template

    def path(self, path: str) -> str:
        """Return what is at *path* as a value of the source."""
        root, parts = root_of(path, *self._roots), parsed(path)
        code = root + "".join(f"[{quoted(part)}]" for part in parts if isinstance(part, str))
        plain = all(isinstance(part, str) and _PLAIN.fullmatch(part) for part in parts)
        if plain and len(code) <= LONGEST:
            return expression(code)
        variable = f"found_{len(self.steps)}"
        self.steps.append(
            {
                f"{self._prefix}__at_{len(self.steps)}": {
                    "call": "portafaas_at",
                    "args": {
                        "value": expression(root),
                        "path": literal(list(parts)),
                        "shown": literal(path),
                    },
                    "result": variable,
                }
            }
        )
        return expression(variable)


def every_expression(value: Any) -> list[str]:
    """Return all expressions in a source, without their braces."""
    if isinstance(value, str):
        return [value[2:-1]] if value.startswith("${") else []
    if isinstance(value, dict):
        return [code for item in value.values() for code in every_expression(item)]
    if isinstance(value, list):
        return [code for item in value for code in every_expression(item)]
    return []


def odd_names(value: Any) -> list[str]:
    """Return the names in a source that might be taken for expressions."""
    if isinstance(value, dict):
        inside = [name for item in value.values() for name in odd_names(item)]
        return [name for name in value if "${" in name] + inside
    if isinstance(value, list):
        return [name for item in value for name in odd_names(item)]
    return []
