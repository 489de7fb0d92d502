"""A project of cases, built for Azure and running in Microsoft's worker under our engine.

``python -m tests.workflows.azureapp 500 [family...]`` compares that many generated definitions of
each family with the reference, and prints those that differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from portafaas.invocation import PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan import machines
from portafaas.plan.build import build_plan
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.runtime.control import ended
from portafaas_azure.runtime.orchestrator import entry_of, unwrapped
from tests.workflows import scripts, traces
from tests.workflows.azure_engine import Engine, Instance
from tests.workflows.cases import Case


@contextmanager
def worker(
    folder: Path, cases: Sequence[Case], functions: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, Path]]:
    """Build a package of *cases* and run it; yield its session, and the folder of its plan.

    *functions* are further ones. ``session.another()`` is one of another worker, for what is to be
    asked while this one is at work.
    """
    project = folder / "project"
    every = {**scripts.manifest(())["functions"], **(functions or {})}
    manifest = scripts.project(project, cases, python="3.11", functions=every)
    for spec in (functions or {}).values():
        module, _, name = spec["handler"].partition(":")
        (project / f"{module}.py").write_text(f"def {name}(request, context):\n    return None\n")
    # Refused on every target, since others differ in whose run waits; here it is a way to look at
    # a run below a run.
    with mock.patch.object(machines, "_waits_below"):
        plan = build_plan(load_manifest(manifest), "azure")
        built = build(manifest, ["azure"])[0]
    told = folder / "plan"
    scripts.prepare(told, cases)
    starters = sorted({use["start"] for spec in (functions or {}).values() for use in spec["uses"]})
    environ = {
        "PORTAFAAS_FLOW_PLAN": str(told), "PORTAFAAS_STARTERS": f"you=own-outer-inner;me={','.join(starters)}",
    }  # fmt: skip
    package = folder / "package"
    runner = PackageRunner(ADAPTER, plan, built.package, built.deployment, package, environ)
    with runner:
        session: Any = runner.session(plan.function("one"))
        session.another = lambda: runner.session(plan.function("two"))
        yield session, told


def engine_of(session: Any) -> Engine:
    def invoke(name: str, request: Mapping[str, Any]) -> Any:
        return session.invoke(request, function=name)

    return Engine(invoke)


def run(engine: Engine, case: Case, number: int = 0) -> Instance:
    """Run *case* to its end, with its signals; return its instance."""
    seen: set[str] = set()

    def signalled(instance: Instance) -> None:
        for name, tokens in instance.custom.get("waiting", {}).items():
            for token in tokens:
                key = f"{name}.{token}"
                if key not in seen and name in case.signals:
                    seen.add(key)
                    seconds, payload = case.signals[name]
                    body = json.dumps(json.dumps({"payload": payload}))
                    engine.after(seconds, partial(engine.raise_event, instance.id, key, body))

    engine.told[:] = [signalled]
    instance = start(engine, case, number)
    engine.run()
    return instance


def start(engine: Engine, case: Case, number: int = 0) -> Instance:
    """Start *case*."""
    text = json.dumps(json.dumps({"input": case.input}))
    return engine.start(entry_of(case.name), text, f"{case.name}-{number}")


def outcome(instance: Instance) -> dict[str, Any]:
    """Return what a run has come to, as the status tells."""
    if instance.status == "Completed":
        return unwrapped(instance.output, "ok")
    if instance.status == "Failed":
        return ended("Failed", instance.output, instance.custom)[1]
    return {} if instance.status == "Running" else {"status": instance.status, "out": instance.output}


def differences(session: Any, told: Path, cases: Iterable[Case]) -> dict[str, str]:
    """Run all *cases*; return those that differ from the reference, and how."""
    found = {}
    for case in cases:
        engine = engine_of(session)
        scripts.prepare(told, [case])
        instance = run(engine, case)
        reference = scripts.reference(case)
        different = traces.difference(reference, scripts.ledger(told, case), outcome(instance))
        if different:
            found[case.name] = different
    return found


#: Definitions of one package; a manifest has at most a megabyte.
BATCH = 100


def main(words: list[str]) -> int:
    """Run many; return how many differ."""
    import tempfile
    import time

    from tests.workflows.generated import FAMILIES, generate

    bad = 0
    for family in words[1:] or FAMILIES:
        began = time.monotonic()
        for first in range(0, int(words[0]), BATCH):
            seeds = range(first, min(first + BATCH, int(words[0])))
            cases = [generate(family, seed) for seed in seeds]
            with tempfile.TemporaryDirectory() as folder, worker(Path(folder), cases) as found:
                for name, what in differences(*found, cases).items():
                    bad += 1
                    print(f"{name}: {what}", flush=True)
        took = time.monotonic() - began
        print(f"{family}: {words[0]} in {took:.0f} s", flush=True)
    return bad


if __name__ == "__main__":
    import sys

    sys.exit(min(main(sys.argv[1:]), 1))
