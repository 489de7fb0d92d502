from portafaas.runtime import Context, Message, QueueHandler, ScheduleEvent


class Work(QueueHandler):
    def handle(self, message: Message, context: Context) -> None:
        job = message.json()
        context.logger.info("working on %s, attempt %d", job, message.attempt)


def clean_up(event: ScheduleEvent, context: Context) -> None:
    context.logger.info("cleaning up at %s", event.time)
