"""``portafaas dev`` as a whole: real sockets, real processes, one application for most tests."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import HttpStimulus, TaskStimulus
from portafaas.dev.pool import Pool
from portafaas.dev.service import Dev
from portafaas.dev.start import valueless
from portafaas.errors import DeploymentError, InvocationError, PlanError
from portafaas.local.broker import Broker
from portafaas.local.dispatch import Dispatcher
from portafaas.local.resources import secret_file, store
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.dev.project import call, manifest, served, until, write


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("kiosk")
    with served(folder, environment={"TICKS": str(folder / "ticks")}) as running:
        yield running


def newest(dev: Dev, function: str, *, status: str | None = None) -> dict[str, Any]:
    """Return the newest record of a function, when there is one."""

    def found() -> Any:
        dev.activity.flush()
        rows = dev.activity.list(function=function, status=status, limit=1)
        return rows and dev.activity.get(rows[0]["id"])

    record: dict[str, Any] = until(found)
    return record


# HTTP


def test_a_request_is_answered_and_recorded(dev: Dev) -> None:
    assert call(dev, "GET", "/hello?a=1") == (200, {"hello": "world"})
    one = newest(dev, "hello")
    assert one["status"] == "ok"
    assert one["request"]["http"]["path"] == "/hello"
    assert one["request"]["http"]["query"] == "a=1"
    assert json.loads(one["response"]["body"]) == {"hello": "world"}
    assert len(one["trace_id"]) == 32 and one["spans"][0]["span_id"] == one["span_id"]


def test_routes(dev: Dev) -> None:
    assert call(dev, "GET", "/nowhere")[0] == 404
    assert call(dev, "POST", "/hello")[0] == 405
    assert call(dev, "PATCH", "/fate/fine")[0] == 200


@pytest.mark.parametrize(
    ("function", "how", "status", "recorded", "why"),
    [
        ("fate", "raise", 500, "error", "as asked"),
        ("fate", "exit", 502, "crash", "status 3"),
        ("fate", "sleep", 504, "timeout", "within 1 s"),
        ("fate", "hang", 504, "timeout", "within 1 s"),
        ("greedy", "memory", 502, "memory", "192 MiB"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_request_is_served(
    dev: Dev, function: str, how: str, status: int, recorded: str, why: str
) -> None:
    assert call(dev, "GET", f"/{function}/{how}")[0] == status
    one = newest(dev, function)
    assert one["status"] == recorded
    assert why in one["error"]
    # What it had printed until then is there, and whose it is is known.
    assert {"fate: " + how, f"it is {how}"} <= {entry["text"] for entry in one["logs"]}
    assert call(dev, "GET", f"/{function}/fine")[0] == 200


def test_logs_are_taken_apart(dev: Dev) -> None:
    call(dev, "GET", "/fate/fine")
    logs = newest(dev, "fate", status="ok")["logs"]
    assert [(e["level"], e["text"], e["fields"]) for e in logs] == [
        ("", "fate: fine", {}),
        ("INFO", "it is fine", {"how": "fine"}),
    ]


def test_processes_are_added_while_all_are_busy(dev: Dev) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: call(dev, "GET", "/slow"), range(8)))
    assert {status for status, _ in found} == {200}
    assert len({body["pid"] for _, body in found}) > 1


def test_processes_that_are_not_needed_any_more_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portafaas.dev.instances.TIDY", 0.05)
    monkeypatch.setattr("portafaas.dev.instances.IDLE", 0.2)
    with served(tmp_path) as dev, ThreadPoolExecutor(12) as threads:
        # One at a time in a process, and four.
        for name in ("slow", "together"):
            answers = threads.map(partial(call, dev, "GET"), [f"/{name}"] * 12)
            assert len({body["pid"] for _, body in answers}) > 1
            pool = dev.instances.pools[name]
            until(partial(_has_one, pool))
            assert call(dev, "GET", f"/{name}")[0] == 200


def _has_one(pool: Pool) -> bool:
    return len(pool.workers) == 1


def test_a_process_does_several_at_once(dev: Dev) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: call(dev, "GET", "/together"), range(4)))
    assert {status for status, _ in found} == {200}
    assert len({body["pid"] for _, body in found}) == 1


def test_long_bodies(dev: Dev) -> None:
    body = b"x" * 3_000_000 + b"end"
    assert call(dev, "POST", "/size", body) == (200, {"size": len(body), "end": "end"})
    one = newest(dev, "size")
    assert one["request"]["cut"] is True and len(json.dumps(one["request"])) < 70_000
    status, answer = call(dev, "POST", "/size", b"x" * 4_600_000)
    assert status == 413 and "4600000 bytes" in answer["detail"]


def test_who_calls_is_said_by_a_header(dev: Dev) -> None:
    assert call(dev, "GET", "/who")[0] == 401
    assert call(dev, "GET", "/who", portafaas_caller="ada") == (200, {"who": "ada"})


def test_calls_from_within(dev: Dev) -> None:
    outcome = dev.run_in_loop(dev.request("hello", HttpStimulus(path="/hello")), 60)
    assert outcome.status == 200
    id, answer = dev.run_in_loop(dev.invoke("first", TaskStimulus({"n": 1})), 60)
    assert answer == {"output": {"n": 2}}
    dev.activity.flush()
    assert dev.activity.get(id) is not None
    with pytest.raises(InvocationError, match="no function"):
        dev.run_in_loop(dev.invoke("nobody", TaskStimulus()), 60)


# What is ours


def test_only_this_machine_reaches_what_is_ours(dev: Dev) -> None:
    assert call(dev, "GET", "/_portafaas/api/service")[0] == 200
    assert call(dev, "GET", "/_portafaas/api/service", host="shop.example")[0] == 403
    post: tuple[Any, ...] = ("POST", "/_portafaas/v1/traces", b'{"resourceSpans": []}')
    assert call(dev, *post)[0] == 415
    kind: dict[str, Any] = {"content_type": "application/json"}
    assert call(dev, *post, **kind)[0] == 200
    assert call(dev, *post, **kind, origin="https://shop.example")[0] == 403
    assert call(dev, *post, **kind, origin=dev.url, host=dev.url[7:])[0] == 200


def test_spans_of_others_are_added(dev: Dev) -> None:
    call(dev, "GET", "/hello")
    one = newest(dev, "hello")
    span = {
        "traceId": one["trace_id"],
        "spanId": "00f067aa0ba902b7",
        "parentSpanId": one["span_id"],
        "name": "inner",
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "1500000000",
    }
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    body = json.dumps(document).encode()
    call(dev, "POST", "/_portafaas/v1/traces", body, content_type="application/json")
    dev.activity.flush()
    found = dev.activity.get(one["id"])
    assert found is not None
    assert found["spans"][-1]["name"] == "inner" and found["spans"][-1]["seconds"] == 0.5


def test_events_are_sent_as_they_come(dev: Dev) -> None:
    with socket.create_connection(("127.0.0.1", dev.port), 60) as connection:
        connection.sendall(b"GET /_portafaas/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        connection.settimeout(0.5)
        got = b""

        def told() -> bool:
            nonlocal got
            call(dev, "GET", "/fate/fine")
            with contextlib.suppress(TimeoutError):
                part = connection.recv(65536)
                assert part
                got += part
            plain = got.replace(b" ", b"")
            return b'"type":"invocation"' in plain and b'"type":"log"' in plain

        until(told)


# Deliveries


def test_what_a_request_sends_is_delivered(dev: Dev) -> None:
    assert call(dev, "POST", "/orders/good")[0] == 200
    sent = newest(dev, "order")
    assert [(e["kind"], e["name"], e["verb"]) for e in sent["effects"]] == [
        ("queue", "jobs", "send")
    ]
    one = newest(dev, "work")
    assert one["status"] == "ok" and one["box"] == "queue/jobs"
    assert one["trace_id"] == sent["trace_id"] and one["parent_id"] == sent["span_id"]
    assert [entry["text"] for entry in one["logs"]] == ["working at good", "printed good"]
    assert [(e["kind"], e["verb"]) for e in one["effects"]] == [("table", "put")]
    assert json.loads(one["request"]["queue"]["messages"][0]["body"]) == {"name": "good"}
    change = newest(dev, "on-done")
    assert change["request"]["table"]["new"] == {"id": "good"}
    assert [entry["text"] for entry in change["logs"]] == ["done: good"]


@pytest.mark.parametrize(
    ("name", "first", "why"),
    [
        ("bad", "again", "bad is bad"),
        ("exit", "crash", "status 4"),
        ("greedy", "memory", "192 MiB"),
    ],
)
def test_a_delivery_that_fails_comes_again_and_ends_as_a_letter(
    dev: Dev, name: str, first: str, why: str
) -> None:
    call(dev, "POST", f"/orders/{name}")
    dead = newest(dev, "work", status="dead" if first == "again" else first)

    def tried() -> list[dict[str, Any]]:
        dev.activity.flush()
        rows = [dev.activity.get(row["id"]) for row in dev.activity.list(function="work")]
        return [row for row in rows if row and why in row["error"]]

    records = until(lambda: rows if len(rows := tried()) >= 2 else None)
    assert dead["error"]
    assert records[-1]["status"] == first and records[-1]["attempt"] == 1
    with Broker(store(dev.root, dev.stage), dev.plan) as broker:
        body = json.dumps({"name": name}, separators=(",", ":")).encode()
        until(lambda: any(item.body == body for item in broker.letters.list("queue/jobs")))


def test_what_is_done_is_delivered_once_more(tmp_path: Path) -> None:
    with served(tmp_path, duplicates=1.0) as dev:
        assert call(dev, "POST", "/orders/good")[0] == 200

        def twice() -> Any:
            dev.activity.flush()
            return len(found := dev.activity.list(function="work")) == 2 and found

        second, first = [dev.activity.get(one["id"]) or {} for one in until(twice)]
        assert [(one["status"], one["attempt"]) for one in (first, second)] == [("ok", 1), ("ok", 2)]
        assert first["response"]["twice"] == first["response"]["ids"] == second["response"]["ids"]
        assert "again" not in first["response"] and "twice" not in second["response"]


def test_runs_of_workflows_are_worked_on(dev: Dev) -> None:
    from portafaas.local.driver.portafaas_local_resources import run_status, start_run

    address = str(store(dev.root, dev.stage) / "workflow" / "add")
    run = start_run(address, {"n": 41})
    dev.wake()
    until(lambda: run_status(address, run).state == "succeeded")
    one = newest(dev, "first")
    assert one["response"] == {"output": {"n": 42}} and one["box"] == "workflow/add"


# Refusals


def test_another_one_at_the_store_is_refused(dev: Dev) -> None:
    second = Dev(dev.manifest, port=0, findings=False)
    with pytest.raises(DeploymentError) as refused:
        second.start()
    (found,) = refused.value.diagnostics
    assert found.code == "PF8052" and dev.url in found.message


def test_a_port_that_is_taken_is_refused(dev: Dev, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError) as refused:
        Dev(write(tmp_path), port=dev.port).start()
    assert refused.value.diagnostics[0].code == "PF8050"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "shop.example"])
def test_other_addresses_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(DeploymentError) as refused:
        Dev(write(tmp_path), host=host).start()
    assert refused.value.diagnostics[0].code == "PF8051"


def test_a_manifest_that_is_wrong_is_refused(tmp_path: Path) -> None:
    document = manifest()
    document["functions"]["hello"]["handler"] = "app:nobody"
    dev = Dev(write(tmp_path, document), port=0)
    with pytest.raises(PlanError):
        dev.start()
    assert not (tmp_path / ".portafaas").exists()


def test_secrets_without_a_value_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(request, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions:\n"
        "  web: {handler: 'm:f', trigger: {http: {path: /}}, uses: [{read: bank}]}\n"
        "secrets: {bank: {}}\nstages: {prod: {}}\n"
    )
    for stage, more in (("", ""), ("prod", " --stage prod")):
        plan = build_plan(load_manifest(tmp_path / "portafaas.yaml", stage or None))
        (line,) = valueless(plan, tmp_path)
        assert line == f"secret bank has no value: portafaas secrets set bank{more}"
        secret_file(tmp_path, stage, "bank").parent.mkdir(parents=True)
        secret_file(tmp_path, stage, "bank").write_text("x")
        assert valueless(plan, tmp_path) == []


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "watchfiles" else real(name)
    )
    with pytest.raises(DeploymentError) as refused:
        Dev(write(tmp_path), port=0).start()
    (found,) = refused.value.diagnostics
    assert found.code == "PF8053" and "pip install 'portafaas[dev]'" in str(found.hint)


# Time


def test_a_virtual_day_over_the_end_of_summer_time(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    start = datetime(2027, 10, 30, 22, tzinfo=UTC).timestamp()
    with served(tmp_path / "p", clock=start, environment={"TICKS": str(ticks)}) as dev:
        assert dev.clock.now() == start
        # 2 to 3 o'clock comes twice in Berlin, and so does half past two.
        assert dev.clock.set("2027-10-31T04:00:00Z", 120)
        assert ticks.read_text().split() == [
            f"2027-10-{30 if hour > 21 else 31}T{hour:02d}:30:00.000Z"
            for hour in (22, 23, 0, 1, 2, 3)
        ]
        # It stands still, also when another comes that knows nothing of it.
        with Dispatcher(dev.plan, dev.root) as other:
            other.run(wait=False)
        before = dev.clock.now()
        time.sleep(0.1)
        assert dev.clock.now() == before
        with pytest.raises(InvocationError, match="forward only"):
            dev.clock.set("2027-10-30T22:00:00Z")


def test_a_real_clock_cannot_be_set(dev: Dev) -> None:
    with pytest.raises(InvocationError, match="cannot be set"):
        dev.clock.advance(60)


# Changes


def answers(dev: Dev, word: str) -> bool:
    return bool(call(dev, "GET", "/hello") == (200, {"hello": word}))


def test_new_code_answers_and_broken_code_does_not_replace_the_plan(tmp_path: Path) -> None:
    with served(tmp_path, reload=True) as dev:
        source = tmp_path / "app.py"
        text = source.read_text()
        for word in ("there", "where"):  # as long as another: only the time differs, if that
            assert call(dev, "GET", "/hello")[0] == 200
            source.write_text(text.replace("world", word))
            until(partial(answers, dev, word))
        assert call(dev, "POST", "/orders/old")[0] == 200
        assert newest(dev, "work")["logs"][0]["text"] == "working at old"
        source.write_text(text.replace("working at", "now at"))
        until(lambda: dev.reloads >= 3)
        assert call(dev, "POST", "/orders/new")[0] == 200
        until(lambda: newest(dev, "work")["logs"][0]["text"] == "now at new")

        file = dev.manifest
        good = file.read_text()
        file.write_text(good.replace('"/slow"', '"slow"'))
        until(lambda: dev.problems)
        assert dev.problems[0].file and dev.problems[0].line
        assert call(dev, "GET", "/hello")[0] == 200
        document = json.loads(good)
        document["functions"]["extra"] = {
            "handler": "app:hello",
            "trigger": {"http": {"method": "GET", "path": "/extra"}},
        }
        file.write_text(json.dumps(document))
        until(lambda: call(dev, "GET", "/extra")[0] == 200)
        assert not dev.problems


def test_a_request_that_is_under_way_is_finished_by_old_code(tmp_path: Path) -> None:
    with served(tmp_path) as dev:
        call(dev, "GET", "/slow")
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call(dev, "GET", "/slow")))
        thread.start()
        until(lambda: any(each.at() for each in dev.instances.pools["slow"].workers))
        source = tmp_path / "app.py"
        source.write_text(source.read_text().replace('{"pid": os.getpid()}', '{"pid": "new"}'))
        assert dev.reload()
        thread.join(60)
        assert answers[0][0] == 200 and answers[0][1]["pid"] != "new"
        assert call(dev, "GET", "/slow") == (200, {"pid": "new"})


# A debugger


def test_a_debugger_attaches(tmp_path: Path) -> None:
    # Not imported: that would be seen by whoever asks whether this process is debugged.
    if importlib.util.find_spec("debugpy") is None:
        pytest.skip("portafaas[dev] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(tmp_path, debug=("fate",), debug_port=port) as dev:
        # Beyond its timeout of a second.
        source = tmp_path / "app.py"
        source.write_text(source.read_text().replace("time.sleep(60)", "time.sleep(1.3)"))
        assert call(dev, "GET", "/fate/sleep")[0] == 200
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            # https://microsoft.github.io/debug-adapter-protocol/overview#base-protocol
            arguments = {"adapterID": "test", "clientID": "test"}
            order = {"seq": 1, "type": "request", "command": "initialize", "arguments": arguments}
            body = json.dumps(order).encode()
            connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            got = b""
            while b'"command": "initialize"' not in got:
                part = connection.recv(65536)
                assert part, got
                got += part


# The end


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    with served(tmp_path) as dev:
        call(dev, "GET", "/hello")
        call(dev, "POST", "/orders/good")
        newest(dev, "work")
        assert dev.instances.folder is None, "a server that is killed would leave it behind"
        call(dev, "POST", "/orders/good", b"x" * 100_000)
        pids = [each.process.pid for pool in dev.instances.pools.values() for each in pool.workers]
        folder = dev.instances.folder
        assert folder is not None and folder.exists()
        assert pids
    assert not folder.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
