"""Local: the SQLite broker and the dispatcher of ``portafaas deliver``, in a process of its own.

That process is killed where a connection is lost elsewhere: it has the answer of a function, and
has recorded nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.adapter import Adapter
from portafaas.deployment.dead_letters import DeadLetters, Redriven
from portafaas.invocation import LocalRunner
from portafaas.local.broker import Broker
from portafaas.local.dead_letters import LocalDeadLetters
from portafaas.local.resources import environment, store
from tests.faults.ledger import Delivery
from tests.faults.target import Target

_ROOT = Path(__file__).parents[2]
#: Exit status of a dispatcher that ends itself before it has recorded an answer.
LOST = 9


class Local(Target):
    """See the module.

    With the variable ``FAULTS_AS`` it is as a target: ``portafaas dev --as``, with a fast clock.
    """

    name = "local"
    delays = not os.environ.get("FAULTS_AS")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._root = self.manifest.parent
        feed = self.plan.function("feed")
        variables = environment(self.plan, feed, self._root, "feed", packaged=False)
        self._feed = LocalRunner(self.plan, self._root, {**self.environment, **variables})
        self._broker = Broker(store(self._root, self.plan.stage), self.plan)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "dispatcher.log").open("wb")
        self._record = folder / "deliveries"
        self._record.touch()
        self._read = 0
        #: How often the dispatcher was killed.
        self.restarts = 0

    @property
    def adapter_name(self) -> str | None:
        return None

    @property
    def adapter(self) -> Adapter:
        raise NotImplementedError

    def order(self, order: Mapping[str, Any]) -> Any:
        outcome = self._feed.deliver(self.plan.function("feed"), self.http("/feed", order))
        if outcome["status"] != 200:
            raise RuntimeError(str(outcome))
        return json.loads(outcome["body"])

    def start(self) -> None:
        (self.folder / "faults.json").write_text(json.dumps(self.broker_faults))
        self._launch()
        self.loop("dispatcher", self._watch)

    def _launch(self) -> None:
        command = [sys.executable, "-m", "tests.faults.local_loop"]
        self._process = subprocess.Popen(
            [*command, str(self.manifest), str(self.folder)],
            cwd=_ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def _watch(self) -> bool:
        assert self._process is not None
        self._collect()
        status = self._process.poll()
        if status is None:
            return False
        self._close_process()
        if status != LOST:
            log = (self.folder / "dispatcher.log").read_text()[-3000:]
            raise RuntimeError(f"the dispatcher ended with {status}: {log}")
        self.restarts += 1
        self._launch()
        return True

    def _collect(self) -> None:
        """Read what the dispatcher has written about deliveries."""
        with self._record.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        self.deliveries.all += [Delivery(*json.loads(line)) for line in data.splitlines()]

    def pending(self) -> dict[str, int]:
        found = {
            function.name: count
            for function in self.plan.functions
            if function.kind != "http" and (count := self._broker.waiting(function))
        }
        if not found:
            # What was sent, and not shared out yet.
            cursor = self._broker.intake.cursor()
            row = self._broker.store.connection.execute("select max(number) from messages").fetchone()
            if (row[0] or 0) > cursor:
                found["?"] = row[0] - cursor
        return found

    def dead_letters(self) -> DeadLetters:
        return LocalDeadLetters(self._root, self.plan)

    def redrive(self, letters: DeadLetters, box: str) -> Redriven:
        """As whoever mends a service does it: by the command."""
        command = [sys.executable, "-m", "portafaas", "dlq", "redrive", box, "--all"]
        done = subprocess.run(
            [*command, "--manifest", str(self.manifest), "--format", "json"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"dlq redrive of {box}: {done.returncode}: {done.stderr}")
        said = json.loads(done.stdout)
        return Redriven(said["moved"], tuple((one["id"], one["reason"]) for one in said["failed"]))

    def _close_process(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def close(self) -> None:
        self.stop()
        self._close_process()
        self._collect()
        self._feed.close()
        self._broker.close()
        self._log.close()
