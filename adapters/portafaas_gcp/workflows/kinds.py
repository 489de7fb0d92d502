"""What each kind of step of the normal form becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.runtime.states import LOOP_LIMIT, NO_CHOICE, is_path, parsed
from portafaas_gcp.runtime.workflow import encoded
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.conditions import program
from portafaas_gcp.workflows.expressions import Rendering, Step, expression, literal, quoted
from portafaas_gcp.workflows.steps import (
    DEEPEST,
    FAILED,
    MOST_AT_ONCE,
    YEAR,
    Steps,
    apart_of,
    branches_of,
    is_parallel,
    rules_of,
)


class Kinds(Steps):
    """A method a kind.

    It takes the step's name, the name of its first step here, the step, where to go on, and where
    the machine's steps end.
    """

    def _task(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        self.entered(name, here, step)
        self.call(
            f"{here}__call", "portafaas_call", "answer",
            **self.writer.call(step["function"], step.get("timeout")),
            given=expression("given"), workflow=literal(self.writer.workflow),
            run=expression('context["Execution"]["Id"]'), step=literal(name),
            place=expression("where"), rules=rules_of(step.get("retry", ())),
        )  # fmt: skip
        self.ended(name, here, step, following)

    def _workflow(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        self.entered(name, here, step)
        self.assign(f"{here}__begin", ("counts", []), ("tries", 0))
        child = step["workflow"]
        given = {
            "input": expression("given"),
            "run": expression('context["Execution"]["Id"]'),
            "place": expression(self.inside()),
        }
        routine = names.run(child)
        if "timeout" in step or self.around + self.writer.nested(child) > DEEPEST:
            self.writer.apart[routine] = (child, None)
            routine, given = "portafaas_apart", apart_of(routine, given, step.get("timeout", YEAR))
        self.call(f"{here}__run", routine, "answer", None, **given)
        self.repeated(name, here, step, following)

    def _parallel(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        self.entered(name, here, step)
        self.sized(here, step)
        branches = step["branches"]
        self.assign(f"{here}__begin", ("counts", []), ("tries", 0))
        self.assign(f"{here}__run", ("answers", [0 for _ in branches]))
        calls: list[list[Step]] = []
        for index, branch in enumerate(branches):
            place = f"{self.inside()} + {quoted(branch['name'] + '/')}"
            given = {
                "document": expression("given"),
                "context": expression("context"),
                "place": expression(place),
            }
            calls.append(
                [
                    {f"{here}__call_{index}": {
                        **self.within_it(step, branch["machine"], given, name, branch["name"]),
                        "result": f"answer_{index}",
                    }},
                    {f"{here}__put_{index}": {
                        "assign": [{f"answers[{index}]": expression(f"answer_{index}")}],
                    }},
                ]
            )  # fmt: skip
        self.add(f"{here}__all", {"parallel": branches_of(here, calls)})
        self.gathered(name, here, step, following)

    def _map(self, name: str, here: str, step: Mapping[str, Any], following: str, end: str) -> None:
        self.entered(name, here, step)
        self.sized(here, step)
        self.assign(f"{here}__begin", ("counts", []), ("tries", 0))
        self.call(
            f"{here}__run", "portafaas_items", "answer",
            value=expression("context" if step["items"].startswith("$$") else "given"),
            path=literal(list(parsed(step["items"]))), shown=literal(step["items"]),
            most=step["most"], step=literal(name),
        )  # fmt: skip
        self.switch(f"{here}__many", [('"error" in answer', f"{here}__check")])
        self.assign(
            f"{here}__items",
            ("items", expression('answer["items"]')),
            ("answers", expression('answer["answers"]')),
        )
        item_context = {
            "Execution": expression('context["Execution"]'),
            "Map": {"Item": {"Index": expression("index"), "Value": expression("item")}},
        }
        document = "item"
        if "each" in step:
            document = "documents[index]"
            rendering = Rendering(f"{here}__each", "given", "inner")
            value = rendering.value(step["each"])
            self.assign(f"{here}__documents", ("documents", []), ("inner", {}), ("one", 0))
            self.add(f"{here}__each", {"for": {
                "value": "item",
                "index": "index",
                "in": expression("items"),
                "steps": [
                    {f"{here}__each_item": {"assign": [{"inner": item_context}]}},
                    *rendering.steps,
                    {f"{here}__each_one": {"assign": [{"one": value}]}},
                    {f"{here}__each_sized": {
                        "call": "portafaas_sized",
                        "args": {"value": expression("one")},
                    }},
                    {f"{here}__each_kept": {
                        "assign": [
                            {"documents": expression("list.concat(documents, 0)")},
                            {"documents[index]": expression("one")},
                        ],
                    }},
                ],
            }})  # fmt: skip
        given = {
            "document": expression(document),
            "context": expression("around"),
            "place": expression(f'{self.inside()} + string(index) + "/"'),
        }
        called = self.within_it(step, step["machine"], given, name)
        self.switch(f"{here}__empty", [("len(items) == 0", f"{here}__gather")])
        iterations = {
            "value": "item",
            "index": "index",
            "in": expression("items"),
            "steps": [
                {f"{here}__item": {"assign": [{"around": item_context}]}},
                {f"{here}__call": {**called, "result": "item_answer"}},
                {f"{here}__answer": {"assign": [{"answers[index]": expression("item_answer")}]}},
            ],
        }
        if is_parallel(step):
            most = min(step["concurrency"], MOST_AT_ONCE)
            several = {"shared": ["answers"], "concurrency_limit": most, "for": iterations}
            self.add(f"{here}__all", {"parallel": several})
        else:
            self.add(f"{here}__all", {"for": iterations})
        self.gathered(name, here, step, following)

    def _loop(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        done = f"done_{len(self.counters)}"
        self.counters.append(done)
        self.assign(here, (done, 0))
        self.call(
            f"{here}__while", "portafaas_choose", "choice",
            program=program([step["while"]]), document=expression("document"),
            context=expression("context"),
        )  # fmt: skip
        self.switch(
            f"{here}__which",
            [("choice == 1", following), (f"{done} == {step['most']}", f"{here}__over")],
        )
        self.assign(
            f"{here}__count", (done, expression(f"{done} + 1")),
            next=names.step(step["machine"]["start"]),
        )  # fmt: skip
        self.assign(
            f"{here}__over",
            ("answer", {"error": LOOP_LIMIT, "cause": literal(f"{name} has run {step['most']} "
                                                               "times")}),
            next=FAILED,
        )  # fmt: skip
        self.steps_of(step["machine"], f"{here}__while")

    def _choice(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        rules = step["rules"]
        self.call(
            here, "portafaas_choose", "choice",
            program=program([rule["when"] for rule in rules]), document=expression("document"),
            context=expression("context"),
        )  # fmt: skip
        default = step.get("default")
        self.switch(
            f"{here}__which",
            [(f"choice == {i}", names.step(rule["next"])) for i, rule in enumerate(rules)],
            next=f"{here}__none" if default is None else names.step(default),
        )
        if default is None:
            self.assign(
                f"{here}__none",
                ("answer", {"error": NO_CHOICE,
                            "cause": "no rule holds, and there is no default"}),
                next=FAILED,
            )  # fmt: skip

    def _wait(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        if "signal" in step:
            self.assign(here, ("answer", {}))
            self.call(
                f"await_{encoded(step['signal'])}__{encoded(name)}", "portafaas_signal", "answer",
                name=literal(step["signal"]), timeout=step.get("timeout", YEAR),
            )  # fmt: skip
            self.ended(name, here, step, following)
            return
        word = "seconds" if "seconds" in step else "until"
        given = step[word]
        if isinstance(given, str) and is_path(given):
            self.assign(here, ("given", 0))
            self.filled(f"{here}__value", "given", given)
            if word == "seconds":
                self.call(f"{here}__checked", "portafaas_seconds", "given",
                          value=expression("given"), step=literal(name))  # fmt: skip
            else:
                self.call(f"{here}__checked", "portafaas_text", "given",
                          value=expression("given"), what=f"until of {name}")  # fmt: skip
            value: Any = expression("given")
            here = f"{here}__sleep"
        else:
            value = given
        if word == "seconds":
            self.call(here, "sys.sleep", None, following, seconds=value)
        else:
            self.call(here, "sys.sleep_until", None, following, time=value)

    def _set(self, name: str, here: str, step: Mapping[str, Any], following: str, end: str) -> None:
        self.assign(here, ("result", 0))
        self.filled(f"{here}__value", "result", step["input"])
        place = {"result": step["result"]} if "result" in step else {}
        self.put(f"{here}__put", place, "result", following, new=True)

    def _succeed(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        self.add(here, {"next": end})

    def _fail(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        rendering = Rendering(f"{here}__text")
        values = {word: rendering.value(step[word]) for word in ("error", "cause")}
        if not rendering.steps and not any(is_path(step[word]) for word in values):
            self.assign(here, ("answer", values), next=FAILED)
            return
        self.assign(here, ("answer", {}))
        self.out += rendering.steps
        self.assign(f"{here}__texts", ("answer", values))
        for word in values:
            self.call(
                f"{here}__{word}", "portafaas_text", None,
                value=expression(f"answer[{quoted(word)}]"), what=f"{word} of {name}",
            )  # fmt: skip
        self.add(f"{here}__fail", {"next": FAILED})
