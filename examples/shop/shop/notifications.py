"""Telling the customer."""

from __future__ import annotations

from portafaas.runtime import Context, Event


async def notify(event: Event, context: Context) -> None:
    """An order was paid or refused."""
    what = event.type.rpartition(".")[2]
    context.logger.info("tell the customer: order %s was %s", event.subject, what)
