"""Shared by the tests of schedules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def cron_cases() -> dict[str, Any]:
    """Recorded cases, by file stem; the test is skipped where they are not checked out."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "cases" / "cron"
    if not folder.is_dir():
        pytest.skip("shared/cases is not there")
    return {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
