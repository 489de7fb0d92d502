"""What `portafaas workflow status` prints of texts that anybody may have sent."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.cli.workflow import _show
from portafaas.deployment.workflows import RunState


def test_a_cause_forges_no_line_of_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    cause = "no\nstate:    succeeded\x1b[2K\n\noutput:   {}"
    opened: Any = None
    _show(opened, RunState("fulfil", "r1", "failed", error="Broken", cause=cause), False)
    lines = capsys.readouterr().out.splitlines()
    fields = [line.partition(":")[0] for line in lines if line[:1].strip()]
    assert fields == ["workflow", "run", "state", "error", "cause", "input"]
    assert "          state:    succeeded\\x1b[2K" in lines
