"""Published workflows on the real engines: the traces of the reference.

Every few of them on each engine; all of them with ``PORTAFAAS_FLOW_PUBLISHED=all``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.workflows import published, scripts
from tests.workflows.cases import Case
from tests.workflows.local import Local
from tests.workflows.scripts import reference, world
from tests.workflows.shared import shared
from tests.workflows.traces import difference

pytestmark = pytest.mark.skipif(
    not (shared("sebs").is_dir() and shared("workflows").is_dir()), reason="shared/cases is not here"
)
ALL = os.environ.get("PORTAFAAS_FLOW_PUBLISHED") == "all"


def cases(step: int = 1, first: int = 0) -> list[Case]:
    every = [*published.sebs(), *published.machines()]
    return every if ALL else every[first::step]


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_there_are_enough() -> None:
    every = [*published.sebs(), *published.machines()]
    assert len({case.machine or json.dumps(case.steps) for case in every}) > 45
    assert len([case for case in every if reference(case).calls]) > 30


@pytest.mark.parametrize("crashes", [False, True], ids=["", "crashes"])
def test_local(tmp_path: Path, crashes: bool) -> None:
    for case in cases(6, int(crashes)):
        made = scripts.machines(case)
        (tmp_path / case.name).mkdir()
        engine = Local(tmp_path / case.name, made, world(case), crashes=crashes)
        outcome = engine.run(case.name, case.input)
        assert not difference(reference(case), engine.ledger, outcome), case.name


@pytest.mark.usefixtures("_quiet")
def test_aws(tmp_path: Path) -> None:
    pytest.importorskip("moto.stepfunctions.parser")
    from tests.workflows.test_aws import differences

    assert differences(tmp_path, cases(12, 1)) == {}


@pytest.mark.vendor
def test_azure(tmp_path: Path) -> None:
    from portafaas_azure.adapter import ADAPTER
    from tests.workflows import azureapp

    chosen = []
    for case in cases(5, 2):
        plan = build_plan(load_manifest(scripts.project(tmp_path / "p", [case])), "azure")
        wrong = [found for found in ADAPTER.check(plan) if found.severity == "error"]
        if not wrong:
            chosen.append(case)
        # A map of a map, 1000 items each.
        assert [found.code for found in wrong] == ["PF3002"] * ("map-nested" in case.name)
    with azureapp.worker(tmp_path, chosen) as (session, told):
        assert azureapp.differences(session, told, chosen) == {}


@pytest.mark.vendor
def test_gcp(tmp_path: Path) -> None:
    from portafaas.vendor.contract import VendorRuntimeError
    from tests.workflows.test_gcp import World

    try:
        made = World(tmp_path)
    except VendorRuntimeError as exc:
        pytest.skip(f"workflows-emulator cannot be installed: {exc}")
    try:
        found = {case.name: made.differs(case) for case in cases(5)}
    finally:
        made.close()
    assert {name: text for name, text in found.items() if text} == {}
