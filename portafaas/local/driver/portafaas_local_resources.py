"""The driver of resources on a developer's machine: SQLite, and files for secrets.

A module on its own: ``portafaas invoke --target`` puts its folder on the import path of the
vendor's runtime, where the package has nothing of portafaas but its runtime. Standard library only,
Python 3.10. Addresses are ``<folder>/<kind>/<name>``; the folder holds ``resources.db``. A secret's
is the path of the file with its value.
"""

# ruff: noqa: PTH103, PTH118, PTH119, PTH120, PTH123 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import contextmanager
from time import sleep, time

from portafaas.runtime.control import split
from portafaas.runtime.resources import Conflict, NotFound, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo
    from portafaas.runtime.resources import Outgoing
    from portafaas.runtime.rows import Row, Write
    from portafaas.runtime.workflows import RunStatus

#: Variable with the mark under which effects are kept, so that a run finds its own.
RUN = "PORTAFAAS_RUN"
#: Variable with a file that has the mark, for a process whose variables stay as they are.
RUN_FILE = "PORTAFAAS_RUN_FILE"
#: Variable with the file to which is written what a bridge asks of its platform, a JSON object a
#: line: ``place``, ``operation``, ``given`` and ``arguments``.
TOLD = "PORTAFAAS_TOLD"
#: Seconds for which an ordered queue or topic knows what it has had (SQS FIFO: 5 minutes).
DEDUP = 300

_SCHEMA = """
create table if not exists messages (
    number integer primary key, kind text not null, name text not null, id text not null,
    body blob not null, content_type text, attributes text not null, key text,
    delay integer not null, dedup text, sent real not null
);
create index if not exists messages_of on messages (kind, name, number);
create table if not exists items (
    name text not null, key text not null, sort text not null, row text not null,
    version text not null, primary key (name, key, sort)
) without rowid;
create table if not exists objects (
    name text not null, key text not null, data blob not null, content_type text,
    etag text not null default '', modified real not null default 0,
    primary key (name, key)
);
create table if not exists effects (
    number integer primary key, run text not null, effect text not null
);
create index if not exists effects_of on effects (run);
create table if not exists broker (name text primary key, value real not null) without rowid;
"""
#: Runs of workflows, and what each has asked for (``portafaas.local.workflows``). ``wake`` is when
#: there is something to do for a run, by the store's clock; 0 is at once, null not before it is
#: told. Rows of ``steps`` that have an answer have happened, and are never done again.
_RUNS = """
create table if not exists runs (
    number integer primary key autoincrement, id text not null unique, workflow text not null,
    state text not null, input text not null, machine text, outcome text, started real not null,
    ended real, parent text, place text, wake real, owner text, until real
);
create index if not exists runs_wake on runs (wake) where wake is not null;
create index if not exists runs_owner on runs (owner) where owner is not null;
create index if not exists runs_parent on runs (parent) where parent is not null;
create index if not exists runs_of on runs (workflow, number);
create table if not exists steps (
    number integer primary key autoincrement, run text not null, place text not null,
    kind text not null, step text not null, name text not null, attempt integer not null,
    compensates text not null, input text, begun real not null, due real, ended real, answer text,
    unique (run, place)
);
create index if not exists steps_due on steps (due) where due is not null and ended is null;
"""
#: Stores once kept rows in another table.
_OLDER = """
begin immediate;
create table if not exists rows (name text, key text, row text);
insert or ignore into items
    select name, json_extract(key, '$[0]'), coalesce(json_extract(key, '$[1]'), ''), row, ''
    from rows;
drop table rows;
commit;
"""

#: What happens to a row or an object is kept, in the same transaction, until a dispatcher has
#: taken it to the functions that a table or bucket triggers. BEFORE: what is replaced is still
#: there. What portafaas keeps for itself in a bucket is nobody's object.
_OBJECTS = """
create table if not exists changes (
    number integer primary key autoincrement, kind text not null, name text not null,
    verb text not null, key text not null, old text, new text, size integer, time real not null
);
create trigger if not exists objects_created after insert on objects
when new.key not like 'pf-claims/%' begin
    insert into changes (kind, name, verb, key, size, time)
    values ('bucket', new.name, 'created', new.key, length(new.data),
            (julianday('now') - 2440587.5) * 86400.0);
end;
create trigger if not exists objects_deleted after delete on objects
when old.key not like 'pf-claims/%' begin
    insert into changes (kind, name, verb, key, time)
    values ('bucket', old.name, 'deleted', old.key, (julianday('now') - 2440587.5) * 86400.0);
end;
"""
_ROWS = """
create trigger if not exists items_put before insert on items begin
    insert into changes (kind, name, verb, key, old, new, time)
    values ('table', new.name, 'put', '',
            (select row from items
             where name = new.name and key = new.key and sort = new.sort), new.row,
            (julianday('now') - 2440587.5) * 86400.0);
end;
create trigger if not exists items_deleted after delete on items begin
    insert into changes (kind, name, verb, key, old, time)
    values ('table', old.name, 'delete', '', old.row, (julianday('now') - 2440587.5) * 86400.0);
end;
"""


