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
    (tmp_path / "app.py").write_text("def handle(request): ...\n")
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


@pytest.mark.parametrize("out", ["app.py", "app.py/deeper"])
def test_a_place_that_cannot_be_written(manifest: Path, out: str) -> None:
    assert refused(manifest, ["aws"], out=manifest.parent / out) == ["PF5030"]


def test_a_build_that_fails_leaves_no_folder(manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("app:handle", "app:gone"))
    with pytest.raises(DiagnosticsError):
        build(manifest, ["aws"])
    assert not (manifest.parent / "out").exists()


def test_an_earlier_build_survives_one_that_fails(manifest: Path) -> None:
    (built,) = build(manifest, ["aws"])
    before = built.package.read_bytes()
    (manifest.parent / "app.py").write_text("import nowhere\ndef handle(request): ...\n")
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
