"""The example shop, and one who deploys it with the command line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
DIGEST = hashlib.sha256(b"demo-key").hexdigest()
#: Nothing of whoever runs the tests: no credentials, no settings, no proxies.
_FOREIGN = re.compile(
    r"(AZURE|ARM|IDENTITY|MSI|GOOGLE|CLOUDSDK|GCE|GCLOUD|TF|PORTAFAAS(?!_HOME))_|.*_proxy$", re.I
)
#: Each process of the command line loads it: engines look again after 2 or 3 s, which here is long.
_QUICK = """\
import time
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.02))
"""


@dataclass
class Shop:
    """The project, where it is deployed to, and the environment of the commands."""

    root: Path
    target: str
    environ: dict[str, str]
    #: All that commands have said.
    said: str = ""
    #: Of the API key.
    digest = DIGEST

    def arguments(self, words: tuple[str, ...]) -> list[str]:
        """Return the command line of *words*, with the target."""
        return [sys.executable, "-m", "portafaas", *words, "--target", self.target]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command; its output is one."""
        return subprocess.Popen(
            self.arguments(words), cwd=self.root, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _run(self, words: tuple[str, ...], status: int, stdin: str = "") -> tuple[str, str]:
        done = subprocess.run(
            self.arguments(words), cwd=self.root, env=self.environ, input=stdin,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        self.said += said
        assert done.returncode == status, said
        assert "Traceback" not in said, said
        return done.stdout, said

    def interrupt(self, process: subprocess.Popen[str]) -> str:
        """Press Ctrl-C, and again if nothing comes of it; return what the command has said.

        Seen once with Azure's clients, on a busy machine: a first one that did nothing within 30 s.
        Where it got lost is not known.
        """
        for _ in range(4):
            process.send_signal(signal.SIGINT)
            try:
                return process.communicate(timeout=8)[0]
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError("it goes on whatever is pressed")

    def __call__(self, *words: str, status: int = 0, stdin: str = "") -> str:
        """Return stdout and stderr of a command that exits with *status*."""
        return self._run(words, status, stdin)[1]

    def together(self, *commands: str, status: int = 0) -> dict[str, str]:
        """Return what each of *commands* says, which run at the same time."""
        begun = {command: self.start(*command.split()) for command in commands}
        said = {command: process.communicate(timeout=180)[0] for command, process in begun.items()}
        for command, process in begun.items():
            assert process.returncode == status, f"{command}: {said[command]}"
            assert "Traceback" not in said[command], said[command]
        return said

    def json(self, *words: str, status: int = 0) -> Any:
        """Return what a command says in JSON."""
        return json.loads(self._run((*words, "--format", "json"), status)[0])

    def edit(self, old: str, new: str) -> None:
        """Edit the manifest."""
        file = self.root / "portafaas.yaml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def outcomes(self) -> list[tuple[str, str]]:
        """Return what was done, the newest first."""
        return [(r["action"], r["outcome"]) for r in self.json("history")]

    def written(self) -> bytes:
        """Return all that the project's folder holds."""
        return b"\n".join(f.read_bytes() for f in self.root.rglob("*") if f.is_file())

    def document(self) -> Any:
        """Return the document that was built last."""
        (file,) = (self.root / "out" / self.target).glob(
            "*.arm.json" if self.target == "azure" else "*.tf.json"
        )
        return json.loads(file.read_text())


def environment(home: Path, quick: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of commands, with *more*; *quick* is a folder for what hurries them."""
    quick.mkdir()
    (quick / "sitecustomize.py").write_text(_QUICK)
    own = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    # What builds have fetched is everybody's.
    own.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return {
        **own, "PYTHONPATH": str(quick), "HOME": str(home), "NO_COLOR": "1",
        "NO_PROXY": "*", "PORTAFAAS_HTTP_KEYS": f"demo={DIGEST}", **more,
    }  # fmt: skip


@pytest.fixture
def make_shop(
    tmp_path: Path, share_builds: Callable[[Path], None]
) -> Callable[[str, Mapping[str, str]], Shop]:
    """Return what makes a project of its own: of a target, with more variables."""

    def make(target: str, more: Mapping[str, str]) -> Shop:
        root, quick = tmp_path / "shop", tmp_path / "quick"
        ignored = shutil.ignore_patterns("out", ".portafaas", "__pycache__")
        shutil.copytree(EXAMPLE, root, ignore=ignored)
        share_builds(root)
        manifest = root / "portafaas.yaml"
        text = manifest.read_text()
        manifest.write_text(text.replace('python: "3.12"', f'python: "{PYTHON}"'))
        return Shop(root, target, environment(tmp_path, quick, more))

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Return what waits for something to become true."""

    def wait(true: Callable[[], Any]) -> None:
        end = time.monotonic() + 120
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait
