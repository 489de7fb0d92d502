"""The child process that has a function's package in a platform's runtime; see ``vendor``.

Its orders and answers are those of ``portafaas.local.child``, and of ``portafaas.local.place``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from portafaas.local.orphan import end_alone
from portafaas.local.place import Place
from portafaas.local.vendor import VARIABLES


def serve() -> None:
    """Answer every line until the parent closes the pipe."""
    requests_at, answers_at = map(int, sys.argv[1:3])
    variables = json.loads(os.environ.pop(VARIABLES))
    place = Place(Path(sys.argv[3]), sys.argv[4], variables, Path(sys.argv[5]))
    place.limited = True

    def ended(number: int, frame: object) -> None:
        place.close()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, ended)
    end_alone(requests_at, place.close)
    with (
        contextlib.suppress(BrokenPipeError),
        contextlib.closing(place),
        os.fdopen(requests_at, "r") as requests,
        os.fdopen(answers_at, "w") as answers,
    ):
        run = ""

        def tell(facts: dict[str, Any]) -> None:
            answers.write(json.dumps({**facts, "run": run}) + "\n")
            answers.flush()

        if "observed" in sys.argv[6:]:
            place.observe(tell)
        for line in requests:
            order: dict[str, Any] = json.loads(line)
            run = order.get("run", "")
            place.begin(run)
            if "items" in order:
                answer = place.items(order["items"])
            elif "task" in order:
                answer = place.task(order["task"])
            elif "load" in order:
                place.ready()
                answer = {"ready": True}
            else:
                answer = place.event(order["event"])
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    serve()
