from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
DOCUMENTS = {"aws": "demo.template.json", "azure": "demo.arm.json", "gcp": "demo.tf.json"}


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_build_writes_infrastructure_unless_told_not_to(project: Path, run: Run) -> None:
    assert run("build", "--no-infrastructure").code == 0
    for target, document in DOCUMENTS.items():
        assert document not in names(project / "out" / target)
    result = run("build", "--format", "json")
    assert result.code == 0, result.err
    assert result.json["changed"] is True
    for package in result.json["packages"]:
        target = package["target"]
        (document,) = package["infrastructure"]
        assert Path(document) == project / "out" / target / DOCUMENTS[target]
        text = Path(document).read_text()
        assert json.loads(text)
        assert "hello" in text and "jobs" in text
    assert run("build", "--format", "json").json["changed"] is False
    # Without it, what an earlier build left is gone: it would be of another manifest soon.
    assert run("build", "--no-infrastructure", "--format", "json").json["changed"] is True
    assert DOCUMENTS["aws"] not in names(project / "out" / "aws")


def test_infrastructure_is_reproducible(project: Path, run: Run) -> None:
    run("build")
    first = {t: (project / "out" / t / d).read_bytes() for t, d in DOCUMENTS.items()}
    run("build", "--force")
    assert {t: (project / "out" / t / d).read_bytes() for t, d in DOCUMENTS.items()} == first


def test_what_the_engine_would_refuse_is_told_with_its_line(project: Path, run: Run) -> None:
    functions = "\n".join(
        f"  f{n}: {{handler: 'app:hello', trigger: {{http: {{path: /f{n}}}}}}}" for n in range(100)
    )
    manifest = project / "portafaas.yaml"
    manifest.write_text(manifest.read_text().replace("functions:\n", f"functions:\n{functions}\n", 1))
    assert run("build", "-t", "aws", "--no-infrastructure").code == 0
    before = (project / "out/aws/demo.zip").read_bytes()
    result = run("build", "-t", "aws")
    assert result.code == 2
    assert "PF3002" in result.err and "resources; at most 500" in result.err
    assert "portafaas.yaml:4:" in result.err
    assert (project / "out/aws/demo.zip").read_bytes() == before


@pytest.mark.parametrize("target", DOCUMENTS)
def test_explain_names_permissions_and_their_reasons(project: Path, run: Run, target: str) -> None:
    facts = run("explain", "work", "-t", target, "--format", "json").json[target]
    assert facts["trigger"] == "queue"
    assert facts["documents"] == [DOCUMENTS[target]]
    allowed = {line["why"]: line["permissions"] for line in facts["lines"] if line["permissions"]}
    assert any(why.startswith("$.functions.work.trigger") for why in allowed)
    assert not any(".hello" in line["why"] or ".tick" in line["why"] for line in facts["lines"])
    text = run("explain", "work", "-t", target).out
    assert all(found["grant"] in text for permissions in allowed.values() for found in permissions)


def test_explain_guesses_the_function(project: Path, run: Run) -> None:
    result = run("explain", "wrk")
    assert result.code == 2
    assert "did you mean 'work'?" in result.err
