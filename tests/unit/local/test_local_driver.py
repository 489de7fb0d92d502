"""The driver of resources on a developer's machine."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import portafaas.local.driver
from portafaas.local import resources
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Conflict, NotFound, Outgoing, ResourceError
from portafaas.runtime.rows import Write


def put_row(address: str, row: dict[str, Any], names: tuple[str, ...], if_absent: bool) -> None:
    key = {name: row[name] for name in names}
    resources.write_row(address, Write("put", key, row=row, if_absent=if_absent), "")


def test_addresses(project: Path) -> None:
    plan = build_plan(load_manifest(project / "portafaas.yaml", "prod"))
    order, quiet = plan.functions
    found = resources.environment(plan, order, project, "r", packaged=False)
    local = project / ".portafaas" / "local" / "prod"
    assert found == {
        "PORTAFAAS_RUN": "r",
        "PORTAFAAS_TABLE_ORDERS": str(local / "table" / "orders"),
        "PORTAFAAS_QUEUE_PAYMENTS": str(local / "queue" / "payments"),
        "PORTAFAAS_TOPIC_NEWS": str(local / "topic" / "news"),
        "PORTAFAAS_BUCKET_UPLOADS": str(local / "bucket" / "uploads"),
        "PORTAFAAS_SECRET_PAY_KEY": str(project / ".portafaas" / "secrets" / "prod" / "pay-key"),
    }
    packaged = resources.environment(plan, order, project, "r", packaged=True)
    assert packaged == found | {
        "PORTAFAAS_RESOURCES": "portafaas_local_resources",
        "PYTHONPATH": str(Path(portafaas.local.driver.__file__).parent),
    }
    assert resources.environment(plan, quiet, project, "r", packaged=True) == {}


def test_the_driver_stands_alone(tmp_path: Path) -> None:
    """It is the only thing of portafaas in its folder, and needs the shipped runtime only."""
    folder = Path(portafaas.local.driver.__file__).parent
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == [
        "__init__.py",
        "portafaas_local_resources",
    ]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import portafaas_local_resources\n"
        "print(sorted(n for n in sys.modules if n.startswith(('portafaas.', 'portafaas_'))\n"
        "             and not n.startswith('portafaas_local_resources.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == str(
        ["portafaas.runtime", "portafaas.runtime.control",
         "portafaas.runtime.resources", "portafaas_local_resources"]
    )  # fmt: skip


def test_messages_are_kept_in_order(tmp_path: Path) -> None:
    address = str(tmp_path / "queue" / "jobs")
    for number in range(3):
        sent = [Outgoing(f"{number}-{n}", bytes([n]), attributes={"a": "b"}) for n in range(2)]
        assert resources.send(address, sent, False) == []
    found = resources.messages(tmp_path, "queue", "jobs")
    assert [m["id"] for m in found] == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    assert found[1]["body"] == b"\x01"
    assert found[0]["attributes"] == {"a": "b"}
    assert resources.messages(tmp_path, "topic", "jobs") == []
    assert resources.messages(tmp_path / "nowhere", "queue", "jobs") == []


@pytest.mark.parametrize(("ordered", "kept"), [(True, 2), (False, 3)])
def test_an_ordered_queue_drops_repeats(tmp_path: Path, ordered: bool, kept: int) -> None:
    address = str(tmp_path / "queue" / "jobs")
    sent = [Outgoing(str(n), b"", key="k", dedup=dedup) for n, dedup in enumerate("aba")]
    assert resources.send(address, sent, ordered) == []
    assert len(resources.messages(tmp_path, "queue", "jobs")) == kept


def test_effects_are_those_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "table" / "orders")
    monkeypatch.setenv("PORTAFAAS_RUN", "one")
    put_row(address, {"id": "1", "x": "\u00e4"}, ("id",), False)
    monkeypatch.setenv("PORTAFAAS_RUN", "two")
    resources.write_row(address, Write("delete", {"id": "1"}), "")
    resources.send(str(tmp_path / "queue" / "q"), [Outgoing("1", b"\xff")], False)
    assert resources.effects(tmp_path, "one") == [
        {"kind": "table", "name": "orders", "verb": "put", "row": {"id": "1", "x": "\u00e4"}}
    ]
    assert resources.effects(tmp_path, "two") == [
        {"kind": "table", "name": "orders", "verb": "delete", "key": {"id": "1"}},
        {"kind": "queue", "name": "q", "verb": "send", "id": "1", "content_type": None,
         "body_base64": "/w==", "attributes": {}},
    ]  # fmt: skip
    assert resources.effects(tmp_path, "three") == []
    assert resources.effects(tmp_path / "nowhere", "one") == []


def test_a_conflict_leaves_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAFAAS_RUN", "r")
    address = str(tmp_path / "table" / "orders")
    put_row(address, {"id": "1"}, ("id",), True)
    with pytest.raises(Conflict):
        put_row(address, {"id": "1", "x": 1}, ("id",), True)
    assert resources.get_row(address, {"id": "1"}) == {"id": "1"}
    assert len(resources.effects(tmp_path, "r")) == 1


def test_a_scan_yields_every_row_of_its_table(tmp_path: Path) -> None:
    address = str(tmp_path / "table" / "orders")
    rows = {str(n): {"id": str(n), "n": n} for n in range(250)}
    for row in rows.values():
        put_row(address, row, ("id",), False)
    put_row(str(tmp_path / "table" / "others"), {"id": "1"}, ("id",), False)
    found = resources.scan(address)
    first = next(found)
    # Nothing is held while the handler looks at rows: another may write.
    put_row(address, first, ("id",), False)
    assert {row["id"]: row for row in [first, *found]} == rows
    assert list(resources.scan(str(tmp_path / "table" / "none"))) == []


def test_only_one_of_many_writers_is_first(tmp_path: Path) -> None:
    address = str(tmp_path / "table" / "orders")
    won: list[int] = []
    start = threading.Barrier(8)

    def put(number: int) -> None:
        start.wait()
        try:
            put_row(address, {"id": "1", "by": number}, ("id",), True)
        except Conflict:
            return
        won.append(number)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert resources.get_row(address, {"id": "1"}) == {"id": "1", "by": won[0]}


def test_tables_and_buckets_do_not_mix(tmp_path: Path) -> None:
    one, two = (str(tmp_path / "bucket" / name) for name in ("one", "two"))
    resources.write(one, "k", b"1", None)
    with pytest.raises(NotFound, match="bucket 'two' has no object 'k'"):
        resources.read(two, "k")
    assert resources.read(one, "k") == b"1"
    key = {"id": "a", "sort": "b"}
    put_row(str(tmp_path / "table" / "t"), {"sort": "b", "id": "a"}, ("id", "sort"), False)
    assert resources.get_row(str(tmp_path / "table" / "t"), key) == {"id": "a", "sort": "b"}
    assert resources.get_row(str(tmp_path / "table" / "u"), key) is None


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="the local store of 'q' failed") as caught:
        resources.send(str(tmp_path / "file" / "queue" / "q"), [Outgoing("1", b"")], False)
    assert caught.value.retryable


def test_secrets_are_files(project: Path) -> None:
    file = resources.secret_file(project, "", "pay-key")
    assert resources.secret(str(file)) == b"0123456789-a1"
    with pytest.raises(NotFound, match=r"portafaas secrets set other$"):
        resources.secret(str(file.with_name("other")))
    with pytest.raises(NotFound, match=r"portafaas secrets set other --stage prod$"):
        resources.secret(str(resources.secret_file(project, "prod", "other")))
    with pytest.raises(ResourceError, match="cannot be read"):
        resources.secret(str(file.parent))


def test_a_store_of_an_older_version(tmp_path: Path) -> None:
    """Its rows and objects stay; they have no version, and no etag, until they are written."""
    import sqlite3

    connection = sqlite3.connect(tmp_path / "resources.db")
    connection.executescript(
        """
        create table rows (
            name text not null, key text not null, row text not null, primary key (name, key)
        ) without rowid;
        insert into rows values ('t', '["a"]', '{"id": "a", "n": 1}');
        insert into rows values ('u', '["a", "b"]', '{"id": "a", "s": "b"}');
        create table objects (
            name text not null, key text not null, data blob not null, content_type text,
            primary key (name, key)
        );
        insert into objects values ('b', 'k', x'3132', 'text/plain');
        """
    )
    connection.close()
    table = str(tmp_path / "table" / "t")
    found = resources.get_row(table, {"id": "a"})
    assert found == {"id": "a", "n": 1} and found.version == ""
    other = str(tmp_path / "table" / "u")
    assert resources.get_row(other, {"id": "a", "s": "b"}) == {"id": "a", "s": "b"}
    write = Write("update", {"id": "a"}, add={"n": 1}, if_version="")
    made = resources.write_row(table, write, "")
    assert made == {"id": "a", "n": 2} and made.version
    bucket = str(tmp_path / "bucket" / "b")
    assert resources.read_range(bucket, "k", 1, 1, "") == b"2"
    assert resources.stat(bucket, "k").size == 2


def test_a_commit_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAFAAS_RUN", "r")
    address = str(tmp_path / "table" / "t")
    writes = [
        Write("put", {"id": "a"}, row={"id": "a"}),
        Write("update", {"id": "b"}, set={"n": 1}),
    ]
    with pytest.raises(NotFound):
        resources.commit(address, writes, "")
    assert resources.get_row(address, {"id": "a"}) is None
    assert resources.effects(tmp_path, "r") == []


def test_several_processes_may_be_the_first_to_open_an_older_store(tmp_path: Path) -> None:
    code = (
        "import sys; from portafaas.local.driver.portafaas_local_resources import database\n"
        "input()\n"
        "database(sys.argv[1]).close()\n"
    )
    for round in range(4):
        folder = tmp_path / str(round)
        folder.mkdir()
        old = sqlite3.connect(folder / "resources.db")
        old.executescript(
            "create table objects (name text not null, key text not null, data blob not null,"
            " content_type text, primary key (name, key));"
            "insert into objects values ('b', 'k', x'01', null);"
            "create table rows (name text, key text, row text);"
            """insert into rows values ('t', '["a"]', '{"id": "a"}');"""
        )
        old.close()
        openers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder)],
                stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for _ in range(6)
        ]  # fmt: skip
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write("\n")
            opener.stdin.flush()
        told = [opener.communicate(timeout=30)[1] for opener in openers]
        assert [opener.returncode for opener in openers] == [0] * 6, told
        assert resources.read(str(folder / "bucket/b"), "k") == b"\x01"
        assert dict(resources.get_row(str(folder / "table/t"), {"id": "a"}) or {}) == {"id": "a"}


def test_a_full_disk_is_a_resource_error_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas.local.driver.portafaas_local_resources import store

    queue, bucket = str(tmp_path / "queue/q"), str(tmp_path / "bucket/b")
    resources.send(queue, [Outgoing("1", b"1")], False)
    opened = store.database

    def small(folder: str) -> sqlite3.Connection:
        connection = opened(folder)
        connection.execute("pragma max_page_count = 60")
        return connection

    monkeypatch.setattr(store, "database", small)
    many = [Outgoing(str(n), bytes(30_000)) for n in range(40)]
    for call in (
        lambda: resources.send(queue, many, False),
        lambda: resources.write(bucket, "k", bytes(1_000_000), None),
    ):
        with pytest.raises(ResourceError, match="full") as caught:
            call()
        assert caught.value.retryable and "rollback" not in str(caught.value)
    assert [each["id"] for each in resources.messages(tmp_path, "queue", "q")] == ["1"]
    with pytest.raises(NotFound):
        resources.read(bucket, "k")


def test_what_is_no_store_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "resources.db").write_bytes(b"no database " * 100)
    with pytest.raises(ResourceError, match="not a database") as caught:
        resources.send(str(tmp_path / "queue/q"), [Outgoing("1", b"")], False)
    assert not caught.value.retryable
