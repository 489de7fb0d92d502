"""The tables of the store, and how those of an older one become today's."""

from __future__ import annotations

import sqlite3

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


def prepare(connection: sqlite3.Connection) -> None:
    """Make what is not there; from several processes at once, too."""
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


def _record_changes(connection: sqlite3.Connection) -> None:
    """Have the store record what changes, unless it does already."""
    if not connection.execute("select 1 from sqlite_master where name = 'items_put'").fetchone():
        connection.executescript(f"begin immediate;{_OBJECTS}{_ROWS}commit;")


def _lacking(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the columns, with their types, that the objects of an older store do not have."""
    found = [column[1] for column in connection.execute("pragma table_info(objects)")]
    added = (("etag", "text not null default ''"), ("modified", "real default 0"))
    return [each for each in added if each[0] not in found]


def back(connection: sqlite3.Connection) -> None:
    """Undo what the transaction has done; SQLite itself has, when the disk is full, say."""
    if connection.in_transaction:
        connection.execute("rollback")
