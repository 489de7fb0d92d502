"""Writes a definition of a workflow as YAML, as people write it; the same for the same steps.

What fits on a line is on one line. PyYAML's writer follows YAML 1.1, which has other numbers and
words than ``portafaas.manifest.text`` reads, so that texts are quoted here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

Path = tuple[str | int, ...]

_WIDTH = 100
#: Keys whose values are written over several lines, however short.
_BLOCKS = ("steps", "parallel", "map", "choice")
_PLAIN = re.compile(
    r"(?:[A-Za-z$](?:[\w.$/-]*[\w$/-])?(?: [\w$/-](?:[\w.$/-]*[\w$/-])?)*"
    r"|[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))\Z",
    re.ASCII,
)
#: The keys of a step in the order in which they are written; what it does comes before.
_ORDER = ("input", "select", "result", "timeout", "retry", "catch", "default", "next", "end")
#: Words that some reader of YAML takes for something else than a text.
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
#: https://yaml.org/spec/1.2.2/#51-character-set, without what ends a line.
_UNWRITTEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def written(steps: Mapping[str, Any], comments: Mapping[Path, list[str]]) -> str:
    """Return the YAML of ``{"steps": steps}``; *comments*: lines over what is at a path.

    Those at ``()`` begin the file. No text may hold half a character (a lone surrogate).
    """
    lines = [*_comment(comments.get((), ()), "")]
    _Writer(comments, lines).mapping({"steps": steps}, (), "")
    return "\n".join(lines) + "\n"


def shorter(steps: Mapping[str, Any]) -> dict[str, Any]:
    """Return *steps* of an importer as one would write them: without what goes without saying."""
    names = list(steps)
    out: dict[str, Any] = {}
    for place, (name, step) in enumerate(steps.items()):
        step = dict(step)
        following = names[place + 1] if place + 1 < len(names) else None
        if following is not None and step.get("next") == following:
            del step["next"]
        if following is None:
            step.pop("end", None)
        if "timeout" in step:
            step["timeout"] = f"{step['timeout']}s"
        if "retry" in step:
            rules = [_rule(rule) for rule in step["retry"]]
            step["retry"] = rules[0] if len(rules) == 1 else rules
        if "catch" in step:
            step["catch"] = [_rule(rule) for rule in step["catch"]]
        if "parallel" in step:
            step["parallel"] = {
                branch: {"steps": shorter(spec["steps"])}
                for branch, spec in step["parallel"].items()
            }
        if "map" in step:
            step["map"] = {**step["map"], "steps": shorter(step["map"]["steps"])}
        last = {key: step.pop(key) for key in _ORDER if key in step}
        out[name] = {**step, **last}
    return out


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    out = {key: value for key, value in rule.items() if (key, value) != ("errors", ["States.ALL"])}
    for key in ("initial", "max"):
        if key in out:
            out[key] = f"{out[key]}s"
    return out


class _Writer:
    def __init__(self, comments: Mapping[Path, list[str]], lines: list[str]) -> None:
        self.comments = comments
        self.lines = lines

    def mapping(self, value: Mapping[str, Any], path: Path, indent: str) -> None:
        for name, one in value.items():
            here = (*path, name)
            self.lines += _comment(self.comments.get(here, ()), indent)
            self.entry(f"{indent}{_text(name)}:", one, here, indent)

    def entry(self, begun: str, value: Any, path: Path, indent: str) -> None:
        """Write the value of the key, or the item, with which the line has *begun*."""
        line = f"{begun} {_flow(value)}"
        several = isinstance(value, (dict, list)) and value
        if not several or (len(line) <= _WIDTH and not self.apart(value, path)):
            self.lines.append(line)
        elif isinstance(value, dict):
            self.lines.append(begun)
            self.mapping(value, path, f"{indent}  ")
        else:
            self.lines.append(begun)
            self.items(value, path, f"{indent}  ")

    def items(self, value: list[Any], path: Path, indent: str) -> None:
        for index, one in enumerate(value):
            here = (*path, index)
            self.lines += _comment(self.comments.get(here, ()), indent)
            first = len(self.lines)
            line = f"{indent}- {_flow(one)}"
            if isinstance(one, dict) and one and len(line) > _WIDTH:
                self.mapping(one, here, f"{indent}  ")
                self.lines[first] = f"{indent}- {self.lines[first].lstrip()}"
            elif isinstance(one, list) and one and len(line) > _WIDTH:
                self.entry(f"{indent}-", one, here, indent)
            else:
                self.lines.append(line)

    def apart(self, value: Any, path: Path) -> bool:
        """Tell whether a value goes over several lines though it would fit on one."""
        if path and path[-1] in _BLOCKS:
            return True
        if any(known[: len(path)] == path and len(known) > len(path) for known in self.comments):
            return True
        return isinstance(value, dict) and any(name in _BLOCKS for name in value)


def _comment(texts: Any, indent: str) -> Iterator[str]:
    for text in texts:
        for line in text.splitlines():
            line = _UNWRITTEN.sub("?", line).expandtabs()
            for part in wrap(line, max(_WIDTH - len(indent) - 2, 40), break_on_hyphens=False):
                yield f"{indent}# {part}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text

    def escaped(found: re.Match[str]) -> str:
        return f"\\u{ord(found[0]):04x}"

    return _UNWRITTEN.sub(escaped, json.dumps(text, ensure_ascii=False))
