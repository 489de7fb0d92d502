from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portafaas.plan import BuildPlan

Planned = Callable[..., BuildPlan]


def test_none_unless_asked_for(planned: Planned) -> None:
    assert [function.min_instances for function in planned("").functions] == [0, 0, 0]


def test_of_a_function_and_of_all(planned: Planned) -> None:
    plan = planned(
        "defaults: {min-instances: 2}\nstages: {s: {functions: {web: {min-instances: 0}}}}\n", "s"
    )
    assert [function.min_instances for function in plan.functions] == [0, 2, 2]


def test_may_equal_the_most(planned: Planned) -> None:
    plan = planned("defaults: {min-instances: 3, max-instances: 3}\n")
    assert {function.min_instances for function in plan.functions} == {3}


def test_more_than_the_most_is_refused(check: Callable[..., Any]) -> None:
    check(
        "stages:\n"
        "  s:\n"
        "    functions:\n"
        "      web:\n"
        "        min-instances: 3  #!\n"
        "        max-instances: 2\n"
        "      work:\n"
        "        min-instances: 2\n",
        "PF2020",
        ("functions.web.min-instances", "3 instances are kept ready, but there may be 2"),
        stage="s",
    )


def test_defaults_that_contradict_each_other_are_named_once(refused: Callable[..., Any]) -> None:
    found = refused("defaults:\n  min-instances: 3\n  max-instances: 2\n")
    assert [(one.code, one.path, one.line) for one in found] == [
        ("PF2020", "$.defaults.min-instances", 13)
    ]


@pytest.mark.parametrize("value", ["-1", "1001", "many", "1.5"])
def test_other_values_are_refused(refused: Callable[..., Any], value: str) -> None:
    (found,) = refused(f"defaults: {{min-instances: {value}}}\n")
    assert found.path == "$.defaults.min-instances"
