"""Charging what was ordered, and paying it back. The bank is a stand-in that keeps a table."""

from __future__ import annotations

from portafaas.runtime import ABSENT, Conflict, Context, NotFound, Task, TaskHandler
from saga.steps import once


class PaymentDeclined(Exception):
    """The bank does not pay. Trying again would not help: the workflow goes another way."""


class BankBusy(Exception):
    """The bank does not answer for now."""


class Charge(TaskHandler):
    """Charge an order. The bank knows it by its id, and charges it once."""

    def handle(self, task: Task, context: Context) -> dict[str, str]:
        order, cents = task.input["order"], task.input["cents"]
        if task.input["customer"] == "Patience" and task.attempt < 3:
            # To see retries: this customer's bank answers the third time.
            raise BankBusy("the line is engaged")
        if cents > context.config["bank-limit"]:
            raise PaymentDeclined(f"no cover for {cents} cents")
        payment = {"order": order, "id": f"pay-{order}", "cents": cents}
        if not once(context, "payments", payment):
            found = context.tables["payments"].get(order)
            if found is None or "refunded" in found:
                raise PaymentDeclined("this order was paid back")
        context.logger.info("order %s charged", order, extra={"cents": cents})
        return {"id": payment["id"]}


class Refund(TaskHandler):
    """Pay an order back; twice is as good as once."""

    def handle(self, task: Task, context: Context) -> None:
        order = task.input["order"]
        try:
            context.tables["payments"].update(
                order, set={"refunded": True}, add={"refunds": 1}, when={"refunded": ABSENT}
            )
        except (Conflict, NotFound):
            return
        context.logger.info("order %s paid back", order)
