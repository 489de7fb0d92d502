"""Rows of tables as Firestore documents, with google-cloud-firestore. Ships; imports at first use.

A row is a document of the table's collection, with all its attributes, the keys too; its id is
made of the keys. https://cloud.google.com/firestore/docs/concepts/storage-size
"""

from __future__ import annotations

from threading import Lock

from portafaas_gcp.runtime.shapes import document_id, loaded, stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_lock = Lock()
_clients: dict[tuple[str, str], Any] = {}


def _collection(address: str) -> Any:
    """Return the client's collection; *address* is ``projects/P/databases/D/documents/C``."""
    _, project, _, database, _, collection = address.split("/", 5)
    with _lock:
        client = _clients.get((project, database))
        if client is None:
            from google.cloud.firestore import Client

            # FIRESTORE_EMULATOR_HOST is the client's own.
            client = _clients[project, database] = Client(project=project, database=database)
    return client.collection(collection)


def _document(address: str, key: list[Any]) -> Any:
    return _collection(address).document(document_id(key))


def get(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with that key as JSON values, or None."""
    from portafaas_gcp.runtime.failures import PATIENCE, calling, patient

    def call() -> Any:
        reference = _document(address, list(key.values()))
        return reference.get(retry=patient(), timeout=PATIENCE)

    found = calling(f"read a row of {address}", call)
    if not found.exists:
        return None
    return {name: loaded(value) for name, value in found.to_dict().items()}


def scan(address: str) -> Iterator[dict[str, Any]]:
    """Yield every row as JSON values; the client fetches them as they are asked for."""
    from portafaas_gcp.runtime.failures import PATIENCE, calling, patient

    what = f"read the rows of {address}"
    documents = calling(
        what, lambda: iter(_collection(address).stream(retry=patient(), timeout=PATIENCE))
    )
    while True:
        document = calling(what, lambda: next(documents, None))
        if document is None:
            return
        yield {name: loaded(value) for name, value in document.to_dict().items()}


def put(address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool) -> None:
    """Store *row*; raises Conflict when there is one with its key and *if_absent*."""
    from portafaas_gcp.runtime.failures import PATIENCE, calling, patient

    def call() -> Any:
        reference = _document(address, [row[name] for name in key_names])
        content = {name: stored(value) for name, value in row.items()}
        if if_absent:
            # Not repeated: a repetition would find what the first had stored.
            return reference.create(content, retry=None, timeout=PATIENCE)
        return reference.set(content, retry=patient(), timeout=PATIENCE)

    calling(f"store a row in {address}", call)


def delete(address: str, key: dict[str, Any]) -> None:
    """Delete the row with that key, if there is one."""
    from portafaas_gcp.runtime.failures import PATIENCE, calling, patient

    def call() -> Any:
        reference = _document(address, list(key.values()))
        return reference.delete(retry=patient(), timeout=PATIENCE)

    calling(f"delete a row of {address}", call)
