"""Cases of ``examples/shop-saga``: its own definition, on every engine, with every step failing.

Only the names of its functions are others: those of the scripted project.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.workflows.cases import Case

MANIFEST = Path(__file__).parents[2] / "examples" / "shop-saga" / "portafaas.yaml"
#: Function of the example -> function of the scripted project.
NAMES = {
    "validate": "one", "charge": "two", "take": "three", "refund": "undo", "release": "unmake",
    "ask": "slow", "mail": "slow", "pack": "one", "apologise": "two",
}  # fmt: skip
LINES = [{"sku": "tea", "count": 2}, {"sku": "cup", "count": 1}, {"sku": "pot", "count": 3}]
PAYMENT = {"id": "pay-c0ffee"}


@lru_cache
def steps() -> dict[str, Any]:
    """Return the steps of ``fulfil``."""
    found: dict[str, Any] = _renamed(
        yaml.safe_load(MANIFEST.read_text())["workflows"]["fulfil"]["steps"]
    )
    return found


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: NAMES[one] if key == "task" and isinstance(one, str) else _renamed(one)
            for key, one in value.items()
        }
    return [_renamed(one) for one in value] if isinstance(value, list) else value


def shop_cases() -> list[Case]:
    """Return the cases: orders that end well, that are refused, and each step failing for good."""
    from tests.workflows.cases import Case, by, err, ok

    def made(
        name: str, outcome: Mapping[str, Any] | None, cents: int = 2100,
        failing: Mapping[str, list[Any]] | None = None, approved: Any = None,
    ) -> Case:  # fmt: skip
        order = {"id": "c0ffee", "customer": "Ada", "lines": LINES}
        valid = {**order, "cents": cents}
        bought = {"order": "c0ffee", "customer": "Ada", "cents": cents}
        # By function of the project: input and answers.
        answers: dict[str, list[tuple[Any, list[Any]]]] = {}

        def says(function: str, input: Any, answer: Any) -> None:
            given = (failing or {}).get(function, [])
            answers.setdefault(NAMES[function], []).append((input, [*given, ok(answer)]))

        says("validate", order, valid)
        says("charge", bought, PAYMENT)
        for line in LINES:
            input = {"order": "c0ffee", **line}
            given = (failing or {}).get(f"take {line['sku']}", [])
            answers.setdefault("three", []).append((input, [*given, ok(input)]))
        if cents > 50_000:
            # Asking and mailing get the same.
            given = (failing or {}).get("ask") or [ok(None), *(failing or {}).get("mail", [])]
            answers["slow"] = [(bought, [*given, ok(None)])]
        else:
            says("mail", bought, None)
        says("pack", {"order": "c0ffee", "lines": LINES}, None)
        signals = {} if approved is None else {"approved": (5.0, approved)}
        scripts = {function: by(*pairs) for function, pairs in answers.items()}
        return Case(
            f"shop-{name}", steps(), order, scripts, signals,
            outcome=None if outcome is None else dict(outcome),
        )  # fmt: skip

    def broken(times: int) -> list[Any]:
        return [err("Broken")] * times

    failed = {"error": "Broken", "cause": "so it is"}
    yes = {"yes": True, "by": "Grace"}
    return [
        made("goes-out", {"ok": {
            "id": "c0ffee", "customer": "Ada", "lines": LINES, "cents": 2100, "payment": PAYMENT,
            "taken": [{"order": "c0ffee", **line} for line in LINES],
        }}),
        made("busy-bank", None, failing={"charge": [err("BankBusy")] * 2}),
        made("declined", {"error": "PaymentDeclined", "cause": "no cover"},
             failing={"charge": [err("PaymentDeclined", "no cover")]}),
        made("sold-out", {"error": "OutOfStock", "cause": "none left"},
             failing={"take cup": [err("OutOfStock", "none left")]}),
        made("approved", None, 60_000, approved=yes),
        made("turned-down", {"error": "NotApproved", "cause": "it was turned down"}, 60_000,
             approved={"yes": False, "by": "Grace"}),
        made("fails-validate", failed, failing={"validate": broken(1)}),
        made("fails-charge", failed, failing={"charge": broken(4)}),
        made("fails-take", failed, failing={"take pot": broken(6)}),
        made("fails-ask", failed, 60_000, {"ask": broken(4)}, yes),
        made("fails-mail", failed, 60_000, {"mail": broken(4)}, yes),
        made("fails-pack", failed, failing={"pack": broken(4)}),
    ]  # fmt: skip
