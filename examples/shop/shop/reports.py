"""What the owner reads in the morning."""

from __future__ import annotations

from portafaas.runtime import Context, ScheduleEvent, ScheduleHandler


class DailyReport(ScheduleHandler):
    """Runs at six on weekdays, local time."""

    def handle(self, event: ScheduleEvent, context: Context) -> None:
        context.logger.info("report of %s", (event.time or "")[:10])
