"""What a plan may need and how far a target offers it. Silence of an adapter is an error."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """A feature of the neutral model."""

    TRIGGER_HTTP = "trigger.http"
    TRIGGER_SCHEDULE = "trigger.schedule"
    TRIGGER_QUEUE = "trigger.queue"
    TRIGGER_TOPIC = "trigger.topic"
    TRIGGER_OBJECT = "trigger.object"
    TRIGGER_TABLE = "trigger.table"
    TRIGGER_TASK = "trigger.task"
    HTTP_WILDCARD_PATH = "http.wildcard-path"
    HTTP_CORS = "http.cors"
    HTTP_AUTH_KEY = "http.auth.key"
    HTTP_AUTH_JWT = "http.auth.jwt"
    HTTP_AUTH_IAM = "http.auth.iam"
    HTTP_RATE = "http.rate"
    HTTP_ASGI = "http.asgi"
    HTTP_WSGI = "http.wsgi"
    SCHEDULE_TIMEZONE = "schedule.timezone"
    QUEUE_BATCH = "queue.batch"
    QUEUE_ORDERED = "queue.ordered"
    TOPIC_FILTER = "topic.filter"
    TOPIC_ORDERED = "topic.ordered"
    OBJECT_DELETED = "object.deleted"
    OBJECT_SUFFIX = "object.suffix"
    TABLE_INSERT = "table.insert-update"
    TABLE_DELETE = "table.delete"
    TABLE_OLD_IMAGE = "table.old-image"
    CONCURRENCY = "function.concurrency"
    MIN_INSTANCES = "function.min-instances"
    MAX_INSTANCES = "function.max-instances"
    ALERT_ERRORS = "alert.errors"
    ALERT_LATENCY = "alert.latency-p95"
    ALERT_DEAD_LETTERS = "alert.dead-letters"
    ALERT_OLDEST_MESSAGE = "alert.oldest-message"
    ARCHITECTURE_ARM = "package.aarch64"
    WORKFLOW = "workflow"


class Support(StrEnum):
    """How far a target supports a capability; everything but FULL is refused with PF3001."""

    #: Works, and behaves as the specification says.
    FULL = "full"
    #: The cloud could; the adapter does not yet.
    NOT_IMPLEMENTED = "not-implemented"
    #: The cloud cannot.
    UNSUPPORTED = "unsupported"
