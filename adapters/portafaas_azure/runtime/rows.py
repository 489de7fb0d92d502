"""Rows of tables as items of Cosmos DB, with azure-cosmos. Ships; imports at first use.

Long, since a file more would be an import more at a cold start.
"""

from __future__ import annotations

from threading import Lock

from portafaas.runtime.resources import ResourceError
from portafaas.runtime.rows import Row, apply
from portafaas_azure.runtime.shapes import identity, loaded, property_of, stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.rows import Write

#: Seconds to connect, to wait for an answer, and repetitions.
PATIENCE: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 15, "retry_total": 3}
#: Rows of a page.
PAGE = 200
#: Times that a write is tried while others change the row, and seconds of the first pause.
ATTEMPTS = 10
PAUSE = 0.02

_lock = Lock()
_clients: dict[str, Any] = {}
_tables: dict[str, Table] = {}


class Table:
    """A container, and the names of its keys as its definition has them."""

    __slots__ = ("container", "names")

    def __init__(self, container: Any, names: tuple[str, ...]) -> None:
        self.container = container
        self.names = names


def table(address: str) -> Table:
    """Return the table at ``https://<account>/dbs/<database>/colls/<container>``."""
    with _lock:
        found = _tables.get(address)
        if found is not None:
            return found
        from portafaas.runtime.text import percent_decode

        endpoint, _, rest = address.partition("/dbs/")
        database, _, name = rest.partition("/colls/")
        client = _clients.get(endpoint)
        if client is None:
            from azure.cosmos import CosmosClient

            from portafaas_azure.runtime.failures import quiet
            from portafaas_azure.runtime.identity import credential

            quiet()
            client = _clients[endpoint] = CosmosClient(endpoint, credential(), **PATIENCE)
        where = client.get_database_client(percent_decode(database))
        container = where.get_container_client(percent_decode(name))
        # The client asks for the definition anyway before it calls; and asking here tells a table
        # that is not there from a row that is not.
        definition = container.read()
        unique = (definition.get("uniqueKeyPolicy") or {}).get("uniqueKeys") or []
        paths = [*definition["partitionKey"]["paths"], *(unique[0]["paths"] if unique else ())]
        found = _tables[address] = Table(container, tuple(_name(path) for path in paths))
        return found


def _name(path: str) -> str:
    """Return the attribute of a path, ``/sku`` or ``/"order-id"``."""
    return path[1:].strip('"')


def _what(verb: str, address: str) -> str:
    return f"{verb} table {address.rpartition('/')[2]}"


def get(address: str, key: dict[str, str]) -> Row | None:
    """Return the row with that key as JSON values, or None."""
    from portafaas_azure.runtime.failures import calling

    what = _what("read a row of", address)
    return calling(what, lambda: _read(table(address).container, key))  # type: ignore[no-any-return]


def _read(container: Any, key: dict[str, str]) -> Row | None:
    from azure.cosmos.exceptions import CosmosResourceNotFoundError

    found, partition = identity(key)
    try:
        return _row(container.read_item(found, partition), tuple(key))
    except CosmosResourceNotFoundError as exc:
        if _gone(exc):
            raise
        return None


def _row(item: Any, names: tuple[str, ...]) -> Row:
    return Row(loaded(item, names), str(item.get("_etag", "")))


