"""Which files of a project are shipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portafaas.artifact.globs import matcher
from portafaas.artifact.sources import select


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "project"


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def chosen(root: Path, **settings: object) -> list[str]:
    found, problems = select(str(root), **settings)  # type: ignore[arg-type]
    assert problems == []
    return [source.name for source in found]


def test_modules_only_and_none_of_the_usual_clutter(root: Path) -> None:
    fill(
        root,
        *("app.py", "lib/deep/mod.py", "lib/tests/kept.py"),
        *("portafaas.yaml", "README.md", "data.json", ".env", ".git/hook.py", ".hidden/x.py"),
        *("tests/test_app.py", "lib/__pycache__/mod.py", "lib/old.pyc", ".venv/x.py"),
        *("env/pyvenv.cfg", "env/lib/site.py", "lib/env2/pyvenv.cfg", "lib/env2/x.py"),
        *("node_modules/x.py", "out/build.py", "shop.egg-info/x.py", ".portafaas/x.py"),
        *("other/portafaas.yaml", "other/app.py", "other/deep/app.py"),
    )
    assert chosen(root, out="out") == ["app.py", "lib/deep/mod.py", "lib/tests/kept.py"]


def test_includes_add_and_excludes_win(root: Path) -> None:
    fill(root, "app.py", "data/a.json", "data/b.json", "data/raw/c.json", "dev/tool.py", "x/dev.py")
    names = chosen(root, include=["data/**/*.json"], exclude=["data/b.json", "dev"])
    assert names == ["app.py", "data/a.json", "data/raw/c.json", "x/dev.py"]


@pytest.mark.parametrize("asked", [".well-known/a.txt", "tests/data.json", "other/a.py"])
def test_an_include_may_ask_for_what_is_set_aside(root: Path, asked: str) -> None:
    fill(root, "app.py", asked, ".other/b.txt", "other/portafaas.yaml", "other/b.py")
    assert chosen(root, include=[asked]) == sorted(["app.py", asked])


@pytest.mark.parametrize("never", ["portafaas.yaml", ".git/config", "out/app.zip", "a.pyc"])
def test_some_files_are_beyond_includes(root: Path, never: str) -> None:
    fill(root, "app.py", never)
    found, problems = select(str(root), [never], [], "out")
    assert [source.name for source in found] == ["app.py"]
    assert [problem.code for problem in problems] == ["PF5004"]


def test_an_include_without_a_match_is_an_error(root: Path) -> None:
    fill(root, "app.py", "data/a.json")
    _, problems = select(str(root), ["data/*.jsn", "data/*.json"])
    assert [problem.code for problem in problems] == ["PF5004"]
    assert "data/*.jsn" in problems[0].message


def test_links_within_the_project_are_followed(root: Path) -> None:
    fill(root, "app.py", "lib/mod.py")
    (root / "alias.py").symlink_to("app.py")
    (root / "lib2").symlink_to("lib")
    assert chosen(root) == ["alias.py", "app.py", "lib/mod.py", "lib2/mod.py"]


@pytest.mark.parametrize("target", ["../outside.py", "missing.py"])
def test_links_to_elsewhere_are_refused(root: Path, target: str) -> None:
    fill(root, "app.py", "../outside.py")
    (root / "link.py").symlink_to(target)
    found, problems = select(str(root))
    assert [(problem.code, problem.file) for problem in problems] == [("PF5002", "link.py")]
    assert [source.name for source in found] == ["app.py"]
    assert select(str(root), exclude=["link.py"])[1] == []


@pytest.mark.parametrize("target", ["..", ".", "../../outside"])
def test_folder_links_that_loop_or_leave_are_refused(root: Path, target: str) -> None:
    fill(root, "lib/app.py", "../outside/app.py")
    (root / "lib" / "link").symlink_to(target)
    _, problems = select(str(root))
    assert [(problem.code, problem.file) for problem in problems] == [("PF5002", "lib/link")]


def test_a_link_to_a_virtual_environment_is_no_problem(root: Path) -> None:
    fill(root, "app.py", "../shared/pyvenv.cfg")
    (root / "env").symlink_to("../shared")
    assert chosen(root) == ["app.py"]


def test_a_pipe_cannot_be_shipped(root: Path) -> None:
    fill(root, "app.py")
    os.mkfifo(root / "pipe.py")
    assert [problem.code for problem in select(str(root))[1]] == ["PF5006"]


def test_of_the_mode_only_the_owners_x_counts(root: Path) -> None:
    fill(root, "a.py", "b.py")
    (root / "a.py").chmod(0o600)
    (root / "b.py").chmod(0o744)
    assert [source.mode for source in select(str(root))[0]] == [0o644, 0o755]


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("*.json", ["a.json", "x/y/a.json"], ["a.jsonl", "json"]),
        ("data/*.json", ["data/a.json"], ["data/x/a.json", "x/data/a.json", "a.json"]),
        ("data/**", ["data/a", "data/x/y"], ["datas/a"]),
        ("**/data", ["data/a", "x/data", "x/y/data/z"], ["x/mydata"]),
        ("data/", ["data/a/b", "x/data/a"], ["data2/a"]),
        ("/app.py", ["app.py"], ["x/app.py"]),
        ("./app.py", ["app.py"], ["x/app.py"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[ab].py", ["a.py", "x/b.py"], ["c.py"]),
        ("[!ab].py", ["c.py"], ["a.py"]),
        ("a+(b).py", ["a+(b).py"], ["aab.py"]),
    ],
)
def test_patterns(pattern: str, hits: list[str], misses: list[str]) -> None:
    match = matcher([pattern])
    assert [name for name in hits if not match(name)] == []
    assert [name for name in misses if match(name)] == []
