"""The build plan: the provider-neutral intermediate representation, frozen and fully resolved.

No None where a default exists, no provider word, no I/O. Durations are seconds, sizes bytes unless
a name says MiB. ``docs/architecture`` has the stage that fills it; adapters only read it.

All in one module: it has no code but what a plan says of itself, and is read as one vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from portafaas.record import dataclass, field

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cors:
    """Cross-origin rules of a route; ``methods`` is the union over all functions of one path."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ("*",)
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: int = 600
    #: True for the one function of a path that the platform routes preflight requests to.
    answers_preflight: bool = True


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may call a route; ``none`` is the absence of an Auth.

    ``keys`` is the name of the environment variable with the digests of the valid keys.
    """

    scheme: Literal["key", "jwt", "iam"]
    keys: str = ""
    issuer: str = ""
    audience: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    jwks: str = ""
    algorithms: tuple[str, ...] = ("RS256",)


@dataclass(frozen=True, slots=True)
class Rate:
    """Most requests of a route over all instances; each enforces its share of both numbers."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """An HTTP route. ``methods`` empty means any; ``path`` may end in ``{name*}``."""

    methods: tuple[str, ...]
    path: str
    auth: Auth | None = None
    cors: Cors | None = None
    max_body: int = 4_500_000
    rate: Rate | None = None
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True)
class ScheduleTrigger:
    """A 5-field cron expression in an IANA time zone."""

    cron: str
    timezone: str = "UTC"
    kind: Literal["schedule"] = "schedule"


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Messages of a queue; ``batch`` is the most a handler gets at once, ``window`` in seconds."""

    queue: str
    batch: int = 1
    window: int = 0
    kind: Literal["queue"] = "queue"


@dataclass(frozen=True, slots=True)
class TopicTrigger:
    """Events of a topic whose attributes each equal one of the filter's values."""

    topic: str
    filter: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kind: Literal["topic"] = "topic"


@dataclass(frozen=True, slots=True)
class ObjectTrigger:
    """Objects created in or deleted from a bucket; ``on`` holds ``created`` and/or ``deleted``."""

    bucket: str
    on: tuple[str, ...] = ("created",)
    prefix: str = ""
    suffix: str = ""
    kind: Literal["object"] = "object"


@dataclass(frozen=True, slots=True)
class TableTrigger:
    """Changes of a table.

    ``on`` is either ``("upsert",)`` (insert and update, not told apart) or some of ``insert``,
    ``update``, ``delete``; ``images`` some of ``new``, ``old``.
    """

    table: str
    on: tuple[str, ...] = ("upsert",)
    images: tuple[str, ...] = ("new",)
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class TaskTrigger:
    """Steps of the service's workflows."""

    kind: Literal["task"] = "task"


