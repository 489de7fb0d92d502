"""How pollers read a function's answer and a mapping's filters."""

from __future__ import annotations

from typing import Any

import pytest

poller = pytest.importorskip("tests.aws_cloud.poller")


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, None),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, None),
        ({"batchItemFailures": [{"wrong": "a"}]}, None),
        ({"batchItemFailures": ["a"]}, None),
        ({"others": []}, None),
        ("text", None),
    ],
)
def test_answers_to_a_batch(answer: Any, failed: set[str] | None) -> None:
    assert poller.failures(answer) == failed


def test_filters() -> None:
    facts = {"eventName": "INSERT", "dynamodb": {"Keys": {"id": {"S": "1"}}}}
    assert poller.matches({"eventName": ["INSERT", "MODIFY"]}, facts)
    assert poller.matches({"dynamodb": {"Keys": {"id": {"S": ["1"]}}}}, facts)
    assert not poller.matches({"eventName": ["REMOVE"]}, facts)
    assert not poller.matches({"dynamodb": {"NewImage": {"a": ["1"]}}}, facts)
    with pytest.raises(NotImplementedError):
        poller.matches({"eventName": [{"prefix": "I"}]}, facts)
