"""The patterns of ``sources.include``, ``sources.exclude`` and ``dependencies.keep``.

``*`` and ``?`` stay within one name, ``**`` crosses folders, ``[...]`` is a set. A pattern without
``/`` matches a name at any depth; one with ``/`` is anchored at the project's folder. A pattern
that matches a folder stands for everything in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a relative ``/`` path matches one of *patterns*."""
    if not patterns:
        return lambda path: False
    match = re.compile("|".join(map(translate, patterns))).fullmatch
    return lambda path: match(path) is not None


def translate(pattern: str) -> str:
    """Return the regular expression of one pattern."""
    text = pattern.strip("/").removeprefix("./")
    prefix = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    return f"(?:{prefix}{_body(text)}(?:/.*)?)"


def _body(text: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        if text.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif text.startswith("**", at):
            out.append(".*")
            at += 2
        elif text[at] == "*":
            out.append("[^/]*")
            at += 1
        elif text[at] == "?":
            out.append("[^/]")
            at += 1
        elif text[at] == "[" and (end := text.find("]", at + 2)) > 0:
            inner = text[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            out.append(f"[{'^' + inner[1:] if inner[0] == '!' else inner}]")
            at = end + 1
        else:
            out.append(re.escape(text[at]))
            at += 1
    return "".join(out)
