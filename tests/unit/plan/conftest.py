"""Plans and problems of manifests written out as text, so that lines can be checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portafaas.errors import Diagnostic, PortafaasError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan

HEAD = """\
portafaas: 1
name: shop
functions:
  web: {handler: "m:f", trigger: {http: {path: /}}}
  work: {handler: "m:f", trigger: {queue: {name: jobs}}}
  tick: {handler: "m:f", trigger: {schedule: {cron: "* * * * *"}}}
queues:
  jobs: {dead-letter: true}
  plain: {}
channels:
  ops: {email: ops@example.com}
"""


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., BuildPlan]:
    """Return a function that plans HEAD and more text for a stage."""

    def plan(more: str, stage: str | None = None) -> BuildPlan:
        (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
        (tmp_path / "portafaas.yaml").write_text(HEAD + more)
        return build_plan(load_manifest(tmp_path / "portafaas.yaml", stage))

    return plan


@pytest.fixture
def refused(planned: Callable[..., BuildPlan]) -> Callable[..., list[Diagnostic]]:
    """Return a function that gives the problems of HEAD and more text, by line."""

    def diagnose(more: str, stage: str | None = None) -> list[Diagnostic]:
        with pytest.raises(PortafaasError) as caught:
            planned(more, stage)
        found: list[Diagnostic] = list(caught.value.diagnostics)  # type: ignore[attr-defined]
        return sorted(found, key=lambda problem: problem.line or 0)

    return diagnose


def marked(more: str) -> list[int]:
    """Return the numbers of the lines with ``#!``, where problems are expected."""
    lines = (HEAD + more).splitlines()
    return [number for number, line in enumerate(lines, 1) if "#!" in line]


@pytest.fixture
def check(refused: Callable[..., list[Diagnostic]]) -> Callable[..., list[Diagnostic]]:
    """Return a function that expects problems of one code on the marked lines, at these paths."""

    def expect(
        more: str, code: str, *expected: tuple[str, str], stage: str | None = None
    ) -> list[Diagnostic]:
        found = refused(more, stage)
        told = [(problem.code, problem.path, problem.line) for problem in found]
        lines = marked(more)
        wanted = [(code, f"$.{path}", line) for (path, _), line in zip(expected, lines, strict=True)]
        assert told == wanted
        for problem, (_, text) in zip(found, expected, strict=True):
            assert text in problem.message, problem.message
        return found

    return expect
