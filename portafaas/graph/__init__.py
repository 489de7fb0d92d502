"""The service as a graph: what starts what, what is sent where (``portafaas graph``).

Neutral: made of the plan alone. ``model`` makes nodes and edges, ``layout`` places them, ``svg``,
``html``, ``mermaid`` and ``document`` write them.
"""

from portafaas.graph.model import Edge, Graph, Node, graph_of

__all__ = ["Edge", "Graph", "Node", "graph_of"]
