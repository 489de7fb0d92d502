from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Tree = Callable[[Path], dict[str, bytes]]
DOCUMENTS = {"aws": "demo.template.json", "azure": "demo.arm.json", "gcp": "demo.tf.json"}
TARGETS = tuple(DOCUMENTS)


def test_all_targets_are_built(project: Path, run: Run) -> None:
    result = run("build", "--target", "all")
    assert result.code == 0, result.err
    for target in TARGETS:
        folder = project / "out" / target
        assert sorted(f.name for f in folder.iterdir()) == sorted(
            ["demo.cdx.json", "demo.deployment.json", DOCUMENTS[target], "demo.zip"]
        )
        assert zipfile.is_zipfile(folder / "demo.zip")
        deployment = json.loads((folder / "demo.deployment.json").read_text())
        assert list(deployment["functions"]) == ["hello", "work", "tick"]
        assert deployment["digest"].startswith("sha256:")
    assert [line.split()[0] for line in result.out.splitlines()] == list(TARGETS)


def test_without_a_target_all_are_built_and_with_some_only_those(project: Path, run: Run) -> None:
    assert run("build", "-t", "gcp", "-t", "aws").code == 0
    assert sorted(f.name for f in (project / "out").iterdir()) == ["aws", "gcp"]
    assert run("build").code == 0
    assert sorted(f.name for f in (project / "out").iterdir()) == list(TARGETS)


def test_json_tells_each_package(project: Path, run: Run) -> None:
    document = run("build", "-t", "aws", "--format", "json").json
    (package,) = document["packages"]
    assert document["changed"] is True
    assert package["target"] == "aws"
    assert Path(package["package"]).stat().st_size == package["size"]


def test_an_unchanged_project_is_not_built_again(project: Path, run: Run) -> None:
    run("build", "-t", "aws")
    before = (project / "out/aws/demo.zip").stat()
    again = run("build", "-t", "aws", "--format", "json").json
    assert again["changed"] is False
    after = (project / "out/aws/demo.zip").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert run("build", "-t", "aws", "--force", "--format", "json").json["changed"] is True


@pytest.mark.parametrize(
    "change",
    ["source", "manifest", "new file", "deleted", "output", "same size and time", "mode", "link"],
)
def test_every_change_is_seen(project: Path, run: Run, change: str) -> None:
    (project / "extra.py").write_text("X = 1\n")
    first = run("build", "-t", "aws", "--format", "json").json["packages"][0]
    source = project / "app.py"
    match change:
        case "source":
            source.write_text(source.read_text() + "\nY = 2\n")
        case "manifest":
            file = project / "portafaas.yaml"
            file.write_text(file.read_text().replace("Hello}", "Hi}"))
        case "new file":
            (project / "more.py").write_text("Z = 3\n")
        case "deleted":
            (project / "extra.py").unlink()
        case "output":
            (project / "out/aws/demo.zip").write_bytes(b"broken")
        case "same size and time":
            stat = source.stat()
            source.write_text(source.read_text().replace("no", "on"))
            os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        case "mode":
            source.chmod(0o755)
        case "link":
            (project / "extra.py").unlink()
            (project / "extra.py").symlink_to("app.py")
    second = run("build", "-t", "aws", "--format", "json")
    assert second.json["changed"] is True, second.err
    assert zipfile.is_zipfile(second.json["packages"][0]["package"])
    same = second.json["packages"][0]["digest"] == first["digest"]
    # The environment is the deployment's, and nothing else changes the content then.
    assert same == (change in ("output", "manifest")), change


