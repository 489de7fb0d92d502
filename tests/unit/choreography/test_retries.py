"""How retries multiply, and when they last too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import Redelivery
from portafaas.choreography.retries import MOST_CALLS, Stack, delay, span, stacks
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, QueuePlan, QueueTrigger, Retry, Use
from portafaas.plan.model import Idempotency
from portafaas.registry import get_adapter


def chain(length: int, loop: bool = False) -> BuildPlan:
    """Return a plan of q0 -> f0 -> q1 -> f1 ...: the first is called by HTTP."""
    functions = [FunctionPlan("web", "m", "f", HttpTrigger((), "/"), uses=(Use("send", "queue", "q0"),))]
    for number in range(length):
        uses = (Use("send", "queue", f"q{number + 1}"),) if number + 1 < length else ()
        if loop and not uses:
            uses = (Use("send", "queue", "q0"),)
        functions.append(
            FunctionPlan(f"f{number}", "m", "f", QueueTrigger(f"q{number}"), timeout=10, uses=uses)
        )
    queues = tuple(QueuePlan(f"q{number}", dead_letter=True) for number in range(length))
    return BuildPlan("s", "", "3.12", "x86_64", tuple(functions), queues)


def told(plan: BuildPlan, attempts: int = 5) -> list[Redelivery]:
    return [
        Redelivery(f.name, "" if f.kind == "http" else "SQS", 1 if f.kind == "http" else attempts)
        for f in plan.functions
    ]


def test_deliveries_multiply_along_a_chain() -> None:
    plan = chain(3)
    found = stacks(plan, told(plan), 3)
    assert found["web"] == Stack("web", 1, 3, ("web",), 1, 3, 30)
    assert [found[f"f{n}"].runs for n in range(3)] == [5, 25, 125]
    assert found["f2"].chain == ("web", "f0", "f1", "f2")
    assert found["f2"].calls == 375
    # Five times 10 s, and 1 + 2 + 4 + 8 s between them.
    assert found["f2"].seconds == 65


def test_the_worst_of_several_ways() -> None:
    plan = chain(2)
    extra = FunctionPlan("tick", "m", "f", QueueTrigger("extra"), uses=(Use("send", "queue", "q1"),))
    plan = BuildPlan("s", "", "3.12", "x86_64", (*plan.functions, extra), (*plan.queues, QueuePlan("extra")))
    records = [r if r.function != "tick" else Redelivery("tick", "SQS", 9) for r in told(plan)]
    assert stacks(plan, records, 1)["f1"].chain == ("tick", "f1")
    assert stacks(plan, records, 1)["f1"].runs == 45


def test_what_has_no_bound_cannot_be_multiplied() -> None:
    plan = chain(3)
    records = [r if r.function != "f1" else Redelivery("f1", "SQS", 0) for r in told(plan)]
    found = stacks(plan, records, 3)
    assert [found[f"f{n}"].runs for n in range(3)] == [5, 0, 0]
    assert found["f2"].chain == ("f1", "f2")
    assert found["f1"].seconds == 0


@pytest.mark.parametrize("length", [1, 3, 400])
def test_circles_and_long_chains_end(length: int) -> None:
    plan = chain(length, loop=True)
    found = stacks(plan, told(plan, 2), 1)
    assert len(found) == length + 1 and all(stack.runs >= 1 for stack in found.values())


def test_idempotent_functions_cut_the_chain() -> None:
    plan = chain(3)
    functions = tuple(
        replace(f, idempotency=Idempotency("once")) if f.name == "f1" else f for f in plan.functions
    )
    found = stacks(replace(plan, functions=functions), told(plan), 3)
    assert (found["f1"].runs, found["f2"].runs, found["f2"].chain) == (1, 5, ("f2",))


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], Any]:
    def write(text: str) -> Any:
        (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
        (tmp_path / "portafaas.yaml").write_text(text)
        return load_manifest(tmp_path / "portafaas.yaml")

    return write


def service(layers: int, retry: str = "", queue: str = "") -> str:
    lines = ["portafaas: 1", "name: s", "functions:"]
    lines.append("  web: {handler: 'm:f', trigger: {http: {path: /}}, uses: [{send: q0}]}")
    for number in range(layers):
        uses = f", uses: [{{send: q{number + 1}}}]" if number + 1 < layers else ""
        lines.append(f"  f{number}: {{handler: 'm:f', trigger: {{queue: {{name: q{number}}}}}{uses}{retry}}}")
    lines.append("queues:")
    lines += [f"  q{number}: {{dead-letter: true{queue}}}" for number in range(layers)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("target", ["aws", "azure", "gcp"])
def test_three_layers_are_fine_and_four_are_not(target: str, manifest: Any, tmp_path: Path) -> None:
    from portafaas.pipeline import check

    def codes(layers: int) -> list[Any]:
        text = manifest(service(layers))
        (item,) = check(text.file, [target], thorough=True)
        return [note for note in item.notes if note.code.startswith("PF212")]

    assert codes(3) == []
    (note,) = codes(4)
    assert (note.code, note.severity, note.path) == ("PF2120", "warning", "$.functions.f3")
    attempts = get_adapter(target).client_attempts
    assert 1 < attempts and 625 * attempts > MOST_CALLS >= 125 * attempts
    assert "web -> f0 -> f1 -> f2 -> f3: 1 x 5 x 5 x 5 x 5" in note.message
    assert f"{625 * attempts} calls" in note.message
    # Only the end of a chain is told.
    (note,) = codes(5)
    assert note.path == "$.functions.f4"


def test_times_that_do_not_fit(manifest: Any) -> None:
    from portafaas.pipeline import check

    retry = ", retry: {attempts: 10, backoff: fixed, initial: 1h, max: 1h, max-age: 2h}"
    text = manifest(service(1, retry, ", retention: 3h"))
    (item,) = check(text.file, ["azure"], thorough=True)
    found = [note for note in item.notes if note.code == "PF2121"]
    assert [note.path for note in found] == ["$.functions.f0.retry"] * 2
    assert "may take 9 h 5 min, but queue 'q0' keeps a message for 3 h" in found[0].message
    assert "'max-age' of 'retry' is 2 h" in found[1].message


def test_a_build_tells_too(manifest: Any) -> None:
    from portafaas.pipeline import build

    text = manifest(service(4))
    (built,) = build(text.file, ["aws"], infrastructure=True)
    assert "PF2120" in [note.code for note in built.notes]


def test_delays() -> None:
    function = FunctionPlan("f", "m", "f", QueueTrigger("q"), retry=Retry(9, initial=2, maximum=10))
    assert [delay(function, number) for number in (1, 2, 3, 4, 99)] == [2, 4, 8, 10, 10]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (130, "2 min 10 s"), (604_800, "7 d"), (90_061, "1 d 1 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_idempotency_that_forgets_too_early(manifest: Any) -> None:
    from portafaas.pipeline import check

    once = ", idempotency: {table: once, expires: 1m}, retry: {attempts: 5, initial: 30s}"
    text = manifest(service(1, once) + "tables: {once: {ttl: expires}}\n")
    (item,) = check(text.file, ["azure"], thorough=True)
    (found,) = [note for note in item.notes if note.code == "PF2121"]
    assert "'idempotency' remembers for 1 min" in found.message
