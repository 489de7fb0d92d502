"""The function of a table with ``outbox`` that sends what its writers could not. Ships.

The plan adds it to the service as ``<table>-outbox``, with the table's changes as its trigger. It
sees every row of the outbox once it is committed; those whose messages were sent at once are gone.
"""

from __future__ import annotations

from portafaas.runtime.outbox import MESSAGE, Pending
from portafaas.runtime.outbox import relay as send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.runtime.context import Context
    from portafaas.runtime.event import ChangeEvent

#: Seconds that the one who committed has for sending it; by then all replicas have the row, too.
SETTLE = 1.0


def relay(event: ChangeEvent, context: Context) -> None:
    """Send, in order, all that waits under the key of a row of the outbox."""
    from time import sleep, time

    table = context.tables[event.table]
    names = table._names()
    committed = float(((event.new or {}).get(MESSAGE) or {}).get("at", 0))
    wait = committed + SETTLE - time()
    if wait > 0:
        sleep(min(wait, SETTLE))
    while True:
        now = time()
        found = [Pending.read(row, names, now) for row in table._pending(event.keys[names[0]])]
        # Younger ones have an event of their own.
        rows = [row for row in found if row.at <= max(committed, now - SETTLE)]
        if not rows:
            return
        send(context, table, event.keys[names[0]], rows)
