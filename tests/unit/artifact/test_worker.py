"""The child that compiles and imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portafaas.artifact.interpreter import Interpreter, find
from portafaas.artifact.worker import Compilation, Worker, packed, unpacked
from portafaas.vendor.environment import find_interpreter

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def interpreter(tmp_path: Path) -> Interpreter:
    found = find(PYTHON, str(tmp_path / "cache"), str(tmp_path))
    assert found is not None
    return found


@pytest.fixture
def worker(interpreter: Interpreter, tmp_path: Path) -> Any:
    made = Worker(interpreter, str(tmp_path / "w"))
    yield made
    made.stop()


def standard_library(count: int) -> dict[str, bytes]:
    files = sorted(Path(json.__file__).parents[1].glob("*.py"))[:count]
    return {file.name: file.read_bytes() for file in files}


def test_a_pack_comes_back_as_it_was() -> None:
    contents = {"a.py": b"", "b/c.py": b"x\n\ny\0z", "d": b"\n\n"}
    assert unpacked(packed(contents)) == contents
    assert unpacked(packed(contents)[:-1]) == {} == unpacked(b"") == unpacked(b"\xff\0\n\n")


def test_orders_are_answered_one_by_one(worker: Any) -> None:
    first = worker.compile({"a.py": b"A = 1\n", "bad.py": b"\nif\n"})
    second = worker.compile({"b.py": b"B = 2\n"})
    compiled, failures = worker.answer(first)
    assert list(compiled) == ["a.py"]
    assert [(name, line) for name, line, _ in failures] == [("bad.py", 2)]
    compiled, failures = worker.answer(second)
    assert list(compiled) == ["b.py"] and failures == []


def test_bytecode_depends_on_the_source_alone(
    interpreter: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = standard_library(40)
    made = []
    for at, seed in enumerate(("1", "2")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        worker = Worker(interpreter, str(tmp_path / str(at)))
        try:
            made.append(worker.answer(worker.compile(sources))[0])
        finally:
            worker.stop()
    assert made[0] == made[1]
    files = tmp_path / "files"
    files.mkdir()
    for name, source in sources.items():
        (files / name).write_bytes(source)
    work = [(str(files / name), name, str(files / "deep" / f"{name}c")) for name in sources]
    job = Compilation(interpreter, work, str(tmp_path), "job")
    assert job.failures() == []
    assert {name: (files / "deep" / f"{name}c").read_bytes() for name in sources} == made[0]


@pytest.mark.parametrize("python", ["3.10", "3.12", "3.13"])
def test_other_versions_understand_the_orders(tmp_path: Path, python: str) -> None:
    path = find_interpreter(python)
    if path is None:
        pytest.skip(f"no Python {python} here")
    worker = Worker(Interpreter(str(path), "x@0"), str(tmp_path))
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "entry.py").write_text("import missing_one\n")
    root = str(Path(__file__).parents[3])
    try:
        compiled, _ = worker.answer(worker.compile({"entry.py": b"import missing_two\n"}))
        worker.check(
            {
                "stage": str(stage),
                "path": [str(stage), root],
                "home": worker.home,
                "result": str(tmp_path / "result"),
                "functions": [],
                "entries": ["entry"],
                "environment": {"HERE": "é"},
            }
        )
        assert worker.child.wait(20) == 0, worker.child.output()
    finally:
        worker.stop()
    magic = compiled["entry.py"][:4]
    code = "import importlib.util as u, sys; sys.stdout.buffer.write(u.MAGIC_NUMBER)"
    assert subprocess.run([path, "-c", code], capture_output=True, check=True).stdout == magic
    # What was compiled is imported, not the file: otherwise "missing_one" would be missing.
    lines = (tmp_path / "result").read_text().splitlines()
    assert "missing_two" in lines[0] and lines[-1] == "'done'".replace("'", '"')


def test_an_interpreter_that_fails_is_no_silence(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho broken installation >&2\nexit 7\n")
    broken.chmod(0o755)
    worker = Worker(Interpreter(str(broken), "x@0"), str(tmp_path / "w"))
    try:
        with pytest.raises(RuntimeError, match="ended with 7: broken installation"):
            worker.answer(worker.compile({"a.py": b""}))
    finally:
        worker.stop()


def test_a_stopped_worker_leaves_nothing_open(interpreter: Interpreter, tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    worker = Worker(interpreter, str(tmp_path))
    worker.stop()
    worker.stop()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
