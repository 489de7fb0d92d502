"""Options of the whole suite."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Undo what the shipped runtime sets up once a process: where its records go."""
    yield
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
