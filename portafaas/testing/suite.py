"""The kit as pytest classes; needs pytest, which ``portafaas[testing]`` installs.

An adapter's test suite holds::

    from portafaas.testing.suite import ConformanceSuite

    class TestConformance(ConformanceSuite):
        target = "example"
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from portafaas.adapter import API_VERSION, Capability, HttpOutcome, HttpStimulus, Support
from portafaas.errors import UnsupportedCapabilityError
from portafaas.pipeline import STATE, build, check
from portafaas.plan.entry import function_spec
from portafaas.registry import get_adapter
from portafaas.testing import service
from portafaas.testing.cases import CASES, Case, problems
from portafaas.testing.kit import Kit, cases_of, offers, refused_manifest, requirements

_ISOLATED = """
import json, sys
package, dependencies, runtime, specs = sys.argv[1:]
sys.path[:0] = [package]
import importlib
before = set(sys.modules)  # json itself loads re
from portafaas.runtime.function import Function
for spec in json.loads(specs):
    bridge = importlib.import_module(f"{runtime}.{spec['kind']}")
    assert callable(bridge.bind), bridge
    assert bridge.__file__.startswith(package), bridge.__file__
heavy = [name for name in HEAVY if name in set(sys.modules) - before]
assert not heavy, heavy
"""

#: What the bridges may not load before the first event (cold start).
HEAVY = (
    "asyncio", "dataclasses", "datetime", "email", "http", "inspect", "logging", "re",
    "socket", "ssl", "typing", "unittest", "urllib",
)  # fmt: skip


def _written(folder: Path) -> list[Path]:
    """Return what stands in *folder* but for caches, which may be deleted at any time."""
    return sorted(path for path in folder.rglob("*") if STATE not in path.parts)


class ConformanceSuite:
    """Everything a target must do; set :attr:`target` in a subclass named ``Test...``."""

    target: ClassVar[str]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Choose cases and refusals from the adapter's capability table."""
        adapter = get_adapter(self.target)
        if "case" in metafunc.fixturenames:
            cases = cases_of(adapter)
            metafunc.parametrize("case", cases, ids=[case.name for case in cases])
        if "undeclared" in metafunc.fixturenames:
            undeclared = [c for c in Capability if adapter.capabilities[c] is not Support.FULL]
            metafunc.parametrize("undeclared", undeclared, ids=[str(c) for c in undeclared])

    @pytest.fixture(scope="class")
    @classmethod
    def kit(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
        """The service, built for the target, in the vendor's runtime."""
        with Kit(cls.target, tmp_path_factory.mktemp(f"kit-{cls.target}")) as kit:
            yield kit

    def test_declares_every_capability(self) -> None:
        """Silence is an error, and so is a position on something that does not exist."""
        adapter = get_adapter(self.target)
        assert set(adapter.capabilities) == set(Capability)
        assert adapter.api_version == API_VERSION
        assert adapter.target == self.target

    def test_every_declared_capability_has_a_case(self) -> None:
        """What is declared is tried; what is never tried cannot be declared."""
        tried: set[Capability] = set()
        for function in {case.function for case in CASES}:
            tried |= requirements()[function]
        untried = offers(get_adapter(self.target)) - tried
        # Deliveries do not show these.
        alerts = {capability for capability in Capability if capability.startswith("alert.")}
        assert untried <= {Capability.ARCHITECTURE_ARM, Capability.WORKFLOW, *alerts}

    def test_case(self, kit: Kit, case: Case) -> None:
        """The case's expectation holds in the vendor's runtime."""
        found = problems(case, kit.observe(case))
        assert not found, "\n".join([*found, kit.logs.get(case.name, "")])

    def test_rate_is_kept(self, kit: Kit) -> None:
        """Of several requests to a limited route at most one passes, the others get 429."""
        name = "limited-hourly"
        if name not in kit.functions:
            assert not {Capability.HTTP_RATE, Capability.MAX_INSTANCES} <= offers(kit.adapter)
            return
        sent = [
            kit.runner.deliver(kit.plan.function(name), HttpStimulus("GET", f"/{name}"))
            for _ in range(3)
        ]
        outcomes = [delivery.outcome for delivery in sent]
        assert all(isinstance(outcome, HttpOutcome) for outcome in outcomes)
        statuses = [getattr(outcome, "status", 0) for outcome in outcomes]
        assert statuses == [200, 429, 429]
        headers = dict(getattr(outcomes[-1], "headers", ()))
        assert 1 <= int(headers["retry-after"]) <= 3600

    def test_refuses(self, undeclared: Capability, tmp_path: Path) -> None:
        """What needs something undeclared is refused, and nothing is written."""
        content = refused_manifest(undeclared)
        manifest = service.write(tmp_path / "project", content)
        before = _written(tmp_path)
        with pytest.raises(UnsupportedCapabilityError) as caught:
            build(manifest, [self.target])
        assert any(
            d.code == "PF3001" and f"({undeclared})" in d.message for d in caught.value.diagnostics
        )
        assert all(d.line is not None for d in caught.value.diagnostics)
        assert _written(tmp_path) == before

    def test_lowering_is_pure(self, kit: Kit) -> None:
        """The same plan gives the same files, and a deployment for each function."""
        first, second = kit.adapter.lower(kit.plan), kit.adapter.lower(kit.plan)
        assert first == second
        assert [d.function for d in first.deployments] == [f.name for f in kit.plan.functions]
        assert all(name and not name.startswith("/") for name in first.files)
        json.dumps([dict(d.binding) for d in first.deployments])

    def test_build_is_reproducible(self, kit: Kit, tmp_path: Path) -> None:
        """Another folder, without caches, gives the same bytes."""
        copy = tmp_path / "elsewhere"
        shutil.copytree(
            kit.manifest.parent, copy, ignore=shutil.ignore_patterns(".portafaas", "out")
        )
        again = build(copy / kit.manifest.name, [self.target])[0]
        assert again.digest == kit.built.digest
        assert again.package.read_bytes() == kit.built.package.read_bytes()
        assert again.sbom.read_bytes() == kit.built.sbom.read_bytes()
        assert again.deployment.read_bytes() == kit.built.deployment.read_bytes()

    def test_bridges_need_only_the_standard_library(self, kit: Kit) -> None:
        """Every bridge loads from the package alone, and loads little."""
        specs = [function_spec(kit.plan, function) for function in kit.plan.functions]
        layout = kit.adapter.layout
        command: list[Any] = [
            sys.executable, "-I", "-S", "-c", _ISOLATED.replace("HEAVY", repr(HEAVY)),
            kit.package, layout.dependencies, layout.runtime_package, json.dumps(specs),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_check_writes_nothing(self, kit: Kit, tmp_path: Path) -> None:
        """The capability check is read-only."""
        manifest = service.write(tmp_path, service.document(kit.plan.python, kit.functions))
        before = sorted(tmp_path.rglob("*"))
        check(manifest, [self.target])
        assert sorted(tmp_path.rglob("*")) == before
