"""Workflows on AWS: the emitted machines run as the reference does, case by case.

All cases, and generated ones: ``python -m tests.workflows.test_aws [number of generated]``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflows import scripts
from tests.workflows.cases import CASES, Case
from tests.workflows.traces import difference

pytest.importorskip("moto.stepfunctions.parser")

from tests.workflows.aws import Machines, each

#: What waits for seconds, or is large: for the large run.
_LEFT = ("large-",)
CHOSEN = [case for case in CASES if not case.name.startswith(_LEFT) and "slow" not in case.needs]


def differences(folder: Path, cases: list[Case]) -> dict[str, str]:
    """Run the cases; return what is wrong, by name."""
    with Machines(folder, cases) as machines:

        def play(case: Case) -> str:
            outcome, ledger = machines.run(case)
            return difference(scripts.reference(case), ledger, outcome)

        found = each(cases, play)
    return {name: repr(result) for name, result in found.items() if result != ""}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_cases(tmp_path: Path) -> None:
    assert len(CHOSEN) > 60
    assert differences(tmp_path, CHOSEN) == {}


def main(arguments: list[str]) -> Any:
    import os
    from tempfile import TemporaryDirectory

    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    os.environ["AWS_REGION"] = "eu-central-1"
    logging.disable(logging.CRITICAL)
    cases = list(CASES)
    with TemporaryDirectory() as folder:
        wrong = differences(Path(folder), cases)
    for name, what in wrong.items():
        sys.stdout.write(f"{name}: {what}\n")
    sys.stdout.write(f"{len(cases)} cases, {len(wrong)} differ\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
