"""Rows of tables as items of Cosmos DB, with azure-cosmos. Ships; imports at first use."""

from __future__ import annotations

from threading import Lock

from portafaas_azure.runtime.shapes import identity, loaded, stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Seconds to connect, to wait for an answer, and repetitions.
PATIENCE: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 15, "retry_total": 3}
#: Rows of a page.
PAGE = 200

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


def get(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with that key as JSON values, or None."""
    from portafaas_azure.runtime.failures import calling

    def call() -> Any:
        container = table(address).container
        from azure.cosmos.exceptions import CosmosResourceNotFoundError

        found, partition = identity(key)
        try:
            return container.read_item(found, partition)
        except CosmosResourceNotFoundError as exc:
            if _gone(exc):
                raise
            return None

    item = calling(_what("read a row of", address), call)
    return None if item is None else loaded(item, tuple(key))


def put(address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool) -> None:
    """Store *row*; raises Conflict when there is one with its key and *if_absent*."""
    from portafaas_azure.runtime.failures import calling

    def call() -> None:
        container = table(address).container
        item = stored(row, key_names)
        if if_absent:
            container.create_item(item)
        else:
            container.upsert_item(item)

    calling(_what("store a row in", address), call)


def delete(address: str, key: dict[str, Any]) -> None:
    """Delete the row with that key, if there is one."""
    from portafaas_azure.runtime.failures import calling

    def call() -> None:
        container = table(address).container
        from azure.cosmos.exceptions import CosmosResourceNotFoundError

        found, partition = identity(key)
        try:
            container.delete_item(found, partition)
        except CosmosResourceNotFoundError as exc:
            if _gone(exc):
                raise

    calling(_what("delete a row of", address), call)


def scan(address: str) -> Iterator[dict[str, Any]]:
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
            yield loaded(item, found.names)


def _gone(exc: Any) -> bool:
    """Tell whether the container is not there, rather than the item.

    https://learn.microsoft.com/azure/cosmos-db/troubleshoot-not-found
    """
    return getattr(exc, "sub_status", None) == 1003
