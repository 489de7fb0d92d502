"""Ids of runs that would make the path of something else."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.runtime import NotFound
from portafaas_gcp.runtime import rest, workflow


@pytest.mark.parametrize("run", ["", ".", ".."])
def test_an_id_that_is_no_part_of_a_path_is_of_no_run(
    monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    def call(*arguments: Any, **more: Any) -> tuple[int, dict[str, Any]]:
        return 200, {"executions": []}

    monkeypatch.setattr(rest, "call", call)
    with pytest.raises(NotFound):
        workflow.status("projects/p/locations/l/workflows/f", run)
    with pytest.raises(NotFound):
        workflow.signal("projects/p/locations/l/workflows/f", run, "approved", None)
