"""The service *notes* on the local AWS, from a request to what is left of it everywhere."""

from __future__ import annotations

import json

from tests.aws_cloud.cloud import ACCOUNT, REGION, Cloud

ARCHIVE = f"notes-archive-{ACCOUNT}-{REGION}"


def count(cloud: Cloud, id: str) -> dict[str, str]:
    key = {"id": {"S": id}}
    item = cloud.client("dynamodb").get_item(TableName="notes-counts", Key=key).get("Item", {})
    return {name: value["S"] for name, value in item.items()}


def test_a_note_goes_all_the_way(cloud: Cloud) -> None:
    answer = cloud.request("POST", "/notes", {"id": "n1", "text": "hello"})
    assert (answer.status, answer.headers["location"]) == (201, "/notes/n1")
    cloud.idle()
    shown = cloud.request("GET", "/notes/n1")
    assert shown.json() == {"id": "n1", "text": "hello", "stamp": "sealed"}
    assert cloud.request("GET", "/files/filed/n1.txt").body == b"hello n1"
    assert count(cloud, "note-n1") == {"id": "note-n1", "text": "hello"}
    assert count(cloud, "created-filed/n1.txt")["size"] == "8"
    assert {each["function"] for each in cloud.invocations} == {
        f"notes-{name}" for name in ("take", "show", "files", "sort", "file", "watch", "stored")
    }
