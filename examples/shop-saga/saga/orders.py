"""Taking orders, and telling how they are."""

from __future__ import annotations

import hashlib
from typing import Any

from portafaas.runtime import Conflict, Context, HttpError, HttpHandler, Request, Response
from saga.domain import InvalidOrder, parse_order


class PlaceOrder(HttpHandler):
    """POST /orders. The same order with the same idempotency key has the same id, and one run."""

    def handle(self, request: Request, context: Context) -> Response:
        try:
            order = parse_order(request.json())
        except InvalidOrder as error:
            raise HttpError(422, str(error)) from error
        key = request.headers.get("idempotency-key", context.invocation_id)
        name = hashlib.sha256(f"{order.customer}/{key}".encode()).hexdigest()[:12]
        row = {**order.to_dict(), "id": name}
        orders = context.tables["orders"]
        try:
            orders.put(row, if_absent=True)
        except Conflict:
            known = orders.get(name) or {}
            if "run" in known:
                return Response.json(known, 201, {"location": f"/orders/{name}"})
        # A crash between the two lines below starts a second run when the customer asks again.
        # That does no harm: each step's work is kept under the order's id, and is done once.
        row["run"] = context.workflows["fulfil"].start(row)
        orders.update(name, set={"run": row["run"]})
        context.logger.info("order %s placed", name, extra={"run": row["run"]})
        return Response.json(row, 201, {"location": f"/orders/{name}"})


def get_order(request: Request, context: Context) -> dict[str, Any]:
    """GET /orders/{id}: the order, and how far it is. The run knows; nothing is kept twice."""
    order = context.tables["orders"].get(request.path_params["id"])
    if order is None:
        raise HttpError(404, "there is no such order")
    if "run" not in order:
        return {**order, "state": "placed"}
    run = context.workflows["fulfil"].status(order["run"])
    state = "waiting for approval" if "approved" in run.waiting else run.state
    told = {"error": run.error, "cause": run.cause} if run.error else {}
    return {**order, "state": state, **told}
