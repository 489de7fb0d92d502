"""From an order to its notification.

On each target: ``pytest --portafaas-target local,aws,azure,gcp``.
"""

ORDER = {"customer": "Ada", "lines": [{"sku": "tea", "count": 2}, {"sku": "cup"}]}


def state(shop, placed):
    return shop.get(f"/orders/{placed.json()['id']}", key=shop.key).json()["state"]


def test_an_order_is_paid_and_told(shop):
    placed = shop.post("/orders", json=ORDER, key=shop.key)
    assert placed.status == 201
    assert placed.headers["location"] == f"/orders/{placed.json()['id']}"
    assert shop.events("order-events").one().type == "shop.order.placed"
    assert state(shop, placed) == "placed"

    shop.settle()

    assert state(shop, placed) == "paid"
    assert shop.messages("payments").one().json()["cents"] == 2100
    assert [event.type for event in shop.events("order-events")] == [
        "shop.order.placed",
        "shop.order.paid",
    ]
    assert "was paid" in shop.logs("notify").one().message
    taken = [row for row in shop.table("stock").scan() if row["change"] < 0]
    assert sorted((row["article"], row["change"]) for row in taken) == [("cup", -1), ("tea", -2)]
    shop.assert_settled()


def test_the_bank_refuses_what_is_too_much(shop):
    shop.config(order_limit=1000)
    placed = shop.post("/orders", json=ORDER, key=shop.key)
    shop.settle()
    assert state(shop, placed) == "refused"
    assert not [row for row in shop.table("stock").scan() if row["change"] < 0]


def test_who_may_order(shop):
    assert shop.post("/orders", json=ORDER).status == 401
    refused = shop.post("/orders", json={"customer": "Ada", "lines": []}, key=shop.key)
    assert refused.status == 422
    assert refused.json()["detail"] == "an order has at least one line"
    assert shop.get("/orders/none", key=shop.key).status == 404
    shop.assert_settled()


def test_the_same_order_twice_is_one(shop):
    headers = {"idempotency-key": "order-1"}
    first = shop.post("/orders", json=ORDER, key=shop.key, headers=headers)
    again = shop.post("/orders", json=ORDER, key=shop.key, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    shop.drain()
    assert len(list(shop.table("orders").scan())) == 1
    # It was announced twice, and charged once: that is what 'idempotency' is for.
    assert len(shop.events("order-events").where(type="shop.order.paid")) == 1
