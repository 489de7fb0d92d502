"""Published workflows on the local engine; ``test_{aws,azure,gcp}.py`` have them on the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workflows import published, scripts
from tests.workflows.local import Local
from tests.workflows.scripts import reference, world
from tests.workflows.traces import difference

pytestmark = pytest.mark.skipif(not published.there(), reason="shared/cases is not here")


def test_there_are_enough() -> None:
    every = published.sample()
    assert len({case.machine or json.dumps(case.steps) for case in every}) > 45
    assert len([case for case in every if reference(case).calls]) > 30


@pytest.mark.parametrize("crashes", [False, True], ids=["", "crashes"])
def test_local(tmp_path: Path, crashes: bool) -> None:
    for case in published.sample(6, int(crashes)):
        made = scripts.machines(case)
        (tmp_path / case.name).mkdir()
        engine = Local(tmp_path / case.name, made, world(case), crashes=crashes)
        outcome = engine.run(case.name, case.input)
        assert not difference(reference(case), engine.ledger, outcome), case.name
