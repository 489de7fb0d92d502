from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from portafaas.cli import cli

MANIFEST = """\
portafaas: 1
name: demo
python: "{python}"
functions:
  hello:
    handler: app:hello
    trigger: {{http: {{path: "/hello/{{name}}"}}}}
    environment: {{GREETING: Hello}}
  work:
    handler: app:work
    trigger: {{queue: {{name: jobs, batch: 5}}}}
  tick:
    handler: app:tick
    trigger: {{schedule: {{cron: "*/5 * * * *"}}}}
queues:
  jobs: {{}}
stages:
  prod:
    functions: {{hello: {{environment: {{GREETING: Good day}}}}}}
"""

SOURCE = """\
import os

def hello(request, context):
    return {"greeting": f"{os.environ['GREETING']}, {request.path_params['name']}!"}

def work(message, context):
    if message.text == "fail":
        raise ValueError("no")

def tick(event, context):
    print("tick", event.time)
"""


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "portafaas.yaml").write_text(MANIFEST.format(python=python))
    (folder / "app.py").write_text(SOURCE)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run() -> Callable[..., Result]:
    def call(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, list(arguments), input=stdin, prog_name="portafaas")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    def read(folder: Path) -> dict[str, bytes]:
        return {
            os.path.relpath(file, folder): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    return read
