"""Options of the whole suite."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine generates slowly, and that says nothing of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Terraform is started hundreds of times, and spends a fifth of its time on collecting garbage.
os.environ.setdefault("GOGC", "400")

#: Files that share servers, which start for seconds: one worker has them all, one after the other.
TOGETHER = {
    "behaviour": r"behaviour/",
    "gcp_cloud": r"gcp_cloud/",
    "aws_cloud": r"aws_cloud/(?!test_(shop|workflows))",
    "aws_deployment": r"unit/aws/test_aws_(dead_letters|deployment|whereabouts)",
}

#: What takes longest, by far: most of it waits for processes. Begun first, it does not keep one
#: worker at the end, when the others have nothing left (``make test``).
LONGEST = (
    "deploy/test_shop_gcp.py",
    "aws_cloud/test_shop.py",
    "deploy/test_shop_azure.py",
    "faults/test_faults.py",
    "robustness/test_bad_handlers.py",
    "behaviour",
    "aws_deployment",
    "conformance/test_conformance.py",
    "aws_cloud",
    "dev/test_dashboard.py",
    "vendor/test_session_runtime.py",
    "gcp_cloud",
    "faults/test_mutants.py",
    "robustness/test_bad_starts.py",
    "unit/azure/test_azure_mutations.py",
    "workflows/test_local.py",
    "workflows/test_gcp.py",
    "workflows/test_azure.py",
    "fourth/test_deployment.py",
    "vendor/test_gcp_runtime.py",
    "testing/test_projects.py",
    "dev/test_http.py",
    "workflows/test_aws.py",
    "unit/aws/test_aws_stack.py",
    "unit/gcp/test_gcp_engine_terraform.py",
    "apps/test_applications.py",
    "unit/schedule/test_lowering.py",
)


def unit_of(nodeid: str) -> str:
    """Return what is not shared out among workers: the test's file, or a name of ``TOGETHER``."""
    path = nodeid.partition("::")[0].removeprefix("tests/")
    return next((name for name, start in TOGETHER.items() if re.match(start, path)), path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    units = sorted({unit_of(item.nodeid) for item in items})
    order = sorted(units, key=lambda unit: places.get(unit, len(places)))
    place_of = {unit: place for place, unit in enumerate(order)}
    items.sort(key=lambda item: place_of[unit_of(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    made: Any = LoadFileScheduling(config, log)
    made._split_scope = unit_of
    return made


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Undo what the shipped runtime keeps once a process: where records go, and what is in none."""
    yield
    home = sys.modules.get("portafaas.runtime.secrets")
    if home is not None:
        home.redacted.clear()
    root = logging.getLogger("portafaas")
    root.setLevel(logging.NOTSET)
    root.propagate = True
    root.handlers.clear()


@pytest.fixture(scope="session")
def share_builds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Return what lets a project find what others have built, in this worker or another one.

    Beside its sources: dependencies that one of them has installed and compiled. Any number of
    builds may use a cache at once (``portafaas.artifact.cache``).
    """
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "build-cache"
    cache.mkdir(exist_ok=True)

    def share(project: Path) -> None:
        state = project / ".portafaas"
        state.mkdir()
        (state / "cache").symlink_to(cache)

    return share


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/golden/<target> from what is built now; review the difference",
    )
