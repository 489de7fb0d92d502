"""What a handler reaches with ``context.queues`` and its like: grants, drivers, errors. Ships.

Only what the function's ``uses`` grants is reachable, by name and by verb. The core checks
arguments, encodes, and adds tracing and correlation; a target's driver, the module
``portafaas_<target>.runtime.resources``, talks to the platform. ``docs/spec/resources.md`` has the
rules. Nothing is imported before the first use.

One module, since every client needs all of it: a second file would cost each cold start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from portafaas.runtime.context import Context
    from portafaas.runtime.objects import ObjectInfo
    from portafaas.runtime.rows import Row, Write
    from portafaas.runtime.workflows import RunStatus

    class Driver(Protocol):
        """A target's module of functions; *address* is the value of the function's variable."""

        def send(
            self, address: str, messages: Sequence[Outgoing], ordered: bool
        ) -> list[tuple[int, str]]:
            """Send to a queue; return (index, reason) of what failed, raise when all did."""

        def publish(
            self, address: str, messages: Sequence[Outgoing], ordered: bool
        ) -> list[tuple[int, str]]:
            """Publish to a topic; as ``send``."""

        def get_row(self, address: str, key: dict[str, str]) -> Row | None:
            """Return the row with that key, or None; an expired one may be returned."""

        def query(
            self,
            address: str,
            key: tuple[str, str],
            sort: str,
            prefix: str | None,
            first: str | None,
            last: str | None,
            descending: bool,
            limit: int,
            after: str | None,
        ) -> tuple[list[Row], bool]:
            """Return rows whose key (name and value) is *key*, and whether more may follow.

            In the order of their *sort* keys: at most *limit*, of those that begin with *prefix*
            or are from *first* to *last*, behind the one that is *after*.
            """

        def scan(self, address: str) -> Iterator[Row]:
            """Yield every row, in no order, page by page."""

        def write_row(self, address: str, write: Write, ttl: str) -> Row | None:
            """Do one write, atomically, and return the row after it (None: deleted).

            *ttl* names the attribute that says when a row expires, or is "". An expired row counts
            as absent. Raises what ``portafaas.runtime.rows.apply`` does.
            """

        def commit(self, address: str, writes: Sequence[Write], ttl: str) -> None:
            """Do all writes or none, each as ``write_row``."""

        def read(self, address: str, key: str) -> bytes:
            """Return an object's content; raises NotFound."""

        def read_range(self, address: str, key: str, start: int, size: int, etag: str) -> bytes:
            """Return *size* bytes of an object from *start*; raises Conflict for another etag."""

        def stat(self, address: str, key: str) -> ObjectInfo:
            """Return what is known of an object; raises NotFound."""

        def list_objects(
            self, address: str, prefix: str, after: str | None, limit: int
        ) -> tuple[list[ObjectInfo], str | None]:
            """Return objects in the order of their keys, and the cursor of the next page."""

        def write(
            self, address: str, key: str, data: bytes, content_type: str | None, if_absent: bool
        ) -> None:
            """Store an object; raises Conflict when there is one and *if_absent*."""

        def write_parts(
            self,
            address: str,
            key: str,
            parts: Iterator[bytes],
            content_type: str | None,
            if_absent: bool,
        ) -> None:
            """Store an object of two or more parts of 8 MiB, the last one less, as ``write``.

            What *parts* raises is raised, and nothing is stored.
            """

        def signed_url(
            self, address: str, key: str, method: str, expires: int, content_type: str | None
        ) -> str:
            """Return a URL for GET or PUT that is good for *expires* seconds."""

        def delete(self, address: str, key: str) -> None:
            """Delete an object, if there is one."""

        def secret(self, address: str) -> bytes:
            """Return a secret's current value; raises NotFound when it has none."""

        def start_run(self, address: str, input: Any) -> str:
            """Start a run of a workflow and return its id; *input* is a JSON value."""

        def run_status(self, address: str, run: str) -> RunStatus:
            """Return how a run is; raises NotFound when there is none."""

        def signal_run(self, address: str, run: str, name: str, payload: Any) -> None:
            """Hand a JSON value to a run that waits for the signal *name*.

            Raises NotFound when there is no such run, NotWaiting when it does not wait for it.
            """


#: Variable that names the driver's module instead of the target's own.
DRIVER = "PORTAFAAS_RESOURCES"

#: Name of the module in ``portafaas.runtime``, and of the class in it, of each kind's client.
_CLIENTS = {
    "queue": ("queues", "Queue"),
    "topic": ("topics", "Topic"),
    "table": ("tables", "Table"),
    "bucket": ("buckets", "Bucket"),
    "secret": ("secrets", "Secret"),
    "workflow": ("workflows", "Workflow"),
}

#: Verbs of each kind, to name the line to add.
_VERBS = {
    "queue": ("send",),
    "topic": ("publish",),
    "table": ("read", "write"),
    "bucket": ("read", "write"),
    "secret": ("read",),
    "workflow": ("start",),
}


