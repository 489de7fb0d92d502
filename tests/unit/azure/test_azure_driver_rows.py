"""Rows with the real azure-cosmos: against a strict server, and Vercel's where it is installed."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portafaas.adapter import ChangeStimulus
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, TablePlan
from portafaas.runtime.resources import Conflict, NotFound, ResourceError
from portafaas.runtime.rows import Write
from portafaas_azure.infrastructure.iam import COSMOS_ROLES
from portafaas_azure.limits import check
from portafaas_azure.runtime import identity, rows
from portafaas_azure.runtime.resources import commit, get_row, scan, write_row
from portafaas_azure.runtime.shapes import item_id, loaded, stored
from tests.behaviour import emulators

#: The client itself leaves out to verify the certificate of an emulator, 127.0.0.1 or localhost.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

ROW = {
    "sku": "a", "whole": 7, "big": 2**53 - 1, "negative": -1, "part": 0.1, "tiny": 1e-9,
    "none": None, "yes": True, "no": False, "empty": "", "text": "gr\u00fc\u00dfe \u2603", "map": {},
    "list": [], "nested": {"a": [{"b": [1, 2.5, None, ""]}], "c.d": {"e f": 1, "id": 3}},
    "lists": [[1, [2, []], {}], []],
}  # fmt: skip
#: Names that Cosmos DB has taken, and what they are stored as.
OWN = {"id": 5, "ttl": "never", "_ts": 1, "_etag": None, "_rid": "r", "_lsn": [1], "_self": {}, "_attachments": ""}  # fmt: skip


def put_row(address: str, row: dict[str, Any], names: tuple[str, ...], if_absent: bool) -> None:
    key = {name: str(row[name]) for name in names}
    write_row(address, Write("put", key, row=row, if_absent=if_absent), "")


def delete_row(address: str, key: dict[str, Any]) -> None:
    write_row(address, Write("delete", key), "")


@pytest.fixture(scope="session")
def driver_cosmos() -> Callable[[str], ModuleType]:
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "azure_driver_cosmos", Path(__file__).with_name("azure_driver_cosmos.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module  # type: ignore[return-value]


@pytest.fixture
def account(
    azure_cloud_modules: list[ModuleType],
    driver_cosmos: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    planes = azure_cloud_modules[1]
    certificate = planes.certify(tmp_path / "tls.pem")
    made = driver_cosmos.Cosmos()
    server = planes.Server(made.answer, certificate)
    made.host, made.token = server.host, "t1"
    monkeypatch.setattr(rows, "_clients", {})
    monkeypatch.setattr(rows, "_tables", {})
    token = identity.Token("t1", int(time.time()) + 3600)
    # What the client asks for: the account's own name.
    monkeypatch.setattr(identity, "_tokens", {"https://127.0.0.1": token})
    yield made
    _close()
    server.close()


def _close() -> None:
    """Close the clients, and wait for the threads that look after their endpoints."""
    for client in rows._clients.values():
        client.__exit__(None, None, None)
    for thread in threading.enumerate():
        if thread.name.startswith("cosmos-"):
            thread.join(10)


def test_rows(account: Any) -> None:
    table = account.add("shop", "stock", "/sku")
    assert get_row(table, {"sku": "a"}) is None
    put_row(table, ROW, ("sku",), False)
    found = get_row(table, {"sku": "a"})
    assert json.dumps(found, sort_keys=True) == json.dumps(ROW, sort_keys=True)  # 7 is not 7.0
    put_row(table, {"sku": "a", "other": 1}, ("sku",), False)
    assert get_row(table, {"sku": "a"}) == {"sku": "a", "other": 1}
    with pytest.raises(Conflict) as caught:
        put_row(table, {"sku": "a"}, ("sku",), True)
    assert not caught.value.retryable
    put_row(table, {"sku": "b"}, ("sku",), True)
    delete_row(table, {"sku": "a"})
    delete_row(table, {"sku": "a"})
    assert get_row(table, {"sku": "a"}) is None and get_row(table, {"sku": "b"}) == {"sku": "b"}


@pytest.mark.parametrize("names", [("id",), ("sku",), ("sku", "place"), ("order-id", "id")])
def test_every_key_has_its_row(account: Any, names: tuple[str, ...]) -> None:
    """Keys that no id can be, or that would be one id, and attributes of taken names."""
    paths = ["/id" if name == "id" else f'/"{name}"' for name in names]
    table = account.add("shop", "stock", *paths)
    texts = ["a/b", "a%2Fb", "a\\b", "a?b", "a#b", "a b", " ", "a ", "a%20", ".", "..", "%2E", '"',
             "\u00fc\u2603\U0001f600", "x" * 1024, "x" * 1023, "/" * 1024, "a|b", "a\nb", "+",
             "%sha256-0"]  # fmt: skip
    keys: list[tuple[str, ...]] = [(text,) for text in texts]
    if len(names) == 2:
        keys = [(one, two) for one in texts[:3] for two in texts]
        keys += [("a", "b|c"), ("a|b", "c"), ("a", "b%7Cc")]
    wanted = []
    for number, key in enumerate(keys):
        row = {**OWN, "n": number, **dict(zip(names, key, strict=True))}
        put_row(table, row, names, True)
        wanted.append(row)
    for row in wanted:
        assert get_row(table, {name: str(row[name]) for name in names}) == row
    assert sorted(scan(table), key=lambda row: row["n"]) == wanted
    for row in wanted:
        with pytest.raises(Conflict):
            put_row(table, row, names, True)
        delete_row(table, {name: row[name] for name in names})
    assert list(scan(table)) == []


def test_scan_goes_from_page_to_page(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = account.add("shop", "stock", "/sku")
    monkeypatch.setattr(rows, "PAGE", 3)
    for number in range(10):
        put_row(table, {"sku": str(number)}, ("sku",), False)

    def pages() -> int:
        # The client asks for the account itself when it pleases.
        return sum(method == "POST" for method, _ in account.asked)

    account.asked.clear()
    found = scan(table)
    assert next(found) == {"sku": "0"}
    first = pages()
    assert [row["sku"] for row in found] == [str(number) for number in range(1, 10)]
    assert pages() == first + 3  # four pages, the others when they were needed


def test_the_roles_of_the_template_suffice(account: Any, driver_cosmos: Any) -> None:
    table = account.add("shop", "stock", "/sku", "/place")
    write = COSMOS_ROLES["table-write"][1]
    assert isinstance(write, tuple)
    names = ("sku", "place")
    account.allowed = write
    put_row(table, {"sku": "a", "place": "b"}, names, True)
    put_row(table, {"sku": "a", "place": "b", "n": 1}, names, False)
    delete_row(table, {"sku": "a", "place": "c"})
    # What has a condition is read first.
    key = {"sku": "a", "place": "b"}
    write_row(table, Write("update", key, add={"n": 2}), "")
    row = write_row(table, Write("update", key, add={"n": -2}, when={"n": 3}), "until")
    assert row == {"sku": "a", "place": "b", "n": 1}
    more = {"sku": "a", "place": "c"}
    commit(
        table,
        [
            Write("put", more, row=more, if_absent=True),
            Write("update", key, set={"n": 5}, if_version=row.version),
        ],
        "",
    )
    commit(table, [Write("delete", more), Write("put", key, row={**key, "n": 1})], "")
    with pytest.raises(ResourceError, match="executeQuery") as caught:
        list(scan(table))
    assert not caught.value.retryable
    rows._clients.clear()
    rows._tables.clear()
    account.allowed = driver_cosmos.READER
    assert get_row(table, {"sku": "a", "place": "b"}) == {"sku": "a", "place": "b", "n": 1}
    assert get_row(table, {"sku": "a", "place": "c"}) is None
    assert list(scan(table)) == [{"sku": "a", "place": "b", "n": 1}]
    with pytest.raises(ResourceError, match="items/create"):
        put_row(table, {"sku": "a", "place": "d"}, names, True)


def test_a_row_lives_until_its_time(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service counts from the last write: every write says anew for how long."""
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.25)
    table = account.add("shop", "stock", "/sku")
    key = {"sku": "a"}
    items = account.items["dbs/shop/colls/stock"]
    for end, life in ((1_790_000_100, 101), (1_790_000_000, 1), (5, 1), (2**52, 2**31 - 1)):
        write_row(table, Write("put", key, row={**key, "ttl": end}), "ttl")
        assert next(iter(items.values()))["ttl"] == life
        assert get_row(table, key) == {**key, "ttl": end}
    write_row(table, Write("update", key, set={"n": 1}), "ttl")
    assert next(iter(items.values()))["ttl"] == 2**31 - 1
    write_row(table, Write("update", key, remove=("ttl",)), "ttl")
    assert "ttl" not in next(iter(items.values()))
    # Nobody asked that rows of this table expire.
    write_row(table, Write("put", key, row={**key, "ttl": 1}), "")
    assert "ttl" not in next(iter(items.values()))


