from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import Diagnostic, ManifestError
from portafaas.manifest.load import load_manifest
from portafaas.manifest.model import Manifest

GOOD = """\
portafaas: 1
name: shop
functions:
  a:
    handler: m:f
    trigger: {http: {path: /a}}
"""


def load(tmp_path: Path, text: str | bytes, stage: str | None = None) -> Manifest:
    file = tmp_path / "portafaas.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_manifest(file, stage)


def problems(tmp_path: Path, text: str | bytes, stage: str | None = None) -> list[Diagnostic]:
    with pytest.raises(ManifestError) as caught:
        load(tmp_path, text, stage)
    assert caught.value.exit_code == 2
    return list(caught.value.diagnostics)


def one(tmp_path: Path, text: str | bytes, stage: str | None = None) -> Diagnostic:
    (found,) = problems(tmp_path, text, stage)
    return found


def test_a_condition_that_is_none_is_told_what_one_looks_like(tmp_path: Path) -> None:
    steps = (
        "{a: {choice: [{when: {path: $.x, equals: 1}, next: b}], default: b}, b: {succeed: true}}"
    )
    found = one(tmp_path, GOOD + f"workflows: {{w: {{steps: {steps}}}}}\n")
    assert (found.code, found.path) == ("PF1001", "$.workflows.w.steps.a.choice[0].when")
    assert found.hint == (
        'write a condition such as {$.total: {">": 100}}, {and: [...]} or {not: ...}'
    )


def test_a_good_manifest_loads(tmp_path: Path) -> None:
    manifest = load(tmp_path, GOOD)
    assert manifest.document["name"] == "shop"
    assert manifest.root == tmp_path
    assert manifest.positions["functions", "a", "handler"] == (5, 14)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).document["name"] == "shop"


@pytest.mark.parametrize(
    ("text", "code", "line", "path", "said"),
    [
        (GOOD.replace("name: shop", "nmae: shop"), "PF1002", 2, "$.nmae", "'name'"),
        (GOOD.replace("handler", "hadnler"), "PF1002", 5, "$.functions.a.hadnler", "'handler'"),
        (GOOD.replace("portafaas: 1", "portafaas: 2"), "PF1001", 1, "$.portafaas", "1"),
        (GOOD.replace("m:f", "m.f"), "PF1001", 5, "$.functions.a.handler", "module:Name"),
        (GOOD.replace("http:", "htpp:"), "PF1002", 6, "$.functions.a.trigger.htpp", "'http'"),
        (GOOD.replace("/a}", "a}"), "PF1001", 6, "$.functions.a.trigger.http.path", "begins with"),
        (GOOD.replace("name: shop", "name: Shop"), "PF1001", 2, "$.name", "lower-case"),
        (GOOD + "    timeout: 5x\n", "PF1001", 7, "$.functions.a.timeout", "500ms"),
        (GOOD + "    memory: lots\n", "PF1001", 7, "$.functions.a.memory", "256MB"),
        (GOOD + "    uses: [{reed: x}]\n", "PF1002", 7, "$.functions.a.uses[0].reed", "'read'"),
        (GOOD + "    concurrency: 0\n", "PF1001", 7, "$.functions.a.concurrency", "1"),
        (GOOD + "name: again\n", "PF1003", 7, "$.name", "line 2"),
        (
            GOOD.replace("http: {path: /a}", "queue: jobs"), "PF1001", 6,
            "$.functions.a.trigger.queue", "write {name: jobs}",
        ),
        (GOOD + "queues: [a]\n", "PF1001", 7, "$.queues", "mapping"),
        ("- a\n", "PF1001", 1, "$", "mapping"),
        (GOOD + "x: !!python/object:os.system {}\n", "PF1006", 7, "$.x", "tag"),
        (GOOD + "stages: {prod: {name: other}}\n", "PF1002", 7, "$.stages.prod.name", "stage"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_told_where_and_why(
    tmp_path: Path, text: str, code: str, line: int, path: str, said: str
) -> None:
    found = problems(tmp_path, text)
    match = [d for d in found if d.code == code and d.path == path]
    assert match, [str(d) for d in found]
    assert match[0].line == line
    assert said in f"{match[0].message} {match[0].hint}"
    assert match[0].file == "portafaas.yaml"


def test_all_problems_are_told_at_once_in_order(tmp_path: Path) -> None:
    text = """\
portafaas: 1
nmae: shop
functions:
  A:
    handler: x
    trigger: {}
  b: {handler: m:f, trigger: {http: {path: a, method: FETCH}}}
"""
    found = problems(tmp_path, text)
    assert len(found) >= 6
    places = [(d.line or 0) for d in found if d.code != "PF1004"]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\n", 2),
        ("a: 'x\n", 2),
        ("a: b: c\n", 1),
        ("\tname: x\n", 1),
        ("a: \x00\n", 1),
        ("a: &x 1\nb: *y\n", 2),
    ],
)
def test_malformed_yaml_is_pf1005_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    found = one(tmp_path, text)
    assert found.code == "PF1005"
    assert found.line == line


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    found = one(tmp_path, GOOD.encode() + b"# \xff\n")
    assert (found.code, found.line) == ("PF1005", 7)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path / "portafaas.yaml")
    (found,) = caught.value.diagnostics
    assert found.code == "PF1000"
    assert "portafaas init" in (found.hint or "")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").mkdir()
    with pytest.raises(ManifestError, match="PF1000"):
        load_manifest(tmp_path / "portafaas.yaml")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert one(tmp_path, "#" * 1_048_577).code == "PF1000"


