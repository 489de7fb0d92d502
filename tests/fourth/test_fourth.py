"""A fourth adapter needs no change in portafaas, and passes the kit that portafaas ships."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.testing.cases import CASES

Run = Callable[..., Any]


def _portafaas(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portafaas", *arguments],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_line_finds_it(installed: Path, tmp_path: Path) -> None:
    with_it = _portafaas(installed, "targets", cwd=tmp_path)
    assert with_it.returncode == 0, with_it.stderr
    assert "example" in with_it.stdout and "Example Functions" in with_it.stdout
    without = _portafaas(tmp_path, "targets", cwd=tmp_path)
    assert "example" not in without.stdout.split()


def test_core_does_not_name_it() -> None:
    """Nothing of portafaas knows the platform's name."""
    import portafaas

    root = Path(portafaas.__file__).parent
    assert not [file for file in root.rglob("*.py") if "portafaas_example" in file.read_text()]


def test_it_needs_the_public_contract_only(installed: Path) -> None:
    """What an adapter may import of core is enough for one."""
    used = set()
    for file in (installed / "portafaas_example").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                used.add(".".join(node.module.split(".")[:2]))
            elif isinstance(node, ast.Import):
                used |= {".".join(name.name.split(".")[:2]) for name in node.names}
    of_core = {name for name in used if name.split(".")[0] == "portafaas"}
    assert of_core <= {
        f"portafaas.{name}"
        for name in (
            "adapter", "deployment", "errors", "plan", "runtime", "schedule", "vendor",
        )
    }
    assert "portafaas.adapter" in of_core


@pytest.mark.vendor
def test_it_passes_the_whole_kit(installed: Path, run_suite: Run) -> None:
    report = run_suite(installed)
    assert report.failed == report.errors == report.skipped == (), report.output
    # All but what needs callers' identities, old rows or instances that are kept ready.
    names = {case.name for case in CASES}
    left_out = names - set(report.passed)
    assert left_out and all(
        name.startswith(
            ("http-iam", "http-kept-ready", "table-only-delete", "table-insert", "table-update",
             "table-delete")
        )
        for name in left_out
    ), left_out  # fmt: skip
    refused = {name for name in report.passed if name.startswith("test_refuses[")}
    assert refused == {
        "test_refuses[http.auth.iam",
        "test_refuses[table.old-image",
        "test_refuses[function.min-instances",
        "test_refuses[package.aarch64",
        "test_refuses[workflow",
        "test_refuses[alert.errors",
        "test_refuses[alert.latency-p95",
        "test_refuses[alert.dead-letters",
        "test_refuses[alert.oldest-message",
    }


@pytest.mark.vendor
def test_its_package_can_be_built_and_invoked(installed: Path, tmp_path: Path) -> None:
    """Every command takes the target as it takes those that come with portafaas."""
    (tmp_path / "app.py").write_text(
        "def hello(request, context):\n    return {'on': context.target}\n", encoding="utf-8"
    )
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: fourth\n"
        f'python: "{sys.version_info[0]}.{sys.version_info[1]}"\n'
        "functions:\n  hello:\n    handler: app:hello\n"
        "    trigger: {http: {method: GET, path: /hello}}\n"
        "    targets: {example: {pool: small}}\n",
        encoding="utf-8",
    )
    for command in (["check"], ["build"], ["invoke", "hello"]):
        done = _portafaas(installed, *command, "--target", "example", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert '"on": "example"' in done.stdout.replace("\\", "")
    assert (tmp_path / "out" / "example" / "fourth.zip").is_file()
    refused = tmp_path / "portafaas.yaml"
    refused.write_text(refused.read_text().replace("pool: small", "pools: small"))
    done = _portafaas(installed, "check", "--target", "example", cwd=tmp_path)
    assert done.returncode != 0
    assert "PF4001" in done.stdout + done.stderr
    with tempfile.TemporaryDirectory() as empty:
        done = _portafaas(Path(empty), "check", "--target", "example", cwd=tmp_path)
    assert done.returncode != 0


_DELIVERED = """
import json, sys
from pathlib import Path

from portafaas.emulation import emulated
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks
from portafaas.local.resources import send, store
from portafaas.runtime.resources import Outgoing

root = Path.cwd()
send(str(store(root, "") / "queue" / "jobs"), [Outgoing("m", b"hello")], False)
told = []

class Told(Hooks):
    def settled(self, reports):
        told.extend((r.what, r.seconds, r.attempt, r.letter.get("reason")) for r in reports)

with emulated(root / "portafaas.yaml", None, "example") as vendor:
    with Dispatcher(vendor.plan, root, fast=True, vendor=vendor, hooks=Told()) as dispatcher:
        dispatcher.run()
print(json.dumps(told))
"""


@pytest.mark.vendor
def test_it_is_delivered_to_without_a_word_of_how(installed: Path, tmp_path: Path) -> None:
    """An adapter that says nothing of its platform's deliveries gets the neutral ones."""
    (tmp_path / "app.py").write_text(
        "def work(message, context):\n    raise ValueError(message.text)\n", encoding="utf-8"
    )
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: fourth\n"
        f'python: "{sys.version_info[0]}.{sys.version_info[1]}"\n'
        "functions:\n  work:\n    handler: app:work\n"
        "    trigger: {queue: {name: jobs}}\n"
        "    retry: {attempts: 3, initial: 10s, max: 15s, jitter: false}\n"
        "queues: {jobs: {dead-letter: true}}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-c", _DELIVERED],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["again", 10.0, 1, None],
        ["again", 15.0, 2, None],
        ["again", 0.0, 3, None],
        ["dead", 0.0, 3, "platform"],
    ]
