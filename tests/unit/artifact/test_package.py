"""Whole packages without dependencies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter.contract import Limits
from portafaas.artifact import Package, unpack
from portafaas.errors import ArtifactError, Diagnostic
from portafaas.plan.model import FunctionPlan, HttpTrigger

Project = Any
SECRET = "AKIA" + "QWERTYUIOPASDF23"


def refused(project: Project) -> list[Diagnostic]:
    with pytest.raises(ArtifactError) as caught:
        project.build()
    left = [path for path in project.scratch.rglob("*") if path.is_file()]
    assert left == [], "something half-written is left"
    return list(caught.value.diagnostics)


def codes(project: Project) -> list[str]:
    return sorted(problem.code for problem in refused(project))


def test_what_is_inside(project: Project, names: Callable[[Package], list[str]]) -> None:
    package = project.build()
    found = [name for name in names(package) if not name.startswith("portafaas/runtime/")]
    assert found == [
        "_portafaas.py",
        "acme_faas/__init__.py",
        "acme_faas/runtime/__init__.py",
        "acme_faas/runtime/http.py",
        "app/__init__.py",
        "app/orders.py",
        "portafaas/__init__.py",
    ]
    assert "portafaas/runtime/serve.py" in names(package)
    assert package.notes == ()
    with zipfile.ZipFile(package.file) as archive:
        assert package.files == len(archive.namelist())
        assert package.unzipped == sum(entry.file_size for entry in archive.infolist())
    assert package.size == package.file.stat().st_size
    assert sorted(path.name for path in project.scratch.iterdir()) == ["shop.cdx.json", "shop.zip"]


def test_same_bytes_from_another_folder_umask_time_and_cache(
    project: Project, tmp_path: Path
) -> None:
    project.write({"app/sets.py": "A = frozenset({'x', 'y', 'z'})\nB = 'x' in {'p', 'q', 'r'}\n"})
    first = project.build()
    expected = first.file.read_bytes(), first.sbom.read_bytes()
    old_mask = os.umask(0o077)
    try:
        elsewhere = tmp_path / "else" / "where"
        shutil.copytree(project.root, elsewhere)
        for path in elsewhere.rglob("*.py"):
            path.chmod(0o600)
            os.utime(path, (1_000_000_000, 1_000_000_000))
        project.root, project.cache = elsewhere, tmp_path / "fresh"
        second = project.build()
    finally:
        os.umask(old_mask)
    assert (second.file.read_bytes(), second.sbom.read_bytes()) == expected
    assert second.digest == first.digest
    project.write({"app/sets.py": "A = 2\n"})
    assert project.build().digest != first.digest


def test_reused_tells_whether_anything_was_compiled(project: Project, tmp_path: Path) -> None:
    project.cache = tmp_path / "fresh"
    assert not project.build().reused
    assert project.build().reused
    project.write({"app/new.py": "A = 1\n"})
    assert not project.build().reused


def test_the_bytecode_is_used_and_never_checked(project: Project, tmp_path: Path) -> None:
    project.write({"app/orders.py": "def handle(request, context):\n    return __file__\n"})
    unpack(project.build().file, tmp_path / "x")
    # Were the source looked at, this would not run.
    (tmp_path / "x/app/orders.py").write_text("syntax error")
    code = "import app.orders as m; print(m.handle(0, 0), m.handle.__code__.co_filename, m.__cached__)"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path / "x", capture_output=True, text=True
    )
    file, code_file, cached = ran.stdout.split()
    assert file == code_file == str(tmp_path / "x/app/orders.py")
    assert Path(cached).parent.name == "__pycache__"
    data = Path(cached).read_bytes()
    assert int.from_bytes(data[4:8], "little") == 0b01, "not an unchecked-hash pyc (PEP 552)"
    assert str(tmp_path).encode() not in data


@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_bytecode_of_another_version(project: Project, python: str) -> None:
    from portafaas.vendor.environment import find_interpreter

    if find_interpreter(python) is None:
        pytest.skip(f"no Python {python} here")
    project.change(python=python)
    package = project.build()
    with zipfile.ZipFile(package.file) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
    tag = f"cpython-{python.replace('.', '')}"
    assert f"app/__pycache__/orders.{tag}.pyc" in compiled
    assert all(tag in name for name in compiled)


def test_without_an_interpreter_there_is_a_note_and_no_bytecode(
    project: Project, names: Callable[[Package], list[str]]
) -> None:
    project.change(python="3.99")
    package = project.build()
    assert [(note.code, note.severity) for note in package.notes] == [
        ("PF5201", "note"),
        ("PF5303", "note"),
    ]
    assert package.files == len(names(package))


def test_a_module_that_does_not_compile(project: Project) -> None:
    project.write({"app/broken.py": "x = 1\nif x\n"})
    (problem,) = refused(project)
    assert (problem.code, problem.file, problem.line) == ("PF5202", "app/broken.py", 2)


def test_problems_of_all_kinds_come_together(project: Project) -> None:
    project.write(
        {
            "app/broken.py": "if\n",
            "app/key.py": f"KEY = '{SECRET}'\n",
            "app/orders.py": "import nowhere\n",
        }
    )
    project.layout = replace(project.layout, limits=Limits(10, 10, "https://example.com"))
    assert codes(project) == ["PF5010", "PF5020", "PF5020", "PF5202", "PF5301"]


def test_a_generated_name_is_taken(project: Project) -> None:
    project.write({"_portafaas.py": "", "portafaas/mine.py": "", "app/key.py": SECRET})
    assert codes(project) == ["PF5005", "PF5005", "PF5010"]


def test_a_generated_file_cannot_leave_the_package(project: Project, tmp_path: Path) -> None:
    project.generated["../escape.py"] = b""
    assert codes(project) == ["PF5001"]
    assert not list(tmp_path.rglob("escape.py"))


def test_environment_files_are_refused_when_asked_for(project: Project) -> None:
    project.write({".env": "A=1\n"})
    project.build()
    project.change(include=(".env",))
    assert codes(project) == ["PF5011"]


@pytest.mark.parametrize(
    ("source", "code", "line", "says"),
    [
        ("\nimport nowhere\n", "PF5301", 2, "No module named 'nowhere'"),
        ("\n\nfrom app import gone\n", "PF5301", 3, "cannot import name 'gone'"),
        ("def f():\n    raise OSError('boom')\nf()\n", "PF5301", 2, "OSError: boom"),
        ("import sys\nsys.exit(3)\n", "PF5305", 2, "exit (3)"),
        ("import os\nprint('bye', flush=True)\nos._exit(0)\n", "PF5305", None, "status 0"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "PF5305", None, "signal 9"),
        ("handler = 1\n", "PF5302", None, "no attribute 'handle'"),
        ("handle = 1\n", "PF5302", None, "neither a handler class nor callable"),
        ("class handle:\n    kinds = ('queue',)\n", "PF5302", None, "serves queue triggers"),
    ],
)
def test_handlers_that_cannot_serve(
    project: Project, source: str, code: str, line: int | None, says: str
) -> None:
    project.write({"app/orders.py": source})
    (problem,) = refused(project)
    assert (problem.code, problem.line) == (code, line)
    assert says in problem.message
    assert "/stage/" not in problem.message
    assert problem.file == ("app/orders.py" if line else None)


def test_the_place_is_the_innermost_of_the_users(project: Project) -> None:
    project.write({"app/orders.py": "import app.deep\n", "app/deep.py": "\nimport json.nothing\n"})
    (problem,) = refused(project)
    assert (problem.file, problem.line) == ("app/deep.py", 2)
    assert problem.path == "$.functions.create.handler"


def test_a_shared_fault_is_told_once(project: Project) -> None:
    project.write({"app/orders.py": "import nowhere\n", "app/other.py": "import nowhere\n"})
    trigger = HttpTrigger(("GET",), "/x")
    project.change(
        functions=tuple(
            FunctionPlan(name, module, "handle", trigger)
            for name, module in (("a", "app.orders"), ("b", "app.orders"), ("c", "app.other"))
        )
    )
    messages = sorted(problem.message for problem in refused(project))
    assert [message.partition(" cannot")[0] for message in messages] == [
        "app.orders:handle (and 1 more)",
        "app.other:handle",
    ]


def test_what_is_not_shipped_cannot_be_imported(project: Project) -> None:
    project.write({"app/orders.py": "import tests.helpers\n", "tests/helpers.py": ""})
    (problem,) = refused(project)
    assert problem.code == "PF5301" and "tests" in str(problem.hint)
    # Nor what happens to be installed beside portafaas.
    project.write({"app/orders.py": "import click\n"})
    assert codes(project) == ["PF5301"]


def test_the_functions_environment_is_there_and_ours_is_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "1")
    project.write(
        {
            "app/orders.py": "import os\nassert os.environ['TABLE'] == 'orders'\n"
            "assert 'LEAKED' not in os.environ\nassert os.listdir() == []\n"
            "def handle(request, context): ...\n"
        }
    )
    function = replace(project.plan.functions[0], environment={"TABLE": "orders"})
    project.change(functions=(function,))
    assert project.build().notes == ()


def test_entry_modules_are_imported_too(project: Project) -> None:
    project.generated["_portafaas.py"] = b"import nothing_of_ours\n"
    (problem,) = refused(project)
    assert (problem.code, problem.file, problem.line) == ("PF5301", "_portafaas.py", 1)


@pytest.mark.parametrize("statement", ["import acme.host", "from acme.host import App"])
def test_modules_of_the_platform_are_not_missed(project: Project, statement: str) -> None:
    project.generated["_portafaas.py"] = statement.encode()
    project.layout = replace(project.layout, provided=("acme.host",))
    # Of our own module there is nothing to say, of the project's there is.
    assert project.build().notes == ()
    project.write({"app/orders.py": statement})
    (note,) = project.build().notes
    assert (note.code, note.severity, note.file) == ("PF5303", "note", "app/orders.py")
    project.layout = replace(project.layout, provided=("other.host",))
    assert codes(project) == ["PF5301", "PF5301"]


def test_a_handler_that_never_finishes_importing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas.artifact import importcheck

    monkeypatch.setattr(importcheck.ImportCheck.__init__, "__kwdefaults__", {"timeout": 0.5})
    pid = project.root / "pid"
    project.write(
        {
            "app/orders.py": "import os, subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
            f"open({str(pid)!r}, 'w').write(str(child.pid))\nchild.wait()\n"
        }
    )
    (problem,) = refused(project)
    assert problem.code == "PF5304" and "0.5 s" in problem.message
    if pid.exists():
        assert not _alive(int(pid.read_text())), "a grandchild outlived the check"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_handler_may_leave_a_thread_behind(project: Project) -> None:
    project.write(
        {
            "app/orders.py": "import threading\n"
            "threading.Thread(target=threading.Event().wait).start()\n"
            "def handle(request, context): ...\n"
        }
    )
    assert project.build().notes == ()


def test_the_bill_of_materials_is_valid_cyclonedx(project: Project) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    package = project.build()
    text = package.sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert {"name": "portafaas:digest", "value": package.digest} in bill["metadata"]["properties"]
    listed = {component["name"]: component["hashes"] for component in bill["components"]}
    import hashlib

    digest = hashlib.sha256((project.root / "app/orders.py").read_bytes()).hexdigest()
    assert listed["app/orders.py"] == [{"alg": "SHA-256", "content": digest}]
    assert str(project.root) not in text


def test_importing_the_package_module_is_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import portafaas.artifact, portafaas.stamp, portafaas.artifact.assembly\n"
        "print(*(set(sys.modules) - before))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"dataclasses", "signal", "shutil", "tempfile", "json", "subprocess", "zipfile", "yaml", "jsonschema", "inspect"}
    assert not heavy & set(ran.stdout.split())


def test_the_platforms_variables_are_there(project: Project) -> None:
    project.write(
        {
            "app/orders.py": "import os\nassert os.environ['ACME_REGION'] == 'here'\n"
            "assert 'PYTHONHASHSEED' not in os.environ\n"
            "def handle(request, context): ...\n"
        }
    )
    project.layout = replace(project.layout, environment={"ACME_REGION": "here"})
    assert project.build().notes == ()
