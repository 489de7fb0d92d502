"""The handlers; each is one pattern."""

from faulty import probe

from portafaas.runtime import BatchResult, Conflict, batch_handler


def single(message, context):
    """A standard queue, one message at a time."""
    probe.act("single", message, context)


def ordered(message, context):
    """An ordered queue, one message at a time."""
    probe.act("ordered", message, context)


def first(event, context):
    """A topic's subscriber."""
    probe.act("first", event, context)


def second(event, context):
    """The same topic's other subscriber."""
    probe.act("second", event, context)


def once(message, context):
    """A standard queue, each message once: an idempotent consumer."""
    probe.act("once", message, context)


def order(message, context):
    """Writes a row and sends a message, both or neither: an outbox."""
    number, turn, step = probe.begin("order", message, context)
    probe.before(step)
    probe.read(message, number)
    with probe.unsent(step == "exit-unsent"):
        try:
            with context.outbox("books") as box:
                box.put({"book": number, "part": "order"}, if_absent=True)
                box.send("relayed", message.text, attributes={"n": number})
        except Conflict:
            probe.note("known", "order", number, turn)
        else:
            probe.note("effect", "order", number, turn)
    probe.after(step)
    probe.note("end", "order", number, turn)


def relayed(message, context):
    """Gets what the outbox sends."""
    probe.act("relayed", message, context)


@batch_handler
def batch(messages, context):
    """A standard queue, batches at a time; says for each message what became of it."""
    result = BatchResult()
    for message in messages:
        number, turn, step = probe.begin("batch", message, context)
        if step == "drop":
            result.drop(message)
            probe.note("drop", "batch", number, turn)
            continue
        if step == "dead":
            result.dead_letter(message, "on purpose")
            continue
        if step == "retry":
            result.retry(message)
            continue
        probe.before(step)
        try:
            probe.read(message, number)
        except ValueError as exc:
            result.dead_letter(message, f"unreadable: {exc}")
            continue
        probe.note("effect", "batch", number, turn, k=message.key)
        probe.after(step)
        probe.note("end", "batch", number, turn)
    return result
