"""Taking articles from the stock, and putting them back.

One row for each article holds how many are left and which orders hold some, so that one conditional
write does both, and doing it twice is as good as once.
"""

from __future__ import annotations

from typing import Any

from portafaas.runtime import Context, Task, TaskHandler


class OutOfStock(Exception):
    """There are not that many."""


class Take(TaskHandler):
    """Take one line of an order. Raises Conflict when others were quicker: the step is retried."""

    def handle(self, task: Task, context: Context) -> dict[str, Any]:
        order, sku, count = task.input["order"], task.input["sku"], task.input["count"]
        stock = context.tables["stock"]
        row = stock.get(sku)
        if row is None:
            row = stock.put(
                {"sku": sku, "left": context.config["shelf"], "held": {}}, if_absent=True
            )
        if order not in row["held"]:
            if row["left"] < count:
                raise OutOfStock(f"{row['left']} of {sku} are left, not {count}")
            held = {**row["held"], order: count}
            stock.update(
                sku, set={"left": row["left"] - count, "held": held}, if_version=row.version
            )
            context.logger.info("%d of %s for order %s", count, sku, order)
        return {"order": order, "sku": sku, "count": count}


class Release(TaskHandler):
    """Put back what an order holds of an article."""

    def handle(self, task: Task, context: Context) -> None:
        order, sku = task.input["order"], task.input["sku"]
        stock = context.tables["stock"]
        row = stock.get(sku)
        if row is None or order not in row["held"]:
            return
        left = row["left"] + row["held"][order]
        held = {name: count for name, count in row["held"].items() if name != order}
        stock.update(sku, set={"left": left, "held": held}, if_version=row.version)
        context.logger.info("%s of order %s put back", sku, order)
