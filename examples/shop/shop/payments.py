"""Charging what was ordered."""

from __future__ import annotations

from portafaas.runtime import Batch, BatchHandler, BatchResult, Context, Message, QueueHandler
from shop.domain import InvalidOrder, parse_order


class Charge(BatchHandler):
    """Charges each order of the batch; only those that failed come again."""

    def handle(self, batch: Batch, context: Context) -> BatchResult:
        result = BatchResult()
        for message in batch:
            try:
                order = parse_order(message.json())
            except (InvalidOrder, ValueError) as error:
                context.logger.error("message %s cannot be charged: %s", message.id, error)
                result.retry(message)
                continue
            context.logger.info("order %s charged", order.id, extra={"cents": order.cents})
        return result


class Sale(QueueHandler):
    """Takes the orders of the sale day at the pace that payments can bear."""

    def handle(self, message: Message, context: Context) -> None:
        order = parse_order(message.json())
        context.logger.info("sale order %s of %s", order.id, message.key)
