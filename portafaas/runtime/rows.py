"""Rows, pages and writes of tables, and what a write makes of a row, on every target. Ships.

Drivers that read, change and write a row back call :func:`apply`; DynamoDB's, whose service
does it, calls it to learn why the service refused. So the rules stand here alone.
"""

from __future__ import annotations

from portafaas.runtime.resources import Conflict, NotFound, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

#: Attributes that portafaas keeps with a row; handlers never see them.
OWN = "pf-"
#: What the sort keys of an outbox's rows begin with; handlers never see these rows.
OUTBOX = "pf-outbox/"
#: Whole numbers beyond are rounded by Cosmos DB, whose numbers are IEEE 754 doubles.
MAX_WHOLE = 2**53 - 1


class _Absent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


#: In ``when``: the row has no such attribute. None is the JSON value null.
ABSENT = _Absent()


class Row(dict):  # type: ignore[type-arg]
    """A row: a dict of JSON values.

    Attributes:
        version: opaque text that is another one after every change, for ``if_version``.
    """

    __slots__ = ("version",)

    def __init__(self, values: Any = (), version: str = "") -> None:
        super().__init__(values)
        self.version = version


class Page:
    """One page of rows, objects and the like, which it is an iterable of.

    Attributes:
        rows: list of what was found.
        cursor: opaque text, for ``after``, that leads to the next page; None on the last one.
    """

    __slots__ = ("_more", "cursor", "rows")

    def __init__(
        self,
        rows: Sequence[Any],
        cursor: str | None = None,
        more: Callable[[str], Page] | None = None,
    ) -> None:
        self.rows = list(rows)
        self.cursor = cursor
        self._more = more

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Page of {len(self.rows)}{', more follow' if self.cursor else ''}>"

    def all(self) -> Iterator[Any]:
        """Yield what is on this page and on all that follow, fetched as they are reached."""
        page = self
        while True:
            yield from page.rows
            if page.cursor is None or page._more is None:
                return
            page = page._more(page.cursor)


class Put:
    """For ``commit``: the arguments of ``put``."""

    __slots__ = ("if_absent", "if_version", "row", "when")

    def __init__(
        self,
        row: Mapping[str, Any],
        if_absent: bool = False,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        self.row = row
        self.if_absent = if_absent
        self.if_version = if_version
        self.when = when


class Update:
    """For ``commit``: the arguments of ``update``."""

    __slots__ = ("add", "create", "if_version", "key", "remove", "set", "sort", "when")

    def __init__(
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
    ) -> None:
        self.key = key
        self.sort = sort
        self.set = set
        self.add = add
        self.remove = remove
        self.if_version = if_version
        self.when = when
        self.create = create


class Delete:
    """For ``commit``: the arguments of ``delete``."""

    __slots__ = ("if_version", "key", "sort", "when")

    def __init__(
        self,
        key: str,
        sort: str | None = None,
        *,
        if_version: str | None = None,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        self.key = key
        self.sort = sort
        self.if_version = if_version
        self.when = when


class Write:
    """One write as drivers get it: checked, and of JSON values only.

    Attributes:
        kind: ``put``, ``update`` or ``delete``.
        key: the row's key (dict of text, in the order of the table's keys).
        row: what ``put`` stores, the key among it; else {}.
        set, add, remove: what ``update`` changes; else {} and ().
        create: ``update`` makes the row when there is none.
        if_absent: there must be no such row.
        if_version: the version that the row must have, or None.
        when: what its attributes must equal; ABSENT for one that must not be there.
    """

    __slots__ = (
        "add", "create", "if_absent", "if_version", "key", "kind", "remove", "row", "set", "when",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        key: dict[str, str],
        *,
        row: dict[str, Any] | None = None,
        set: dict[str, Any] | None = None,
        add: dict[str, int] | None = None,
        remove: tuple[str, ...] = (),
        create: bool = False,
        if_absent: bool = False,
        if_version: str | None = None,
        when: dict[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.key = key
        self.row: dict[str, Any] = row or {}
        self.set: dict[str, Any] = set or {}
        self.add: dict[str, int] = add or {}
        self.remove = remove
        self.create = create
        self.if_absent = if_absent
        self.if_version = if_version
        self.when: dict[str, Any] = when or {}

    @property
    def blind(self) -> bool:
        """True when the write does not depend on what is there."""
        return not (
            self.kind == "update" or self.if_absent or self.if_version is not None or self.when
        )

    def __repr__(self) -> str:
        return f"<Write {self.kind} {self.key}>"


def expired(row: Mapping[str, Any], ttl: str, now: float) -> bool:
    """Tell whether the time in *row*'s attribute *ttl* (seconds since 1970) is over."""
    if not ttl:
        return False
    end = row.get(ttl)
    return isinstance(end, (int, float)) and not isinstance(end, bool) and end <= now


def apply(current: Row | None, write: Write, ttl: str, now: float) -> dict[str, Any] | None:
    """Return the row after *write*, None when there is none.

    *current* is the row that is there, expired ones too, which count as absent. Raises Conflict
    when a condition fails, NotFound when an update finds nothing and may not create, ResourceError
    when it adds to what is no number, or beyond 2^53.
    """
    if current is not None and expired(current, ttl, now):
        current = None
    where = _where(write)
    if write.kind == "update" and current is None and not write.create:
        raise NotFound(f"there is no row {where}")
    if write.if_absent and current is not None:
        raise Conflict(f"there is a row {where}")
    if write.if_version is not None and (current is None or current.version != write.if_version):
        raise Conflict(f"row {where} has been {'deleted' if current is None else 'changed'}")
    for name, wanted in write.when.items():
        found = ABSENT if current is None else current.get(name, ABSENT)
        if not same(found, wanted):
            # The values may be secret.
            raise Conflict(f"attribute {name!r} of row {where} is not what 'when' says")
    if write.kind == "delete":
        return None
    if write.kind == "put":
        return dict(write.row)
    row = dict(write.key if current is None else current)
    row.update(write.set)
    for name, more in write.add.items():
        before = row.get(name, 0)
        if isinstance(before, bool) or not isinstance(before, (int, float)):
            raise ResourceError(f"cannot add to attribute {name!r} of row {where}: no number")
        after = before + more
        if not -MAX_WHOLE <= after <= MAX_WHOLE:
            raise ResourceError(f"attribute {name!r} of row {where} would be beyond 2^53")
        row[name] = int(after) if isinstance(after, float) and after.is_integer() else after
    for name in write.remove:
        row.pop(name, None)
    return row


def same(one: Any, two: Any) -> bool:
    """Tell whether two JSON values are equal: true is not 1, 1 is 1.0."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def _where(write: Write) -> str:
    return " / ".join(repr(value) for value in write.key.values())