def query(
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
    """Return rows with *key* in the order of their sort keys, and whether more follow.

    https://learn.microsoft.com/azure/cosmos-db/nosql/query/
    """
    from json import dumps

    from portafaas_azure.runtime.failures import calling

    field = f"c[{dumps(property_of(sort))}]"
    conditions, parameters = [f"IS_DEFINED({field})"], []
    for condition, text in (
        (f"STARTSWITH({field}, @prefix)", prefix),
        (f"{field} >= @first", first),
        (f"{field} <= @last", last),
        (f"{field} {'<' if descending else '>'} @after", after),
    ):
        if text is not None:
            conditions.append(condition)
            parameters.append({"name": condition.rpartition(" ")[2].rstrip(")"), "value": text})
    statement = (
        f"SELECT TOP {limit + 1} * FROM c WHERE {' AND '.join(conditions)} "
        f"ORDER BY {field} {'DESC' if descending else 'ASC'}"
    )

    def call() -> list[Any]:
        container = table(address).container
        return list(
            container.query_items(
                statement,
                parameters=parameters,
                partition_key=key[1],
                max_item_count=min(limit + 1, PAGE),
            )
        )

    items = calling(_what("read rows of", address), call)
    return [_row(item, (key[0], sort)) for item in items[:limit]], len(items) > limit


def scan(address: str) -> Iterator[Row]:
    """Yield every row, page by page."""
    from portafaas_azure.runtime.failures import calling

    what = _what("read", address)
    found: Table = calling(what, lambda: table(address))
    query = calling(
        what,
        lambda: found.container.query_items(
            "SELECT * FROM c", enable_cross_partition_query=True, max_item_count=PAGE
        ),
    )
    pages = query.by_page()
    while True:
        page = calling(what, lambda: next(pages, None))
        if page is None:
            break
        for item in page:
            yield _row(item, found.names)


def write_one(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it.

    What depends on the row is read, changed and written back if nobody else has changed it.
    https://learn.microsoft.com/azure/cosmos-db/nosql/database-transactions-optimistic-concurrency
    """
    from portafaas_azure.runtime.failures import calling

    what = _what(f"{write.kind} a row of", address)
    container = calling(what, lambda: table(address).container)
    if write.blind:
        return calling(what, lambda: _blind(container, write, ttl))  # type: ignore[no-any-return]
    for attempt in range(ATTEMPTS):
        first = attempt == 0
        done, row = calling(what, lambda: _try(container, write, ttl, first))  # noqa: B023
        if done:
            found: Row | None = row
            return found
        pause(attempt)
    raise ResourceError(f"cannot {what}: others change the row all the time", retryable=True)


def _blind(container: Any, write: Write, ttl: str) -> Row | None:
    from time import time

    from azure.cosmos.exceptions import CosmosResourceNotFoundError

    if write.kind == "put":
        names = tuple(write.key)
        return _row(container.upsert_item(stored(write.row, names, ttl, time())), names)
    try:
        container.delete_item(*identity(write.key))
    except CosmosResourceNotFoundError as exc:
        if _gone(exc):
            raise
    return None


def _try(container: Any, write: Write, ttl: str, first: bool) -> tuple[bool, Row | None]:
    """Do a write that depends on the row; tell whether nobody was in the way.

    At the *first* time a row that must be absent is taken to be so.
    """
    from time import time

    from azure.core import MatchConditions
    from azure.cosmos.exceptions import CosmosHttpResponseError

    names = tuple(write.key)
    before = None if first and write.if_absent else _read(container, write.key)
    after = apply(before, write, ttl, time())
    found, partition = identity(write.key)
    same = {"match_condition": MatchConditions.IfNotModified}
    try:
        if after is None:
            if before is not None:
                container.delete_item(found, partition, etag=before.version, **same)
            return True, None
        item = stored(after, names, ttl, time())
        if before is None:
            return True, _row(container.create_item(item), names)
        done = container.replace_item(found, item, etag=before.version, **same)
        return True, _row(done, names)
    except CosmosHttpResponseError as exc:
        # It has come, gone, or changed.
        if exc.status_code not in (404, 409, 412) or _gone(exc):
            raise
        return False, None


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none; they must have one value of the key, that is one partition.

    https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch
    """
    from portafaas_azure.runtime.failures import calling

    if len(writes) == 1:
        write_one(address, writes[0], ttl)
        return
    what = _what("commit rows of", address)
    partitions = {str(identity(write.key)[1]) for write in writes}
    if len(partitions) > 1:
        raise ResourceError(f"cannot {what}: on Azure they must have one value of the key")
    container = calling(what, lambda: table(address).container)
    for attempt in range(ATTEMPTS):
        if calling(what, lambda: _try_all(container, writes, ttl)):
            return
        pause(attempt)
    raise ResourceError(f"cannot {what}: others change them all the time", retryable=True)


def _try_all(container: Any, writes: Sequence[Write], ttl: str) -> bool:
    """Do writes of one partition at once; tell whether nobody was in the way."""
    from time import time

    from azure.cosmos.exceptions import CosmosBatchOperationError

    steps: list[Any] = []
    for write in writes:
        before = None if write.kind == "put" and write.blind else _read(container, write.key)
        after = apply(before, write, ttl, time())
        found, _ = identity(write.key)
        # A row that is put or deleted whatever it is may change meanwhile.
        same = {} if write.blind or before is None else {"if_match_etag": before.version}
        if after is None:
            if before is not None:
                steps.append(("delete", (found,), same))
            continue
        item = stored(after, tuple(write.key), ttl, time())
        if write.blind:
            steps.append(("upsert", (item,)))
        elif before is None:
            steps.append(("create", (item,)))
        else:
            steps.append(("replace", (found, item), same))
    if not steps:
        return True
    try:
        container.execute_item_batch(steps, identity(writes[0].key)[1])
    except CosmosBatchOperationError as exc:
        if exc.status_code not in (404, 409, 412):
            raise
        return False
    return True


def pause(attempt: int) -> None:
    """Wait before the next attempt, longer each time, and not as long as others do."""
    from random import random
    from time import sleep

    sleep(PAUSE * min(2**attempt, 32) * random())


def _gone(exc: Any) -> bool:
    """Tell whether the container is not there, rather than the item.

    https://learn.microsoft.com/azure/cosmos-db/troubleshoot-not-found
    """
    return getattr(exc, "sub_status", None) == 1003
