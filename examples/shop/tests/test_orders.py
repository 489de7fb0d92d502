"""From an order to its notification."""

ORDER = {"customer": "Ada", "lines": [{"sku": "tea", "count": 2}, {"sku": "cup"}]}


def test_an_order_is_charged_and_told(app):
    app.secret("payment-key", "sesame-open")
    placed = app.post("/orders", json=ORDER, key=app.key)
    assert placed.status == 201
    assert app.events("order-events").one().type == "shop.order.placed"
    app.settle()
    assert app.table("orders").get(placed.json()["id"])["state"] == "paid"
    assert app.logs("notify").one().message.endswith("was paid")
    app.assert_settled()
