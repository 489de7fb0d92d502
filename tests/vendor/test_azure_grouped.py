"""The conformance cases hold when functions share an app: one worker for all of a group."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.adapter import Support
from portafaas.capabilities import needs
from portafaas.invocation import PackageRunner
from portafaas.plan import FunctionPlan
from portafaas.testing import kit as kits
from portafaas.testing import service
from portafaas.testing.cases import Case, problems
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.grouping import app_of, apps_of

pytestmark = pytest.mark.vendor


class OneWorkerForAnApp(PackageRunner):
    """Asks the worker of a function's app for it by name, as the host does."""

    def session(self, function: FunctionPlan) -> Any:
        found = super().session(app_of(self._plan, function).first)
        return types.SimpleNamespace(
            invoke=lambda payload: found.invoke(payload, function=function.entry)
        )


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kits.Kit]:
    document = service.document

    def grouped(*given: Any) -> dict[str, Any]:
        return {**document(*given), "targets": {"azure": {"apps": "grouped"}}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "document", grouped)
        patch.setattr(kits, "PackageRunner", OneWorkerForAnApp)
        made = kits.Kit("azure", tmp_path_factory.mktemp("kit-grouped"))
    with made:
        yield made


def supported() -> list[Case]:
    # The whole suite runs on apps of one function; a part of it is enough to see the difference.
    return kits.cases_of(ADAPTER)[::3]


def test_functions_do_share(kit: kits.Kit) -> None:
    sizes = [len(app.functions) for app in apps_of(kit.plan)]
    assert max(sizes) > 5
    assert sum(sizes) == len(kit.plan.functions)
    full = {c for c, s in ADAPTER.capabilities.items() if s is Support.FULL}
    assert {need[0] for need in needs(kit.plan)} <= full


@pytest.mark.parametrize("case", supported(), ids=[case.name for case in supported()])
def test_case(kit: kits.Kit, case: Case) -> None:
    found = problems(case, kit.observe(case))
    assert not found, "\n".join([*found, kit.logs.get(case.name, "")])
