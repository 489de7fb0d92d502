"""Every code is documented once, and nothing that does not exist is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]


def used() -> set[str]:
    found: set[str] = set()
    for folder in (ROOT / "portafaas", ROOT / "adapters"):
        for file in folder.rglob("*.py"):
            # In quotes: a docstring may name a family of codes.
            found |= set(re.findall(r'"(PF\d{4})"', file.read_text("utf-8")))
    return found


def test_every_code_is_documented_once() -> None:
    text = (ROOT / "docs" / "diagnostics.md").read_text("utf-8")
    documented = Counter(re.findall(r"^\| (PF\d{4}) \|", text, re.M))
    assert set(documented) == used()
    assert set(documented.values()) == {1}
