"""Where ``portafaas.pipeline.build`` may write, and what it leaves there."""

from __future__ import annotations

from pathlib import Path

import pytest

from portafaas.errors import ArtifactError, DiagnosticsError
from portafaas.pipeline import build

MANIFEST = """
portafaas: 1
name: shop
python: '3.11'
functions:
  one:
    handler: app:handle
    trigger: {http: {method: GET, path: /}}
stages:
  dev: {}
  aws: {}
"""


@pytest.fixture
def manifest(tmp_path: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTAFAAS_HOME", str(session_cache))
    (tmp_path / "app.py").write_text("def handle(request, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    return tmp_path / "portafaas.yaml"


def refused(*args: object, **given: object) -> list[str]:
    with pytest.raises(ArtifactError) as caught:
        build(*args, **given)  # type: ignore[arg-type]
    return [problem.code for problem in caught.value.diagnostics]


def test_a_stage_may_not_be_called_like_a_target(manifest: Path) -> None:
    build(manifest, ["aws"], stage="dev")
    with pytest.raises(ArtifactError) as caught:
        build(manifest, ["gcp"], stage="aws")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.path) == ("PF5000", "$.stages.aws")
    assert [path.name for path in (manifest.parent / "out").iterdir()] == ["dev"]


def test_the_project_is_no_output_folder(manifest: Path) -> None:
    assert refused(manifest, ["aws"], out=manifest.parent) == ["PF5000"]
    assert refused(manifest, ["aws"], out=manifest.parent.parent) == ["PF5000"]
    assert refused(manifest, ["aws"], out=manifest.parent / "..") == ["PF5000"]


@pytest.mark.parametrize("out", ["app.py", "app.py/deeper"])
def test_a_place_that_cannot_be_written(manifest: Path, out: str) -> None:
    assert refused(manifest, ["aws"], out=manifest.parent / out) == ["PF5030"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.99"])
def test_a_plan_that_is_refused_leaves_nothing(manifest: Path, python: str) -> None:
    text = MANIFEST.replace("app:handle", "app:gone").replace("3.11", python)
    manifest.write_text(text)
    before = sorted(manifest.parent.rglob("*"))
    with pytest.raises(DiagnosticsError):
        build(manifest, ["aws"])
    assert sorted(manifest.parent.rglob("*")) == before


def test_an_earlier_build_survives_one_that_fails(manifest: Path) -> None:
    (built,) = build(manifest, ["aws"])
    before = built.package.read_bytes()
    (manifest.parent / "app.py").write_text("import nowhere\ndef handle(request, context): ...\n")
    assert refused(manifest, ["aws"]) == ["PF5301"]
    assert built.package.read_bytes() == before
    assert [path.name for path in (manifest.parent / "out").iterdir()] == ["aws"]


def test_a_home_that_cannot_be_written_costs_time_only(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = build(manifest, ["aws"])
    monkeypatch.setenv("PORTAFAAS_HOME", str(manifest))
    (second,) = build(manifest, ["aws"])
    assert second.digest == first.digest
    assert (manifest.parent / ".portafaas/cache/runtime").is_dir()


def test_a_version_that_cannot_be_guessed_is_used_all_the_same(manifest: Path) -> None:
    (guessed,) = build(manifest, ["aws"])
    manifest.write_text(MANIFEST.replace("python:", "'python':"))
    (parsed,) = build(manifest, ["aws"])
    assert parsed.digest == guessed.digest


def test_targets_of_one_build_are_as_they_are_alone(manifest: Path) -> None:
    together = build(manifest, ["aws", "azure", "gcp"], out=manifest.parent / "out")
    before = {built.target: built.package.read_bytes() for built in together}
    for target, data in before.items():
        (alone,) = build(manifest, [target], out=manifest.parent / "alone")
        assert alone.package.read_bytes() == data


def test_problems_of_all_targets_come_together(manifest: Path) -> None:
    (manifest.parent / "app.py").write_text("import nowhere\ndef handle(request, context): ...\n")
    (manifest.parent / "portafaas_gcp.py").write_text("")
    with pytest.raises(ArtifactError) as caught:
        build(manifest, ["aws", "azure", "gcp"])
    codes = sorted(problem.code for problem in caught.value.diagnostics)
    assert codes == ["PF5005", "PF5301"]
    assert not (manifest.parent / "out").exists()
