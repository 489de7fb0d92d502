"""The dispatcher's process of the local target: ``python -m tests.faults.local_loop MANIFEST FOLDER``.

Ends when its input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from portafaas.emulation import emulated
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Item, Lease, Settled
from portafaas.local.dispatch import Dispatcher
from portafaas.local.hooks import Hooks
from portafaas.local.resources import store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.faults.local import LOST
from tests.faults.mutants import change_dispatcher

#: Seconds.
_LATE, _OVERTAKEN = 1.5, 0.3


class Faulty(Hooks):
    """Notes deliveries, and does to messages what the plan says."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, dict[str, str]] = json.loads((folder / "faults.json").read_text())
        self._seen = folder / "seen"
        self._seen.mkdir(exist_ok=True)
        self._record = os.open(folder / "deliveries", os.O_APPEND | os.O_WRONLY)
        self._batch = 0
        self._crashed = False
        #: What functions are at, by their name.
        self._open: dict[str, Lease] = {}

    def leased(self, lease: Lease, pid: int) -> None:
        """Remember what a function is at."""
        self._open[lease.function] = lease

    def ended(self, subject: Any, how: str, why: str) -> None:
        """Remember that there was no answer."""
        self._crashed = True

    def first(self, function: str, item: Item, word: str) -> bool:
        """Tell whether *word* is to happen to an item, and has not yet."""
        number = item.attributes.get("n", "-1")
        if self.faults.get(function, {}).get(number) != word:
            return False
        try:
            (self._seen / f"{function}-{number}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def answered(self, lease: Lease, settled: Settled) -> Settled:
        """Lose an answer, or forget that something is done."""
        self._batch += 1
        again = dict(settled.again)
        outcomes = []
        self._open.pop(lease.function, None)
        crashed, self._crashed = self._crashed or settled.alone, False
        lost = not crashed and any(
            self.first(lease.function, item, "lost") for item in lease.items
        )
        for item in lease.items:
            if lost:
                outcome = "lost"
            elif crashed:
                outcome = "dead"
            elif item.number in again and item.number not in settled.copies:
                outcome = "failed"
            elif item.number in settled.untried:
                outcome = "held"
            elif item.number not in settled.dead and self.first(lease.function, item, "twice"):
                outcome = "again"
                again[item.number] = 0.0
            else:
                outcome = "done"
            outcomes.append(self._line(lease.function, item, outcome))
        if lost:
            # With this process all others lose their answers.
            outcomes += [
                self._line(name, item, "lost")
                for name, other in self._open.items()
                for item in other.items
            ]
        os.write(self._record, b"".join(outcomes))
        if lost:
            os._exit(LOST)
        return replace(settled, again=again)

    def _line(self, function: str, item: Item, outcome: str) -> bytes:
        number = int(item.attributes.get("n", "-1"))
        return json.dumps((time.time(), function, number, self._batch, outcome)).encode() + b"\n"


class Slow(Broker):
    """A broker that lets some messages wait."""

    hooks: Faulty
    #: The last delivery that was looked at.
    last = 0

    def take_in(self) -> int:
        """Share out what was sent, some of it for later."""
        count = super().take_in()
        if count:
            do = self.store.connection
            waiting = do.execute(
                "select number, box, attributes from deliveries where number > ? and "
                "state = 'waiting' and attempts = 0 and letter is null order by number",
                (self.last,),
            ).fetchall()
            self.last = waiting[-1][0] if waiting else self.last
            functions = {box: name for name, box in self.boxes.inboxes.items()}
            for number, box, attributes in waiting:
                function, n = functions[box], json.loads(attributes).get("n", "-1")
                word = self.hooks.faults.get(function, {}).get(n, "")
                if word in ("late", "overtaken"):
                    seen = self.hooks._seen / f"{function}-{n}"
                    if not seen.exists():
                        seen.touch()
                        seconds = _LATE if word == "late" else _OVERTAKEN
                        do.execute(
                            "update deliveries set due = due + ? where number = ?",
                            (seconds, number),
                        )
        return count


def main() -> None:
    """Deliver until the standard input ends."""
    manifest, folder = Path(sys.argv[1]), Path(sys.argv[2])
    hooks = Faulty(folder)
    with ExitStack() as stack:
        vendor = None
        if target := os.environ.get("FAULTS_AS"):
            vendor = stack.enter_context(emulated(manifest, None, target))
        plan = vendor.plan if vendor else build_plan(load_manifest(manifest))
        rules = vendor.rules() if vendor else None
        broker = Slow(store(manifest.parent, plan.stage), plan, rules)
        broker.hooks = hooks
        change_dispatcher(os.environ.get("FAULTS_MUTANT", ""), broker, hooks)
        dispatcher = stack.enter_context(
            Dispatcher(
                plan, manifest.parent, hooks=hooks, broker=broker, vendor=vendor,
                # A vendor's runtime has no variables but those that it is given.
                extra={"FAULTS_FOLDER": os.environ["FAULTS_FOLDER"]},
                # Visibility timeouts and the like are waited for nowhere else either.
                fast=vendor is not None,
            )
        )  # fmt: skip

        def end() -> None:
            sys.stdin.read()
            dispatcher.stop()
            time.sleep(5)
            os._exit(0)

        threading.Thread(target=end, daemon=True).start()
        dispatcher.run(follow=True)


if __name__ == "__main__":
    main()
