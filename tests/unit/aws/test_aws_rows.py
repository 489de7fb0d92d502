"""Rows in DynamoDB when the network loses an answer, or the table is asked too often."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.runtime.resources import ResourceError
from portafaas.runtime.rows import Write
from portafaas_aws.runtime import calls, rows


@pytest.fixture
def dynamodb(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The driver's client, with an empty table ``t``."""
    calls._clients.clear()
    monkeypatch.setattr(rows, "PAUSE", 0.0)
    client = calls.client("dynamodb")
    client.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )  # fmt: skip
    yield client
    calls._clients.clear()


def _answer(request: Any, status: int, body: bytes) -> Any:
    import io

    from botocore.awsrequest import AWSResponse

    class Raw(io.BytesIO):
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield self.read()

    return AWSResponse(request.url, status, {}, Raw(body))


def _lose_first(client: Any, operation: str) -> list[int]:
    """Do the first call of *operation*, and answer it with 500."""
    import urllib3

    statuses: list[int] = []

    def send(request: Any, **_: Any) -> Any:
        if statuses:
            return None
        made = urllib3.PoolManager().request(
            request.method, request.url, body=request.body, headers=dict(request.headers)
        )
        statuses.append(made.status)
        return _answer(request, 500, b"")

    client.meta.events.register(f"before-send.dynamodb.{operation}", send)
    return statuses


def test_a_write_whose_answer_was_lost_is_no_conflict(dynamodb: Any) -> None:
    done = _lose_first(dynamodb, "PutItem")
    made = rows.write_one("t", Write("put", {"id": "a"}, row={"id": "a", "n": 1}, if_absent=True), "")
    assert done == [200] and made == {"id": "a", "n": 1}
    found = rows.get("t", {"id": "a"})
    assert made is not None and found is not None and found.version == made.version


def test_what_is_added_is_added_once(dynamodb: Any) -> None:
    done = _lose_first(dynamodb, "UpdateItem")
    for n in (1, 2):
        row = rows.write_one("t", Write("update", {"id": "a"}, add={"n": 5}, create=True), "")
        assert row is not None and row["n"] == 5 * n
    assert done == [200]


def test_a_throttled_commit_is_tried_again(dynamodb: Any) -> None:
    reasons = [{"Code": "ThrottlingError", "Message": "later"}]
    body = json.dumps({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "cancelled", "CancellationReasons": reasons,
    })  # fmt: skip
    asked: list[int] = []

    def send(request: Any, **_: Any) -> Any:
        asked.append(1)
        return _answer(request, 400, body.encode()) if len(asked) <= most else None

    dynamodb.meta.events.register("before-send.dynamodb.TransactWriteItems", send)
    write = Write("put", {"id": "a"}, row={"id": "a"}, if_absent=True)
    most = 2
    rows.commit("t", [write], "")
    assert len(asked) == 3 and rows.get("t", {"id": "a"}) == {"id": "a"}
    most = 100
    with pytest.raises(ResourceError) as caught:
        rows.commit("t", [write], "")
    assert caught.value.retryable
    reasons[0]["Code"] = "ValidationError"
    body = body.replace("ThrottlingError", "ValidationError")
    asked.clear()
    with pytest.raises(ResourceError) as caught:
        rows.commit("t", [write], "")
    assert not caught.value.retryable and len(asked) == 1