def test_writes_give_up_when_others_are_faster(
    account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = account.add("shop", "stock", "/sku")
    put_row(table, {"sku": "a", "n": 0}, ("sku",), False)
    monkeypatch.setattr(rows, "PAUSE", 0)
    store = account._store

    def busy(*arguments: Any, **more: Any) -> Any:
        item = account.items["dbs/shop/colls/stock"]["a", "a"]
        item["_etag"] = item["_etag"] + "!"
        return store(*arguments, **more)

    monkeypatch.setattr(account, "_store", busy)
    for attempt in (
        lambda: write_row(table, Write("update", {"sku": "a"}, add={"n": 1}), ""),
        lambda: commit(
            table,
            [Write("update", {"sku": "a"}, add={"n": 1}) for _ in range(2)],
            "",
        ),
    ):
        with pytest.raises(ResourceError, match="all the time") as caught:
            attempt()
        assert caught.value.retryable and not isinstance(caught.value, Conflict)


def test_one_request_a_call(account: Any) -> None:
    table = account.add("shop", "stock", "/sku")
    get_row(table, {"sku": "a"})
    account.asked.clear()
    get_row(table, {"sku": "a"})
    put_row(table, {"sku": "a"}, ("sku",), False)
    put_row(table, {"sku": "b"}, ("sku",), True)
    delete_row(table, {"sku": "a"})
    asked = [method for method, path in account.asked if path != "/"]
    assert asked == ["GET", "POST", "POST", "DELETE"]


def test_a_table_that_is_not_there(account: Any) -> None:
    table = account.add("shop", "stock", "/sku")
    for call in (
        lambda address: get_row(address, {"sku": "a"}),
        lambda address: delete_row(address, {"sku": "a"}),
        lambda address: put_row(address, {"sku": "a"}, ("sku",), False),
        lambda address: list(scan(address)),
    ):
        with pytest.raises(NotFound, match="nothing"):
            call(table.replace("stock", "nothing"))
    get_row(table, {"sku": "a"})
    account.containers.clear()
    with pytest.raises(NotFound, match="stock"):
        get_row(table, {"sku": "a"})
    with pytest.raises(NotFound, match="stock"):
        delete_row(table, {"sku": "a"})


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (449, True), (400, False)])
def test_failures(account: Any, status: int, retryable: bool) -> None:
    table = account.add("shop", "stock", "/sku")
    put_row(table, {"sku": "a"}, ("sku",), False)
    account.faults = [status] * 40
    with pytest.raises(ResourceError) as caught:
        put_row(table, {"sku": "a"}, ("sku",), False)
    assert caught.value.retryable is retryable and not isinstance(caught.value, Conflict)


