"""Steps that check, and that tell people."""

from __future__ import annotations

from typing import Any

from portafaas.runtime import Conflict, Context, Task, TaskHandler
from saga.domain import parse_order


class Validate(TaskHandler):
    """Everybody who may start the workflow can give it anything: check it, and add the price."""

    def handle(self, task: Task, context: Context) -> dict[str, Any]:
        return parse_order(task.input).to_dict()


class Mail(TaskHandler):
    """Tell the customer that the order is on its way."""

    def handle(self, task: Task, context: Context) -> None:
        order, cents = task.input["order"], task.input["cents"]
        send(
            context,
            order,
            "thanks",
            task.input["customer"],
            f"Your order {order} over {cents} is on its way.",
        )


class Apologise(TaskHandler):
    """Tell the customer that nothing will come, and that the money comes back."""

    def handle(self, task: Task, context: Context) -> None:
        order, why = task.input["order"], task.input["why"]
        text = {
            "PaymentDeclined": "your bank declined it",
            "OutOfStock": "something is sold out",
            "NotApproved": "we cannot supply that much",
        }.get(why, "something went wrong")
        send(
            context,
            order,
            "sorry",
            task.input["customer"],
            f"Your order {order} will not come: {text}.",
        )


class Pack(TaskHandler):
    """Tell the depot what to send."""

    def handle(self, task: Task, context: Context) -> None:
        once(context, "parcels", {"id": task.input["order"], "lines": task.input["lines"]})


def send(context: Context, order: str, kind: str, to: str, text: str) -> None:
    """Send a letter: one of a kind for each order, however often the step is tried."""
    if once(context, "letters", {"id": f"{order}/{kind}", "to": to, "text": text}):
        context.logger.info("letter %s of order %s", kind, order)


def once(context: Context, table: str, row: dict[str, Any]) -> bool:
    """Write a row, and tell whether it was not there."""
    try:
        context.tables[table].put(row, if_absent=True)
    except Conflict:
        return False
    return True
