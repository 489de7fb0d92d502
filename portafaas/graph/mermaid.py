"""The graph as a Mermaid flowchart: https://mermaid.js.org/syntax/flowchart.html."""

from __future__ import annotations

from collections.abc import Mapping

from portafaas.graph.model import Graph
from portafaas.graph.svg import KINDS, caption, title_of
from portafaas.graph.text import clean

#: kind -> what its text stands between.
_SHAPES: Mapping[str, tuple[str, str]] = {
    "http": ("([", "])"),
    "schedule": ("([", "])"),
    "function": ("(", ")"),
    "queue": ("[", "]"),
    "topic": ("{{", "}}"),
    "bucket": ("[(", ")]"),
    "table": ("[(", ")]"),
    "secret": ("[/", "/]"),
    "workflow": ("[[", "]]"),
    "dead-letters": ("[", "]"),
}
_DOTTED = ("read", "write", "dead-letter")


def mermaid(graph: Graph) -> str:
    """Return the flowchart, with a line for each node and edge."""
    short = {node.id: f"n{number}" for number, node in enumerate(graph.nodes, 1)}
    out = ["---", f"title: {quoted(title_of(graph))}", "---", "flowchart LR"]
    for node in graph.nodes:
        opening, closing = _SHAPES[node.kind]
        text = f"{text_of(caption(node))}<br>{text_of(node.name)}"
        out.append(f'  {short[node.id]}{opening}"{text}"{closing}:::{_class(node.kind)}')
    for edge in graph.edges:
        arrow = "-.->" if edge.kind in _DOTTED else "-->"
        words = edge.label or ((edge.kind,) if edge.kind in _DOTTED else ())
        label = f'|"{"<br>".join(text_of(line) for line in words)}"|' if words else ""
        out.append(f"  {short[edge.source]} {arrow}{label} {short[edge.target]}")
    for kind in dict.fromkeys(node.kind for node in graph.nodes):
        _, hue, _ = KINDS[kind]
        dashes = ",stroke-dasharray:5 3" if kind in ("dead-letters", "secret") else ""
        colours = f"fill:hsl({hue},62%,95%),stroke:hsl({hue},62%,45%),color:#1c2430"
        out.append(f"  classDef {_class(kind)} {colours}{dashes}")
    return "\n".join(out) + "\n"


def _class(kind: str) -> str:
    return kind.replace("-", "")


def text_of(text: str) -> str:
    """Return *text* with all that Mermaid, Markdown and HTML may see more in as entity codes.

    https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
    """
    return "".join(
        c if c.isalnum() or c in " -/,.:=+·…" else f"#{ord(c)};" for c in clean(text)
    )


def quoted(text: str) -> str:
    """Return *text* as YAML of the front matter."""
    import json

    return json.dumps(text)