def test_an_alias_bomb_ends_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any(d.code == "PF1006" for d in problems(tmp_path, "\n".join(lines)))


def test_an_alias_to_itself_is_refused(tmp_path: Path) -> None:
    assert any(d.code == "PF1006" for d in problems(tmp_path, GOOD + "x: &x [*x]\n"))


@pytest.mark.parametrize("size", [150, 5000, 500_000])
@pytest.mark.parametrize("unit", ["[", "{a: ", "- ", "? ", "[a, "])
def test_deep_nesting_is_a_diagnostic_and_no_crash(tmp_path: Path, unit: str, size: int) -> None:
    count = min(size, 1_000_000 // len(unit))
    assert problems(tmp_path, unit * count)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    assert one(tmp_path, "").code == "PF1005"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("NO", "NO"), ("true", True), ("null", None), ("~", None),
        ("12", 12), ("-3", -3), ("1.5", 1.5), ("0x1F", 31), ("0o17", 15), ("017", 17),
        ("1e3", 1000.0), ("2026-11-23", "2026-11-23"), ("12:30:00", "12:30:00"), ("'5'", "5"),
        ('""', ""), (".5", 0.5), ("1_000", "1_000"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    from portafaas.manifest.text import parse

    document, _, found = parse(f"x: {text}\n", "f")
    assert found == []
    assert document == {"x": value}
    assert type(document["x"]) is type(value)


STAGED = (
    GOOD
    + """\
stages:
  prod:
    defaults: {memory: 1GB}
    functions:
      a: {timeout: 9s}
  broken:
    functions:
      a: {timeout: never}
"""
)


def test_a_stage_overrides_by_key(tmp_path: Path) -> None:
    document = load(tmp_path, STAGED, "prod").document
    assert document["defaults"] == {"memory": "1GB"}
    assert document["functions"]["a"]["timeout"] == "9s"
    assert document["functions"]["a"]["handler"] == "m:f"
    assert "defaults" not in load(tmp_path, STAGED).document


def test_an_unknown_stage_names_the_near_one(tmp_path: Path) -> None:
    found = one(tmp_path, STAGED, "prdo")
    assert found.code == "PF1007"
    assert "'prod'" in (found.hint or "")


def test_a_stage_that_breaks_the_manifest_is_told_with_the_stages_line(tmp_path: Path) -> None:
    found = one(tmp_path, STAGED, "broken")
    assert (found.code, found.line) == ("PF1001", 14)


def test_where_no_key_is_allowed_it_says_so(tmp_path: Path) -> None:
    found = one(tmp_path, GOOD.replace("{http: {path: /a}}", "{task: {x: 1}}"))
    assert (found.code, found.message) == ("PF1002", "unknown key 'x'; allowed: none")
