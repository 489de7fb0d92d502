"""Reads and writes rows of a table: ``context.tables["orders"]``. Ships; loaded at first use.

Values are JSON values, and read back as written: whole numbers as int, others as float. The limits
are the narrowest of the targets:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
https://learn.microsoft.com/azure/cosmos-db/concepts-limits
https://firebase.google.com/docs/firestore/quotas
"""

from __future__ import annotations

from portafaas.runtime.resources import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

#: Bytes of a row as JSON (DynamoDB: 400 KB).
MAX_ROW = 400_000
#: Bytes of one key (DynamoDB: 1024 for a sort key).
MAX_KEY = 1024
#: Nested maps and lists (Firestore: 20).
MAX_DEPTH = 20
#: Whole numbers beyond are rounded by Cosmos DB, whose numbers are IEEE 754 doubles.
MAX_WHOLE = 2**53 - 1


class Table(Client):
    """One table that the function may read, write or both."""

    __slots__ = ()

    kind = "table"

    def get(self, key: str, sort: str | None = None) -> dict[str, Any] | None:
        """Return the row with that key, or None; *sort* is needed where the table has one."""
        self._check("read")
        found: dict[str, Any] | None = self._driver().get_row(
            self._address(), self._key(key, sort)
        )
        return found

    def scan(self) -> Iterator[dict[str, Any]]:
        """Yield every row, in no order, fetched page by page.

        It reads the whole table: for reports, not for requests. Rows that are written meanwhile
        may be among them or not.
        """
        self._check("read")
        yield from self._driver().scan(self._address())

    def put(self, row: Mapping[str, Any], if_absent: bool = False) -> None:
        """Store *row*, which holds its key, in place of the one with that key.

        With *if_absent* a row that is there raises Conflict. Raises TypeError or ValueError for
        values that not all targets keep: bytes, NaN, whole numbers beyond 2^53, more than 400 kB.
        """
        self._check("write")
        if not hasattr(row, "items"):
            raise TypeError(f"a row is a mapping, not {type(row).__name__!r}")
        clean: dict[str, Any] = _clean(row, "row", 0)
        names = self._names()
        for name in names:
            _checked(name, clean.get(name))
        from portafaas.runtime.outbound import to_json

        size = len(to_json(clean))
        if size > MAX_ROW:
            raise ValueError(f"the row has {size} bytes; at most {MAX_ROW}")
        self._driver().put_row(self._address(), clean, names, if_absent)

    def delete(self, key: str, sort: str | None = None) -> None:
        """Delete the row with that key, if there is one."""
        self._check("write")
        self._driver().delete_row(self._address(), self._key(key, sort))

    def _names(self) -> tuple[str, ...]:
        sort = self._grant.get("sort")
        return (self._grant["key"], sort) if sort else (self._grant["key"],)

    def _key(self, key: Any, sort: Any) -> dict[str, Any]:
        names = self._names()
        if len(names) == 1:
            if sort is not None:
                raise TypeError(f"{self!r} has no sort key")
            return {names[0]: _checked(names[0], key)}
        return {names[0]: _checked(names[0], key), names[1]: _checked(names[1], sort)}


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
