"""What each target's package of one fixed project holds, file by file.

``<target>/tree.txt`` has the paths in the package, ``<target>/<path>.txt`` what the adapter
generated, ``<target>/deployment.json`` how functions are started. A change of them is a change of
what users deploy: ``pytest tests/golden --update-golden`` writes it down for the review.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from portafaas.pipeline import build, check

FOLDER = Path(__file__).parent
TARGETS = ("aws", "azure", "gcp")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return target -> name of the golden file -> its text, built now."""
    project = tmp_path_factory.mktemp("golden") / "project"
    shutil.copytree(FOLDER / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
    manifest = project / "portafaas.yaml"
    generated = {
        item.adapter.target: item.adapter.lower(item.plan).files
        for item in check(manifest, TARGETS)
    }
    trees = {}
    for built in build(manifest, TARGETS):
        with zipfile.ZipFile(built.package) as package:
            # Bytecode is there for the interpreters that the building machine has.
            # What the adapter requires comes in the newest version that there is.
            names = sorted(
                name
                for name in package.namelist()
                if not name.endswith(".pyc") and not name.startswith(".python_packages/")
            )
            tree = {"tree.txt": "".join(f"{name}\n" for name in names)}
            for name in generated[built.target]:
                tree[f"{name}.txt"] = package.read(name).decode("utf-8")
        deployment = json.loads(built.deployment.read_bytes())
        del deployment["digest"]
        tree["deployment.json"] = json.dumps(deployment, indent=2, ensure_ascii=False) + "\n"
        trees[built.target] = tree
    return trees


@pytest.mark.parametrize("target", TARGETS)
def test_package_is_as_written_down(
    target: str, trees: dict[str, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    folder, tree = FOLDER / target, trees[target]
    if request.config.getoption("--update-golden"):
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in tree.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode("utf-8"))
    written = {
        file.relative_to(folder).as_posix(): file.read_bytes().decode("utf-8")
        for file in folder.rglob("*")
        if file.is_file()
    }
    assert sorted(tree) == sorted(written)
    for name in sorted(tree):
        assert tree[name] == written[name], f"{target}/{name}; see --update-golden"


@pytest.mark.parametrize("target", TARGETS)
def test_written_trees_hold_what_every_package_needs(target: str) -> None:
    """The files themselves are right, whatever wrote them."""
    names = (FOLDER / target / "tree.txt").read_text("utf-8").splitlines()
    assert names == sorted(set(names))
    assert {"app/__init__.py", "app/web.py", "app/work.py"} <= set(names)
    assert {"portafaas/runtime/function.py", f"portafaas_{target}/runtime/http.py"} <= set(names)
    others = {"aws", "azure", "gcp"} - {target}
    allowed = ("portafaas/runtime/", "portafaas/__init__.py")
    for name in names:
        assert not name.startswith(tuple(f"portafaas_{other}/" for other in others)), name
        assert not name.startswith("portafaas/") or name.startswith(allowed), name
    functions = json.loads((FOLDER / target / "deployment.json").read_bytes())["functions"]
    assert len(functions) == 8
    assert functions["every-morning"]["environment"]["LEVEL"] == "debug"
