"""Locking, installing and shipping dependencies, against an index of hand-made distributions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.artifact import Package, assemble
from portafaas.artifact.lockfile import lock_name, platform_tag
from portafaas.errors import DependencyError, Diagnostic

Project = Any
Wheelhouse = Any


@pytest.fixture
def lock(project: Project) -> Path:
    """Return where the lock of the project goes."""
    name = f"requirements.{project.plan.python}-x86_64-manylinux_2_28.lock"
    path: Path = project.root / name
    return path


def refused(project: Project) -> list[Diagnostic]:
    with pytest.raises(DependencyError) as caught:
        project.build()
    assert [path for path in project.scratch.rglob("*") if path.is_file()] == []
    return list(caught.value.diagnostics)


def dependency(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(("one", "two", ".python"))]


def test_installed_with_bytecode_and_locked(
    project: Project, wheelhouse: Wheelhouse, lock: Path, names: Callable[[Package], list[str]]
) -> None:
    wheelhouse.wheel("one", "1.0", {"one/__init__.py": "import two\n", "one/x.pyi": ""},
                     metadata="Requires-Dist: two\n")  # fmt: skip
    wheelhouse.wheel("two", "2.0", {"two.py": "A = 1\n", "two_old.py": "print 'python 2'\n"})
    project.depend("one\n")
    project.write({"app/orders.py": "import one\ndef handle(request, context): ...\n"})
    package = project.build()
    assert dependency(names(package)) == [
        *("one-1.0.dist-info/METADATA", "one-1.0.dist-info/WHEEL", "one/__init__.py"),
        *("two-2.0.dist-info/METADATA", "two-2.0.dist-info/WHEEL", "two.py", "two_old.py"),
    ]
    with zipfile.ZipFile(package.file) as archive:
        assert archive.testzip() is None
        compiled = [name for name in archive.namelist() if "pycache" in name and "/one" not in name]
        assert any(name.startswith("__pycache__/two.cpython-") for name in compiled)
        assert not any("two_old" in name for name in compiled)
    text = lock.read_text()
    assert "one==1.0" in text and "two==2.0" in text and "--hash=sha256:" in text
    assert str(wheelhouse.folder) not in text and "://" not in text
    assert not package.reused and project.build().reused


def test_tests_that_are_needed_come_with_bytecode(
    project: Project, wheelhouse: Wheelhouse
) -> None:
    files = {"one/__init__.py": "from . import tests\n", "one/tests/__init__.py": ""}
    wheelhouse.wheel("one", "1.0", files | {"one/sub/tests/x.py": ""})
    project.depend("one\n")
    project.write({"app/orders.py": "import one\ndef handle(request, context): ...\n"})
    with zipfile.ZipFile(project.build().file) as archive:
        found = [name for name in archive.namelist() if name.startswith("one/")]
    assert sorted(name for name in found if not name.endswith(".pyc")) == sorted(files)
    assert sum(name.endswith(".pyc") for name in found) == 2


def test_another_place_for_them(
    project: Project, wheelhouse: Wheelhouse, names: Callable[[Package], list[str]]
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    project.depend("one\n")
    project.write({"app/orders.py": "import one\ndef handle(request, context): ...\n"})
    project.layout = replace(project.layout, dependencies=".python_packages/lib/site-packages")
    folder = ".python_packages/lib/site-packages"
    assert f"{folder}/one.py" in dependency(names(project.build()))


def test_the_lock_holds_until_the_inputs_change(
    project: Project, wheelhouse: Wheelhouse, lock: Path
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    wheelhouse.wheel("two", "1.0", {"two.py": ""})
    project.depend("one\n")
    first = project.build()
    text = lock.read_bytes()
    wheelhouse.wheel("one", "1.1", {"one.py": "new"})
    wheelhouse.wheel("two", "1.1", {"two.py": "new"})
    assert project.build().digest == first.digest
    assert lock.read_bytes() == text
    # A new requirement is resolved; what was locked stays.
    project.depend("one\ntwo\n")
    project.build()
    assert "one==1.0" in lock.read_text() and "two==1.1" in lock.read_text()
    project.depend("one>1.0\ntwo\n")
    project.build()
    assert "one==1.1" in lock.read_text()


def test_line_ends_and_other_tables_do_not_unlock(
    project: Project, wheelhouse: Wheelhouse, lock: Path
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    toml = "[project]\nname = 'shop'\nversion = '1'\ndependencies = ['one']\n"
    project.write({"pyproject.toml": toml})
    project.change(dependencies=replace(project.plan.dependencies, file="pyproject.toml"))
    project.build()
    locked = lock.with_name(lock.name.replace("requirements", "pyproject"))
    text = locked.read_bytes()
    locked.write_bytes(text.replace(b"\n", b"\r\n"))
    project.write({"pyproject.toml": toml.replace("\n", "\r\n") + "[tool.ruff]\nx = 1\n"})
    assert project.build().reused
    assert locked.read_bytes() == text.replace(b"\n", b"\r\n")


def test_the_cached_tree_is_shared_and_repaired(
    project: Project, wheelhouse: Wheelhouse, tmp_path: Path
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": "A = 1\n"})
    project.depend("one\n")
    project.cache = tmp_path / "cache"
    first = project.build()
    project.layout = replace(project.layout, dependencies="lib")
    assert project.build().reused
    (blob,) = project.cache.glob("trees/*/blob")
    blob.write_bytes(blob.read_bytes()[:-1])
    project.layout = replace(project.layout, dependencies="")
    again = project.build()
    assert not again.reused and again.digest == first.digest
    assert not list(project.cache.glob("trees/*.new"))


def test_the_digest_is_the_same_from_an_empty_cache(
    project: Project, wheelhouse: Wheelhouse, tmp_path: Path
) -> None:
    modules = {f"one/m{at}.py": f"A = {{'x', {at}}}\ndef f(): return 'a b'\n" for at in range(60)}
    wheelhouse.wheel("one", "1.0", {"one/__init__.py": "", **modules})
    project.depend("one\n")
    contents = []
    for turn in ("first", "second"):
        project.cache = tmp_path / turn
        contents.append(project.build().file.read_bytes())
    assert contents[0] == contents[1]


def test_source_only(project: Project, wheelhouse: Wheelhouse) -> None:
    wheelhouse.sdist("one", "1.0")
    project.depend("one\n")
    (problem,) = refused(project)
    assert problem.code == "PF5102" and "one" in problem.message.split()
    assert "allow-sdist" in str(problem.hint)


def test_no_wheel_for_the_target(project: Project, wheelhouse: Wheelhouse) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""}, tag="py3-none-win_amd64", pure=False)
    project.depend("one\n")
    (problem,) = refused(project)
    assert problem.code in ("PF5102", "PF5104") and "one" in problem.message.split()


def test_markers_are_the_targets(project: Project, wheelhouse: Wheelhouse) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    wheelhouse.wheel("two", "1.0", {"two.py": ""})
    project.change(python="3.99")
    project.depend('one; python_version >= "3.99"\ntwo; python_version < "3.99"\n')
    package = project.build()
    with zipfile.ZipFile(package.file) as archive:
        assert dependency(archive.namelist())[-1] == "one.py"


@pytest.mark.parametrize("text", ["missing-thing\n", "one>2\n", "one>1\none<1\n"])
def test_unsatisfiable(project: Project, wheelhouse: Wheelhouse, text: str) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    project.depend(text)
    (problem,) = refused(project)
    assert problem.code == "PF5103" and problem.file == "requirements.txt"
    assert text[:3] in problem.message


def test_a_file_that_is_not_there(project: Project) -> None:
    project.depend("-r more/deep.txt\n")
    (problem,) = refused(project)
    assert (problem.code, problem.file) == ("PF5101", "requirements.txt")
    (project.root / "requirements.txt").unlink()
    (problem,) = refused(project)
    assert (problem.code, problem.path) == ("PF5101", "$.dependencies.file")


@pytest.mark.parametrize(
    "text", ["[project\n", "[tool.x]\n", "[project]\ndynamic=['dependencies']"]
)
def test_a_pyproject_that_does_not_say(project: Project, text: str) -> None:
    project.write({"pyproject.toml": text})
    project.change(dependencies=replace(project.plan.dependencies, file="pyproject.toml"))
    assert [problem.code for problem in refused(project)] == ["PF5101"]


def test_a_wheel_that_is_not_what_was_locked(
    project: Project, wheelhouse: Wheelhouse, lock: Path, tmp_path: Path
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    project.depend("one\n")
    project.build()
    head, _, tail = lock.read_text().partition("--hash=sha256:")
    lock.write_text(f"{head}--hash=sha256:{'0' * 64}{tail[64:]}")
    (problem,) = refused(project)
    assert problem.code == "PF5106" and "one" in problem.message


def test_a_dependency_hidden_by_a_file_of_the_project(
    project: Project, wheelhouse: Wheelhouse
) -> None:
    from portafaas.errors import ArtifactError

    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    project.depend("one\n")
    project.write({"one.py": "mine"})
    with pytest.raises(ArtifactError, match=r"PF5005: one\.py collides with a dependency's file"):
        project.build()


def test_the_bill_of_materials_names_them(project: Project, wheelhouse: Wheelhouse) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    wheelhouse.wheel("One_Thing", "1.0+local", {"one.py": ""}, metadata="License-Expression: MIT\n")
    wheelhouse.wheel("two", "2", {"two.py": ""},
                     metadata="Classifier: License :: OSI Approved :: BSD License\n")  # fmt: skip
    wheelhouse.wheel("three", "3", {"three.py": ""}, metadata="License: Public Domain\n")
    project.depend("one-thing\ntwo\nthree\n")
    text = project.build().sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {
        component["purl"]: component["licenses"]
        for component in json.loads(text)["components"]
        if component["type"] == "library"
    }
    assert found == {
        "pkg:pypi/one-thing@1.0%2Blocal": [{"expression": "MIT"}],
        "pkg:pypi/three@3": [{"license": {"name": "Public Domain"}}],
        "pkg:pypi/two@2": [{"license": {"name": "BSD License"}}],
    }


@pytest.mark.parametrize(
    ("glibc", "tag"),
    [("2.12", "2_17"), ("2.17", "2_17"), ("2.26", "2_17"), ("2.28", "2_28"), ("2.34", "2_28")],
)
def test_platforms(glibc: str, tag: str) -> None:
    assert platform_tag(glibc, "aarch64") == f"aarch64-manylinux_{tag}"


def test_the_lock_is_named_after_its_input() -> None:
    tag = platform_tag("2.28", "x86_64")
    assert lock_name("a.b/req.txt", "3.12", tag) == "a.b/req.3.12-x86_64-manylinux_2_28.lock"


def test_what_the_adapter_adds_is_locked_for_its_target_alone(
    project: Project, wheelhouse: Wheelhouse, names: Callable[[Package], list[str]]
) -> None:
    wheelhouse.wheel("one", "1.0", {"one.py": ""})
    wheelhouse.wheel("two", "2.0", {"two.py": ""})
    python = project.plan.python

    def build(*added: str) -> Package:
        project.scratch.mkdir(exist_ok=True)
        return assemble(replace(project.request(), added=added), project.scratch, project.cache)

    # Without a file of its own the project gets a lock of the target's.
    assert "two.py" in names(build("two>=1"))
    alone = project.root / f"portafaas.{python}-x86_64-manylinux_2_28.acme.lock"
    text = alone.read_text()
    assert "two==2.0" in text and str(project.scratch) not in text
    assert build("two>=1").reused and alone.read_text() == text

    project.depend("one\n")
    assert {"one.py", "two.py"} <= set(names(build("two>=1")))
    both = project.root / f"requirements.{python}-x86_64-manylinux_2_28.acme.lock"
    assert "one==1.0" in both.read_text() and "two==2.0" in both.read_text()
    # Another wish of the adapter is another lock; without one the targets share theirs.
    wheelhouse.wheel("two", "3.0", {"two.py": ""})
    build("two>=3")
    assert "two==3.0" in both.read_text()
    assert "two.py" not in names(build())
    assert "two" not in (project.root / lock_name("requirements.txt", python, "x86_64-manylinux_2_28")).read_text()
