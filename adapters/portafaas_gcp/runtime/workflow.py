"""Runs of workflows over the Workflow Executions API. Ships.

https://cloud.google.com/workflows/docs/reference/executions/rest
"""

from __future__ import annotations


def encoded(name: str) -> str:
    """Return a name of the manifest as part of a step's name; no two give the same."""
    return name.replace("_", "_u").replace("-", "_d")


def decoded(text: str) -> str:
    """Return the name that *text* was made of."""
    return text.replace("_d", "-").replace("_u", "_")
