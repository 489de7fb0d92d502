"""Taking and checking orders."""

from __future__ import annotations

import hashlib
import os

from portafaas.runtime import (
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

    def init(self) -> None:
        self.currency = os.environ["CURRENCY"]

    def handle(self, request: Request, context: Context) -> Response:
        try:
            order = parse_order(request.json())
        except InvalidOrder as error:
            raise HttpError(422, str(error)) from error
        key = request.headers.get("idempotency-key", context.invocation_id)
        name = hashlib.sha256(f"{order.customer}/{key}".encode()).hexdigest()[:12]
        context.logger.info("order %s placed", name, extra={"cents": order.cents})
        body = {**order.to_dict(), "id": name, "currency": self.currency}
        return Response.json(body, 201, {"location": f"/orders/{name}"})


def get_order(request: Request, context: Context) -> dict[str, object]:
    """GET /orders/{id}."""
    return {"id": request.path_params["id"], "state": "placed"}


class Validate(EventHandler):
    """An order was placed: check what the customer could not know."""

    async def handle(self, event: Event, context: Context) -> None:
        try:
            order = parse_order(event.data)
        except InvalidOrder as error:
            # Trying again would not make it valid.
            context.logger.warning("order %s refused: %s", event.subject, error)
            return
        context.logger.info("order %s is valid", event.subject, extra={"cents": order.cents})
