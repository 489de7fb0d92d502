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
        for line in parse_order(row).lines:
            context.logger.info("take %d of %s from the stock", line.count, line.sku)
