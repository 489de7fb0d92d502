"""What DynamoDB is asked, where moto answers otherwise than it would."""

from __future__ import annotations

import pytest

from portafaas.runtime.rows import ABSENT, Write
from portafaas_aws.runtime.rows import request


def test_conditions_are_typed() -> None:
    when = {"t": 1, "yes": True, "null": None, "gone": ABSENT}
    kind, asked = request("t", Write("delete", {"id": "a"}, when=when), "", 100, "v")
    assert kind == "Delete"
    assert asked["ConditionExpression"] == (
        "#n0 = :v0 AND #n1 = :v1 AND #n2 = :v2 AND attribute_not_exists(#n3)"
    )
    assert asked["ExpressionAttributeNames"] == {
        "#n0": "t", "#n1": "yes", "#n2": "null", "#n3": "gone"
    }  # fmt: skip
    assert asked["ExpressionAttributeValues"] == {
        ":v0": {"N": "1"}, ":v1": {"BOOL": True}, ":v2": {"NULL": True}
    }  # fmt: skip
    assert asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_nothing_is_named_that_is_not_used() -> None:
    """DynamoDB refuses names and values that no expression has."""
    import re

    key = {"id": "a", "sort": "b"}
    for ttl in ("", "until"):
        for write in (
            Write("put", key, row=key),
            Write("put", key, row=key, if_absent=True),
            Write("put", key, row=key, if_version="v"),
            Write("put", key, row=key, if_version=""),
            Write("put", key, row=key, when={"a": 1}),
            Write("update", key, set={"a": 1}),
            Write("update", key, set={"a": 1}, create=True),
            Write("update", key, set={"a": 1}, add={"b": 1}, remove=("c",), when={"a": ABSENT}),
            Write("update", key, create=True, if_version="v"),
            Write("delete", key),
            Write("delete", key, when={"a": 1}),
            Write("delete", key, if_version="v", when={"until": 1}),
        ):
            _, asked = request("t", write, ttl, 100, "new")
            text = asked.get("ConditionExpression", "") + asked.get("UpdateExpression", "")
            used = set(re.findall("[#:][a-z][0-9]+", text))
            named = {*asked.get("ExpressionAttributeNames", ()),
                     *asked.get("ExpressionAttributeValues", ())}  # fmt: skip
            assert used == named
            for empty in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
                assert asked.get(empty, {"some": 1})


@pytest.mark.parametrize("limit", [1, 100])
def test_queries_ask_for_one_row_more(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from portafaas_aws.runtime import rows

    asked = {}

    class Client:
        def query(self, **arguments: object) -> dict[str, object]:
            asked.update(arguments)
            return {"Items": [{"id": {"S": "a"}, "s": {"S": "x"}}]}

    monkeypatch.setattr(rows, "client", lambda service: Client())
    found, more = rows.query("t", ("id", "a"), "s", None, "a", None, True, limit, "z")
    assert (found, more) == ([{"id": "a", "s": "x"}], False)
    assert asked == {
        "TableName": "t", "KeyConditionExpression": "#n0 = :v0 AND #n1 >= :v1",
        "ConsistentRead": True, "ScanIndexForward": False, "Limit": limit + 1,
        "ExpressionAttributeNames": {"#n0": "id", "#n1": "s"},
        "ExpressionAttributeValues": {":v0": {"S": "a"}, ":v1": {"S": "a"}},
        "ExclusiveStartKey": {"id": {"S": "a"}, "s": {"S": "z"}},
    }  # fmt: skip


def test_a_trigger_does_not_see_the_version() -> None:
    from portafaas.runtime.function import Function
    from portafaas_aws.runtime.table import change_of

    trigger = {"table": "t", "on": ["update"], "images": ["new", "old"], "key": "id", "sort": ""}
    function = Function(
        {
            "name": "f", "service": "s", "kind": "table", "handler": "x:y", "timeout": 5,
            "memory": 256, "source": "/", "trigger": trigger,
        }
    )  # fmt: skip
    image = {"id": {"S": "a"}, "pf-version": {"S": "v"}, "map": {"M": {"pf-x": {"N": "1"}}}}
    record = {
        "eventID": "1", "eventName": "MODIFY",
        "dynamodb": {"Keys": {"id": {"S": "a"}}, "NewImage": image, "OldImage": image},
    }  # fmt: skip
    event = change_of(function, record)
    assert event is not None
    assert event.new == event.old == {"id": "a", "map": {"pf-x": 1}}
