"""A service that uses every trigger and every kind of resource."""

from __future__ import annotations

from typing import Any

from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.model import AlertPlan, ChannelPlan, Logs, SecretPlan, Use


def function(name: str, trigger: Any, *uses: Use, **more: Any) -> FunctionPlan:
    """Return a function whose handler does not matter."""
    return FunctionPlan(name, "app", "handler", trigger, uses=uses, **more)


FUNCTIONS = (
    function(
        "web", HttpTrigger((), "/web/{path*}"), min_instances=2, max_instances=7,
        concurrency=16, memory=1024, environment={"SIZES": "[1, 2]", "QUOTE": "it's {0}"},
    ),
    function(
        "orders-get", HttpTrigger(("GET",), "/orders/{id}", Auth("key", "PORTAFAAS_HTTP_KEYS")),
        Use("read", "table", "orders"), Use("read", "bucket", "files"),
    ),
    function("signed", HttpTrigger(("GET",), "/s", Auth("jwt", issuer="i", audience=("a",)))),
    function("private", HttpTrigger(("GET",), "/private", Auth("iam"))),
    function(
        "work", QueueTrigger("jobs", batch=5),
        Use("send", "queue", "in-order"), Use("publish", "topic", "news"),
        Use("read", "secret", "api-key"),
        timeout=60, concurrency=2, retry=Retry(attempts=7, declared=True), min_instances=1, max_instances=3,
    ),
    function("work-in-order", QueueTrigger("in-order")),
    function(
        "on-gold", TopicTrigger("news", (("type", ("paid",)), ("tier", ("gold", "o'r")))),
        Use("write", "bucket", "files"),
    ),
    function("on-log", TopicTrigger("log")),
    function(
        "on-file", ObjectTrigger("files", ("created", "deleted"), "in/", ".csv"),
        Use("read", "bucket", "files"), Use("write", "bucket", "archive"),
        retry=Retry(attempts=3, declared=True),
    ),
    function("on-archive", ObjectTrigger("archive"), Use("read", "bucket", "archive")),
    function("on-row", TableTrigger("orders"), Use("write", "table", "parts")),
    function(
        "on-part", TableTrigger("parts"), Use("write", "table", "parts"),
        Use("read", "table", "parts"), options={"leaseContainer": "other-leases"},
    ),
    function(
        "on-morning", ScheduleTrigger("30 6 * * *", "Europe/Berlin"),
        Use("read", "secret", "other-key"),
    ),
)  # fmt: skip

CHANNELS = (
    ChannelPlan("on-call", "on-call@example.com", "https://example.com/hook?key=1"),
    ChannelPlan("nobody", "nobody@example.com"),
    ChannelPlan("a-channel-of-a-long-name", webhook="https://example.com/other"),
)
ALERTS = (
    AlertPlan("web-errors", "errors", "web", "", 5.0, 300, ("on-call",), "The [shop] is down"),
    AlertPlan("web-slow", "latency-p95", "web", "", 1.5, 900, ("a-channel-of-a-long-name",)),
    AlertPlan("work-errors", "errors", "work", "", 0.0, 60, ("on-call",)),
    AlertPlan("orders-slow", "latency-p95", "orders-get", "", 0.25, 60, ("on-call",)),
    AlertPlan(
        "failed-jobs", "dead-letters", "", "jobs", 0.0, 3600,
        ("on-call", "a-channel-of-a-long-name"),
    ),
    AlertPlan("out-of-order", "dead-letters", "", "in-order", 10.0, 1800, ("on-call",)),
    AlertPlan("lost-files", "dead-letters", "on-file", "", 0.0, 60, ("on-call",)),
    AlertPlan("lost-news", "dead-letters", "on-gold", "", 2.0, 300, ("on-call",)),
)  # fmt: skip


def plan(**more: Any) -> BuildPlan:
    """Return the plan; *more* replaces what it is made of."""
    given: dict[str, Any] = {
        "service": "shop",
        "stage": "prod",
        "python": "3.12",
        "architecture": "x86_64",
        "functions": FUNCTIONS,
        "queues": (
            QueuePlan("jobs", dead_letter="failed", max_concurrency=9, retention=3600),
            QueuePlan("failed"),
            QueuePlan("in-order", ordered=True, dead_letter=True),
            QueuePlan("spare"),
        ),
        "topics": (TopicPlan("news"), TopicPlan("log", ordered=True)),
        "buckets": (BucketPlan("files"), BucketPlan("archive", versioned=True)),
        "tables": (TablePlan("orders", "order-id", "place", "expires"), TablePlan("parts")),
        "secrets": (SecretPlan("api-key"), SecretPlan("other-key")),
        "logs": Logs(60),
        "channels": CHANNELS,
    }
    given |= more
    names = {one.name for one in given["functions"]}
    queues = {one.name for one in given["queues"] if one.dead_letter}
    watched = tuple(one for one in ALERTS if one.function in names or one.queue in queues)
    return BuildPlan(**{"alerts": watched, **given})
