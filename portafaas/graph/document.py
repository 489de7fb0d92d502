"""The graph as JSON values."""

from __future__ import annotations

from typing import Any

from portafaas.graph.model import Graph


def document(graph: Graph) -> dict[str, Any]:
    """Return nodes and edges as JSON values; ``portafaas`` is the version of this form."""
    return {
        "portafaas": 1,
        "service": graph.service,
        "stage": graph.stage,
        "nodes": [
            {"id": node.id, "kind": node.kind, "name": node.name, "notes": list(node.notes)}
            for node in graph.nodes
        ],
        "edges": [
            {
                "id": edge.id,
                "kind": edge.kind,
                "source": edge.source,
                "target": edge.target,
                "label": list(edge.label),
            }
            for edge in graph.edges
        ],
    }
