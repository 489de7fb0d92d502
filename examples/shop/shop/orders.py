"""Taking and checking orders."""

from __future__ import annotations

import hashlib

from portafaas.runtime import (
    Conflict,
    Context,
    Event,
    EventHandler,
    HttpError,
    HttpHandler,
    Request,
    Response,
)
from shop.domain import InvalidOrder, parse_order


class CreateOrder(HttpHandler):
    """POST /orders. The same order with the same idempotency key has the same id."""

    def handle(self, request: Request, context: Context) -> Response:
        try:
            order = parse_order(request.json())
        except InvalidOrder as error:
            raise HttpError(422, str(error)) from error
        key = request.headers.get("idempotency-key", context.invocation_id)
        name = hashlib.sha256(f"{order.customer}/{key}".encode()).hexdigest()[:12]
        row = {**order.to_dict(), "id": name, "currency": context.config["currency"]}
        try:
            context.tables["orders"].put({**row, "state": "placed"}, if_absent=True)
        except Conflict:
            # The same request once more. The event may not have got out the first time, and those
            # who get it twice do nothing twice.
            context.logger.info("order %s was placed already", name)
        context.topics["order-events"].publish(row, type="shop.order.placed", subject=name)
        context.logger.info("order %s placed", name, extra={"cents": order.cents})
        context.metrics.count("orders-placed")
        return Response.json(row, 201, {"location": f"/orders/{name}"})


def get_order(request: Request, context: Context) -> dict[str, object]:
    """GET /orders/{id}."""
    order = context.tables["orders"].get(request.path_params["id"])
    if order is None:
        raise HttpError(404, "there is no such order")
    return order


class Validate(EventHandler):
    """An order was placed: check what the customer could not know, then have it paid."""

    def handle(self, event: Event, context: Context) -> None:
        try:
            order = parse_order(event.data)
        except InvalidOrder as error:
            # Trying again would not make it valid.
            context.logger.warning("order %s refused: %s", event.subject, error)
            return
        context.queues["payments"].send(event.data, dedup=event.subject)
        context.logger.info("order %s is valid", event.subject, extra={"cents": order.cents})
