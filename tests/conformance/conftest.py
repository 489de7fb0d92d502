"""Each target's kit is built once a session: the suites and the differential corpus share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from portafaas.testing.kit import Kit, LocalKit


@pytest.fixture(scope="session")
def kit_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Kit]]:
    kits: dict[str, Kit] = {}
    with ExitStack() as stack:

        def get(target: str) -> Kit:
            if target not in kits:
                kits[target] = stack.enter_context(
                    Kit(target, tmp_path_factory.mktemp(f"kit-{target}"))
                )
            return kits[target]

        yield get


@pytest.fixture(scope="session")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKit]:
    with LocalKit(tmp_path_factory.mktemp("kit-local")) as kit:
        yield kit
