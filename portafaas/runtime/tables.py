"""Reads and writes rows of a table: ``context.tables["orders"]``. Ships; loaded at first use.

Values are JSON values, and read back as written: whole numbers as int, others as float. The limits
are the narrowest of the targets:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
https://learn.microsoft.com/azure/cosmos-db/concepts-limits
https://firebase.google.com/docs/firestore/quotas

One class in one module, over 300 lines with what it checks: a second file would cost each cold
start that uses a table.
"""

from __future__ import annotations

from portafaas.runtime.resources import Client, Conflict, NotFound
from portafaas.runtime.rows import (
    ABSENT,
    MAX_WHOLE,
    OUTBOX,
    OWN,
    Delete,
    Page,
    Put,
    Row,
    Update,
    Write,
    expired,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

#: Bytes of a row as JSON (DynamoDB: 400 KB).
MAX_ROW = 400_000
#: Bytes of one key (DynamoDB: 1024 for a sort key).
MAX_KEY = 1024
#: Nested maps and lists (Firestore: 20).
MAX_DEPTH = 20
#: Writes of one commit (DynamoDB and Cosmos DB: 100), and their bytes (Cosmos DB: 2 MB).
MAX_WRITES = 100
MAX_COMMIT = 1_900_000
#: Attributes that one update changes or asks for (an expression of DynamoDB has 4 kB).
MAX_CHANGES = 50
#: Rows of a page unless told otherwise, and at most.
PAGE = 100
MAX_PAGE = 1000


class Table(Client):
    """One table that the function may read, write or both."""

    __slots__ = ()

    kind = "table"

    def get(self, key: str, sort: str | None = None) -> Row | None:
        """Return the row with that key, or None; *sort* is needed where the table has one."""
        self._check("read")
        found: Row | None = self._driver().get_row(self._address(), self._key(key, sort))
        return None if found is None or self._expired(found) else found

    def query(
        self,
        key: str,
        *,
        prefix: str | None = None,
        first: str | None = None,
        last: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page:
        """Return rows of a table with a sort key that share *key*, in the order of ``sort``.

        Only those whose sort key begins with *prefix*, or is from *first* to *last*, both
        included; at most *limit* (1 to 1000, by default 100); *after* is the ``cursor`` of the
        page before. ``query(...).all()`` yields the rows of all pages.
        """
        self._check("read")
        names = self._names()
        if len(names) == 1:
            raise TypeError(f"{self!r} has no sort key to query by")
        if prefix is not None and (first is not None or last is not None):
            raise TypeError("give 'prefix' or 'first' and 'last', not both")
        size = PAGE if limit is None else _counted(limit)
        partition = (names[0], _checked(names[0], key))
        bounds = [
            None if text is None else _checked(names[1], text) for text in (prefix, first, last)
        ]
        if bounds[1] is not None and bounds[2] is not None and _after(bounds[1], bounds[2]):
            return Page(())  # DynamoDB refuses it
        place = None if after is None else _place(after)
        rows: list[Row] = []
        while True:
            found, more = self._driver().query(
                self._address(), partition, names[1], *bounds, bool(descending),
                size - len(rows), place,
            )  # fmt: skip
            rows += (row for row in found if self._visible(row))
            if not more or not found:
                return Page(rows)
            place = found[-1][names[1]]
            if len(rows) >= size:
                break

        def next_page(cursor: str) -> Page:
            return self.query(
                key, prefix=prefix, first=first, last=last, descending=descending, limit=limit,
                after=cursor,
            )  # fmt: skip

        return Page(rows, _cursor(str(place)), next_page)

    def scan(self) -> Iterator[Row]:
        """Yield every row, in no order, fetched page by page.

        It reads the whole table: for reports, not for requests. Rows that are written meanwhile
        may be among them or not.
        """
        self._check("read")
        for row in self._driver().scan(self._address()):
            if self._visible(row):
                yield row

    def put(
        self,
        row: Mapping[str, Any],
        if_absent: bool = False,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> Row:
        """Store *row*, which holds its key, in place of the one with that key; return it.

        Raises Conflict when there is such a row and *if_absent*, when it has not the version
        *if_version*, or when an attribute is not what *when* says (``ABSENT``: not there).
        Raises TypeError or ValueError for values that not all targets keep: bytes, NaN, whole
        numbers beyond 2^53, more than 400 kB.
        """
        stored: Row = self._one(Put(row, if_absent, if_version=if_version, when=when))
        return stored

    def update(
        self,
        key: str,
        sort: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int] | None = None,
        remove: Sequence[str] = (),
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
        create: bool = False,
    ) -> Row:
        """Change attributes of the row with that key, atomically, and return the row.

        *set* holds new values, *add* whole numbers to add (to 0, where there is none), *remove*
        names. Keys cannot be changed. Raises NotFound when there is no such row, unless *create*,
        and Conflict as ``put``.
        """
        changed: Row = self._one(
            Update(
                key, sort, set=set, add=add, remove=remove, if_version=if_version, when=when,
                create=create,
            )
        )  # fmt: skip
        return changed

    def delete(
        self,
        key: str,
        sort: str | None = None,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Delete the row with that key, if there is one; raises Conflict as ``put``."""
        self._one(Delete(key, sort, if_version=if_version, when=when))

    def commit(self, writes: Sequence[Put | Update | Delete]) -> None:
        """Do all of *writes*, of different rows, or none: 1 to 100, together 1.9 MB.

        All targets do so for rows with one value of ``key``; other rows are refused on Azure.
        Raises what the first write that cannot be done raises by itself.
        """
        self._check("write")
        self._commit([self._write(write) for write in writes])

    def _commit(self, checked: Sequence[Write]) -> None:
        if not 0 < len(checked) <= MAX_WRITES:
            raise ValueError(f"a commit has 1 to {MAX_WRITES} writes, not {len(checked)}")
        if len({tuple(write.key.values()) for write in checked}) < len(checked):
            raise ValueError("a commit writes a row once")
        from portafaas.runtime.outbound import to_json

        size = sum(len(to_json([write.row, write.set])) for write in checked)
        if size > MAX_COMMIT:
            raise ValueError(f"the rows of the commit have {size} bytes; at most {MAX_COMMIT}")
        try:
            self._driver().commit(self._address(), checked, self._ttl())
        except (Conflict, NotFound) as exc:
            raise self._named(exc) from exc

    def _one(self, write: Any) -> Any:
        self._check("write")
        checked = self._write(write)
        try:
            return self._driver().write_row(self._address(), checked, self._ttl())
        except (Conflict, NotFound) as exc:
            raise self._named(exc) from exc

    def _named(self, exc: Conflict | NotFound) -> Exception:
        """Return the error with the table's name, which drivers do not know."""
        return type(exc)(f"table {self.name!r}: {exc}", retryable=exc.retryable)

    def _write(self, asked: Any) -> Write:
        """Return the driver's form of a write; raises TypeError or ValueError."""
        if not isinstance(asked, (Put, Update, Delete)):
            raise TypeError(f"a write is a Put, an Update or a Delete, not {asked!r}")
        when = {}
        for name, value in _mapping(asked.when, "when").items():
            _named(name, "when")
            when[name] = value if value is ABSENT else _clean(value, f"when.{name}", 1)
        version = asked.if_version
        if version is not None and not isinstance(version, str):
            raise TypeError(f"if_version is a row's version, text, not {version!r}")
        if isinstance(asked, Put):
            if asked.if_absent and (version is not None or when):
                raise TypeError("if_absent goes with no other condition")
            row = self._row(asked.row)
            key = {name: row[name] for name in self._names()}
            return Write(
                "put", key, row=row, if_absent=bool(asked.if_absent), if_version=version, when=when
            )
        key = self._key(asked.key, asked.sort)
        if isinstance(asked, Delete):
            return Write("delete", key, if_version=version, when=when)
        changes = self._changes(asked)
        if len(when) + sum(map(len, changes)) > MAX_CHANGES:
            raise ValueError(f"an update has at most {MAX_CHANGES} attributes")
        return Write(
            "update", key, set=changes[0], add=changes[1], remove=changes[2],
            create=bool(asked.create), if_version=version, when=when,
        )  # fmt: skip

    def _row(self, row: Any) -> dict[str, Any]:
        if not hasattr(row, "items"):
            raise TypeError(f"a row is a mapping, not {type(row).__name__!r}")
        clean: dict[str, Any] = _clean(row, "row", 0)
        for name in clean:
            _named(name, "row")
        for name in self._names():
            _checked(name, clean.get(name))
        self._own(clean)
        self._timed(clean)
        _sized(clean)
        return clean

    def _changes(self, asked: Update) -> tuple[dict[str, Any], dict[str, int], tuple[str, ...]]:
        new: dict[str, Any] = _clean(_mapping(asked.set, "set"), "set", 0)
        self._timed(new)
        _sized(new)
        more = dict(_mapping(asked.add, "add"))
        for name, number in more.items():
            # Halves and the like add up to other digits in binary than in DynamoDB's decimals.
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"add.{name}: only whole numbers can be added, not {number!r}")
            if not -MAX_WHOLE <= number <= MAX_WHOLE:
                raise ValueError(f"add.{name}: {number} is beyond 2^53")
        if isinstance(asked.remove, str):
            raise TypeError("remove is a list of names")
        gone = tuple(asked.remove)
        every = [*new, *more, *gone]
        for name in every:
            _named(name, "update")
            if name in self._names():
                raise ValueError(f"attribute {name!r} is a key, which no update changes")
        if len(set(every)) < len(every):
            raise ValueError("an update changes an attribute once")
        if not every and not asked.create:
            raise ValueError("the update changes nothing")
        return new, more, gone

    def _ttl(self) -> str:
        ttl: str = self._grant.get("ttl") or ""
        return ttl

    def _timed(self, values: Mapping[str, Any]) -> None:
        """Refuse what is no time in the attribute that says when the row expires."""
        ttl = self._ttl()
        value = values.get(ttl) if ttl else None
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(
                f"attribute {ttl!r} says when the row expires, in whole seconds since 1970, not "
                f"{value!r}"
            )

    def _visible(self, row: Mapping[str, Any]) -> bool:
        if self._grant.get("outbox") and row[self._grant["sort"]].startswith(OUTBOX):
            return False
        return not self._expired(row)

    def _pending(self, key: str) -> list[Row]:
        """Return the first rows of the outbox with *key*, in order."""
        names = self._names()
        found, _ = self._driver().query(
            self._address(), (names[0], key), names[1], OUTBOX, None, None, False, PAGE, None
        )
        rows: list[Row] = found
        return rows

    def _expired(self, row: Mapping[str, Any]) -> bool:
        # Platforms delete expired rows later, DynamoDB within days.
        ttl = self._ttl()
        if not ttl:
            return False
        from time import time

        return expired(row, ttl, time())

    def _names(self) -> tuple[str, ...]:
        sort = self._grant.get("sort")
        return (self._grant["key"], sort) if sort else (self._grant["key"],)

    def _key(self, key: Any, sort: Any) -> dict[str, str]:
        names = self._names()
        if len(names) == 1:
            if sort is not None:
                raise TypeError(f"{self!r} has no sort key")
            return {names[0]: _checked(names[0], key)}
        found = {names[0]: _checked(names[0], key), names[1]: _checked(names[1], sort)}
        self._own(found)
        return found

    def _own(self, row: Mapping[str, Any]) -> None:
        """Refuse the sort keys of the outbox's rows."""
        if self._grant.get("outbox") and row[self._grant["sort"]].startswith(OUTBOX):
            raise ValueError(f"sort keys that begin with {OUTBOX!r} are portafaas's")


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not hasattr(value, "items"):
        raise TypeError(f"{what} is a mapping, not {type(value).__name__!r}")
    found: Mapping[str, Any] = value
    return found


def _named(name: Any, where: str) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"{where}: names must be text, and not empty: {name!r}")
    if name.startswith(OWN):
        raise ValueError(f"{where}: names that begin with {OWN!r} are portafaas's: {name!r}")


def _sized(values: Mapping[str, Any]) -> None:
    from portafaas.runtime.outbound import to_json

    size = len(to_json(values))
    if size > MAX_ROW:
        raise ValueError(f"the row has {size} bytes; at most {MAX_ROW}")


def _counted(limit: Any) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit is a number, not {limit!r}")
    if not 0 < limit <= MAX_PAGE:
        raise ValueError(f"limit is 1 to {MAX_PAGE}, not {limit}")
    return limit


def _after(one: str, two: str) -> bool:
    return one.encode("utf-8") > two.encode("utf-8")


def _cursor(place: str) -> str:
    from binascii import hexlify

    return hexlify(place.encode("utf-8")).decode("ascii")


def _place(cursor: Any) -> str:
    if not isinstance(cursor, str):
        raise TypeError(f"after is the cursor of a page, text, not {cursor!r}")
    try:
        return bytes.fromhex(cursor).decode("utf-8")
    except ValueError:
        raise ValueError(f"{cursor!r} is no cursor of a page") from None


def _checked(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"key {name!r} must be text, not {value!r}")
    size = len(value.encode("utf-8"))  # lone surrogates: UnicodeEncodeError is a ValueError
    if not 0 < size <= MAX_KEY:
        raise ValueError(f"key {name!r} has {size} bytes; 1 to {MAX_KEY} are allowed")
    return value


def _clean(value: Any, where: str, depth: int) -> Any:
    """Return a copy of JSON values only; raises TypeError or ValueError naming the place."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        if not value.isascii():
            value.encode("utf-8")  # lone surrogates: UnicodeEncodeError is a ValueError
        return str(value)
    if isinstance(value, int):
        if not -MAX_WHOLE <= value <= MAX_WHOLE:
            raise ValueError(f"{where}: {value} is beyond 2^53; store it as text")
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{where}: {value} is no JSON value")
        if value.is_integer() and abs(value) <= MAX_WHOLE:
            return int(value)
        if not 1e-130 <= abs(value) < 1e126:
            raise ValueError(f"{where}: {value} is beyond what all targets keep; store it as text")
        return value
    if depth > MAX_DEPTH:
        raise ValueError(f"{where}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, (list, tuple)):
        return [_clean(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    if hasattr(value, "items"):
        out = {}
        for name, item in value.items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"{where}: names must be text, and not empty: {name!r}")
            out[name] = _clean(item, f"{where}.{name}", depth + 1)
        return out
    raise TypeError(f"{where}: {type(value).__name__!r} is no JSON value")
