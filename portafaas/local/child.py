"""The child process of ``portafaas invoke`` without a target, and of ``portafaas deliver``.

Reads one JSON object a line - ``{"spec", "event"}``, of the local broker ``{"spec", "items"}``, of
a workflow ``{"spec", "task"}``, or ``{"spec", "load": true}`` to get ready for that - and writes
the outcome of each, so that what handlers print stays apart: from and to the file descriptors whose
numbers are its arguments. With a third one, ``observed``, what functions print and which spans they
had are lines, too: ``portafaas.local.observed``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any


def serve() -> None:
    """Answer every line until the parent closes the pipe."""
    from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
    from portafaas.local.orphan import end_alone
    from portafaas.local.runner import deliver
    from portafaas.runtime.function import Function

    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 (a plain string is what sys.path wants)
    # Whole lines, at once: several processes may print to one place.
    sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    functions: dict[str, Function] = {}
    requests_at, answers_at = map(int, sys.argv[1:3])
    end_alone(requests_at)
    # Whoever asked may be gone, killed: nobody wants the answer then.
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(requests_at, "r") as requests,
        os.fdopen(answers_at, "w") as answers,
    ):
        if os.environ.get("PORTAFAAS_DEBUG_PORT"):
            from portafaas.local.debugger import listen

            listen()
        observer = None
        if "observed" in sys.argv[3:]:
            from portafaas.local.observed import Observer

            observer = Observer(answers_at)
        for line in requests:
            order: dict[str, Any] = json.loads(line)
            if observer is not None:
                observer.begin(order.get("run", ""))
            spec = order["spec"]
            function = functions.get(spec["name"])
            if function is None:
                function = functions[spec["name"]] = Function(spec)
            if "items" in order:
                from portafaas.local.worker import attempt

                answer = attempt(function, order["items"])
            elif "task" in order:
                from portafaas.local.worker import task

                answer = task(function, order["task"])
            elif "load" in order:
                # What fails now does so again when it is called, and is told then.
                with contextlib.suppress(Exception):
                    function.load()
                answer = {"ready": True}
            else:
                answer = outcome_to_json(deliver(function, stimulus_from_json(order["event"])))
            text = json.dumps(answer) + "\n"
            if observer is not None:
                observer.write(text)
                continue
            answers.write(text)
            answers.flush()


if __name__ == "__main__":
    serve()
