"""Workflows of a plan as sources of Google Cloud's Workflows.

https://cloud.google.com/workflows/docs/reference/syntax; ``docs/adr/0026-gcp-workflows.md``.
"""

from __future__ import annotations

from portafaas_gcp.workflows.source import source

__all__ = ["source"]
