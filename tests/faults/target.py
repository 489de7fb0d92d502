"""What a back end has to offer: a broker, a loop that is the platform, and the vendor's runtime."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from portafaas.adapter import Adapter, HttpStimulus
from portafaas.deployment.dead_letters import DeadLetters, Redriven
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter
from tests.faults.ledger import Deliveries, Ledger
from tests.faults.mutants import edit_manifest
from tests.faults.scenario import PATTERNS, Item, Pattern, chunks

PROJECT = Path(__file__).with_name("project")
#: Python that the project is built for: the one that the tests run on.
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def copied(folder: Path, without: Collection[str]) -> Path:
    """Copy the project into *folder* less the patterns *without*; return its manifest."""
    shutil.copytree(PROJECT, folder)
    manifest = folder / "portafaas.yaml"
    document = yaml.safe_load(manifest.read_text())
    document["python"] = PYTHON
    gone = [pattern for pattern in PATTERNS if pattern.name in without]
    for function in {name for pattern in gone for name in pattern.functions}:
        trigger = document["functions"].pop(function)["trigger"]
        if "queue" in trigger:
            del document["queues"][trigger["queue"]["name"]]
    feed = document["functions"]["feed"]
    feed["uses"] = [use for use in feed["uses"] if use.get("send", "single") in document["queues"]]
    if "outbox" in without:
        del document["tables"]["books"]
        if "idempotent" in without:
            del document["tables"]
    manifest.write_text(yaml.safe_dump(document, sort_keys=False))
    return manifest


class Target(ABC):
    """One back end with the project deployed to it; a context manager.

    ``deliveries`` holds everything that was handed to a function. ``extra`` and ``delays`` are
    those of ``check.Evidence``. Loops run in threads; what goes wrong in one is in ``problems``.
    """

    name = ""
    extra = 0
    delays = True
    #: Whether the dead letters of an ordered queue can all be listed.
    shows_all = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self.deliveries = Deliveries()
        self.problems: list[str] = []
        self.stopping = threading.Event()
        #: What the broker does to messages, a word of ``Fault.broker``, by function and number.
        self.broker_faults: dict[str, dict[int, str]] = {}
        self._threads: list[threading.Thread] = []
        self._seen: set[tuple[str, int]] = set()
        self._guard = threading.Lock()
        #: Patterns that cannot be run here, and why.
        self.without = self.missing()
        self.manifest = copied(folder / "project", self.without)
        edit_manifest(os.environ.get("FAULTS_MUTANT", ""), self.manifest)
        #: The unpacked package, where there is one.
        self.package = folder / "package"
        self.plan: BuildPlan = build_plan(load_manifest(self.manifest), self.adapter_name or "")
        self.environment = {"FAULTS_FOLDER": str(self.ledger.folder)}

    def missing(self) -> dict[str, str]:
        """Return patterns for which something is not installed here, and what."""
        return {}

    @property
    def adapter_name(self) -> str | None:
        """The adapter that builds for this back end; None is the neutral one."""
        return self.name

    @property
    def adapter(self) -> Adapter:
        """The adapter that builds for this back end."""
        return get_adapter(self.name)

    def built(self) -> tuple[Path, Path, tuple[Path, ...]]:
        """Build the project; return package, deployment description and infrastructure."""
        (made,) = build(self.manifest, [self.name], infrastructure=True)
        return made.package, made.deployment, made.infrastructure

    # What the test asks.

    def feed(self, pattern: Pattern, items: Sequence[Item]) -> dict[int, str]:
        """Have the project's ``feed`` function send *items*; return their ids."""
        sent: dict[int, str] = {}
        for chunk in chunks(items, 100):
            order = {
                "kind": pattern.kind,
                "to": pattern.to,
                "messages": [item.order() for item in chunk],
            }
            ids = self.order(order)["sent"]
            sent |= {item.number: id for item, id in zip(chunk, ids, strict=True)}
        return sent

    @abstractmethod
    def order(self, order: Mapping[str, Any]) -> Any:
        """Have the ``feed`` function do *order*; return its answer."""

    @abstractmethod
    def start(self) -> None:
        """Begin to deliver."""

    @abstractmethod
    def pending(self) -> dict[str, int]:
        """Return how many messages are on their way, by function; nothing when there are none."""

    @abstractmethod
    def dead_letters(self) -> DeadLetters:
        """Return the product's own view of the dead letters."""

    def redrive(self, letters: DeadLetters, box: str) -> Redriven:
        """Have all letters of *box* delivered again."""
        return letters.redrive(box, None)

    # What loops need.

    def first(self, function: str, number: int, word: str) -> bool:
        """Tell whether the broker is to do *word* to a message, and has not done so yet."""
        if self.broker_faults.get(function, {}).get(number) != word:
            return False
        with self._guard:
            if (function, number) in self._seen:
                return False
            self._seen.add((function, number))
            return True

    def loop(
        self, name: str, step: Callable[[], bool], patience: float = 0.1, longest: float = 0.0
    ) -> None:
        """Call *step* in a thread again and again, with pauses when there was nothing to do.

        Pauses are *patience*, each twice as long as the one before up to *longest* seconds.
        """

        def run() -> None:
            pause = patience
            while not self.stopping.is_set():
                try:
                    if step():
                        pause = patience
                    else:
                        self.stopping.wait(pause)
                        pause = max(patience, min(2 * pause, longest))
                except Exception:
                    if self.stopping.is_set():
                        return
                    self.problems.append(traceback.format_exc())
                    self.stopping.wait(0.5)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def http(self, path: str, body: Any) -> HttpStimulus:
        """Return a POST of JSON."""
        return HttpStimulus(
            "POST",
            path,
            headers=(("content-type", "application/json"),),
            body=json.dumps(body).encode(),
        )

    def stop(self) -> None:
        """End the loops."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(20)

    def close(self) -> None:
        """End everything."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(self) -> str:
        """Return the last problems of the loops."""
        return "\n".join(self.problems[-3:])
