"""The JSON API of ``portafaas dev``, against its real server, over a socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from portafaas.connection import reach
from portafaas.dev.api import ROUTES
from portafaas.dev.api_http import SHOWN
from portafaas.plan.examples import draft
from tests.dev.kiosk import HOSTILE, Running, busy, running

PAYMENTS = "boxes/queue%2Fpayments"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("kiosk")) as found:
        busy(found)
        yield found


def test_service_and_map_and_numbers_tell_of_everything(service: Running) -> None:
    facts = service.get("service")
    assert facts["service"] == "kiosk" and facts["clock"] == "virtual"
    assert {f["name"]: f["trigger"] for f in facts["functions"]}["order"] == "POST /orders"
    assert facts["topics"] == [{"name": "news", "ordered": False, "types": ["kiosk.ordered"]}]
    found = service.get("map")
    assert found["picture"][0] == "svg" and set(found["elements"]) == {
        node["id"] for node in found["graph"]["nodes"]
    }
    assert "style" not in {child[0] for child in found["picture"][2]}
    numbers = service.get("numbers")
    nodes = numbers["nodes"]
    assert nodes["function:order"]["calls"] == 2 and nodes["function:order"]["failed"] == 0
    assert nodes["function:pay"]["failed"] == 2 and nodes["function:pay"]["last"]["status"] == "dead"
    assert nodes["queue:payments"]["dead"] == nodes["dead-letters:payments"]["dead"] == 1
    assert nodes["table:orders"] == {"rows": 2} and nodes["bucket:papers"] == {"objects": 2}
    assert nodes["workflow:delivery"] == {"running": 1} and numbers["runs"] == {"running": 1}
    assert numbers["dead"] == 1 and numbers["clock"]["mode"] == "virtual"


def test_invocations_are_filtered_and_paged(service: Running) -> None:
    def pages(query: str) -> list[str]:
        out: list[str] = []
        before = ""
        while True:
            page = service.get(f"invocations?limit=3{query}{before}")
            out += [one["id"] for one in page["invocations"]]
            if page["before"] is None:
                return out
            before = f"&before={page['before']}"

    every = pages("")
    assert len(every) == len(set(every)) == len(service.get("invocations?limit=500")["invocations"])
    mine = service.get("invocations?function=order")["invocations"]
    assert [one["summary"] for one in mine] == ["POST /orders → 201"] * 2
    failed = service.get("invocations?status=failed&limit=500")["invocations"]
    assert [(one["function"], one["status"]) for one in failed] == [("pay", "dead"), ("pay", "again")]
    assert pages("&status=failed") == [one["id"] for one in failed]
    assert pages("&status=dead") == [failed[0]["id"]]
    assert service.get("invocations?function=nobody") == {"invocations": [], "before": None}


def test_an_invocation_has_its_trace_over_functions(service: Running) -> None:
    first = service.get("invocations?function=order")["invocations"][-1]
    found = service.get(f"invocations/{first['id']}")
    assert found["request"]["http"]["path"] == "/orders" and found["response"]["status"] == 201
    assert "order a1" in [line["text"] for line in found["logs"]]
    assert [effect["verb"] for effect in found["effects"]] == ["put", "write", "send", "publish"]
    functions = [one["function"] for one in found["trace"]]
    assert functions[0] == "order" and {"pay", "tell"} <= set(functions)
    pay = next(one for one in found["trace"] if one["function"] == "pay")
    assert pay["parent_id"] and pay["summary"].startswith('{"order"')
    assert service.get(f"traces/{found['trace_id']}")["trace"] == found["trace"]
    assert service.get("invocations/none", 404)["error"]["message"].startswith("there is no")
    assert service.get("traces/none", 404)["error"]["code"] == "PF8059"


def test_boxes_letters_and_messages(service: Running) -> None:
    boxes = {box["box"]: box for box in service.get("boxes")}
    assert list(boxes) == [
        "queue/payments", "queue/idle", "function/tell", "function/file", "function/watch",
        "function/nightly",
    ]  # fmt: skip
    assert boxes["queue/payments"]["functions"] == ["pay"] and boxes["queue/payments"]["dead"] == 1
    assert boxes["queue/idle"]["dead"] is None and boxes["queue/idle"]["functions"] == []
    page = service.get(f"{PAYMENTS}/letters")
    (letter,) = page["letters"]
    assert page["total"] == 1 and page["after"] is None
    assert letter["reason"] == "attempts" and letter["attempts"] == 2 and letter["function"] == "pay"
    assert "ValueError" in letter["error"] and json.loads(letter["body"]["text"])["text"] == HOSTILE
    service.post("queues/idle/send", {"body": {"n": 1}, "delay": 60, "attributes": {"a": "b"}})
    (waits,) = service.until(lambda: service.get("boxes/queue%2Fidle/messages")["messages"])
    assert waits["state"] == "later" and 0 < waits["due"] <= 60
    assert waits["attributes"]["a"] == "b" and waits["body"] == {"size": 7, "text": '{"n":1}'}
    assert service.get("boxes/queue%2Fnone/letters", 404)["error"]["code"] == "PF8017"


def test_letters_are_paged_redriven_and_purged_one_by_one(service: Running) -> None:
    for number in range(3):
        service.post("queues/payments/send", {"body": {"order": f"p{number}", "text": "x"}})
    service.until(lambda: service.get("boxes")[0]["later"] == 3)
    service.post("clock", {"seconds": 61})
    service.until(lambda: service.get(f"{PAYMENTS}/letters")["total"] == 4)
    page = service.get(f"{PAYMENTS}/letters?limit=2")
    assert len(page["letters"]) == 2 and page["after"] == page["letters"][-1]["number"]
    rest = service.get(f"{PAYMENTS}/letters?limit=2&after={page['after']}")
    assert len(rest["letters"]) == 2 and rest["after"] is None
    one, two = (letter["number"] for letter in rest["letters"])
    assert service.post(f"{PAYMENTS}/purge", {"numbers": [one, 999_999]}) == {"purged": 1}
    assert service.post(f"{PAYMENTS}/redrive", {"numbers": [two]}) == {"moved": 1}
    # It fails anew, from the first attempt on, and is a letter once more.
    service.until(lambda: service.get("boxes")[0]["later"] == 1)
    assert service.get(f"{PAYMENTS}/letters")["total"] == 2
    service.post("clock", {"seconds": 61})
    service.until(lambda: service.get(f"{PAYMENTS}/letters")["total"] == 3)
    wrong: list[Any] = [{}, {"numbers": [1], "all": True}, {"numbers": "1"}, []]
    for body in wrong:
        service.post(f"{PAYMENTS}/purge", body, 422)
    assert service.get(f"{PAYMENTS}/letters")["total"] == 3
    keep = service.get(f"{PAYMENTS}/letters?limit=1")["letters"][0]["number"]
    gone = [letter["number"] for letter in service.get(f"{PAYMENTS}/letters")["letters"]]
    service.post(f"{PAYMENTS}/purge", {"numbers": [number for number in gone if number != keep]})


def test_samples_fit_schemas_and_offer_the_projects_events(service: Running) -> None:
    queue = service.get("queues/payments/sample")["samples"]
    assert queue == [{"name": "generated", "event": {"body": {"order": "A-1"}}}]
    (topic,) = service.get("topics/news/sample")["samples"]
    assert topic["event"] == {
        "type": "kiosk.ordered", "subject": "id", "data": {"id": "id", "cents": 5},
    }  # fmt: skip
    names = [sample["name"] for sample in service.get("functions/nightly/sample")["samples"]]
    assert names == ["events/nightly.json", "generated"]
    (pay,) = service.get("functions/pay/sample")["samples"]
    assert pay["event"]["queue"]["messages"][0]["body"] == {"order": "A-1"}
    assert service.get("workflows/delivery")["sample"] == {"id": "id"}
    for path in ("functions/none", "queues/none", "topics/none"):
        service.get(f"{path}/sample", 404)


def test_every_generated_sample_is_taken_and_reaches_its_function(service: Running) -> None:
    for function in service.get("service")["functions"]:
        name = function["name"]
        before = service.get("numbers")["nodes"][f"function:{name}"]["calls"]
        sample = service.get(f"functions/{name}/sample")["samples"][-1]["event"]
        answer = service.post(f"functions/{name}/invoke", {"event": sample})
        assert ("outcome" in answer) == (function["kind"] in ("http", "task"))
        service.until(partial(_called, service, name, before))
        if "invocation" in answer:
            found = service.until(partial(_found, service, answer["invocation"]))
            assert found["function"] == name


def _called(service: Running, function: str, before: int) -> bool:
    calls: int = service.get("numbers")["nodes"][f"function:{function}"]["calls"]
    return calls > before


def _found(service: Running, id: str) -> dict[str, object] | None:
    status, _, body = service.ask("GET", f"api/invocations/{id}")
    return json.loads(body) if status == 200 else None


def test_events_that_fit_nothing_are_refused(service: Running) -> None:
    events: list[Any] = [{}, {"queue": {"messages": []}}, {"http": {"verb": "GET"}}, {"http": 7}]
    for event in events:
        error = service.post("functions/order/invoke", {"event": event}, 422)["error"]
        assert error["code"] == "PF7001"
    service.post("functions/order/invoke", {}, 422)
    service.post("functions/none/invoke", {"event": {"http": {}}}, 404)
    # A queue without 'ordered' takes no key; a message has no such member; attributes are text.
    messages: list[Any] = [{"body": 1, "key": "k"}, {"body": 1, "colour": 2}, {"x": 1},
                           {"body": 1, "delay": 1e9}, {"body": 1, "attributes": {"a": 1}}]  # fmt: skip
    for body in messages:
        service.post("queues/payments/send", body, 422)
    for body in [{"data": {}}, {"data": {}, "type": 7}, {"type": "kiosk.ordered"}]:
        service.post("topics/news/publish", body, 422)
    assert service.post("topics/news/publish", {"data": {"id": "n"}, "type": "kiosk.ordered"})["id"]


def test_schedules_fire_now_for_their_latest_instant(service: Running) -> None:
    (nightly,) = service.get("schedules")
    assert nightly["function"] == "nightly" and len(nightly["next"]) == 5
    fired = service.post("schedules/nightly/fire", {})
    now = service.get("clock")["now"]
    assert now - 86_400 < fired["instant"] <= now and fired["instant"] % 3600 == 0
    service.until(lambda: service.get("schedules")[0]["last"])
    service.post("schedules/order/fire", {}, 422)
    service.post("schedules/none/fire", {}, 404)


def test_tables_and_buckets_page_by_page(service: Running) -> None:
    context = reach(service.dev.plan, service.dev.root)
    for number in range(7):
        context.tables["orders"].put({"id": f"row-{number}", "n": number})
        context.buckets["papers"].write(f"out/{number} ü/<b>", b"x" * number)
    context.tables["orders"].put({"id": "row-large", "text": "ü" * SHOWN})
    seen, after = [], ""
    while after is not None:
        page = service.get(f"tables/orders?limit=3&prefix=row-&after={quote(after)}")
        seen += [row["key"] for row in page["rows"]]
        after = page["after"]
    assert seen == [*(f"row-{n}" for n in range(7)), "row-large"]
    assert page["rows"][-1]["size"] > SHOWN and "row" not in page["rows"][-1]
    seen, after = [], ""
    while after is not None:
        page = service.get(f"buckets/papers?limit=3&prefix=out/&after={quote(after)}")
        seen += [one["key"] for one in page["objects"]]
        after = page["after"]
    assert seen == [f"out/{n} ü/<b>" for n in range(7)]
    for key in (quote("out/3 ü/<b>", safe=""), quote("out/3 ü/<b>")):
        assert service.get(f"buckets/papers/{key}")["body"] == {"size": 3, "text": "xxx"}
    status, headers, body = service.ask("GET", f"api/buckets/papers/{key}?download")
    assert (status, body) == (200, b"xxx")
    assert headers["content-disposition"] == "attachment"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-security-policy"].startswith("sandbox")
    context.buckets["papers"].write("out/binary", bytes(range(256)) * 1000)
    found = service.get("buckets/papers/out%2Fbinary")["body"]
    assert found["size"] == 256_000 and found["cut"] and "base64" in found
    for path in ("tables/none", "buckets/none", "buckets/none/a", "buckets/papers/none"):
        service.get(path, 404)
    service.get("tables/orders?limit=0", 422)
    service.get("tables/orders?after=7", 422)
    assert [table["name"] for table in service.get("tables")] == ["orders"]
    assert service.get("buckets")[0]["objects"] > 7


def test_a_run_is_drawn_signalled_retried_and_canceled(service: Running) -> None:
    run = next(one for one in service.get("runs")["runs"] if one["waiting"])
    path = f"runs/delivery/{run['run']}"
    found = service.get(path)
    assert found["state"] == "running" and found["waiting"] == ["handed-over"]
    assert {step["name"]: step["run"]["state"] for step in found["steps"]} == {
        "wrap": "succeeded", "ask": "waiting", "done": "not-reached",
    }  # fmt: skip
    call = service.until(lambda: service.get(path)["calls"]["wrap 1"])
    assert service.get(f"invocations/{call['id']}")["request"]["task"]["run"] == run["run"]
    assert found["picture"][0] == "svg" and [e["what"] for e in found["history"]][-1] == "waiting"
    assert service.post(f"{path}/signal", {"name": "other"}, 409)["error"]["code"] == "PF8041"
    assert service.post(f"{path}/retry", {}, 409)["error"]["code"] == "PF8042"
    service.post(f"{path}/signal", {"name": "handed-over", "payload": {"ok": True}})
    service.until(lambda: service.get(path)["state"] == "succeeded")
    assert service.get(path)["output"]["answer"] == {"ok": True}
    again = service.post(f"{path}/retry", {})["run"]
    other = f"runs/delivery/{again}"
    service.until(lambda: service.get(other)["waiting"])
    service.post(f"{other}/cancel", {})
    assert service.get(other)["state"] == "canceled"
    assert service.post(f"{other}/cancel", {}, 409)["error"]["code"] == "PF8042"
    states = [one["state"] for one in service.get("runs?workflow=delivery")["runs"]]
    assert states == ["canceled", "succeeded"]
    assert [one["run"] for one in service.get("runs?state=canceled")["runs"]] == [again]
    page = service.get("runs?limit=1")
    assert service.get(f"runs?limit=1&before={page['before']}")["runs"][0]["run"] == run["run"]
    assert service.get("runs/delivery/none", 404)["error"]["code"] == "PF8040"
    error = service.post("workflows/delivery/start", {"input": {"id": 7}}, 422)["error"]
    assert error["code"] == "PF8043" and "$.id" in error["hint"]
    service.post("workflows/none/start", {"input": {}}, 404)
    (flow,) = service.get("workflows")
    assert flow["runs"] == {"running": 0, "succeeded": 1, "failed": 0, "canceled": 1}


def test_secrets_are_told_of_and_never_told(service: Running) -> None:
    till, spare = service.get("secrets")
    assert till["changed"] and till["functions"] == ["pay"] and spare["changed"] is None
    for method, path, _ in ROUTES:
        if method == "GET" and "{" not in path:
            assert b"s3cr3t-v4lue" not in service.ask("GET", f"api/{path}")[2], path


def test_the_clock_goes_forward_only(service: Running) -> None:
    before = service.get("clock")
    after = service.post("clock", {"seconds": 1.5})
    assert after["done"] and after["now"] == pytest.approx(before["now"] + 1.5, abs=0.01)
    for seconds in (0, -1, 1e12, "60", True, None):
        service.post("clock", {"seconds": seconds}, 422)


def test_findings_have_code_place_and_targets(service: Running) -> None:
    service.until(lambda: service.get("findings")["checked"])
    answer = service.get("findings")
    assert {"aws", "azure", "gcp"} <= set(answer["checked"])
    found = answer["findings"]
    assert {"code", "message", "severity", "targets"} <= set(found[0])
    assert any(one.get("line") and one["targets"] for one in found)


def _events(service: Running) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", service.dev.port, timeout=30)
    connection.request("GET", "/_portafaas/events")
    return connection, connection.getresponse()


def test_the_feed_tells_of_what_happens(service: Running) -> None:
    connection, answer = _events(service)
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    service.order("fed")
    seen: set[str] = set()
    while not {"invocation", "boxes"} <= seen:
        line = answer.readline().decode()
        if line.startswith("data: "):
            seen.add(json.loads(line[6:])["type"])
    connection.close()


GUARDS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; ",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize("path", ["", "app.js", "dashboard.css", "picture.css", "api/service", "nothing"])
def test_every_answer_is_guarded(service: Running, path: str) -> None:
    status, headers, body = service.ask("GET", path)
    assert status == (404 if path == "nothing" else 200) and body
    for name, value in GUARDS.items():
        assert headers[name].startswith(value), name
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["..%2Fapi.py", "../api.py", ".hidden", "a/b.js", "%2e%2e/api.py", "api"])
def test_nothing_else_is_served(service: Running, path: str) -> None:
    assert service.ask("GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", ""])
def test_other_hosts_are_refused(service: Running, host: str) -> None:
    for path in ("", "api/service", "events"):
        status, _, body = service.ask("GET", path, headers={"host": host})
        assert status in (400, 403, 421) and b"kiosk" not in body


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
])  # fmt: skip
def test_pages_of_others_may_neither_read_nor_do(service: Running, headers: dict[str, str]) -> None:
    assert service.ask("GET", "api/service", headers=headers)[0] == 403
    assert service.ask("POST", "api/queues/idle/send", {"body": 1}, headers=headers)[0] == 403
    assert service.ask("GET", "events", headers=headers)[0] == 403


def test_a_link_from_elsewhere_opens_the_dashboard_alone(service: Running) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert service.ask("GET", "", headers=link)[0] == 200
    assert service.ask("GET", "api/service", headers=link)[0] == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_can_send_does_nothing(service: Running, kind: str) -> None:
    status, _, _ = service.ask("POST", "api/queues/idle/send", b'{"body": 1}', {"content-type": kind})
    assert status == 415


def test_bad_requests_are_told_and_harm_nothing(service: Running) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        status, _, answer = service.ask(
            "POST", "api/queues/idle/send", body, {"content-type": "application/json"}
        )
        assert status == 422 and json.loads(answer)["error"]["code"] == "PF8059"
    assert service.ask("POST", "api/queues/idle/send", b" " * (9 << 20), {
        "content-type": "application/json"})[0] == 413  # fmt: skip
    assert service.ask("DELETE", "api/service", None, {"content-type": "application/json"})[0] == 405
    assert service.ask("POST", "api/service", {})[0] == 405
    assert service.get("no/such/thing", 404)["error"]["code"] == "PF8059"
    with socket.create_connection(("127.0.0.1", service.dev.port)) as gone:
        gone.sendall(b"POST /_portafaas/api/clock HTTP/1.1\r\nhost: localhost\r\n"
                     b"content-type: application/json\r\ncontent-length: 50\r\n\r\n{")  # fmt: skip
    assert service.get("service")["service"] == "kiosk"


def test_the_root_leads_to_the_dashboard(service: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.dev.port, timeout=30)
    connection.request("GET", "/_portafaas")
    answer = connection.getresponse()
    assert answer.status == 308 and answer.getheader("location") == "/_portafaas/"
    connection.close()


@pytest.mark.parametrize(("schema", "value"), [
    ({}, None),
    ({"const": 3}, 3),
    ({"enum": ["a", "b"]}, "a"),
    ({"type": "string", "minLength": 9}, "samplesample"),
    ({"type": "string", "maxLength": 3}, "sam"),
    ({"type": "string", "format": "date"}, "2026-11-23"),
    ({"type": ["null", "integer"], "minimum": 7}, 7),
    ({"type": "number", "exclusiveMinimum": 7}, 7.5),
    ({"type": "integer", "maximum": -2}, -2),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, True),
    ({"allOf": [{"type": "object", "properties": {"a": {"const": 1}}},
                {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
    ({"$ref": "#"}, None),
    ({"properties": {"child": {"$ref": "#"}, "n": {"default": 1}}}, {"n": 1}),
])  # fmt: skip
def test_examples_of_schemas(schema: dict[str, object], value: object) -> None:
    from jsonschema import Draft202012Validator

    found = draft(schema)
    assert value is ... or found == value
    if value not in (None, ...):
        Draft202012Validator(schema).validate(found)