def test_a_stage_has_its_own_folder_and_settings(project: Path, run: Run) -> None:
    run("build", "-t", "aws")
    result = run("build", "-t", "aws", "--stage", "prod")
    assert result.code == 0
    deployed = json.loads((project / "out/prod/aws/demo.deployment.json").read_text())
    assert deployed["functions"]["hello"]["environment"]["GREETING"] == "Good day"
    plain = json.loads((project / "out/aws/demo.deployment.json").read_text())
    assert plain["functions"]["hello"]["environment"]["GREETING"] == "Hello"


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("portafaas.yaml", "functions:", "functoins:", "PF1002"),
        ("portafaas.yaml", "app:hello", "app:helo", "PF2005"),
        ("portafaas.yaml", "name: jobs", "name: job", "PF2002"),
        ("portafaas.yaml", "functions:", "functions: [", "PF1005"),
        ("app.py", "import os", "import os, not_there_at_all", "PF5301"),
        ("app.py", "import os", "raise RuntimeError('at import')", "PF5301"),
        ("app.py", "import os", "import sys; sys.exit(3)", "PF53"),
        ("app.py", "import os", "import os; os._exit(3)", "PF53"),
        ("app.py", "import os", "KEY = 'AKIA" + "Q3EGRIQXWT7CZ2PL'", "PF5010"),
        ("app.py", "def tick(event, context):", "tick = 7\nif 0:", "PF53"),
    ],
)
def test_a_failed_build_leaves_the_previous_one_whole(
    project: Path, run: Run, tree: Tree, file: str, old: str, new: str, code: str
) -> None:
    assert run("build").code == 0
    before = tree(project / "out")
    path = project / file
    path.write_text(path.read_text().replace(old, new, 1))
    result = run("build")
    assert result.code == 2
    assert code in result.err
    assert tree(project / "out") == before
    assert not list((project / "out").glob(".*"))


def test_one_target_that_refuses_stops_all(project: Path, run: Run, tree: Tree) -> None:
    text = (project / "portafaas.yaml").read_text()
    text = text.replace("queues:", "tables: {rows: {}}\nqueues:").replace(
        "  tick:",
        "  rows: {handler: 'app:tick', trigger: {table: {name: rows, on: [delete]}}}\n  tick:",
    )
    (project / "portafaas.yaml").write_text(text)
    result = run("build")
    assert result.code == 2
    assert "PF3001" in result.err
    assert "azure" in result.err
    assert not (project / "out").exists()
    assert run("build", "-t", "aws", "-t", "gcp").code == 0


def test_problems_are_json_when_asked(project: Path, run: Run) -> None:
    (project / "portafaas.yaml").write_text("portafaas: 1\nname: X\n")
    result = run("build", "--format", "json")
    assert result.code == 2
    assert result.err == ""
    document = result.json
    assert document["error"] == "ManifestError"
    assert {d["code"] for d in document["diagnostics"]} == {"PF1001", "PF1004"}
    assert all(
        {"code", "file", "line", "message", "path"} <= set(d) for d in document["diagnostics"]
    )


def test_an_unknown_target_is_told(project: Path, run: Run) -> None:
    result = run("build", "-t", "oracle")
    assert result.code == 2
    assert "installed: aws, azure, gcp" in result.err


def test_the_output_may_not_hold_the_project(project: Path, run: Run) -> None:
    result = run("build", "--out", str(project.parent))
    assert result.code == 2
    assert "PF5000" in result.err


def test_an_output_folder_that_is_a_file_is_told(project: Path, run: Run) -> None:
    (project / "target-file").write_text("x")
    result = run("build", "--out", "target-file")
    assert result.code == 2
    assert (project / "target-file").read_text() == "x"


def test_nothing_is_printed_to_stderr_when_piped(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portafaas", "build", "-t", "aws", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert json.loads(done.stdout)["changed"] is True


def test_notes_that_are_alike_are_told_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    from portafaas.cli.output import show
    from portafaas.errors import Diagnostic

    notes = [Diagnostic("PF3010", f"n{n}", severity="note") for n in range(5)]
    warnings = [Diagnostic("PF3001", f"w{n}", severity="warning") for n in range(3)]
    show([*notes, *warnings], alike=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "note: PF3010: n0", "note: PF3010: n1",
        *(f"warning: PF3001: w{n}" for n in range(3)),
        "note: PF3010: 3 more of these; --format json has them all",
    ]  # fmt: skip
    show(notes[:2], alike=2)
    assert capsys.readouterr().err.splitlines() == lines[:2]
