"""Does things that must be done once: a line in ``PORTAFAAS_SAGA_LEDGER`` each."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any


def _done(what: str, task: Any) -> None:
    with Path(os.environ["PORTAFAAS_SAGA_LEDGER"]).open("a") as file:
        file.write(f"{what} {task.key.partition('/')[2]}\n")
    mark = Path(os.environ["PORTAFAAS_SAGA_LEDGER"] + f".kill.{task.step}")
    if mark.exists():
        # Whoever waits for the answer never gets it.
        mark.unlink()
        os.kill(os.getppid(), signal.SIGKILL)


def do(task: Any, context: Any) -> dict[str, Any]:
    if isinstance(task.input, dict) and task.input.get("fail") == task.step:
        raise LookupError(f"no {task.step}")
    _done("do", task)
    return {"did": task.step}


def undo(task: Any, context: Any) -> None:
    _done("undo", task)
