"""Sends what the tests ask for, through the clients that handlers have."""


def feed(request, context):
    """Send ``messages`` (body, attributes, key) to the queue or topic ``to``."""
    order = request.json()
    messages = order["messages"]
    if order["kind"] == "topic":
        sent = context.topics[order["to"]].publish_batch(
            {
                "data": message["body"],
                "type": "faults.item",
                "attributes": message["attributes"],
            }
            for message in messages
        )
    else:
        sent = context.queues[order["to"]].send_batch(messages)
    return {"sent": sent}
