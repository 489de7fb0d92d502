"""A project whose handler uses one resource of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
functions:
  order:
    handler: app:order
    trigger: {http: {method: POST, path: /orders}}
    uses:
      - write: orders
      - read: orders
      - send: payments
      - publish: news
      - read: pay-key
      - write: uploads
      - read: uploads
  quiet:
    handler: app:quiet
    trigger: {http: {path: /quiet}}
queues: {payments: {ordered: true}}
topics: {news: {}}
tables: {orders: {key: order, sort: created}}
buckets: {uploads: {}}
secrets: {pay-key: {}}
config: {greeting: {type: string, value: hello}}
stages: {prod: {config: {greeting: {value: good day}}}}
"""

SOURCE = """\
import os

def order(request, context):
    context.queues["payments"].send({"a": 1}, key="c-1", attributes={"x": "y"})
    context.topics["news"].publish({"b": 2}, type="order.placed", subject="7")
    context.tables["orders"].put({"order": "1", "created": "2026", "n": 2.0, "none": None})
    context.buckets["uploads"].write("a/b", b"\\xff\\x00", "image/png")
    return {
        "row": context.tables["orders"].get("1", "2026"),
        "size": len(context.buckets["uploads"].read("a/b")),
        "secret": context.secrets["pay-key"].get()[-2:],
        "greeting": context.config["greeting"],
        "trace": context.trace_id,
        "correlation": context.correlation_id,
        "target": context.target,
        "path": os.environ.get("PYTHONPATH", ""),
    }

def quiet(request, context):
    return {"resources": sorted(n for n in os.environ if n.startswith("PORTAFAAS_RES"))}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of the project, with local values of its secret."""
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    for stage, value in (("-", "0123456789-a1"), ("prod", "0123456789-b2")):
        folder = tmp_path / ".portafaas" / "secrets" / stage
        folder.mkdir(parents=True)
        (folder / "pay-key").write_text(value)
    return tmp_path
