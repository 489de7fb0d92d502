"""Workflows call functions in a target's runtime, by the local engine."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from portafaas.emulation import emulated
from portafaas.local.dispatch import Dispatcher
from portafaas.local.resources import start_run, store
from tests.faults.target import PYTHON

pytestmark = pytest.mark.vendor

MANIFEST = f"""\
portafaas: 1
name: flow
python: "{PYTHON}"
functions:
  one: {{handler: "app:one", trigger: {{task: {{}}}}}}
  two: {{handler: "app:two", trigger: {{task: {{}}}}}}
workflows:
  sums:
    steps:
      first: {{task: one, input: {{n: $.n}}, result: $.one}}
      second: {{task: one, input: {{n: -1}}, catch: [{{errors: [ValueError], next: third, result: $.error}}]}}
      third: {{task: two, catch: [{{errors: [States.TaskFailed], next: done, result: $.crash}}]}}
      done: {{succeed: true}}
"""
SOURCE = """
import os

def one(task, context):
    if task.input["n"] < 0:
        raise ValueError("negative")
    return [task.input["n"] + 1, context.target]

def two(task, context):
    os._exit(3)
"""


def test_steps_are_calls_of_the_targets_runtime(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    start_run(str(store(tmp_path, "") / "workflow" / "sums"), {"n": 1})
    with (
        emulated(tmp_path / "portafaas.yaml", None, "aws") as vendor,
        Dispatcher(vendor.plan, tmp_path, vendor=vendor, fast=True) as dispatcher,
    ):
        dispatcher.run()
    connection = sqlite3.connect(store(tmp_path, "") / "resources.db")
    ((state, outcome),) = connection.execute("select state, outcome from runs").fetchall()
    connection.close()
    found = json.loads(outcome)["ok"]
    assert state == "succeeded"
    assert found["one"] == [2, "aws"]
    assert found["error"] == {"Error": "ValueError", "Cause": "negative"}
    assert found["crash"]["Error"] == "States.TaskFailed"
