"""Events published by the CloudEvents project decode, and what we write fits its schema."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.event import ChangeEvent, Event, ObjectEvent

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "events" / "cloudevents"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not here")


def examples() -> list[dict[str, Any]]:
    file = CASES / "spec__json-format-examples.json"
    found: list[Any] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    flat = [item for block in found for item in (block if isinstance(block, list) else [block])]
    return [item for item in flat if "specversion" in item]


def decode(document: dict[str, Any]) -> Event:
    return event_from_message(
        json.dumps(document).encode(), {}, id="m-1", source="/x",
        content_type="application/cloudevents+json",
    )  # fmt: skip


@pytest.mark.parametrize("document", examples(), ids=lambda d: str(d.get("id")))
def test_structured_examples_decode(document: dict[str, Any]) -> None:
    if document.get("data_base64", "").startswith("..."):
        # The specification's placeholder.
        document = {**document, "data_base64": "AAH/"}
    event = decode(document)
    assert (event.id, event.source, event.type) == tuple(
        document[name] for name in ("id", "source", "type")
    )
    assert event.subject == document.get("subject")
    encoded = document.get("data_base64")
    assert event.data == (base64.b64decode(encoded) if encoded else document.get("data"))
    if "time" in document:
        assert event.time == document["time"].replace("Z", ".000Z")
    known = {"specversion", "id", "source", "type", "subject", "time", "data", "data_base64",
             "datacontenttype", "dataschema"}  # fmt: skip
    assert event.extensions == {
        name: str(value)
        for name, value in document.items()
        if name not in known and value is not None
    }


def test_there_are_examples() -> None:
    assert len(examples()) >= 6


def validator() -> Any:
    schema = json.loads((CASES / "spec__cloudevents.schema.json").read_text("utf-8"))
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize(
    "event",
    [
        Event("1", "/s", "t"),
        Event("1", "/s", "t", {"a": 1}, datacontenttype="application/json", extensions={"x": "y"}),
        Event("1", "/s", "t", b"\x00", subject="s", time="2026-01-02T03:04:05.678Z"),
        ObjectEvent("1", "/s", bucket="b", key="k", kind="created", size=1),
        ChangeEvent("1", "/s", table="t", kind="insert", keys={"id": 1}, new={"id": 1}),
    ],
    ids=lambda event: f"{type(event).__name__}-{event.type}-{type(event.data).__name__}",
)
def test_what_we_write_fits_the_schema(event: Event) -> None:
    document = event.to_dict()
    assert list(validator().iter_errors(document)) == []
    again = decode(document)
    assert again.to_dict() == document


def scenarios() -> list[tuple[str, dict[str, str], bytes, dict[str, str]]]:
    """Return (content type, headers, body, expected attributes) of the HTTP binding's examples."""
    file = CASES / "conformance__features__http-protocol-binding.feature"
    if not file.is_file():
        return []
    found = []
    for outline in file.read_text("utf-8").split("Scenario Outline:")[1:]:
        request = re.search(r'"""\n(.*?)"""', outline, re.S)
        assert request is not None
        head, _, body = re.sub(r"(?m)^ {8}", "", request[1]).partition("\n\n")
        pairs = [line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line]
        table = outline.split("attributes are:")[1].split("And the data")[0]
        expected = {
            row.split("|")[1].strip(): row.split("|")[2].strip()
            for row in table.splitlines()
            if "|" in row
        }
        for row in outline.split("Examples:")[1].splitlines()[2:]:
            if "|" in row:
                kind = row.split("|")[1].strip()
                headers = {k.lower(): v.replace("<contentType>", kind) for k, v in pairs}
                wanted = {
                    k: v.replace("<contentType>", kind) for k, v in expected.items() if k != "key"
                }
                found.append((headers["content-type"], headers, body.strip().encode(), wanted))
    return found


@pytest.mark.parametrize("number", range(len(scenarios())))
def test_the_http_bindings_scenarios_decode(number: int) -> None:
    content_type, headers, body, wanted = scenarios()[number]
    attributes = {k: v for k, v in headers.items() if k.startswith("ce-")}
    event = event_from_message(body, attributes, id="m-1", source="/x", content_type=content_type)
    assert event.data == {"message": "Hello World!"}
    for name, value in wanted.items():
        if name == "time":
            value = value.replace("Z", ".000Z")
        if name != "specversion":
            assert getattr(event, name) == value, name


def test_there_are_scenarios() -> None:
    assert len(scenarios()) >= 2
