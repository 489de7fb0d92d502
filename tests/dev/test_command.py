"""``portafaas dev`` as it is typed: what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.dev.start import inherited, keyless
from portafaas.local.broker import Broker
from portafaas.local.resources import store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.dev.project import manifest, until, write


class Running:
    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder.parent / f"{folder.name}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "portafaas", "dev", "--port", "0", *options],
                cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def url(self) -> str:
        def found() -> str:
            assert self.process.poll() is None, self.text()
            match = re.search(r"http://127\.0\.0\.1:\d+", self.text())
            return match[0] if match else ""

        return str(until(found))

    def call(self, path: str, data: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url() + path, data, timeout=60) as answer:
            return json.loads(answer.read())

    def children(self) -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found


def gone(pids: list[int]) -> bool:
    def ended(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    return all(ended(pid) for pid in pids)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Any]:
    made: list[Running] = []

    def run(*options: str) -> Running:
        folder = tmp_path / "kiosk"
        if not folder.exists():
            write(folder)
        made.append(Running(folder, *options))
        return made[-1]

    yield run
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_it_ends_with_all_its_processes(running: Any, number: int, status: int) -> None:
    dev = running("--env", "TICKS=/dev/null")
    assert dev.call("/hello") == {"hello": "world"}
    assert dev.call("/orders/good", b"")["sent"]
    until(lambda: "printed good" in dev.text())
    assert "GET /hello 200" in dev.text()
    # Something is under way.
    with contextlib.suppress(Exception):
        urllib.request.urlopen(dev.url() + "/fate/hang", timeout=0.3)
    pids = dev.children()
    assert len(pids) >= 3
    dev.process.send_signal(number)
    assert dev.process.wait(60) == status
    until(lambda: gone(pids))
    if number != signal.SIGKILL:
        assert "Traceback" not in dev.text()
        return
    # Whoever comes next finds everything, and nobody in the way.
    again = running("--env", "TICKS=/dev/null")
    assert again.call("/hello") == {"hello": "world"}


def test_a_message_that_is_at_work_waits_again(running: Any, tmp_path: Path) -> None:
    folder = tmp_path / "kiosk"
    file = write(folder)
    source = folder / "app.py"
    slow = source.read_text().replace(
        'print("printed", name)', 'print("printed", name); time.sleep(9)'
    )
    source.write_text(slow)
    dev = running("--env", "TICKS=/dev/null")
    dev.call("/orders/good", b"")
    until(lambda: "printed good" in dev.text())
    dev.process.terminate()
    assert dev.process.wait(60) == 143
    plan = build_plan(load_manifest(file))
    with Broker(store(folder, ""), plan) as broker:
        lease = broker.lease(plan.function("work"), 1)
        assert lease is not None and lease.items[0].attempts == 1


def test_logs_as_json(running: Any) -> None:
    dev = running("--log-format", "json", "--no-reload")
    assert dev.call("/fate/fine")["how"] == "fine"
    until(lambda: '"status": "ok"' in dev.text())
    lines = [json.loads(line) for line in dev.text().splitlines()]
    (own,) = [line for line in lines if line["message"] == "it is fine"]
    assert own["logger"] == "portafaas.fate" and own["how"] == "fine"
    assert {"time", "severity", "message"} <= set.intersection(*map(set, lines))


def _failed(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portafaas", "dev", *options],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def test_keys_that_are_not_set_are_told(tmp_path: Path) -> None:
    document = manifest()
    plan = build_plan(load_manifest(write(tmp_path, document)))
    assert keyless(plan, {}) == []
    for name, auth in (("hello", "key"), ("slow", {"key": {"environment": "MINE"}})):
        document["functions"][name]["trigger"]["http"]["auth"] = auth
    plan = build_plan(load_manifest(write(tmp_path, document)))
    given = {"PORTAFAAS_HTTP_KEYS": "a=b", "MINE": ""}
    assert keyless(plan, given) == []
    del given["MINE"]
    (line,) = keyless(plan, given)
    (digest,) = re.findall(r"--env MINE=dev=([0-9a-f]{64}) ", line)
    assert digest == hashlib.sha256(b"dev-key").hexdigest() and "x-api-key: dev-key" in line
    assert [line.split()[8] for line in keyless(plan, {})] == ["PORTAFAAS_HTTP_KEYS", "MINE"]


def test_a_vendors_runtime_has_no_variables_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAFAAS_HTTP_KEYS", "a=b")
    assert inherited({"X": "1"}, None).items() >= {("PORTAFAAS_HTTP_KEYS", "a=b"), ("X", "1")}
    assert inherited({"X": "1"}, "aws") == {"X": "1"}


def test_what_is_wrong_at_the_start(tmp_path: Path) -> None:
    document = manifest()
    document["functions"]["hello"]["handler"] = "app:nobody"
    write(tmp_path, document)
    done = _failed(tmp_path, "--port", "0")
    assert done.returncode == 2 and "PF2005" in done.stderr and "portafaas.yaml:" in done.stderr
    done = _failed(tmp_path, "--host", "0.0.0.0")
    assert done.returncode == 1 and "PF8051" in done.stderr
    write(tmp_path)
    done = _failed(tmp_path, "--debug", "helo", "--port", "0")
    assert done.returncode == 2 and "PF7002" in done.stderr and "'hello'" in done.stderr
