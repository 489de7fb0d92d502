"""Handlers that leave a line in the log, by which tests see that they ran."""

from __future__ import annotations

from typing import Any


def web(request: Any, context: Any) -> Any:
    return {"ran": True}


def note(payload: Any, context: Any) -> None:
    print("handler-ran", type(payload).__name__, flush=True)
