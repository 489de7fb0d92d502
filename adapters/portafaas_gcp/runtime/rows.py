"""Rows of tables as Firestore documents, with google-cloud-firestore. Ships; imports at first use.

A row is a document of the table's collection, with all its attributes, the keys too; its id is
made of the keys. https://cloud.google.com/firestore/docs/concepts/storage-size
"""

from __future__ import annotations

from threading import Lock

from portafaas.runtime.resources import ResourceError
from portafaas.runtime.rows import Row, apply
from portafaas_gcp.runtime.shapes import document_id, fields_of, loaded, row_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.rows import Write

#: Times that a write is tried while others change the row, and seconds of the first pause.
ATTEMPTS = 10
PAUSE = 0.02

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


def _document(address: str, key: dict[str, str]) -> Any:
    return _collection(address).document(document_id(list(key.values())))


def _row(snapshot: Any) -> Row:
    fields = {name: loaded(value) for name, value in snapshot.to_dict().items()}
    return Row(row_of(fields), _version(snapshot.update_time))


def _version(time: Any) -> str:
    """Return the version of the row of a document that was changed at *time*."""
    return "" if time is None else str(time.rfc3339())


def get(address: str, key: dict[str, str]) -> Row | None:
    """Return the row with that key as JSON values, or None."""
    from portafaas_gcp.runtime.failures import calling

    what = f"read a row of {address}"
    return calling(what, lambda: _read(_document(address, key)))  # type: ignore[no-any-return]


def _read(reference: Any) -> Row | None:
    from portafaas_gcp.runtime.failures import PATIENCE, patient

    found = reference.get(retry=patient(), timeout=PATIENCE)
    return _row(found) if found.exists else None


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

    It needs the index of both keys: https://cloud.google.com/firestore/docs/query-data/indexing
    """
    from portafaas_gcp.runtime.failures import PATIENCE, calling, patient

    def call() -> list[Any]:
        from google.cloud.firestore import FieldFilter, Query

        collection = _collection(address)
        names = [collection._client.field_path(name) for name in (key[0], sort)]
        found = collection.where(filter=FieldFilter(names[0], "==", key[1]))
        for operator, text in (
            (">=", prefix if first is None else first),
            ("<", None if prefix is None else _behind(prefix)),
            ("<=", last),
            ("<" if descending else ">", after),
        ):
            if text is not None:
                found = found.where(filter=FieldFilter(names[1], operator, text))
        order = Query.DESCENDING if descending else Query.ASCENDING
        found = found.order_by(names[1], direction=order).limit(limit + 1)
        return list(found.stream(retry=patient(), timeout=PATIENCE))

    documents = calling(f"read rows of {address}", call)
    return [_row(each) for each in documents[:limit]], len(documents) > limit


def _behind(prefix: str) -> str | None:
    """Return the first text behind all that begin with *prefix*, in the order of code points."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place])
        if code < 0x10FFFF:
            # Surrogates are no characters.
            return prefix[:place] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None


def scan(address: str) -> Iterator[Row]:
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
        yield _row(document)


def write_one(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it."""
    [row] = _write(address, [write], ttl)
    return row


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none."""
    _write(address, writes, ttl)


def _write(address: str, writes: Sequence[Write], ttl: str) -> list[Row | None]:
    """Do writes at once and return the rows after them.

    What depends on a row is read, changed, and written on condition that nobody else has changed
    it. https://cloud.google.com/firestore/docs/manage-data/transactions#batched-writes
    """
    from portafaas_gcp.runtime.failures import calling

    what = f"write rows of {address}" if len(writes) > 1 else f"{writes[0].kind} a row of {address}"
    for attempt in range(ATTEMPTS):
        first = attempt == 0
        rows = calling(what, lambda: _try(address, writes, ttl, first))  # noqa: B023
        if rows is not None:
            found: list[Row | None] = rows
            return found
        _pause(attempt)
    raise ResourceError(f"cannot {what}: others change it all the time", retryable=True)


def _try(
    address: str, writes: Sequence[Write], ttl: str, first: bool
) -> list[Row | None] | None:
    """Return the rows after *writes*, or None when somebody was in the way.

    At the *first* time a row that must be absent is taken to be so.
    """
    from time import time

    from google.api_core import exceptions

    from portafaas_gcp.runtime.failures import PATIENCE, patient

    client = _collection(address)._client
    batch = client.batch()
    afters: list[Any] = []
    places: list[int] = []
    for number, write in enumerate(writes):
        reference = _document(address, write.key)
        before = None
        if write.blind:
            after = write.row if write.kind == "put" else None
        else:
            before = None if first and write.if_absent else _seen(reference)
            after = apply(before and before[0], write, ttl, time())
        afters.append(after)
        if after is not None or write.blind or before is not None:
            places.append(number)
        option = before and client.write_option(last_update_time=before[1])
        if after is None:
            if write.blind or before is not None:
                batch.delete(reference, option=option)
        elif write.blind:
            batch.set(reference, fields_of(after, ttl))
        elif before is None:
            batch.create(reference, fields_of(after, ttl))
        else:
            batch.update(reference, _changes(client, before[2], fields_of(after, ttl)), option)
    if not places:
        return afters
    alone = all(write.blind for write in writes)
    try:
        # Not repeated unless it may be: a repetition would find what the first had stored.
        results = batch.commit(retry=patient() if alone else None, timeout=PATIENCE)
    except (
        exceptions.AlreadyExists, exceptions.FailedPrecondition, exceptions.NotFound,
        exceptions.Aborted,
    ) as exc:  # fmt: skip
        if isinstance(exc, exceptions.NotFound) and "o document to update" not in str(exc):
            raise
        return None
    times = dict(zip(places, results, strict=True))
    return [
        None if after is None else Row(after, _version(times[number].update_time))
        for number, after in enumerate(afters)
    ]


def _seen(reference: Any) -> tuple[Row, Any, dict[str, Any]] | None:
    """Return row, time of the last change and fields of a document, or None."""
    from portafaas_gcp.runtime.failures import PATIENCE, patient

    found = reference.get(retry=patient(), timeout=PATIENCE)
    return (_row(found), found.update_time, found.to_dict()) if found.exists else None


def _changes(client: Any, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what makes a document with the fields *after* of one with *before*."""
    from google.cloud.firestore import DELETE_FIELD

    changes = {client.field_path(name): value for name, value in after.items()}
    return changes | {
        client.field_path(name): DELETE_FIELD for name in before if name not in after
    }


def _pause(attempt: int) -> None:
    """Wait before the next attempt, longer each time, and not as long as others do."""
    from random import random
    from time import sleep

    sleep(PAUSE * min(2**attempt, 32) * random())
