"""Charging what was ordered."""

from __future__ import annotations

from typing import Any

from portafaas.runtime import Batch, BatchHandler, BatchResult, Context, Message, QueueHandler
from shop.domain import InvalidOrder, Order, parse_order


class Charge(BatchHandler):
    """Charges each order of the batch; only those that failed come again."""

    def handle(self, batch: Batch, context: Context) -> BatchResult:
        key = context.secrets["payment-key"].get()
        result = BatchResult()
        for message in batch:
            # What follows from each order is told under its own correlation id.
            with context.following(message):
                try:
                    value = message.json()
                    order = parse_order(value)
                except (InvalidOrder, ValueError) as error:
                    context.logger.error("message %s cannot be charged: %s", message.id, error)
                    result.retry(message)
                    continue
                state = "paid" if pay(order, key, context.config["order-limit"]) else "refused"
                self.settle(value, order, state, context)
        return result

    def settle(self, value: dict[str, Any], order: Order, state: str, context: Context) -> None:
        """Keep what became of the order, and tell whom it concerns. Twice is as good as once."""
        context.tables["orders"].put({**value, **order.to_dict(), "state": state})
        context.topics["order-events"].publish(
            {"id": order.id, "customer": order.customer, "cents": order.cents},
            type=f"shop.order.{state}",
            subject=order.id,
        )
        context.logger.info("order %s %s", order.id, state, extra={"cents": order.cents})


def pay(order: Order, key: str, limit: int) -> bool:
    """Ask the bank, which knows the order by its id and charges it once.

    This one is a stand-in: it takes any key and agrees up to *limit* cents.
    """
    return bool(key) and order.cents <= limit


class Sale(QueueHandler):
    """Takes the orders of the sale day at the pace that payments can bear."""

    def handle(self, message: Message, context: Context) -> None:
        order = parse_order(message.json())
        context.queues["payments"].send(message.json())
        context.logger.info("sale order %s of %s", order.id, message.key)