Trigger = (
    HttpTrigger
    | ScheduleTrigger
    | QueueTrigger
    | TopicTrigger
    | ObjectTrigger
    | TableTrigger
    | TaskTrigger
)
Kind = Literal["http", "schedule", "queue", "topic", "object", "table", "task"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How failed deliveries are repeated; ``attempts`` counts the first one, times in seconds."""

    attempts: int = 5
    backoff: Literal["fixed", "exponential"] = "exponential"
    initial: float = 1.0
    maximum: float = 60.0
    jitter: bool = True
    max_age: float = 86_400.0
    #: False when the manifest said nothing, so that a target keeps its own default.
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """One thing a function may do: ``verb`` on the resource ``name`` of ``kind``."""

    verb: Literal["read", "write", "send", "publish", "start"]
    kind: Literal["queue", "topic", "bucket", "table", "secret", "workflow"]
    name: str
    #: ``$.path`` of the line that asks for it; "" for an entry of the function's ``uses``.
    why: str = ""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How a function does the work of one key once; ``table`` keeps the records."""

    table: str
    #: Names and indices that lead to the key in the JSON body; empty is what the trigger has.
    key: tuple[str | int, ...] = ()
    #: Seconds that what was done is remembered.
    expires: int = 86_400
    #: What has no key is refused.
    required: bool = False


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """One function, every default resolved."""

    name: str
    #: ``module`` and ``attribute`` of ``handler: module:attribute``.
    module: str
    attribute: str
    trigger: Trigger
    interface: Literal["handler", "asgi", "wsgi"] = "handler"
    #: MiB.
    memory: int = 256
    #: Seconds.
    timeout: int = 30
    #: Invocations that one instance may run at the same time.
    concurrency: int = 1
    #: Instances that are kept ready; never more than ``max_instances``, if that bounds them.
    min_instances: int = 0
    #: Most instances at the same time; 0 is the platform's own limit.
    max_instances: int = 0
    #: What the manifest asks for, and ``PORTAFAAS_CONFIG`` with the service's settings as JSON.
    environment: Mapping[str, str] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    uses: tuple[Use, ...] = ()
    #: The function's ``targets.<name>`` block for the target being built; opaque to the core.
    options: Options = field(default_factory=dict)
    #: True for a ``async def`` handler or one with an async ``handle``, as far as the source tells.
    is_async: bool = False
    #: Topic -> the types of events it publishes there; a topic that is not named may get any.
    emits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: Why a cycle through this function ends; "" when nobody says.
    guard: str = ""
    idempotency: Idempotency | None = None
    #: ``$.path`` of the line that makes this function, of portafaas' own; "" for the manifest's.
    origin: str = ""

    @property
    def kind(self) -> Kind:
        """Kind of the trigger."""
        return self.trigger.kind

    def why(self, index: int) -> str:
        """Return the ``$.path`` of the line that asks for ``uses[index]``."""
        return self.uses[index].why or f"$.functions.{self.name}.uses[{index}]"

    @property
    def entry(self) -> str:
        """Name of the generated entry function: the function's name as an identifier."""
        return self.name.replace("-", "_")

    def emitted(self, topic: str) -> tuple[str, ...] | None:
        """Return the types of events that it declares to publish to *topic*; None for any."""
        return next((types for name, types in self.emits if name == topic), None)


@dataclass(frozen=True, slots=True)
class MessageSchema:
    """What the data of an event or a message is, as JSON Schema 2020-12; empty for no schema.

    ``version`` is raised when older messages need not be read any more, ``compatibility`` is what a
    changed schema of one version must be, ``file`` where it stands ("" for in the manifest).
    """

    document: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    compatibility: Literal["backward", "forward", "full"] = "backward"
    file: str = ""


@dataclass(frozen=True, slots=True)
class EventPlan:
    """A type of event that functions publish: ``shop.order.placed``."""

    name: str
    description: str = ""
    schema: MessageSchema = field(default_factory=MessageSchema)


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """A queue. ``dead_letter`` is False, True (its own dead-letter queue) or a queue's name."""

    name: str
    ordered: bool = False
    dead_letter: bool | str = False
    #: Seconds.
    retention: int = 345_600
    delay: int = 0
    max_concurrency: int = 0
    options: Options = field(default_factory=dict)
    schema: MessageSchema = field(default_factory=MessageSchema)
    #: Some of ``producers`` and ``consumers``: who else there is, outside this service.
    external: tuple[str, ...] = ()
    #: Bucket of bodies that are too long for a message; "" for none.
    claim_check: str = ""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic."""

    name: str
    ordered: bool = False
    options: Options = field(default_factory=dict)
    #: As of a queue.
    external: tuple[str, ...] = ()
    #: Bucket of data that is too long for a message; "" for none.
    claim_check: str = ""


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """A bucket of objects."""

    name: str
    versioned: bool = False
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A table of documents; ``key`` is the attribute that identifies a row."""

    name: str
    key: str = "id"
    sort: str = ""
    ttl: str = ""
    outbox: bool = False
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretPlan:
    """A secret, by reference only."""

    name: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkflowPlan:
    """A workflow; ``machine`` is its normal form (``docs/spec/workflows.md``)."""

    name: str
    machine: Mapping[str, Any]
    input: MessageSchema = field(default_factory=MessageSchema)
    output: MessageSchema = field(default_factory=MessageSchema)
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Logs:
    """What is kept of the functions' logs: days, and the least severe level."""

    retention: int = 30
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One way to tell somebody; either may be ""."""

    name: str
    email: str = ""
    #: An ``https://`` address.
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """Fires when ``metric`` of a function or queue is above ``threshold`` over ``window`` seconds.

    ``errors``: failed invocations within the window. ``latency-p95``: seconds. ``dead-letters``:
    messages there, of a queue or of what a function could not process. ``oldest-message``: seconds
    that the oldest message of a queue has waited. Exactly one of ``function`` and ``queue`` is set.
    """

    name: str
    metric: Literal["errors", "latency-p95", "dead-letters", "oldest-message"]
    function: str
    queue: str
    threshold: float
    #: 60, 300, 900, 1800 or 3600.
    window: int
    #: Names of channels.
    notify: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Third-party packages: the input file (relative to the project), and what may be built."""

    file: str = ""
    allow_sdist: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything an adapter needs to know about one service and stage."""

    service: str
    stage: str
    #: ``3.12``
    python: str
    #: ``x86_64`` or ``aarch64``
    architecture: str
    functions: tuple[FunctionPlan, ...]
    queues: tuple[QueuePlan, ...] = ()
    topics: tuple[TopicPlan, ...] = ()
    buckets: tuple[BucketPlan, ...] = ()
    tables: tuple[TablePlan, ...] = ()
    secrets: tuple[SecretPlan, ...] = ()
    workflows: tuple[WorkflowPlan, ...] = ()
    logs: Logs = field(default_factory=Logs)
    channels: tuple[ChannelPlan, ...] = ()
    alerts: tuple[AlertPlan, ...] = ()
    dependencies: Dependencies = field(default_factory=Dependencies)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    #: The service's ``targets.<name>`` block for the target being built.
    options: Options = field(default_factory=dict)
    events: tuple[EventPlan, ...] = ()

    def queue(self, name: str) -> QueuePlan:
        """Return the queue called *name*; the plan holds no dangling reference."""
        return next(queue for queue in self.queues if queue.name == name)

    def topic(self, name: str) -> TopicPlan:
        """Return the topic called *name*."""
        return next(topic for topic in self.topics if topic.name == name)

    def table(self, name: str) -> TablePlan:
        """Return the table called *name*."""
        return next(table for table in self.tables if table.name == name)

    def workflow(self, name: str) -> WorkflowPlan:
        """Return the workflow called *name*."""
        return next(workflow for workflow in self.workflows if workflow.name == name)

    def channel(self, name: str) -> ChannelPlan:
        """Return the channel called *name*."""
        return next(channel for channel in self.channels if channel.name == name)

    def line(self, path: str) -> str:
        """Return the ``$.path`` of the manifest's line for *path*.

        Another one only below a function of portafaas' own: the line that asks for the function.
        """
        for function in self.functions:
            if function.origin:
                own = f"$.functions.{function.name}"
                if path == own or path.startswith((f"{own}.", f"{own}[")):
                    return function.origin
        return path

    def function(self, name: str) -> FunctionPlan:
        """Return the function called *name*."""
        return next(function for function in self.functions if function.name == name)
