"""The conformance suite on each target, in the vendors' own runtimes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portafaas.testing.kit import Kit
from portafaas.testing.suite import ConformanceSuite

pytestmark = pytest.mark.vendor


class _Shared(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def kit(cls, kit_of: Callable[[str], Kit]) -> Kit:
        return kit_of(cls.target)


class TestAws(_Shared):
    target = "aws"


class TestAzure(_Shared):
    target = "azure"


class TestGcp(_Shared):
    target = "gcp"
