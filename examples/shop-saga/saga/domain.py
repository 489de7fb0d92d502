"""What an order is; no cloud, no framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Prices in cents.
PRICES = {"tea": 450, "cup": 1200, "pot": 3900}
#: Lines of an order; the workflow takes no more.
MOST_LINES = 50


class InvalidOrder(ValueError):
    """The order cannot be accepted; the text is for the customer."""


@dataclass(frozen=True)
class Line:
    sku: str
    count: int

    @property
    def cents(self) -> int:
        return PRICES[self.sku] * self.count


@dataclass(frozen=True)
class Order:
    id: str
    customer: str
    lines: tuple[Line, ...]

    @property
    def cents(self) -> int:
        return sum(line.cents for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        lines = [{"sku": line.sku, "count": line.count} for line in self.lines]
        return {"id": self.id, "customer": self.customer, "lines": lines, "cents": self.cents}


def parse_order(value: Any) -> Order:
    """Return the order in a JSON value; raises InvalidOrder."""
    if not isinstance(value, dict):
        raise InvalidOrder("an order is a JSON object")
    lines = value.get("lines")
    if not isinstance(lines, list) or not 1 <= len(lines) <= MOST_LINES:
        raise InvalidOrder(f"an order has 1 to {MOST_LINES} lines")
    parsed: dict[str, Line] = {}
    for line in lines:
        if not isinstance(line, dict):
            raise InvalidOrder("a line is a JSON object")
        sku, count = line.get("sku"), line.get("count", 1)
        if not isinstance(sku, str) or sku not in PRICES:
            raise InvalidOrder(f"there is no article {sku!r}")
        if type(count) is not int or not 1 <= count <= 100:
            raise InvalidOrder(f"the count of {sku!r} is not between 1 and 100")
        if sku in parsed:
            raise InvalidOrder(f"{sku!r} is in two lines")
        parsed[sku] = Line(sku, count)
    customer = value.get("customer")
    if not isinstance(customer, str) or not customer:
        raise InvalidOrder("an order names its customer")
    return Order(str(value.get("id", "")), customer, tuple(parsed.values()))
