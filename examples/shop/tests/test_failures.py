"""What becomes of an order when something fails on the way."""

from portafaas.runtime import Permanent

ORDER = {"id": "7", "customer": "Ada", "lines": [{"sku": "tea", "count": 2}]}


def test_a_charge_that_fails_is_tried_again(shop):
    shop.fail("charge", times=2)
    shop.send("payments", ORDER)
    shop.settle()
    assert shop.waiting("payments").one().attempts == 1
    shop.drain()
    assert [each.status for each in shop.invocations("charge")] == ["error", "error", "ok"]
    assert shop.table("orders").get("7")["state"] == "paid"
    shop.assert_settled()


def test_a_charge_that_can_never_succeed_is_a_dead_letter(shop):
    shop.fail("charge", error=Permanent("the bank does not know us"))
    shop.send("payments", ORDER)
    shop.settle()
    letter = shop.dead_letters("payments").one()
    assert (letter.reason, letter.attempts) == ("permanent", 1)
    assert "does not know us" in letter.error

    assert shop.redrive("payments") == 1
    shop.drain()
    assert shop.table("orders").get("7")["state"] == "paid"


def test_a_charge_that_is_delivered_twice_is_done_once(shop):
    shop.broker.duplicate("payments")
    shop.send("payments", ORDER)
    shop.drain()
    assert len(shop.invocations("charge")) == 2
    assert len(shop.events("order-events").where(type="shop.order.paid")) == 1


def test_a_crash_in_the_middle_loses_nothing(shop):
    shop.crash("charge", after=True)
    shop.send("payments", ORDER)
    shop.drain()
    assert shop.invocations("charge")[0].status == "crash"
    assert shop.table("orders").get("7")["state"] == "paid"
    shop.assert_settled()