def _record_changes(connection: sqlite3.Connection) -> None:
    """Have the store record what changes, unless it does already."""
    if not connection.execute("select 1 from sqlite_master where name = 'items_put'").fetchone():
        connection.executescript(f"begin immediate;{_OBJECTS}{_ROWS}commit;")


def database(folder: str) -> sqlite3.Connection:
    """Return a connection to the store in *folder*, made when it is not there."""
    os.makedirs(folder, exist_ok=True)
    connection = sqlite3.connect(
        os.path.join(folder, "resources.db"), timeout=10, isolation_level=None
    )
    end = time() + 10
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            break
        except sqlite3.DatabaseError as exc:
            # The change itself does not wait for others who open the store at the same time.
            if "locked" not in str(exc) or time() > end:
                connection.close()
                raise
            sleep(0.01)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("pragma synchronous = normal")
    connection.executescript(_SCHEMA)
    if connection.execute("select 1 from sqlite_master where name = 'rows'").fetchone():
        connection.executescript(_OLDER)
    if _lacking(connection):
        # Again inside, since several processes may be the first to open an older store.
        connection.execute("begin immediate")
        try:
            for column, kind in _lacking(connection):
                connection.execute(f"alter table objects add column {column} {kind}")
            connection.execute("commit")
        except BaseException:
            back(connection)
            raise
    _record_changes(connection)
    if not connection.execute("select 1 from sqlite_master where name = 'steps_due'").fetchone():
        connection.executescript(f"begin immediate;{_RUNS}commit;")


