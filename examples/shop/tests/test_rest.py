"""The sale day, the catalogue, and the report in the morning."""

ORDER = {"customer": "Ada", "lines": [{"sku": "tea", "count": 1}]}


def test_the_orders_of_a_customer_stay_in_order(shop):
    for number in ("1", "2", "3"):
        shop.send("sale-day", {**ORDER, "id": number}, key="ada")
    shop.fail("sale")
    shop.drain()
    assert [each.json()["id"] for each in shop.messages("payments")] == ["1", "2", "3"]


def test_a_catalogue_is_taken_over(shop):
    shop.put_object("uploads", "catalog/spring.csv", "sku,count\npot,20\ncup,5\n")
    shop.put_object("uploads", "pictures/pot.png", b"\x89PNG")
    shop.settle()
    assert shop.table("stock").get("pot")["change"] == 20
    assert shop.logs("import-catalog").last().message == "2 articles of catalog/spring.csv"


def test_the_report_is_at_six_also_when_the_clocks_change(shop):
    # Sunday is no weekday; on Monday, 29 March 2027, Berlin has summer time.
    shop.clock.freeze("2027-03-26T00:00:00+01:00")
    shop.clock.advance("4d")
    fired = [each.ids[0] for each in shop.invocations("daily-report")]
    assert fired == [
        "daily-report@2027-03-26T05:00:00.000Z",
        "daily-report@2027-03-29T04:00:00.000Z",
    ]
