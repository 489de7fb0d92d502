"""Clients of resources: grants, what is refused, and what reaches a driver (the local one)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import portafaas.runtime as exported
from portafaas.runtime import resources
from portafaas.runtime.config import Config
from portafaas.runtime.context import Context
from portafaas.runtime.resources import (
    Conflict,
    NotFound,
    NotGranted,
    ResourceError,
    new_id,
)


def test_a_function_that_uses_nothing_reaches_nothing(context: Context) -> None:
    for kind in ("queues", "topics", "tables", "buckets", "secrets"):
        clients = getattr(context, kind)
        assert len(clients) == 0
        assert "x" not in clients
        with pytest.raises(NotGranted):
            clients["x"]


def test_a_mapping_of_what_is_granted(used: Context) -> None:
    assert list(used.queues) == ["jobs", "in-order"]
    assert "jobs" in used.queues
    assert len(used.tables) == 3
    assert used.queues["jobs"] is used.queues["jobs"]
    assert repr(used.queues) == "<queues jobs, in-order>"
    assert repr(used.secrets["key"]) == "<secret 'key'>"


REFUSED: list[tuple[Callable[[Context], Any], str]] = [
    (lambda c: c.queues["other"], "'- send: other'"),
    (lambda c: c.topics["jobs"], "'- publish: jobs'"),
    (lambda c: c.tables["x"], "'- read: x' or '- write: x'"),
    (lambda c: c.buckets["x"], "'- read: x' or '- write: x'"),
    (lambda c: c.secrets["x"], "'- read: x'"),
    (lambda c: c.tables["users"].put({"id": "1"}), "'- write: users'"),
    (lambda c: c.tables["users"].delete("1"), "'- write: users'"),
    (lambda c: c.tables["audit"].get("1"), "'- read: audit'"),
    (lambda c: c.buckets["down"].write("a", b""), "'- write: down'"),
    (lambda c: c.buckets["down"].delete("a"), "'- write: down'"),
    (lambda c: c.buckets["drop"].read("a"), "'- read: drop'"),
]


@pytest.mark.parametrize(("call", "line"), REFUSED)
def test_what_is_not_granted(used: Context, call: Any, line: str) -> None:
    with pytest.raises(NotGranted) as caught:
        call(used)
    assert isinstance(caught.value, PermissionError)
    assert isinstance(caught.value, ResourceError)
    assert caught.value.retryable is False
    assert "function 'f' may not" in str(caught.value)
    assert f"add {line} to its 'uses'" in str(caught.value)


def test_a_resource_whose_place_is_unknown(used: Context, monkeypatch: Any) -> None:
    monkeypatch.delenv("PORTAFAAS_QUEUE_JOBS")
    with pytest.raises(ResourceError, match=r"PORTAFAAS_QUEUE_JOBS.*is not set"):
        used.queues["jobs"].send("x")


def test_a_target_without_clients(used: Context) -> None:
    used.target = "nowhere"
    with pytest.raises(ResourceError, match=r"no module portafaas_nowhere\.runtime\.resources"):
        used.queues["jobs"].send("x")


def test_a_driver_that_lacks_a_package_says_which(
    used: Context, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "broken_driver.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "broken_driver")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        used.queues["jobs"].send("x")


ROW = {
    "id": "1", "created": "2026", "n": 7, "big": 2**53 - 1, "f": 1.5, "tiny": 1e-100, "t": True,
    "none": None, "empty": "", "list": [1, [2, {"a": []}]], "map": {"\u00e4": {"": 1}.__class__()},
}  # fmt: skip


def test_rows(used: Context) -> None:
    table = used.tables["orders"]
    assert table.get("1", "2026") is None
    table.put(ROW)
    found = table.get("1", "2026")
    assert found == ROW
    assert [type(found[name]) for name in ("n", "f", "t")] == [int, float, bool]
    table.put({"id": "1", "created": "2026", "whole": 2.0})
    found = table.get("1", "2026")
    assert found == {"id": "1", "created": "2026", "whole": 2}
    assert type(found["whole"]) is int
    with pytest.raises(Conflict):
        table.put(ROW, if_absent=True)
    table.put({"id": "1", "created": "2027"}, if_absent=True)
    table.delete("1", "2026")
    table.delete("1", "2026")
    assert table.get("1", "2026") is None
    assert table.get("1", "2027") == {"id": "1", "created": "2027"}


BAD_ROWS: list[tuple[Any, type[Exception], str]] = [
    ([], TypeError, "a row is a mapping"),
    ({"id": "1"}, TypeError, "key 'created' must be text, not None"),
    ({"created": "1"}, TypeError, "key 'id' must be text"),
    ({"id": 1, "created": "1"}, TypeError, "key 'id' must be text, not 1"),
    ({"id": "", "created": "1"}, ValueError, "key 'id' has 0 bytes"),
    ({"id": "x" * 1025, "created": "1"}, ValueError, "key 'id' has 1025 bytes"),
    ({"id": "1", "created": "1", "x": b""}, TypeError, "row.x: 'bytes' is no JSON value"),
    ({"id": "1", "created": "1", "x": {1}}, TypeError, "row.x: 'set'"),
    ({"id": "1", "created": "1", "x": [{"y": float("nan")}]}, ValueError, r"row.x\[0\].y: nan"),
    ({"id": "1", "created": "1", "x": float("inf")}, ValueError, "row.x: inf"),
    ({"id": "1", "created": "1", "x": 2**53}, ValueError, "row.x: .* beyond 2.53"),
    ({"id": "1", "created": "1", "x": 1e200}, ValueError, "row.x: 1e.200 is beyond"),
    ({"id": "1", "created": "1", "x": {1: 2}}, TypeError, "row.x: names must be text"),
    ({"id": "1", "created": "1", "": 2}, TypeError, "names must be text, and not empty"),
    ({"id": "1", "created": "1", "x": "\ud800"}, ValueError, "surrogates"),
    ({"id": "1", "created": "1", "x": "x" * 400_000}, ValueError, "at most 400000"),
]


@pytest.mark.parametrize(("row", "error", "text"), BAD_ROWS)
def test_rows_that_no_target_keeps(
    used: Context, row: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        used.tables["orders"].put(row)
    assert used.tables["orders"].get("1", "1") is None


def test_rows_that_are_too_deep(used: Context) -> None:
    value: Any = 1
    for _ in range(19):
        value = [value]
    used.tables["orders"].put({"id": "1", "created": "1", "x": value})
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        used.tables["orders"].put({"id": "1", "created": "1", "x": [[value]]})


def test_keys(used: Context) -> None:
    with pytest.raises(TypeError, match="key 'created' must be text"):
        used.tables["orders"].get("1")
    with pytest.raises(TypeError, match="has no sort key"):
        used.tables["users"].get("1", "2")
    assert used.tables["users"].get("1") is None
    for call in (used.tables["orders"].get, used.tables["orders"].delete):
        with pytest.raises(ValueError, match="surrogates"):
            call("\ud800", "1")


def test_objects(used: Context) -> None:
    bucket = used.buckets["up"]
    with pytest.raises(NotFound):
        bucket.read("a")
    bucket.write("a/\u00e4 b", b"\xff", "image/png")
    assert bucket.read("a/\u00e4 b") == b"\xff"
    bucket.write("a/\u00e4 b", "text \u00e4")
    assert bucket.read("a/\u00e4 b") == "text \u00e4".encode()
    bucket.write("v", memoryview(b"x"))
    assert bucket.read("v") == b"x"
    bucket.delete("v")
    bucket.delete("v")
    with pytest.raises(NotFound):
        bucket.read("v")


@pytest.mark.parametrize(
    ("key", "error"),
    [("", ValueError), ("x" * 1025, ValueError), ("a\n", ValueError), ("a/../b", ValueError),
     (".", ValueError), ("\ud800", ValueError), (7, TypeError), (b"a", TypeError)],
)  # fmt: skip
def test_bad_keys_of_objects(used: Context, key: Any, error: type[Exception]) -> None:
    for call in (
        used.buckets["up"].read,
        used.buckets["up"].delete,
        lambda k: used.buckets["up"].write(k, b""),
    ):
        with pytest.raises(error):
            call(key)


def test_bad_objects(used: Context) -> None:
    with pytest.raises(TypeError, match="bytes or str"):
        used.buckets["up"].write("a", {"a": 1})
    with pytest.raises(ValueError, match="no header value"):
        used.buckets["up"].write("a", b"", "text/plain\r\nx: y")


def test_settings(monkeypatch: Any, make: Any) -> None:
    from portafaas.runtime import config

    monkeypatch.setattr(config, "_settings", None)
    monkeypatch.setenv("PORTAFAAS_CONFIG", '{"b": [1], "a": "x"}')
    settings = Context(make(), "1").config
    assert isinstance(settings, Config)
    assert (settings["a"], settings.get("b"), settings.get("c", 3)) == ("x", [1], 3)
    assert (list(settings), len(settings), "a" in settings) == (["b", "a"], 2, True)
    assert dict(settings) == {"a": "x", "b": [1]}
    with pytest.raises(KeyError, match=r"no setting is called 'c'; .* a, b"):
        settings["c"]
    # Once a process:
    monkeypatch.setenv("PORTAFAAS_CONFIG", "{}")
    assert Context(make(), "2").config is settings


@pytest.mark.parametrize("text", ["", "{}"])
def test_no_settings(monkeypatch: Any, make: Any, text: str) -> None:
    from portafaas.runtime import config

    monkeypatch.setattr(config, "_settings", None)
    monkeypatch.setenv("PORTAFAAS_CONFIG", text)
    with pytest.raises(KeyError, match="under config: none"):
        Context(make(), "1").config["a"]


def test_ids_are_uuids_of_version_4() -> None:
    import uuid

    found = {new_id() for _ in range(100)}
    assert len(found) == 100
    for text in found:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_errors_and_outgoing_are_exported() -> None:
    for name in ("Conflict", "NotFound", "NotGranted", "Outgoing", "ResourceError"):
        assert getattr(exported, name) is getattr(resources, name)
        assert name in dir(exported)


def test_nothing_is_loaded_before_it_is_used() -> None:
    import subprocess

    code = (
        "import sys\n"
        "import portafaas.runtime.serve, portafaas.runtime.deliver, portafaas.runtime.function\n"
        "print(sorted(n.rpartition('.')[2] for n in sys.modules if n.startswith('portafaas.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(
        ["context", "deadline", "deliver", "function", "http", "runtime", "serve"]
    )