def test_throttling_is_waited_for(account: Any) -> None:
    table = account.add("shop", "stock", "/sku")
    put_row(table, {"sku": "a"}, ("sku",), False)
    account.faults = [429]
    assert get_row(table, {"sku": "a"}) == {"sku": "a"}


def test_an_account_that_is_not_there(
    account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(rows, "PATIENCE", {**rows.PATIENCE, "retry_total": 0})
    with pytest.raises(ResourceError) as caught:
        get_row(f"https://127.0.0.1:{port}/dbs/d/colls/c", {"id": "a"})
    assert caught.value.retryable


def test_what_is_stored_is_what_the_bridge_gives(
    account: Any, bench: Any, handlers: ModuleType
) -> None:
    """Through the change feed: the item as the service has it."""
    table = account.add("shop", "orders", "/order_id", "/place")
    row = {**ROW, **OWN, "order_id": "a/b", "place": "c d "}
    put_row(table, row, ("order_id", "place"), False)
    item = dict(*account.items["dbs/shop/colls/orders"].values())
    stimulus = ChangeStimulus(
        "insert", {"order_id": "a/b", "place": "c d "}, row, id="1"
    )
    [request] = bench_encode(bench, stimulus)
    [document] = request.payload["trigger"]["value"]
    for name in ("_rid", "_self", "_etag", "_ts"):
        assert document.pop(name) and item.pop(name)
    assert document.pop("_lsn") and document == item
    bench.azure("on-row", stimulus)
    [seen] = handlers.seen
    assert seen["data"]["new"] == row == get_row(table, {"order_id": "a/b", "place": "c d "})


def bench_encode(bench: Any, stimulus: Any) -> list[Any]:
    from portafaas_azure.adapter import ADAPTER

    return list(ADAPTER.encode(bench.plan, bench.plan.function("on-row"), stimulus))


def test_items_of_others() -> None:
    assert loaded({"id": "x", "sku": "a", "n": 2.0, "_ts": 5}, ("sku",)) == {
        "id": "x", "sku": "a", "n": 2,
    }  # fmt: skip
    assert loaded({"id": "a", "sku": "a", "ttl": 9, "pf-x": 1}, ("sku",)) == {"sku": "a"}
    assert loaded({"id": "a"}, ("id",)) == {"id": "a"}
    assert stored({"id": "a", "n": 1}, ("id",)) == {"id": "a", "n": 1}
    assert item_id("order-7") == "order-7"


@pytest.mark.parametrize(
    ("key", "sort", "refused"),
    [("id", "", 0), ("sku", "id", 0), ("id", "sku", 1), ("_ts", "", 1), ("sku", "ttl", 1)],
)
def test_keys_that_cannot_be(key: str, sort: str, refused: int) -> None:
    function = FunctionPlan("f", "m", "a", HttpTrigger(("GET",), "/"))
    plan = BuildPlan(
        "s", "", "3.12", "x86_64", (function,), tables=(TablePlan("stock", key, sort),)
    )
    found = check(plan)
    assert [(one.code, one.path) for one in found] == [("PF3002", "$.tables.stock")] * refused


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    command, port = emulators.npm("cosmosdb-server"), emulators.free_port()
    from azure.cosmos import CosmosClient, PartitionKey

    token = identity.Token("t1", int(time.time()) + 3600)
    monkeypatch.setattr(identity, "_tokens", {"https://localhost": token})
    monkeypatch.setattr(rows, "_clients", {})
    monkeypatch.setattr(rows, "_tables", {})
    server = emulators.Server([command, "-p", str(port)], port, tmp_path, "localhost")
    try:
        with CosmosClient(f"https://localhost:{port}", identity.credential()) as client:
            database = client.create_database("shop")
            database.create_container("stock", PartitionKey("/sku"))
        yield f"https://localhost:{port}/dbs/shop/colls/stock"
    finally:
        server.close()


def test_rows_in_an_emulator(emulator: str) -> None:
    names = ("sku", "place")
    row = {**ROW, "place": "a/b c?#%", "id": "own", "n": os.getpid()}
    put_row(emulator, row, names, True)
    assert get_row(emulator, {"sku": "a", "place": "a/b c?#%"}) == row
    with pytest.raises(Conflict):
        put_row(emulator, row, names, True)
    put_row(emulator, {**row, "n": 1}, names, False)
    assert list(scan(emulator)) == [{**row, "n": 1}]
    delete_row(emulator, {"sku": "a", "place": "a/b c?#%"})
    delete_row(emulator, {"sku": "a", "place": "a/b c?#%"})
    assert list(scan(emulator)) == []
