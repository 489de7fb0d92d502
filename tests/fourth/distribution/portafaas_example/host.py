"""The platform itself: ``python -I -B host.py PACKAGE ENTRY INBOX OUTBOX``.

Imports the entry, says so, and then answers each line of the descriptor INBOX - ``{"event",
"facts"}`` - with one on OUTBOX. Knows nothing of portafaas, and runs without it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    """Serve until INBOX is closed."""
    package, entry, inbox, outbox = sys.argv[1:]
    sys.path.insert(0, package)
    module, _, name = entry.partition(":")
    with os.fdopen(int(inbox), "rb") as requests, os.fdopen(int(outbox), "wb") as answers:

        def answer(content: dict[str, Any]) -> None:
            answers.write(json.dumps(content).encode() + b"\n")
            answers.flush()

        try:
            call = getattr(importlib.import_module(module), name)
        except Exception as exc:
            answer(_error(exc))
            return
        answer({"ok": True, "value": None})
        for line in requests:
            order = json.loads(line)
            try:
                answer({"ok": True, "value": call(order["event"], order["facts"])})
            except Exception as exc:
                answer(_error(exc))


def _error(error: Exception) -> dict[str, Any]:
    stack = "".join(traceback.format_exception(error))
    return {"ok": False, "type": type(error).__name__, "message": str(error), "stack": stack}


if __name__ == "__main__":
    main()
