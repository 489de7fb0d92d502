"""Keeping the stock."""

from __future__ import annotations

from portafaas.runtime import ChangeEvent, ChangeHandler, Context
from shop.domain import parse_order


class TakeFromStock(ChangeHandler):
    """An order was written or changed: take its articles from the stock once it is paid."""

    def handle(self, event: ChangeEvent, context: Context) -> None:
        row = event.new or {}
        if row.get("state") != "paid":
            return
        order = parse_order(row)
        for line in order.lines:
            # One row for what one order takes: a change that is told twice takes it once.
            context.tables["stock"].put(
                {"sku": f"{line.sku}/{order.id}", "article": line.sku, "change": -line.count}
            )
            context.logger.info("take %d of %s from the stock", line.count, line.sku)
