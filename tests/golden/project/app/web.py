"""Handlers of http functions; what they do does not matter."""

from __future__ import annotations

from typing import Any

from portafaas.runtime import Context, Request


def create_order(request: Request, context: Context) -> dict[str, Any]:
    return {"order": request.path_params["id"]}


def files(request: Request, context: Context) -> str:
    return request.path_params["path"]