def _lacking(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the columns, with their types, that the objects of an older store do not have."""
    found = [column[1] for column in connection.execute("pragma table_info(objects)")]
    added = (("etag", "text not null default ''"), ("modified", "real default 0"))
    return [each for each in added if each[0] not in found]


def back(connection: sqlite3.Connection) -> None:
    """Undo what the transaction has done; SQLite itself has, when the disk is full, say."""
    if connection.in_transaction:
        connection.execute("rollback")


@contextmanager
def _opened(address: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Yield a connection inside a transaction, and the resource's name."""
    rest, name = os.path.split(address)
    try:
        connection = database(os.path.dirname(rest))
        try:
            connection.execute("begin immediate")
            try:
                yield connection, name
                connection.execute("commit")
            except BaseException:
                back(connection)
                raise
        finally:
            connection.close()
    except (sqlite3.DatabaseError, OSError) as exc:
        # Of another kind are a file that is no store, and what is too big for one.
        later = isinstance(exc, (sqlite3.OperationalError, OSError))
        raise ResourceError(f"the local store of {name!r} failed: {exc}", retryable=later) from exc


def _effect(connection: sqlite3.Connection, **effect: Any) -> None:
    # Here there may be nothing of portafaas but its runtime.
    marks: Any = sys.modules.get("portafaas.local.marks")
    run = (marks.current if marks is not None else "") or os.environ.get(RUN)
    file = os.environ.get(RUN_FILE)
    if file:
        with open(file, encoding="utf-8") as lines:
            run = lines.read()
    if run:
        connection.execute(
            "insert into effects (run, effect) values (?, ?)",
            (run, json.dumps(effect, ensure_ascii=False)),
        )


def send(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a queue; none fails."""
    return _keep("queue", "send", address, messages, ordered)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Keep messages of a topic; none fails."""
    return _keep("topic", "publish", address, messages, ordered)


def _keep(
    kind: str, verb: str, address: str, messages: Sequence[Outgoing], ordered: bool
) -> list[tuple[int, str]]:
    with _opened(address) as (connection, name):
        for message in messages:
            _measure(connection, f"{kind}/{name}", message)
            if ordered and message.dedup is not None:
                known = connection.execute(
                    "select 1 from messages where kind = ? and name = ? and dedup = ? "
                    "and sent > ?",
                    (kind, name, message.dedup, time() - DEDUP),
                ).fetchone()
                if known:
                    continue
            connection.execute(
                "insert into messages (kind, name, id, body, content_type, attributes, key, delay,"
                " dedup, sent) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    kind, name, message.id, message.body, message.content_type,
                    json.dumps(message.attributes), message.key, message.delay, message.dedup,
                    time(),
                ),
            )  # fmt: skip
            facts: dict[str, Any] = {"id": message.id, "content_type": message.content_type}
            facts.update(_readable(message.body))
            facts["attributes"] = split(message.attributes)[0]
            for fact in ("key", "delay", "dedup"):
                if getattr(message, fact):
                    facts[fact] = getattr(message, fact)
            _effect(connection, kind=kind, name=name, verb=verb, **facts)
    return []


def _measure(connection: sqlite3.Connection, place: str, message: Outgoing) -> None:
    """Raise ResourceError for a message that is larger than the platform takes that this is as."""
    found = connection.execute(
        "select name, value from broker where name in (?, ?)", (f"limit/{place}", f"text/{place}")
    ).fetchone()
    if found is None:
        return
    size, most = len(message.body), int(found[1])
    if found[0].startswith("text/") and not _is_text(message.body):
        size = (size + 2) // 3 * 4  # base64
    size += sum(len(n.encode()) + len(text.encode()) for n, text in message.attributes.items())
    if size > most:
        raise ResourceError(
            f"{place} takes messages of {most} bytes at most, attributes included; not of {size}"
        )


def _is_text(body: bytes) -> bool:
    """Tell whether *body* is characters of XML, which is all that some brokers carry."""
    import re

    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    # https://www.w3.org/TR/xml/#charsets
    return not re.search("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)


def _readable(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"body_base64": b64encode(body).decode("ascii")}


def get_row(address: str, key: dict[str, Any]) -> Row | None:
    """Return the row with that key, or None."""
    with _opened(address) as (connection, name):
        return _current(connection, name, key)


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
    """Return rows with *key* in the order of their sort keys, and whether more follow."""
    where, values = "name = ? and key = ?", [key[1]]
    for condition, text in (
        ("sort >= ?", prefix if first is None else first),
        ("sort <= ?", last),
        ("sort < ?" if descending else "sort > ?", after),
        ("substr(sort, 1, length(?)) = ?", prefix),
    ):
        if text is not None:
            where += f" and {condition}"
            values += [text] * condition.count("?")
    order = "desc" if descending else "asc"
    with _opened(address) as (connection, name):
        found = connection.execute(
            f"select row, version from items where {where} order by sort {order} limit ?",
            (name, *values, limit + 1),
        ).fetchall()
    return [_row(*each) for each in found[:limit]], len(found) > limit


def scan(address: str) -> Iterator[Row]:
    """Yield every row, a hundred at a time."""
    last = ("", "")
    while True:
        with _opened(address) as (connection, name):
            page = connection.execute(
                "select key, sort, row, version from items "
                "where name = ? and (key, sort) > (?, ?) order by key, sort limit 100",
                (name, *last),
            ).fetchall()
        yield from (_row(row, version) for _, _, row, version in page)
        if not page:
            return
        last = page[-1][:2]


def write_row(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it; raises as ``portafaas.runtime.rows.apply``."""
    with _opened(address) as (connection, name):
        return _write(connection, name, write, ttl)


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none."""
    with _opened(address) as (connection, name):
        for write in writes:
            _write(connection, name, write, ttl)


def _write(connection: sqlite3.Connection, name: str, write: Write, ttl: str) -> Row | None:
    from portafaas.runtime.resources import new_id
    from portafaas.runtime.rows import Row, apply

    row = apply(_current(connection, name, write.key), write, ttl, time())
    if row is None:
        connection.execute(
            "delete from items where name = ? and key = ? and sort = ?", _place(name, write.key)
        )
        _effect(connection, kind="table", name=name, verb="delete", key=write.key)
        return None
    made = Row(row, new_id())
    connection.execute(
        "insert or replace into items (name, key, sort, row, version) values (?, ?, ?, ?, ?)",
        (*_place(name, write.key), json.dumps(row, ensure_ascii=False), made.version),
    )
    _effect(connection, kind="table", name=name, verb=write.kind, row=row)
    return made


def _current(connection: sqlite3.Connection, name: str, key: dict[str, Any]) -> Row | None:
    found = connection.execute(
        "select row, version from items where name = ? and key = ? and sort = ?",
        _place(name, key),
    ).fetchone()
    return None if found is None else _row(*found)


def _row(row: str, version: str) -> Row:
    from portafaas.runtime.rows import Row

    return Row(json.loads(row), version)


def _place(name: str, key: dict[str, Any]) -> tuple[str, str, str]:
    first, *rest = key.values()
    return name, first, rest[0] if rest else ""


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            "select data from objects where name = ? and key = ?", (name, key)
        ).fetchone()
    if found is None:
        raise NotFound(f"bucket {name!r} has no object {key!r}")
    return bytes(found[0])


def read_range(address: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            "select etag, substr(data, ?, ?) from objects where name = ? and key = ?",
            (start + 1, size, name, key),
        ).fetchone()
    if found is None or found[0] != etag:
        raise Conflict(f"object {key!r} of bucket {name!r} has been replaced")
    return bytes(found[1])


def stat(address: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            f"select {_FACTS}, content_type from objects where name = ? and key = ?", (name, key)
        ).fetchone()
    if found is None:
        raise NotFound(f"bucket {name!r} has no object {key!r}")
    return _info(*found)


_FACTS = "key, length(data), etag, modified"


def _info(
    key: str, size: int, etag: str, modified: float, content_type: str | None = None
) -> ObjectInfo:
    from datetime import datetime, timezone

    from portafaas.runtime.objects import ObjectInfo

    time = datetime.fromtimestamp(modified, timezone.utc)  # noqa: UP017 (Python 3.10)
    return ObjectInfo(key, size, etag, time, content_type)


def list_objects(
    address: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the cursor: the last key."""
    with _opened(address) as (connection, name):
        found = connection.execute(
            f"select {_FACTS} from objects where name = ? and key > ? "
            "and substr(key, 1, length(?)) = ? order by key limit ?",
            (name, after or "", prefix, prefix, limit + 1),
        ).fetchall()
    cursor = found[limit - 1][0] if len(found) > limit else None
    return [_info(*each) for each in found[:limit]], cursor


def signed_url(
    address: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL that leads nowhere, for a function to hand out: nothing is served here."""
    from portafaas.runtime.text import percent_encode

    name = os.path.basename(address)
    path = "/".join(percent_encode(part) for part in key.split("/"))
    return f"https://{name}.invalid/{path}?method={method}&expires={int(time()) + expires}"


def write_parts(
    address: str,
    key: str,
    parts: Iterator[bytes],
    content_type: str | None,
    if_absent: bool,
) -> None:
    """Store an object of parts: whole in memory, as SQLite has it anyway."""
    write(address, key, b"".join(parts), content_type, if_absent)


def write(
    address: str, key: str, data: bytes, content_type: str | None, if_absent: bool = False
) -> None:
    """Store an object; raises Conflict when there is one and *if_absent*."""
    from portafaas.runtime.resources import new_id

    with _opened(address) as (connection, name):
        if (
            if_absent
            and connection.execute(
                "select 1 from objects where name = ? and key = ?", (name, key)
            ).fetchone()
        ):
            raise Conflict(f"bucket {name!r} has an object {key!r}")
        connection.execute(
            "insert or replace into objects (name, key, data, content_type, etag, modified) "
            "values (?, ?, ?, ?, ?, ?)",
            (name, key, data, content_type, new_id(), time()),
        )
        _effect(
            connection, kind="bucket", name=name, verb="write", key=key, size=len(data),
            content_type=content_type,
        )  # fmt: skip


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    with _opened(address) as (connection, name):
        connection.execute("delete from objects where name = ? and key = ?", (name, key))
        _effect(connection, kind="bucket", name=name, verb="delete", key=key)


def secret(address: str) -> bytes:
    """Return a secret's value; raises NotFound when there is no file."""
    name = os.path.basename(address)
    try:
        with open(address, "rb") as file:
            return file.read()
    except FileNotFoundError:
        kept, stage = os.path.split(os.path.dirname(address))
        known = os.path.basename(kept) == "secrets" and stage != "-"
        more = f" --stage {stage}" if known else ""
        raise NotFound(
            f"secret {name!r} has no value here: portafaas secrets set {name}{more}"
        ) from None
    except OSError as exc:
        raise ResourceError(f"secret {name!r} cannot be read: {exc.strerror}") from None


def start_run(address: str, input: Any) -> str:
    """Start a run: whoever works on the store's workflows takes it up."""
    from portafaas.runtime.resources import new_id

    run = new_id()
    with _opened(address) as (connection, name):
        connection.execute(
            "insert into runs (id, workflow, state, input, started, wake) "
            "values (?, ?, 'running', ?, ?, 0)",
            (run, name, json.dumps(input), now(connection)),
        )
        _effect(connection, kind="workflow", name=name, verb="start", run=run, input=input)
    return run


def run_status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    from portafaas.runtime.workflows import RunStatus

    with _opened(address) as (connection, name):
        state, text = _run(connection, name, run)
        waiting = waited_for(connection, run) if state == "running" else ()
    outcome = json.loads(text) if text else {}
    return RunStatus(
        run, state, outcome.get("ok"), outcome.get("error", ""), outcome.get("cause", ""), waiting
    )


def signal_run(address: str, run: str, name: str, payload: Any) -> None:
    """Hand *payload* to a run; raises NotFound and NotWaiting."""
    from portafaas.runtime.resources import NotWaiting

    with _opened(address) as (connection, workflow):
        state, _ = _run(connection, workflow, run)
        moment = now(connection)
        found = connection.execute(
            f"{_TREE} select number, run from steps where {_WAITS} and name = ? "
            "order by number limit 1",
            (run, moment, name),
        ).fetchone()
        if state != "running":
            raise NotWaiting(f"run {run} of {workflow!r} has ended: it is {state}")
        if found is None:
            raise NotWaiting(f"run {run} of {workflow!r} does not wait for the signal {name!r}")
        number, waiting = found
        connection.execute(
            "update steps set answer = ?, ended = ? where number = ?",
            (json.dumps({"ok": payload}), moment, number),
        )
        connection.execute("update runs set wake = 0 where id = ?", (waiting,))
        _effect(
            connection, kind="workflow", name=workflow, verb="signal", run=run, signal=name,
            payload=payload,
        )  # fmt: skip


#: A run, and those that it waits for; and the steps of these that wait for a signal.
_TREE = (
    "with recursive tree (id) as (select ? union all select runs.id from runs "
    "join tree on runs.parent = tree.id where runs.state = 'running')"
)
_WAITS = (
    "run in (select id from tree) and kind = 'signal' and ended is null "
    "and (due is null or due > ?)"
)


def now(connection: sqlite3.Connection) -> float:
    """Return the time by the store's clock, which a dispatcher may set forward, or hold."""
    found = dict(
        connection.execute("select name, value from broker where name in ('clock', 'held')")
    )
    held = found.get("held")
    return float(held) if held is not None else time() + float(found.get("clock", 0.0))


def waited_for(connection: sqlite3.Connection, run: str) -> tuple[str, ...]:
    """Return the names of the signals that a run waits for, or one that it runs."""
    found = connection.execute(
        f"{_TREE} select distinct name from steps where {_WAITS} order by name",
        (run, now(connection)),
    )
    return tuple(name for (name,) in found.fetchall())


def _run(connection: sqlite3.Connection, workflow: str, run: str) -> tuple[Any, str | None]:
    found = connection.execute(
        "select state, outcome from runs where id = ? and workflow = ?", (run, workflow)
    ).fetchone()
    if found is None:
        raise NotFound(f"workflow {workflow!r} has no run {run!r}")
    return found[0], found[1]


class Teller:
    """Stands for a client of a platform's broker: whatever it is called with is written down.

    A bridge calls it while it settles a delivery; who delivers does what it asks.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __getattr__(self, operation: str) -> Any:
        def called(*given: Any, **arguments: Any) -> dict[str, Any]:
            file = os.environ.get(TOLD)
            if not file:
                raise ResourceError(f"{operation}: nothing here delivers: {TOLD} is not set")
            call = {
                "place": self._place, "operation": operation, "given": given,
                "arguments": arguments,
            }  # fmt: skip
            line = json.dumps(call, default=_told)
            with open(file, "a", encoding="utf-8") as out:
                out.write(line + "\n")
            return {}

        return called


def client(place: str) -> Teller:
    """Return what stands for the client of *place*, a service, a queue or a topic."""
    return Teller(place)


def _told(value: Any) -> Any:
    """Return bytes, and a message of Service Bus, as JSON values."""
    if isinstance(value, (bytes, bytearray)):
        from base64 import b64encode

        return {"base64": b64encode(value).decode("ascii")}
    due = value.scheduled_enqueue_time_utc
    properties = value.application_properties or {}
    return {
        "attributes": {_text(name): _text(text) for name, text in properties.items()},
        "after": max(0.0, round(due.timestamp() - time(), 3)) if due else 0.0,
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
