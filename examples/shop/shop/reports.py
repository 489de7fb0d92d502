"""What the owner reads in the morning."""

from __future__ import annotations

from collections import Counter

from portafaas.runtime import Context, ScheduleEvent, ScheduleHandler


class DailyReport(ScheduleHandler):
    """Runs at six on weekdays, local time."""

    def handle(self, event: ScheduleEvent, context: Context) -> None:
        states: Counter[str] = Counter()
        cents: Counter[str] = Counter()
        for order in context.tables["orders"].scan():
            states[order["state"]] += 1
            cents[order["state"]] += order["cents"]
        context.logger.info(
            "report of %s", (event.time or "")[:10], extra={"orders": states, "cents": cents}
        )
