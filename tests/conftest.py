"""Options of the whole suite."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Files that take longest, by far: most of it they wait for processes. Begun first, they do not
#: keep one worker at the end, when the others have nothing left (``make test``).
LONGEST = (
    "faults/test_faults.py",
    "deploy/test_shop_gcp.py",
    "aws_cloud/test_shop.py",
    "deploy/test_shop_azure.py",
    "robustness/test_bad_handlers.py",
    "faults/test_mutants.py",
    "fourth/test_deployment.py",
    "conformance/test_conformance.py",
    "aws_cloud/test_cloud.py",
    "fourth/test_mutants.py",
    "aws_cloud/test_workflows.py",
    "unit/gcp/test_gcp_terraform.py",
    "unit/gcp/test_gcp_engine_terraform.py",
    "properties/test_properties_messages.py",
    "unit/local/test_deliver.py",
    "aws_cloud/test_front_door.py",
    "unit/aws/test_aws_stack.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    own = Path(__file__).parent
    items.sort(key=lambda item: places.get(os.path.relpath(item.path, own), len(places)))


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/golden/<target> from what is built now; review the difference",
    )
