"""Typed settings: what a value must be, and where a wrong one is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

GOOD = [
    ("{type: string, value: x}", "x"),
    ("{type: string, value: ''}", ""),
    ("{type: string, value: abc, pattern: '[a-c]+'}", "abc"),
    ("{type: string, value: b, enum: [a, b]}", "b"),
    ("{type: integer, value: 3}", 3),
    ("{type: integer, value: -3, minimum: -3, maximum: -3}", -3),
    ("{type: integer, value: 2, enum: [1, 2]}", 2),
    ("{type: number, value: 0.5, minimum: 0.5, maximum: 0.5}", 0.5),
    ("{type: number, value: 2}", 2),
    ("{type: boolean, value: false}", False),
    ("{type: list, value: []}", []),
    ("{type: list, value: [a, b], pattern: '[ab]'}", ["a", "b"]),
]


@pytest.mark.parametrize(("spec", "value"), GOOD)
def test_a_value_arrives_as_it_is(planned: Any, spec: str, value: Any) -> None:
    plan = planned(f"config:\n  a: {spec}\n")
    for function in plan.functions:
        found = json.loads(function.environment["PORTAFAAS_CONFIG"])
        assert found == {"a": value}
        assert type(found["a"]) is type(value)


BAD = [
    ("{type: string, value: 1}", "1 is not of type string"),
    ("{type: string, value: true}", "True is not of type string"),
    ("{type: string, value: [a]}", "is not of type string"),
    ("{type: integer, value: '1'}", "'1' is not of type integer"),
    ("{type: integer, value: 1.5}", "1.5 is not of type integer"),
    ("{type: integer, value: true}", "True is not of type integer"),
    ("{type: number, value: true}", "True is not of type number"),
    ("{type: number, value: '1.5'}", "is not of type number"),
    ("{type: boolean, value: 1}", "1 is not of type boolean"),
    ("{type: boolean, value: 'true'}", "'true' is not of type boolean"),
    ("{type: list, value: a}", "'a' is not of type list"),
    ("{type: string, value: c, enum: [a, b]}", "'c' is not one of a, b"),
    ("{type: integer, value: 3, enum: [1, 2]}", "3 is not one of 1, 2"),
    ("{type: integer, value: 0, minimum: 1}", "0 is less than 1"),
    ("{type: integer, value: 2, maximum: 1}", "2 is more than 1"),
    ("{type: number, value: 0.4, minimum: 0.5}", "0.4 is less than 0.5"),
    ("{type: string, value: abcd, pattern: '[a-c]+'}", "'abcd' does not match '[a-c]+'"),
    ("{type: string, value: xabc, pattern: 'abc'}", "does not match"),
    ("{type: list, value: [a, d], pattern: '[ab]'}", "'d' does not match"),
    ("{type: string, value: a, pattern: '('}", "'(' is no regular expression"),
    ("{type: string, value: a, minimum: 1}", "minimum is of integer and number, not of type string"),
    ("{type: list, value: [a], maximum: 1}", "maximum is of integer and number, not of type list"),
    ("{type: integer, value: 1, pattern: a}", "pattern is of string and list, not of type integer"),
    ("{type: integer, value: 3, minimum: 5, maximum: 1}", "minimum 5 is more than the maximum 1"),
]


@pytest.mark.parametrize(("spec", "text"), BAD)
def test_a_wrong_value(check: Any, spec: str, text: str) -> None:
    check(f"config:\n  a: {spec} #!\n", "PF2017", ("config.a.value", text))


def test_a_setting_without_a_value_names_the_stages_that_have_one(check: Any) -> None:
    more = (
        "config:\n  a: {type: string} #!\n"
        "stages:\n  prod: {config: {a: {value: x}}}\n  test: {}\n  beta: {config: {a: {value: y}}}\n"
    )
    (found,) = check(more, "PF2017", ("config.a", "setting 'a' has no value"))
    assert found.hint == "give it one; stages that have one: prod, beta"
    (found,) = check(more, "PF2017", ("config.a", "no value in stage 'test'"), stage="test")


def test_a_stage_fills_and_replaces_values(planned: Any) -> None:
    more = (
        "config:\n  a: {type: string}\n  b: {type: integer, value: 1}\n"
        "stages:\n  prod: {config: {a: {value: x}, b: {value: 2}}}\n"
    )
    function = planned(more, "prod").functions[0]
    assert function.environment["PORTAFAAS_CONFIG"] == '{"a":"x","b":2}'


def test_a_stage_s_wrong_value_is_reported_where_it_stands(check: Any) -> None:
    more = (
        "config:\n  b: {type: integer, value: 1}\n"
        "stages:\n  prod:\n    config:\n      b: {value: no} #!\n"
    )
    check(more, "PF2017", ("config.b.value", "'no' is not of type"), stage="prod")


def test_all_wrong_values_at_once(check: Any) -> None:
    check(
        "config:\n  a: {type: integer, value: x} #!\n  b: {type: string} #!\n"
        "  c: {type: string, value: ok}\n  d: {type: boolean, value: 0} #!\n",
        "PF2017",
        ("config.a.value", "integer"),
        ("config.b", "no value"),
        ("config.d.value", "boolean"),
    )


def test_no_settings_no_variable(planned: Any) -> None:
    assert all("PORTAFAAS_CONFIG" not in f.environment for f in planned("").functions)


def test_text_beyond_ascii_is_kept(planned: Any) -> None:
    value = planned('config: {a: {type: string, value: "\u00e4"}}\n').functions[0].environment
    assert value["PORTAFAAS_CONFIG"] == '{"a":"\u00e4"}'


def test_settings_count_among_the_variables(refused: Any) -> None:
    found = refused(f"config: {{a: {{type: string, value: {'x' * 4096}}}}}\n")
    assert {problem.code for problem in found} == {"PF2011"}


def test_the_level_of_the_log_is_a_variable_unless_it_is_info(planned: Any) -> None:
    assert "PORTAFAAS_LOG_LEVEL" not in planned("logs: {level: info}\n").functions[0].environment
    found = planned("logs: {level: debug, retention: 60d}\n")
    assert found.functions[0].environment["PORTAFAAS_LOG_LEVEL"] == "debug"
    assert (found.logs.retention, found.logs.level) == (60, "debug")
