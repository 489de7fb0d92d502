"""Nothing that was started outlives who started it, however that came to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portafaas.adapter.neutral import stimulus_to_json
from portafaas.adapter.stimulus import ScheduleStimulus
from portafaas.local.scratch import scratch
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.plan.entry import function_spec
from tests.dev.project import PYTHON

#: Starts a group of two processes as a vendor's runtime is, says which, and goes on.
_STARTS = """
import sys, time
from pathlib import Path
from portafaas.vendor.process import Child
child = Child(["/bin/sh", "-c", "sleep 60 & echo $$ $!; wait"], cwd=Path("/"), env={})
while not child.log().endswith("\\n"):
    time.sleep(0.005)
print(child.log(), end="", flush=True)
time.sleep(60)
"""
#: The process of a function, less patient.
_CHILD = """
from portafaas.local import child, orphan
orphan.end_alone.__defaults__ = (lambda: None, 0.05)
child.serve()
"""
_HANDLER = """
import os, time
def sleep(message, context):
    open("begun", "w").write(str(os.getpid()))
    time.sleep(60)
"""


def _soon(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


def _gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for is a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def test_the_group_of_a_vendors_runtime_ends_with_who_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", _STARTS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(number) for number in parent.stdout.readline().split()]
        assert len(pids) == 2 and not any(map(_gone, pids))
        parent.kill()
    assert _soon(lambda: all(map(_gone, pids)))


def test_a_function_ends_with_who_has_called_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(_HANDLER)
    reading, orders = os.pipe()
    answers, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(reading), str(writing)],
        cwd=tmp_path, pass_fds=(reading, writing), stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        os.close(reading)
        os.close(writing)
        os.write(orders, _order(tmp_path))
        assert _soon((tmp_path / "begun").exists)
        assert child.poll() is None
        # As when whoever has the other end is killed.
        os.close(orders)
        assert child.wait(20) == 1
    os.close(answers)


def test_what_was_left_on_the_disk_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed, young, other = (tmp_path / name for name in ("portafaas-as-1", "portafaas-as-2", "x"))
    for folder in (killed, young, other):
        (folder / "package").mkdir(parents=True)
        (folder / ".lock").touch()
    with scratch() as alive:
        for folder in (killed, other, alive):
            os.utime(folder, (1, 1))
        with scratch() as second:
            assert second.is_dir() and alive.is_dir() and young.is_dir() and other.is_dir()
            assert not killed.exists()
    assert not second.exists() and not alive.exists()


def _order(folder: Path) -> bytes:
    function = {
        "handler": "app:sleep", "trigger": {"schedule": {"cron": "* * * * *"}}, "timeout": "120s",
    }  # fmt: skip
    document = {"portafaas": 1, "name": "s", "python": PYTHON, "functions": {"sleep": function}}
    (folder / "portafaas.yaml").write_text(json.dumps(document))
    plan = build_plan(load_manifest(folder / "portafaas.yaml"))
    event = stimulus_to_json(ScheduleStimulus("2026-01-01T00:00:00Z"))
    spec = function_spec(plan, plan.function("sleep"))
    return json.dumps({"spec": spec, "event": event}).encode() + b"\n"
