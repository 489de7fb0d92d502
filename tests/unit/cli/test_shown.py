"""What functions log is shown by commands as `portafaas dev` shows it; raw with --format json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.cli.shown import Shown

Run = Callable[..., Any]
APP = """
import subprocess, sys

def hello(request, context):
    context.logger.info("look at %s", "this", extra={"order": 7})
    print("printed")
    context.queues["jobs"].send("x")
    raise ValueError("no such order")

def work(message, context):
    context.logger.warning("worked")

def leaves(request, context):
    context.logger.info("leaving")
    sleep = [sys.executable, "-c", "import time; time.sleep(20)"]
    subprocess.Popen(sleep, stdout=subprocess.DEVNULL)
"""
MANIFEST = """
portafaas: 1
name: demo
functions:
  hello: {handler: "m:hello", trigger: {http: {path: /}}, uses: [{send: jobs}]}
  leaves: {handler: "m:leaves", trigger: {http: {path: /leaves}}}
  work: {handler: "m:work", trigger: {queue: {name: jobs}}}
queues: {jobs: {}}
"""


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portafaas", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(APP)
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    return tmp_path


def test_logs_are_lines(folder: Path) -> None:
    said = _run(folder, "invoke", "hello")
    assert said.returncode == 1
    assert "INFO look at this  order=7\n" in said.stderr
    assert "printed\n" in said.stderr
    assert 'm.py", line 8, in hello' in said.stderr
    assert "ValueError: no such order" in said.stderr
    assert "portafaas/runtime" not in said.stderr, "frames that are not the handler's"
    assert "{" not in said.stderr
    sent = _run(folder, "deliver")
    assert sent.returncode == 0
    assert "work         WARNING worked\n" in sent.stderr
    assert "1 delivered" in sent.stdout


def test_logs_are_records_with_json(folder: Path) -> None:
    said = _run(folder, "invoke", "hello", "--format", "json")
    records = [json.loads(line) for line in said.stderr.splitlines() if line.startswith("{")]
    assert [record["message"] for record in records][:1] == ["look at this"]
    assert "m.py" in records[1]["exception"]
    assert json.loads(said.stdout)["status"] == 500
    sent = _run(folder, "deliver", "--format", "json")
    assert json.loads(sent.stderr)["message"] == "worked"


def test_what_a_handler_leaves_behind_is_not_waited_for(folder: Path) -> None:
    began = time.monotonic()
    said = _run(folder, "invoke", "leaves", "--env", "A=b")
    assert "INFO leaving" in said.stderr
    assert time.monotonic() - began < 18


def test_lines_are_shown_in_order_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown(["one", "two"]) as shown:
        os.write(shown.to, b"half ")
        shown.drain()
        assert capsys.readouterr().err == ""
        os.write(shown.to, b'of a line\n{"severity": "INFO", "message": "m", "function": "two"}\n')
        shown.drain()
        first, second = capsys.readouterr().err.splitlines()
        assert first.endswith(" -            half of a line")
        assert second.endswith(" two          INFO m")
        os.write(shown.to, b"{no json\n" * 20_000 + b"no end")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20_001
    assert lines[-1].endswith("no end")
