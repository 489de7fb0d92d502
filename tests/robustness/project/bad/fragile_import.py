"""Cannot be imported while the file is there that says so."""

from __future__ import annotations

from typing import Any

from bad.fragile import check

check("import")


def handle(request: Any, context: Any) -> Any:
    return {"fine": True}


def work(message: Any, context: Any) -> None:
    return None
