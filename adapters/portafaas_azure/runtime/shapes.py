"""Rows of tables as items of Cosmos DB, and back. Ships; imports nothing.

An item holds the attributes of its row under their names. Names that Cosmos DB has taken begin with
``pf-`` there, where ``ttl`` is how long the item lives; other names with ``pf-`` are of no row.
``id``, which every item needs, is made of the keys: nothing else finds an item.
https://learn.microsoft.com/azure/cosmos-db/resource-model#properties-of-an-item
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Properties that Cosmos DB adds to every item.
SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
#: Names that an item has for itself. ``ttl`` deletes it so many seconds after it was written.
#: https://learn.microsoft.com/azure/cosmos-db/nosql/time-to-live
TAKEN = frozenset(("id", "ttl", *SYSTEM))
_PREFIX = "pf-"
#: What an id may not hold, and ``%``, which says what it was.
#: https://learn.microsoft.com/dotnet/api/microsoft.azure.documents.resource.id
_ILLEGAL = frozenset('/\\?#%"')
#: Bytes of an id: https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits
_LONGEST_ID = 1023
#: Most seconds that an item may live; the largest value of ``ttl``.
_LONGEST_LIFE = 2**31 - 1


def item_id(text: str) -> str:
    """Return *text* as an id; no two texts share one.

    What an id may not hold is percent-encoded; ids that would be too long are a hash.
    """
    last = len(text) - 1
    dots = text in (".", "..")
    found = "".join(
        "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        if dots or char in _ILLEGAL or not char.isprintable() or (char == " " and place == last)
        else char
        for place, char in enumerate(text)
    )
    if len(found.encode("utf-8")) > _LONGEST_ID:
        from hashlib import sha256

        return f"%sha256-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return found


def technical_id(keys: Mapping[str, Any]) -> str:
    """Return the ``id`` of the row with *keys* in a table whose key has another name."""
    return item_id("|".join(str(value) for value in keys.values()))


def identity(keys: Mapping[str, Any]) -> tuple[str, Any]:
    """Return ``id`` and value of the partition key of the row with *keys*, in their order."""
    first = next(iter(keys))
    found = item_id(str(keys["id"])) if "id" in keys else technical_id(keys)
    return found, found if first == "id" else keys[first]


def stored(
    row: Mapping[str, Any], names: Sequence[str], ttl: str = "", now: float = 0.0
) -> dict[str, Any]:
    """Return the item of a row whose keys are called *names*.

    It lives until the time in the row's attribute *ttl*, if there is one.
    """
    item = {_PREFIX + name if _taken(name) else name: value for name, value in row.items()}
    item["id"] = identity({name: row[name] for name in names})[0]
    # Queries need a sort key as it is.
    if names[0] == "id" and item["id"] == row["id"]:
        del item[f"{_PREFIX}id"]
    end = row.get(ttl) if ttl else None
    if isinstance(end, (int, float)) and not isinstance(end, bool):
        # Rather late than early: readers look at the time themselves.
        item["ttl"] = int(max(1, min(end - now + 2, _LONGEST_LIFE)))
    return item


def property_of(name: str) -> str:
    """Return what an item calls the attribute *name*, unless it is the table's only key."""
    return _PREFIX + name if _taken(name) else name


def loaded(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the row of an item, also of one that somebody else wrote.

    An ``id`` that only repeats the keys is technical and goes; any other one stays.
    """
    row: dict[str, Any] = {}
    original = dict(item)
    for name, value in item.items():
        if name.startswith(_PREFIX) and _taken(name):
            row[name[len(_PREFIX) :]] = original[name[len(_PREFIX) :]] = plain(value)
        elif name not in SYSTEM and name != "ttl" and not name.startswith(_PREFIX):
            row.setdefault(name, plain(value))
    if "id" not in names and f"{_PREFIX}id" not in item and "id" in row:
        keys = {name: original.get(name) for name in names}
        if row["id"] == technical_id(keys):
            del row["id"]
    return row


def plain(value: Any) -> Any:
    """Return a JSON value with integral numbers as int, as on every target."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _taken(name: str) -> bool:
    while name.startswith(_PREFIX):
        name = name[len(_PREFIX) :]
    return name in TAKEN
