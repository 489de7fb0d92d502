"""Which function a request is for: the same for ``portafaas dev`` and the test kit."""

from __future__ import annotations

from pathlib import Path

from portafaas.local.routing import Routes
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
functions:
  read: {handler: "app:f", trigger: {http: {method: GET, path: "/orders/{id}"}}}
  write: {handler: "app:f", trigger: {http: {method: [PUT, PATCH], path: "/orders/{id}", cors: {origins: ["*"]}}}}
  newest: {handler: "app:f", trigger: {http: {path: /orders/newest}}}
  rest: {handler: "app:f", trigger: {http: {method: ANY, path: "/files/{path*}"}}}
"""


def test_the_route_that_says_most_and_the_function_for_the_method(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text("def f(request, context): ...\n")
    routes = Routes(build_plan(load_manifest(tmp_path / "portafaas.yaml")))
    assert routes.find("GET", "/orders/7", False) == "read"
    assert routes.find("PATCH", "/orders/7", False) == "write"
    assert routes.find("DELETE", "/orders/7", False) == ("GET", "PUT", "PATCH")
    assert routes.find("OPTIONS", "/orders/7", True) == "write"
    # A route of one function: it says itself what it does not take.
    assert routes.find("DELETE", "/orders/newest", False) == "newest"
    assert routes.find("GET", "/files/a%20b/c", False) == "rest"
    assert routes.find("GET", "/other", False) == ()
