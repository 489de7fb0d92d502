"""An application on this machine as it is on a target: ``portafaas dev --as``, and the test kit.

    with emulated(manifest, stage, "azure") as vendor, Dispatcher(
        vendor.plan, root, vendor=vendor, fast=True
    ) as dispatcher:
        dispatcher.run()

Functions run as their built package in the vendor's own runtime, with its envelopes; what they are
triggered by is delivered by the target's rules (``portafaas.adapter.delivery``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portafaas import stamp
from portafaas.adapter import Adapter, HttpOutcome, HttpStimulus
from portafaas.artifact import unpack
from portafaas.invocation import interpreter
from portafaas.local.children import Children
from portafaas.local.process import Child
from portafaas.local.scratch import scratch
from portafaas.local.vendor import Vendor
from portafaas.pipeline import STATE, Checked, build, check, output_folder
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.record import dataclass


@dataclass(frozen=True, slots=True)
class Package:
    """A built package of one target: the zip and its deployment description."""

    adapter: Adapter
    plan: BuildPlan
    package: Path
    deployment: Path


def packaged(
    manifest: Path,
    stage: str | None,
    target: str,
    report: Callable[[str], None],
    checked: Checked | None = None,
) -> Package:
    """Build the package of *target*, unless nothing has changed since it was.

    It is written beside what ``portafaas build`` writes, which is the user's. *checked* is what
    ``pipeline.check`` says, for who has asked. Raises what a build raises; *report* is told what is
    done.
    """
    if checked is None:
        (checked,) = check(manifest, [target], stage)
    out = manifest.parent / STATE / "run"
    if stamp.unchanged(manifest, [target], stage, out) is None:
        inputs = stamp.before(manifest, [target], out)
        built = build(manifest, [target], stage=stage, out=out, progress=report)
        stamp.remember(manifest, [target], stage, out, built, inputs)
    place = output_folder(out, stage, target)
    name = checked.plan.service
    return Package(
        checked.adapter, checked.plan, place / f"{name}.zip", place / f"{name}.deployment.json"
    )


@contextmanager
def emulated(
    manifest: Path,
    stage: str | None,
    target: str,
    report: Callable[[str], None] = lambda text: None,
) -> Iterator[Vendor]:
    """Build the package of *target* and yield what starts its functions; nothing is left behind.

    The package stays as it is: after a change of the sources, or of the manifest, another one is
    made. Raises what a build raises, PF6001 and PF6002.
    """
    made = packaged(manifest.absolute(), stage, target, report)
    with scratch() as place:
        folder = place / "package"
        folder.mkdir()
        unpack(made.package, folder)
        runtime = made.adapter.vendor_runtime()
        python, note = interpreter(made.adapter.target, runtime, made.plan.python, folder)
        if note:
            report(note)
        descriptor = json.loads(made.deployment.read_text(encoding="utf-8"))
        yield Vendor(made.adapter, made.plan, folder, descriptor, python, place)


class Front(Children):
    """The http functions of an emulated application, each in a process of its own.

    For who has no pool of children. Not for several threads: one caller, one :class:`Front`.
    """

    def __init__(
        self, vendor: Vendor, root: Path, extra: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._vendor = vendor
        self._root = root
        self._extra = dict(extra or {})

    def start(self, function: FunctionPlan) -> Child:
        """Start a process of *function*."""
        return self._vendor.child(function, self._root, self._extra)

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> HttpOutcome:
        """Return what the client gets; raises InvocationError (PF7003) when the process ends."""
        from portafaas.adapter.neutral import http_outcome_from_json, stimulus_to_json

        answer = self.ask(function, {"event": stimulus_to_json(stimulus)})
        return http_outcome_from_json(answer)

    async def request_async(self, function: FunctionPlan, stimulus: HttpStimulus) -> HttpOutcome:
        """Do :meth:`request` in a thread."""
        import asyncio

        return await asyncio.to_thread(self.request, function, stimulus)
