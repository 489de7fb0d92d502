"""Kills the process that runs a saga, at every boundary, and has another go on.

``python -m tests.workflows.kills FOLDER [EVERY]`` prints a JSON object a run: where it was killed
(of a first run: nowhere), its outcome, and what it did. A boundary is: a call is about to be made,
its answer is there but not kept, something is kept; or a task is in the middle. Each process is a
fork of one that has everything loaded, since only what is done after that is of interest.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks
from portafaas.local.making import Note
from portafaas.local.operations import LocalWorkflows
from portafaas.local.orders import Order
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan

PROJECT = Path(__file__).parent / "saga"
#: Steps that are killed in the middle of.
STEPS = ("pay", "tell", "label", "take", "book", "last")


class _Counting(Hooks):
    """Ends the process behind so many events; -1: never."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.count = 0

    def _event(self) -> None:
        if self.count == self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def called(self, order: Order, pid: int) -> None:
        self._event()

    def replied(self, order: Order, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        self._event()
        return answer

    def noted(self, note: Note) -> None:
        self._event()


class Saga:
    """A project in *folder*, and one run of it."""

    def __init__(self, folder: Path, fail: str) -> None:
        shutil.copytree(PROJECT, folder)
        self.folder = folder
        self.ledger = folder / "ledger"
        self.plan = build_plan(load_manifest(folder / "portafaas.yaml"))
        self.workflows = LocalWorkflows(folder, self.plan)
        self.input = {"fail": fail, "lines": ["a", "b", "c"]}
        self.run = self.workflows.start("saga", self.input)

    def work(self, left: int) -> tuple[bool, int]:
        """Work on it in a process of its own; tell whether that was killed, and its events."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            status = 1
            try:
                hooks = _Counting(left)
                variables = {"PORTAFAAS_SAGA_LEDGER": str(self.ledger)}
                with (
                    Path(os.devnull).open("w") as output,
                    Dispatcher(
                        self.plan, self.folder, fast=True, hooks=hooks, extra=variables,
                        output=output,
                    ) as dispatcher,
                ):  # fmt: skip
                    dispatcher.run()
                os.write(writer, str(hooks.count).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as told:
            count = told.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and status:
            raise RuntimeError(f"a process failed: {status}")
        return killed, int(count or 0)

    def facts(self, where: Any) -> dict[str, Any]:
        found = self.workflows.status("saga", self.run)
        return {
            "killed": where, "fail": self.input["fail"], "state": found.state,
            "output": found.output, "error": found.error, "cause": found.cause,
            "ledger": self.ledger.read_text().splitlines(),
        }  # fmt: skip


def runs(folder: Path, every: int) -> Iterator[dict[str, Any]]:
    """Yield the facts of each run."""
    for fail in ("", "last"):
        saga = Saga(folder / f"{fail}-none", fail)
        killed, total = saga.work(-1)
        assert not killed
        yield saga.facts(None)
        for left in range(0, total, every):
            saga = Saga(folder / f"{fail}-{left}", fail)
            killed, _ = saga.work(left)
            assert killed, left
            assert not saga.work(-1)[0]
            yield saga.facts(left)
        for step in STEPS[:: max(1, every // 2)]:
            if step == fail:
                continue
            saga = Saga(folder / f"{fail}-in-{step}", fail)
            Path(f"{saga.ledger}.kill.{step}").touch()
            assert saga.work(-1)[0], step
            assert not saga.work(-1)[0]
            yield saga.facts(step)


if __name__ == "__main__":
    for facts in runs(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(json.dumps(facts), flush=True)
