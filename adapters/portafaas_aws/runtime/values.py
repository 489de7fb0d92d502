"""JSON values as DynamoDB's attribute values; ``table`` has the way back. Ships; imports nothing.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def typed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return *row* as an item: the attribute value of each of its columns."""
    return {name: typed(value) for name, value in row.items()}


def typed(value: Any) -> dict[str, Any]:
    """Return the attribute value of a JSON value: 5 is ``{"N": "5"}``.

    DynamoDB's numbers are decimal with 38 digits, so that every float has its exact place between
    1e-130 and 1e126, and comes back as it was. Raises TypeError for what is no JSON value, and
    ValueError for infinity and NaN.
    """
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": str(value)}
    if isinstance(value, int):
        return {"N": int.__repr__(value)}
    if isinstance(value, float):
        if value - value != 0.0:
            raise ValueError(f"{value!r} is no JSON number")
        # Whole numbers to the digit, as far as there are digits.
        whole = value.is_integer() and -1e38 < value < 1e38
        return {"N": repr(int(value)) if whole else float.__repr__(value)}
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"the name of a member is {type(name).__name__!r}, not text")
        return {"M": typed_row(value)}
    if isinstance(value, (list, tuple)):
        return {"L": [typed(item) for item in value]}
    raise TypeError(f"{type(value).__name__!r} is no JSON value")
