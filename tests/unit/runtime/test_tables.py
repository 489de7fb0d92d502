"""What the clients of tables and buckets refuse before a driver is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portafaas.runtime import ABSENT, Delete, NotGranted, Page, Put, Row, Update
from portafaas.runtime.context import Context
from portafaas.runtime.objects import parts, pieces
from portafaas.runtime.resources import Conflict

KEY = ("1", "2026")

REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda t: t.put({"id": "1", "created": "2", "pf-x": 1}), ValueError, "portafaas's: 'pf-x'"),
    (lambda t: t.put({"id": "1", "created": "2"}, True, if_version="x"), TypeError, "no other"),
    (lambda t: t.put({"id": "1", "created": "2"}, if_version=7), TypeError, "text, not 7"),
    (lambda t: t.put({"id": "1", "created": "2"}, when=["a"]), TypeError, "when is a mapping"),
    (lambda t: t.put({"id": "1", "created": "2"}, when={"a": b""}), TypeError, "when.a: 'bytes'"),
    (lambda t: t.put({"id": "1", "created": "2"}, when={"pf-a": 1}), ValueError, "portafaas's"),
    (lambda t: t.put({"id": "1", "created": "2", "end": "x"}), TypeError, "when the row expires"),
    (lambda t: t.put({"id": "1", "created": "2", "end": 1.5}), TypeError, "when the row expires"),
    (lambda t: t.put({"id": "1", "created": "2", "end": True}), TypeError, "when the row expires"),
    (lambda t: t.update(*KEY), ValueError, "changes nothing"),
    (lambda t: t.update(*KEY, set={"id": "2"}), ValueError, "'id' is a key"),
    (lambda t: t.update(*KEY, remove=["created"]), ValueError, "'created' is a key"),
    (lambda t: t.update(*KEY, remove="ab"), TypeError, "list of names"),
    (lambda t: t.update(*KEY, set={"a": 1}, add={"a": 1}), ValueError, "changes an attribute once"),
    (lambda t: t.update(*KEY, add={"a": 0.5}), TypeError, "only whole numbers"),
    (lambda t: t.update(*KEY, add={"a": True}), TypeError, "only whole numbers"),
    (lambda t: t.update(*KEY, add={"a": 2**53}), ValueError, "beyond 2.53"),
    (lambda t: t.update(*KEY, set={"a": {1}}), TypeError, "set.a: 'set'"),
    (lambda t: t.update(*KEY, set={"pf-a": 1}), ValueError, "portafaas's"),
    (lambda t: t.update(*KEY, set={"end": "soon"}), TypeError, "when the row expires"),
    (lambda t: t.update(*KEY, set={str(n): n for n in range(51)}), ValueError, "at most 50"),
    (lambda t: t.update(*KEY, set={"a": "x" * 400_000}), ValueError, "at most 400000"),
    (lambda t: t.update("1", set={"a": 1}), TypeError, "key 'created'"),
    (lambda t: t.query("1", prefix="a", first="b"), TypeError, "not both"),
    (lambda t: t.query("1", limit=0), ValueError, "1 to 1000"),
    (lambda t: t.query("1", limit=1001), ValueError, "1 to 1000"),
    (lambda t: t.query("1", limit="1"), TypeError, "limit is a number"),
    (lambda t: t.query("1", after="xyz"), ValueError, "no cursor"),
    (lambda t: t.query("1", after=7), TypeError, "cursor of a page"),
    (lambda t: t.query("", prefix="a"), ValueError, "0 bytes"),
    (lambda t: t.query("1", prefix=""), ValueError, "0 bytes"),
    (lambda t: t.commit([]), ValueError, "1 to 100 writes"),
    (lambda t: t.commit([Delete("1", str(n)) for n in range(101)]), ValueError, "1 to 100 writes"),
    (lambda t: t.commit([Delete("1", "2"), Update("1", "2", set={"a": 1})]), ValueError, "once"),
    (lambda t: t.commit([{"id": "1"}]), TypeError, "a Put, an Update or a Delete"),
    (
        lambda t: t.commit([Put({"id": "1", "created": str(n), "x": "x" * 390_000}) for n in range(5)]),
        ValueError,
        "at most 1900000",
    ),
]  # fmt: skip


@pytest.fixture
def orders(used: Context, monkeypatch: pytest.MonkeyPatch) -> Any:
    grant = {"verbs": ["read", "write"], "key": "id", "sort": "created", "ttl": "end"}
    used._function.uses = {**used._function.uses, "table": {"orders": grant}}
    return used.tables["orders"]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_what_no_target_takes(
    orders: Any, call: Any, error: type[Exception], text: str
) -> None:
    orders.put({"id": "1", "created": "2026", "n": 1})
    with pytest.raises(error, match=text):
        call(orders)
    assert [dict(row) for row in orders.scan()] == [{"id": "1", "created": "2026", "n": 1}]


def test_a_table_without_a_sort_key_has_no_queries(used: Context) -> None:
    with pytest.raises(TypeError, match="no sort key to query by"):
        used.tables["users"].query("1")


def test_what_is_not_granted(used: Context) -> None:
    users, audit = used.tables["users"], used.tables["audit"]
    for call in (
        lambda: users.update("1", set={"a": 1}),
        lambda: users.commit([Delete("1")]),
        lambda: list(audit.scan()),
        lambda: used.buckets["down"].write("a", iter([b""])),
        lambda: used.buckets["drop"].open("a"),
        lambda: used.buckets["drop"].stat("a"),
        lambda: used.buckets["drop"].list(),
    ):
        with pytest.raises(NotGranted):
            call()


def test_errors_name_the_table(orders: Any) -> None:
    orders.put({"id": "1", "created": "2"})
    with pytest.raises(Conflict, match="table 'orders': there is a row '1' / '2'"):
        orders.put({"id": "1", "created": "2"}, if_absent=True)
    with pytest.raises(Conflict, match="table 'orders': attribute 'x' of row '1' / '2'"):
        orders.commit([Delete("1", "2", when={"x": "secret"})])


def test_pages_and_rows() -> None:
    row = Row({"a": 1}, "v")
    assert (row, row.version, repr(ABSENT)) == ({"a": 1}, "v", "ABSENT")
    page = Page([1, 2], "next", lambda after: Page([after]))
    assert list(page) == [1, 2] and len(page) == 2 and list(page.all()) == [1, 2, "next"]
    assert repr(page) == "<Page of 2, more follow>" and repr(Page([])) == "<Page of 0>"


@pytest.mark.parametrize("size", range(0, 12))
def test_parts(size: int) -> None:
    data = bytes(range(size))
    found = list(parts(pieces([data[:1], data[1:7], b"", data[7:]]), 4))
    assert b"".join(found) == data and found
    assert all(len(part) == 4 for part in found[:-1]) and len(found[-1]) <= 4
    assert found[-1] or len(found) == 1


BAD_LISTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"prefix": 7}, TypeError), ({"prefix": "x" * 1025}, ValueError), ({"prefix": "a\n"}, ValueError),
    ({"limit": 0}, ValueError), ({"limit": 1001}, ValueError), ({"limit": 1.0}, TypeError),
    ({"after": 1}, TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "error"), BAD_LISTS)
def test_bad_lists(used: Context, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        used.buckets["up"].list(**arguments)
