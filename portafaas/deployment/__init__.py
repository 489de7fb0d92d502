"""Putting a build where it runs, through the platform's own engine; no state of our own.

| module | what it holds |
|---|---|
| ``contract`` | what an adapter offers: an :class:`Engine`, and the records it speaks in |
| ``dead_letters`` | what an adapter offers to look after dead letters |
| ``release`` | what is deployed: package, documents, permissions, and the digest of all |
| ``record`` | who deployed what and when: kept beside the packages, on the platform |
| ``workflows`` | what an adapter offers to operate workflows |
| ``replay``, ``histories`` | a run made anew from its answers; what happened in it |
| ``session`` | deploy, roll back, destroy: the order of things, the same for every engine |

``docs/adr/0011-deployment.md`` says why.
"""

from __future__ import annotations

from portafaas.deployment.contract import (
    Blobs,
    Caller,
    Change,
    Drift,
    Engine,
    Kept,
    LogLine,
    Preview,
    Progress,
    Report,
    SecretFacts,
    Secrets,
    Status,
)
from portafaas.deployment.dead_letters import (
    Box,
    DeadLetter,
    DeadLetters,
    Redriven,
    dead_letter_boxes,
)
from portafaas.deployment.release import Release
from portafaas.deployment.workflows import RunState, StepEvent, Workflows
from portafaas.errors import DeploymentError

__all__ = [
    "Blobs",
    "Box",
    "Caller",
    "Change",
    "DeadLetter",
    "DeadLetters",
    "DeploymentError",
    "Drift",
    "Engine",
    "Kept",
    "LogLine",
    "Preview",
    "Progress",
    "Redriven",
    "Release",
    "Report",
    "RunState",
    "SecretFacts",
    "Secrets",
    "Status",
    "StepEvent",
    "Workflows",
    "dead_letter_boxes",
]
