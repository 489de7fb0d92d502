"""Names of steps and routines in a workflow's source, and back.

A name of a step has letters, digits and underscores:
https://cloud.google.com/workflows/docs/reference/syntax#steps
"""

from __future__ import annotations

from portafaas_gcp.runtime.workflow import encoded

MAIN = "main"


def step(name: str) -> str:
    """Return the name of the first of the steps that do a step of the manifest."""
    return f"s_{encoded(name)}"


def undo(name: str) -> str:
    """Return the name of the step that undoes a step of the manifest."""
    return f"u_{encoded(name)}"


def run(workflow: str) -> str:
    """Return the routine that runs a workflow, with its compensations."""
    return f"run_{encoded(workflow)}"


def steps(workflow: str, *within: str) -> str:
    """Return the routine of the steps of a workflow, or of those within a step of it."""
    return "__".join((f"steps_{encoded(workflow)}", *(encoded(name) for name in within)))
