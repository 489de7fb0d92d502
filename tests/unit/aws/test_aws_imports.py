"""What a cold start loads before the user's code: next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import portafaas
import portafaas_aws

_PATHS = [str(Path(module.__path__[0]).parent) for module in (portafaas, portafaas_aws)]
_HEAVY = ("asyncio", "dataclasses", "datetime", "email", "enum", "http", "inspect", "json",
          "logging", "re", "socket", "ssl", "typing", "urllib", "uuid")  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "queue", "topic", "object", "table", "schedule"])
def test_bridge_loads_nothing_heavy(kind: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
sys.path[:0] = {_PATHS!r}
from portafaas.runtime.function import Function
bridge = __import__("portafaas_aws.runtime.{kind}", fromlist=("bind",))
new = set(sys.modules) - before
print(sorted(new & set({_HEAVY!r})), sorted(n for n in new if not n.startswith("portafaas")))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] ['__future__']"


def test_bridge_of_another_kind_is_not_loaded() -> None:
    code = f"""
import sys
sys.path[:0] = {_PATHS!r}
import portafaas_aws.runtime.http
print(sorted(name for name in sys.modules if name.startswith("portafaas")))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout
    assert "portafaas_aws.runtime.rest" not in loaded
    assert "portafaas.runtime.event" not in loaded
    assert "portafaas.adapter" not in loaded and "portafaas.plan" not in loaded