class ResourceError(Exception):
    """A resource could not be used.

    Attributes:
        retryable: True when the same call may succeed later (throttled, timed out, unreachable).
        failed: ``(index, reason)`` of the messages of a batch that were not sent; the others were.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retryable: bool = False,
        failed: Sequence[tuple[int, str]] = (),
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.failed = tuple(failed)


class NotFound(ResourceError):
    """There is no such object, no row to update, or the secret has no value."""


class Conflict(ResourceError):
    """A condition does not hold: there is one with that key, or it is not as it should be."""


class NotWaiting(ResourceError):
    """The run of a workflow does not wait for that signal: it has ended, or is not that far."""


class NotGranted(ResourceError, PermissionError):
    """The function's ``uses`` does not grant it; the message names the line to add."""


class Outgoing:
    """One message on its way to a queue or a topic, as drivers get it.

    Attributes:
        id: of the message; of the CloudEvent in a topic.
        body: bytes.
        content_type: or None.
        attributes: the sender's, ``ce-...`` for the attributes of a CloudEvent, and those of
            tracing and correlation (dict of str).
        key: ordering key, or None.
        delay: whole seconds before it is delivered.
        dedup: messages with one value are delivered once, where the platform can; or None.
    """

    __slots__ = ("attributes", "body", "content_type", "dedup", "delay", "id", "key")

    def __init__(
        self,
        id: str,
        body: bytes,
        *,
        content_type: str | None = None,
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: int = 0,
        dedup: str | None = None,
    ) -> None:
        self.id = id
        self.body = body
        self.content_type = content_type
        self.attributes = dict(attributes or ())
        self.key = key
        self.delay = delay
        self.dedup = dedup

    def __repr__(self) -> str:
        return f"<Outgoing id={self.id!r} {len(self.body)} bytes>"


class Clients:
    """The resources of one kind that the function may use, by their names in the manifest.

    A read-only mapping. Raises NotGranted for any other name.
    """

    __slots__ = ("_context", "_kind", "_made")

    def __init__(self, context: Context, kind: str) -> None:
        self._context = context
        self._kind = kind
        self._made: dict[str, Any] = {}

    def _granted(self) -> Mapping[str, Any]:
        granted: Mapping[str, Any] = self._context._function.uses.get(self._kind, {})
        return granted

    def __getitem__(self, name: str) -> Any:
        client = self._made.get(name)
        if client is None:
            grant = self._granted().get(name)
            if grant is None:
                raise not_granted(self._context, self._kind, name, _VERBS[self._kind])
            import importlib

            module, kind = _CLIENTS[self._kind]
            made = getattr(importlib.import_module(f"portafaas.runtime.{module}"), kind)
            client = self._made[name] = made(self._context, name, grant)
        return client

    def __contains__(self, name: object) -> bool:
        return name in self._granted()

    def __iter__(self) -> Iterator[str]:
        return iter(self._granted())

    def __len__(self) -> int:
        return len(self._granted())

    def __repr__(self) -> str:
        return f"<{self._kind}s {', '.join(self._granted()) or 'none'}>"


class Client:
    """What all kinds of clients share: the grant, the address and the driver."""

    __slots__ = ("_context", "_grant", "name")

    kind = ""

    def __init__(self, context: Context, name: str, grant: Mapping[str, Any]) -> None:
        self._context = context
        self._grant = grant
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"

    def _check(self, verb: str) -> None:
        if verb not in self._grant["verbs"]:
            raise not_granted(self._context, self.kind, self.name, (verb,))

    def _address(self) -> str:
        from os import environ

        variable = f"PORTAFAAS_{self.kind}_{self.name}".upper().replace("-", "_")
        # A test's context says in the grant where things are.
        address = self._grant.get("address") or environ.get(variable)
        if not address:
            raise ResourceError(f"{variable}, which says where {self!r} is, is not set")
        return address

    def _driver(self) -> Any:
        return driver(self._context.target)


def not_granted(context: Context, kind: str, name: str, verbs: Sequence[str]) -> NotGranted:
    """Return the error that says which line ``uses`` lacks."""
    lines = " or ".join(f"'- {verb}: {name}'" for verb in verbs)
    return NotGranted(
        f"function {context.function!r} may not {' or '.join(verbs)} {kind} {name!r}: add {lines} "
        "to its 'uses' in portafaas.yaml"
    )


def driver(target: str) -> Any:
    """Return the module that talks to the platform; see :class:`Driver`."""
    import importlib
    from os import environ

    module = environ.get(DRIVER)
    if not module:
        local = target == "local"
        module = "portafaas.local.resources" if local else f"portafaas_{target}.runtime.resources"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
            raise
        raise ResourceError(f"target {target!r} has no clients: no module {module}") from None


def stand_in(target: str) -> Any:
    """Return the module that stands for the platform on a developer's machine; None elsewhere.

    What a bridge asks of its platform to settle a delivery is told to its ``client``.
    """
    from os import environ

    return driver(target) if environ.get(DRIVER) else None


def new_id() -> str:
    """Return a random id, a UUID of version 4 (RFC 9562 section 5.4)."""
    from os import urandom

    raw = bytearray(urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
