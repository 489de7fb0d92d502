"""The saga, step by step: pytest, or pytest --portafaas-target all."""

import re

import pytest

SMALL = {"customer": "Ada", "lines": [{"sku": "tea", "count": 2}, {"sku": "cup"}]}
LARGE = {"customer": "Ada", "lines": [{"sku": "pot", "count": 20}]}


@pytest.fixture
def shop(app):
    app.secret("link-key", "a key of at least sixteen bytes")
    return app


def order(shop, what):
    placed = shop.post("/orders", json=what, key=shop.key)
    assert placed.status == 201
    return placed.json()


def letters(shop):
    return sorted(letter["id"].partition("/")[2] for letter in shop.table("letters").scan())


def test_a_small_order_goes_out(shop):
    placed = order(shop, SMALL)
    shop.settle()
    run = shop.runs("fulfil").one()
    assert (run.id, run.state) == (placed["run"], "succeeded")
    assert run.steps()[:2] == ["validate", "charge"]
    assert letters(shop) == ["thanks"]
    assert len(list(shop.table("parcels").scan())) == 1
    assert shop.get(f"/orders/{placed['id']}", key=shop.key).json()["state"] == "succeeded"


def test_a_charge_that_fails_is_tried_again(shop):
    shop.fail("charge", times=2)
    order(shop, SMALL)
    shop.drain()
    assert [each.status for each in shop.invocations("charge")] == ["error", "error", "ok"]
    assert shop.runs("fulfil").one().state == "succeeded"


def test_what_is_out_of_stock_is_paid_back(shop):
    shop.config(shelf=0)
    order(shop, SMALL)
    shop.drain()
    run = shop.runs("fulfil").one()
    assert (run.state, run.error) == ("failed", "OutOfStock")
    assert "charge" in [event.step for event in run.history if event.what == "undone"]
    assert len(shop.invocations("refund")) == 1
    assert letters(shop) == ["sorry"]
    assert not list(shop.table("parcels").scan())


def test_a_large_order_waits_for_its_link(shop):
    placed = order(shop, LARGE)
    shop.drain()
    assert shop.runs("fulfil").one().waiting == ("approved",)
    (letter,) = shop.table("letters").scan()
    link = re.search(r"http://127.0.0.1:8000(\S+)", letter["text"])[1]
    assert "Approve" in shop.get(link).text
    assert shop.post(link, data={"by": "Bo", "answer": "yes"}).status == 200
    assert shop.post(link, data={"by": "Bo", "answer": "no"}).status == 409
    shop.drain()
    assert shop.get(f"/orders/{placed['id']}", key=shop.key).json()["state"] == "succeeded"


def test_nobody_approves_it(shop):
    order(shop, LARGE)
    shop.drain()
    shop.clock.advance("2d 1m")
    run = shop.runs("fulfil").one()
    assert (run.state, run.error) == ("failed", "NotApproved")
    assert len(shop.invocations("refund")) == 1
