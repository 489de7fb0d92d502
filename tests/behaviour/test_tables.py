"""What handlers rely on of tables (docs/spec/resources.md), on every back end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from portafaas.runtime import ABSENT, Conflict, Delete, NotFound, Put, ResourceError, Row, Update
from tests.behaviour.backends import Backend

#: The client itself leaves out to verify the certificate of an emulator, 127.0.0.1 or localhost.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

Make = Callable[..., Any]
ROW = {
    "id": "1", "n": 7, "big": 2**53 - 1, "f": 1.5, "tiny": 1e-9, "t": True, "none": None, "empty": "",
    "list": [1, [2, {"a": []}]], "map": {"\u00e4.b": {"": 1}.__class__(), "x y": 1},
    "ttl": 5, "pfExpires": "x", "_ts": 1, "a.b": 1, "a`b": [], "with space": "\u2603\U0001f600",
}  # fmt: skip


def test_rows_and_versions(table: Make) -> None:
    made = table()
    assert made.get("1") is None
    put = made.put(ROW)
    assert isinstance(put, Row) and put == ROW and put.version
    found = made.get("1")
    assert found == ROW and found.version == put.version
    assert [type(found[name]) for name in ("n", "f", "t", "big")] == [int, float, bool, int]
    other = made.put({"id": "1", "x": 2})
    assert other.version != put.version
    assert made.get("1") == {"id": "1", "x": 2}
    assert made.get("1").version == other.version
    made.delete("1")
    made.delete("1")
    assert made.get("1") is None


def test_put_if_absent(table: Make) -> None:
    made = table()
    first = made.put({"id": "a", "x": 1}, if_absent=True)
    with pytest.raises(Conflict) as caught:
        made.put({"id": "a", "x": 2}, if_absent=True)
    assert not caught.value.retryable
    assert made.get("a") == {"id": "a", "x": 1}
    assert made.get("a").version == first.version
    made.delete("a")
    made.put({"id": "a", "x": 3}, if_absent=True)
    assert made.get("a")["x"] == 3


def test_versions_are_for_one_change(table: Make) -> None:
    made = table()
    one = made.put({"id": "a", "x": 1})
    two = made.put({"id": "a", "x": 2}, if_version=one.version)
    for change in (
        lambda: made.put({"id": "a", "x": 3}, if_version=one.version),
        lambda: made.update("a", set={"x": 3}, if_version=one.version),
        lambda: made.delete("a", if_version=one.version),
        lambda: made.put({"id": "none", "x": 3}, if_version=one.version),
        lambda: made.delete("none", if_version=one.version),
    ):
        with pytest.raises(Conflict):
            change()
    assert made.get("a") == two == {"id": "a", "x": 2}
    three = made.update("a", set={"x": 3}, if_version=two.version)
    assert three.version not in (one.version, two.version)
    made.delete("a", if_version=three.version)
    assert made.get("a") is None


#: What ``when`` asks of ROW, and whether it holds.
WHEN: list[tuple[dict[str, Any], bool]] = [
    ({"n": 7}, True),
    ({"n": 7.0}, True),
    ({"n": 8}, False),
    ({"n": "7"}, False),
    ({"t": True}, True),
    ({"t": 1}, False),
    ({"none": None}, True),
    ({"n": None}, False),
    ({"none": ABSENT}, False),
    ({"nothing": ABSENT}, True),
    ({"nothing": None}, False),
    ({"n": ABSENT}, False),
    ({"empty": ""}, True),
    ({"f": 1.5, "tiny": 1e-9}, True),
    ({"list": [1, [2, {"a": []}]]}, True),
    ({"list": [1, [2, {"a": [1]}]]}, False),
    ({"map": ROW["map"]}, True),
    ({"map": {}}, False),
    ({"a.b": 1, "a`b": [], "ttl": 5, "pfExpires": "x", "_ts": 1}, True),
    ({"n": 7, "f": 2}, False),
]


#: moto compares values without their types, and takes what is not there for null; DynamoDB does
#: neither, so that test_requests_aws.py looks at what is asked.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
MOTO = ("{'t': 1}", "{'nothing': None}")


def test_conditions(table: Make, backend: Backend) -> None:
    made = table()
    made.put(ROW)
    for number, (when, holds) in enumerate(WHEN):
        if backend.target == "aws" and str(when) in MOTO:
            continue
        if holds:
            assert made.update("1", set={"seen": number}, when=when)["seen"] == number
            continue
        with pytest.raises(Conflict):
            made.update("1", set={"seen": number}, when=when)
    assert made.get("1")["seen"] == max(n for n, (_, holds) in enumerate(WHEN) if holds)
    with pytest.raises(Conflict):
        made.put({"id": "1"}, when={"n": 7, "f": 2})
    with pytest.raises(Conflict):
        made.delete("1", when={"n": 7, "f": 2})
    assert made.get("1")["n"] == 7
    assert made.put({**ROW, "n": 8}, when={"n": 7, "x": ABSENT})["n"] == 8
    made.delete("1", when={"n": 8})
    assert made.get("1") is None
    made.put(ROW, when={"n": ABSENT})
    with pytest.raises(Conflict):
        made.put({"id": "2"}, when={"n": 1})
    with pytest.raises(Conflict):
        made.delete("2", when={"n": 1})
    made.delete("2", when={"n": ABSENT})


def test_updates(table: Make) -> None:
    made = table()
    with pytest.raises(NotFound):
        made.update("a", set={"x": 1})
    with pytest.raises(NotFound):
        made.update("a", set={"x": 1}, when={"x": 1})
    row = made.update("a", set={"x": {"y": [1]}}, add={"n": 2}, remove=["nothing"], create=True)
    assert row == {"id": "a", "x": {"y": [1]}, "n": 2} == made.get("a")
    assert row.version == made.get("a").version
    row = made.update("a", set={"x": None, "a.b": "c"}, add={"n": -5, "m": 1})
    assert row == {"id": "a", "x": None, "a.b": "c", "n": -3, "m": 1} == made.get("a")
    row = made.update("a", remove=["x", "a.b", "m", "nothing"])
    assert row == {"id": "a", "n": -3} == made.get("a")
    made.update("a", set={"f": 0.5}, create=True)
    assert made.update("a", add={"f": 2}) == {"id": "a", "n": -3, "f": 2.5}
    assert made.update("b", create=True) == {"id": "b"} == made.get("b")


def test_what_cannot_be_added(table: Make) -> None:
    made = table()
    made.put({"id": "a", "text": "x", "yes": True, "none": None, "big": 2**53 - 1})
    for name in ("text", "yes", "none"):
        with pytest.raises(ResourceError, match="no number") as caught:
            made.update("a", add={name: 1})
        assert not isinstance(caught.value, Conflict) and not caught.value.retryable
    with pytest.raises(ResourceError, match="beyond 2"):
        made.update("a", add={"big": 1})
    assert made.update("a", add={"big": -1})["big"] == 2**53 - 2


def test_keys_with_two_parts(table: Make) -> None:
    made = table("order-id", "line")
    keys = [("a", "b:c"), ("a:b", "c"), ("a", "b"), ("a/b", "c%2F"), ("x" * 1000, "y" * 1000),
            (".", "..")]  # fmt: skip
    for number, (key, sort) in enumerate(keys):
        made.put({"order-id": key, "line": sort, "n": number}, if_absent=True)
    for number, (key, sort) in enumerate(keys):
        assert made.get(key, sort) == {"order-id": key, "line": sort, "n": number}
        assert made.update(key, sort, add={"n": 1})["n"] == number + 1
    assert sorted(row["n"] for row in made.scan()) == [1, 2, 3, 4, 5, 6]
    for key, sort in keys:
        made.delete(key, sort)
    assert list(made.scan()) == []


LINES = ["a", "a0", "a1", "ab", "a\u00e9", "b", "b/2", "c%", "z", "\u00fc", "\u2603"]


def _lines(page: Any) -> list[str]:
    return [row["line"] for row in page]


def test_queries(table: Make) -> None:
    made = table("order-id", "line")
    lines = LINES
    for line in reversed(lines):
        made.put({"order-id": "1", "line": line, "map": {"x": line}})
        made.put({"order-id": "10", "line": line})
    assert _lines(made.query("1")) == lines
    assert made.query("1").rows[0] == {"order-id": "1", "line": "a", "map": {"x": "a"}}
    assert made.query("1").rows[0].version == made.get("1", "a").version
    assert made.query("1").cursor is None
    assert _lines(made.query("1", descending=True)) == lines[::-1]
    assert _lines(made.query("1", prefix="a")) == ["a", "a0", "a1", "ab", "a\u00e9"]
    assert _lines(made.query("1", prefix="b", descending=True)) == ["b/2", "b"]
    assert _lines(made.query("1", prefix="nothing")) == []
    assert _lines(made.query("1", first="a1", last="b")) == ["a1", "ab", "a\u00e9", "b"]
    assert _lines(made.query("1", first="c")) == ["c%", "z", "\u00fc", "\u2603"]
    assert _lines(made.query("1", last="a0", descending=True)) == ["a0", "a"]
    assert _lines(made.query("1", first="b", last="a")) == []
    assert _lines(made.query("2")) == []


def test_pages(table: Make) -> None:
    made = table("order-id", "line")
    lines = [f"{n:03}" for n in range(11)]
    for line in lines:
        made.put({"order-id": "1", "line": line})
    for more in ({}, {"descending": True}, {"prefix": "0"}, {"first": "000", "last": "010"}):
        wanted = lines[::-1] if more.get("descending") else lines
        page = made.query("1", limit=4, **more)
        assert _lines(page) == wanted[:4] and len(page) == 4
        second = made.query("1", limit=4, after=page.cursor, **more)
        assert _lines(second) == wanted[4:8]
        third = made.query("1", limit=4, after=second.cursor, **more)
        assert _lines(third) == wanted[8:] and third.cursor is None
        assert _lines(page.all()) == wanted
    # A page that is just full is the last one.
    assert made.query("1", limit=11).cursor is None
    # Rows that come and go do not move the cursor.
    page = made.query("1", limit=4)
    made.delete("1", "003")
    made.put({"order-id": "1", "line": "0035"})
    assert _lines(made.query("1", limit=2, after=page.cursor)) == ["0035", "004"]


def test_expired_rows_are_not_there(table: Make) -> None:
    now = int(time.time())
    made = table("order", "line", ttl="until")
    made.put({"order": "1", "line": "a", "until": now - 5, "old": 1})
    made.put({"order": "1", "line": "b", "until": now + 1000})
    made.put({"order": "1", "line": "c"})
    made.put({"order": "1", "line": "d", "until": now - 5, "n": 5})
    made.put({"order": "1", "line": "e", "until": now - 5})
    assert made.get("1", "a") is None
    assert made.get("1", "b") == {"order": "1", "line": "b", "until": now + 1000}
    assert _lines(made.query("1")) == ["b", "c"]
    assert _lines(made.query("1", limit=1)) == ["b"]
    assert _lines(made.query("1", limit=1).all()) == ["b", "c"]
    assert sorted(row["line"] for row in made.scan()) == ["b", "c"]
    # It counts as absent for what writes, too.
    with pytest.raises(NotFound):
        made.update("1", "a", set={"x": 1})
    with pytest.raises(Conflict):
        made.put({"order": "1", "line": "a"}, when={"old": 1})
    made.put({"order": "1", "line": "a", "new": 1}, if_absent=True)
    assert made.get("1", "a") == {"order": "1", "line": "a", "new": 1}
    assert made.update("1", "d", add={"n": 1}, create=True) == {"order": "1", "line": "d", "n": 1}
    made.commit([Put({"order": "1", "line": "e", "n": 1}, when={"until": ABSENT})])
    assert made.get("1", "e") == {"order": "1", "line": "e", "n": 1}
    # An end may be moved and taken away.
    made.update("1", "b", set={"until": now - 1})
    assert made.get("1", "b") is None
    made.put({"order": "1", "line": "f", "until": now + 50})
    assert made.update("1", "f", remove=["until"]) == {"order": "1", "line": "f"}
    with pytest.raises(Conflict):
        made.put({"order": "1", "line": "f"}, if_absent=True)


def test_commits(table: Make) -> None:
    made = table("order", "line")
    made.put({"order": "1", "line": "stock", "left": 2})
    made.put({"order": "1", "line": "old"})
    made.commit(
        [
            Put({"order": "1", "line": "order"}, if_absent=True),
            Update("1", "stock", add={"left": -1}, when={"left": 2}),
            Delete("1", "old"),
            Delete("1", "never"),
            Put({"order": "1", "line": "event", "x": [1]}),
        ]
    )
    assert _lines(made.query("1")) == ["event", "order", "stock"]
    assert made.get("1", "stock")["left"] == 1
    before = {row["line"]: row for row in made.query("1")}
    version = made.get("1", "stock").version
    for refused, error in (
        ([Update("1", "stock", add={"left": -1}, when={"left": 2})], Conflict),
        ([Put({"order": "1", "line": "order"}, if_absent=True)], Conflict),
        ([Put({"order": "1", "line": "stock"}, if_version="not" + version)], Conflict),
        ([Update("1", "nothing", add={"left": -1})], NotFound),
        ([Delete("1", "stock", when={"left": 5})], Conflict),
    ):
        with pytest.raises(error):
            made.commit([Put({"order": "1", "line": "event 2"}), *refused, Delete("1", "event")])
        assert {row["line"]: row for row in made.query("1")} == before
    made.commit([Put({"order": "1", "line": "stock", "left": 9}, if_version=version),
                 Put({"order": "1", "line": "event 3"})])  # fmt: skip
    assert made.get("1", "stock")["left"] == 9


def test_commits_of_other_keys(table: Make, backend: Backend) -> None:
    """All but Cosmos DB, whose batches are of one partition, write them together."""
    made = table()
    writes = [Put({"id": "a"}), Put({"id": "b"}, if_absent=True)]
    if backend.target == "azure":
        with pytest.raises(ResourceError, match="on Azure they must have one value of the key"):
            made.commit(writes)
        assert made.get("a") is None
        return
    made.commit(writes)
    assert made.get("a") == {"id": "a"} and made.get("b") == {"id": "b"}


def test_many_writers(table: Make, backend: Backend) -> None:
    """Every addition counts, one of many creators is the first, no version is used twice."""
    made = table()
    made.put({"id": "n", "n": 0, "turns": []})
    first: list[int] = []
    failed: list[BaseException] = []
    workers, rounds = (3, 2) if backend.target == "azure" else (4, 5)
    start = threading.Barrier(workers)

    def work(number: int) -> None:
        try:
            start.wait(30)
            for turn in range(rounds):
                made.update("n", add={"n": 1})
                try:
                    made.put({"id": f"first {turn}", "by": number}, if_absent=True)
                    first.append(turn)
                except Conflict:
                    pass
            while True:
                row = made.get("n")
                turns = [*row["turns"], number]
                try:
                    made.update("n", set={"turns": turns}, if_version=row.version)
                    return
                except Conflict:
                    continue
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert made.get("n")["n"] == workers * rounds
    assert sorted(made.get("n")["turns"]) == list(range(workers))
    assert sorted(first) == list(range(rounds))
