"""What the runtime is told of a function's resources and stage."""

from __future__ import annotations

import ast
from typing import Any

from portafaas.plan.entry import function_spec

MORE = """\
topics: {news: {}, log: {ordered: true}}
tables: {orders: {key: sku, sort: place}, users: {ttl: gone}}
buckets: {up: {}}
secrets: {key: {}}
stages:
  prod:
    queues: {done: {ordered: true}}
    functions:
      all:
        handler: m:f
        trigger: {http: {path: /all}}
        uses: [{send: jobs}, {send: done}, {publish: log}, {publish: news}, {read: orders},
               {write: orders}, {write: users}, {read: up}, {read: key}]
"""


def spec(planned: Any, name: str, stage: str | None = None) -> dict[str, Any]:
    plan = planned(MORE, stage)
    found: dict[str, Any] = function_spec(plan, plan.function(name))
    # It is written into the entry module as a literal.
    assert ast.literal_eval(repr(found)) == found
    return found


def test_nothing_is_said_where_there_is_nothing(planned: Any) -> None:
    found = spec(planned, "web")
    assert "uses" not in found
    assert "stage" not in found


def test_uses_by_kind_and_name(planned: Any) -> None:
    found = spec(planned, "all", "prod")
    assert found["stage"] == "prod"
    assert found["uses"] == {
        "queue": {
            "jobs": {"verbs": ["send"], "ordered": False},
            "done": {"verbs": ["send"], "ordered": True},
        },
        "topic": {
            "log": {"verbs": ["publish"], "ordered": True},
            "news": {"verbs": ["publish"], "ordered": False},
        },
        "table": {
            "orders": {"verbs": ["read", "write"], "key": "sku", "sort": "place"},
            "users": {"verbs": ["write"], "key": "id", "sort": "", "ttl": "gone"},
        },
        "bucket": {"up": {"verbs": ["read"]}},
        "secret": {"key": {"verbs": ["read"]}},
    }
