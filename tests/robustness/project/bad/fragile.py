"""Handlers that cannot be made ready while a file says so."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


def check(stage: str) -> None:
    place = os.environ.get("ROBUST_FLAGS", "/nowhere")
    for how in ("raise", "exit", "system-exit", "hang"):
        if os.path.exists(f"{place}/{stage}-{how}"):  # noqa: PTH110
            if how == "raise":
                raise RuntimeError(f"no {stage} today")
            if how == "exit":
                os._exit(3)
            if how == "system-exit":
                sys.exit(3)
            time.sleep(30)


class Construct:
    def __init__(self) -> None:
        check("construct")

    def handle(self, payload: Any, context: Any) -> Any:
        return {"fine": True}


class Init:
    def init(self) -> None:
        check("init")

    def handle(self, payload: Any, context: Any) -> Any:
        return {"fine": True}


class AsyncInit:
    async def init(self) -> None:
        check("async-init")

    async def handle(self, payload: Any, context: Any) -> Any:
        return {"fine": True}
