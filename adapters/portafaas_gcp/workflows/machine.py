"""Steps of a machine of the normal form as a routine of a workflow's source.

A routine never raises: it returns ``{"ok", "log"}`` or ``{"error", "cause", "log"}``, where the log
is what may have to be undone. In a routine ``document`` is the run's document, ``answer`` what the
last step came to, ``entry`` counts entries into steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portafaas.plan.machines import inner
from portafaas.runtime.states import LOOP_LIMIT, NO_CHOICE, is_path, parsed
from portafaas_gcp.runtime.workflow import encoded
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.conditions import program
from portafaas_gcp.workflows.expressions import Rendering, Step, expression, literal, quoted
from portafaas_gcp.workflows.library import LONGEST_CALL, Routine

#: Seconds between a function's own timeout and that of the call.
GRACE = 10
#: Seconds of a run: https://cloud.google.com/workflows/quotas
YEAR = 31_536_000
#: Rules of a switch, branches of a parallel step, iterations at once.
MOST_RULES = 50
MOST_BRANCHES = 10
MOST_AT_ONCE = 20
#: Parallel steps within one another: https://cloud.google.com/workflows/docs/execute-parallel-steps
DEEPEST = 2

FAILED = "failed"
FINISHED = "finished"


class Writer:
    """Writes the routines of one workflow.

    *url* returns the address of a function, *timeout* its timeout in seconds, *nested* how many
    parallel steps are within one another in an execution of a workflow.
    """

    def __init__(
        self,
        workflow: str,
        url: Callable[[str], str],
        timeout: Callable[[str], float],
        nested: Callable[[str], int],
    ) -> None:
        self.workflow = workflow
        self.routines: dict[str, Routine] = {}
        #: How to undo each step, by its name.
        self.undo: dict[str, dict[str, Any]] = {}
        #: Routines that run in executions of their own, and the steps that they do.
        self.apart: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self.nested = nested
        self._url = url
        self._timeout = timeout

    def call(self, function: str, seconds: float | None = None) -> dict[str, Any]:
        """Return what ``portafaas_call`` has to know of a function."""
        most = self._timeout(function) + GRACE if seconds is None else seconds
        return {"url": self._url(function), "timeout": min(most, LONGEST_CALL)}

    def depth(self, machine: Mapping[str, Any]) -> int:
        """Return how many parallel steps are within one another in an execution; 0, 1 or 2."""
        deepest = 0
        for step in machine["steps"].values():
            if step["kind"] == "workflow":
                deepest = max(deepest, self.nested(step["workflow"]))
            for one in inner(step):
                deepest = max(deepest, self.depth(one) + (step["kind"] != "loop"))
        return min(deepest, DEEPEST)

    def machine(self, machine: Mapping[str, Any], *within: str, around: int = 0) -> str:
        """Add the routine of a machine, and return its name.

        *around*: how many parallel steps it is within, in its execution.
        """
        name = names.steps(self.workflow, *within)
        writer = _Steps(self, within, around)
        writer.steps_of(machine, FINISHED)
        begin = {
            "begin": {
                "assign": [
                    {"log": []},
                    {"entry": 0},
                    {"answer": {}},
                    *({variable: 0} for variable in writer.counters),
                ]
            }
        }
        run = {
            "run": {
                "try": {
                    "steps": [
                        *writer.out,
                        {
                            FINISHED: {
                                "return": {
                                    "ok": expression("document"),
                                    "log": expression("log"),
                                }
                            }
                        },
                        {FAILED: _failure()},
                    ]
                },
                "except": {
                    "as": "error",
                    "steps": [
                        {
                            "broken": {
                                "call": "portafaas_broken",
                                "args": {"error": expression("error")},
                                "result": "answer",
                            }
                        },
                        {"over": _failure()},
                    ],
                },
            }
        }
        self.routines[name] = {"params": ["document", "context", "place"], "steps": [begin, run]}
        return name


def _failure() -> Step:
    return {
        "return": {
            "error": expression('answer["error"]'),
            "cause": expression('answer["cause"]'),
            "log": expression("log"),
        }
    }


class _Steps:
    """The steps of one routine."""

    def __init__(self, writer: Writer, within: tuple[str, ...], around: int) -> None:
        self.writer = writer
        self.within = within
        self.around = around
        self.out: list[Step] = []
        self.counters: list[str] = []

    def steps_of(self, machine: Mapping[str, Any], end: str) -> None:
        """Write the steps of a machine, which go to *end* when they are over."""
        # The first is where the others begin.
        order = [machine["start"], *(name for name in machine["steps"] if name != machine["start"])]
        for name in order:
            step = machine["steps"][name]
            here = names.step(name)
            following = end
            if step.get("next") is not None:
                following = names.step(step["next"])
            getattr(self, f"_{step['kind']}")(name, here, step, following, end)

    def add(self, name: str, step: Step) -> None:
        """Append one step."""
        self.out.append({name: step})

    def assign(self, name: str, *pairs: tuple[str, Any], next: str | None = None) -> None:
        """Append a step that assigns."""
        step: Step = {"assign": [{variable: value} for variable, value in pairs]}
        if next is not None:
            step["next"] = next
        self.add(name, step)

    def call(
        self, name: str, routine: str, result: str | None, next: str | None = None, /, **args: Any
    ) -> None:
        """Append a step that calls."""
        step: Step = {"call": routine, "args": args}
        if result is not None:
            step["result"] = result
        if next is not None:
            step["next"] = next
        self.add(name, step)

    def switch(self, name: str, rules: Sequence[tuple[str, str]], next: str | None = None) -> None:
        """Append steps that go where the first true condition says."""
        for first in range(0, len(rules), MOST_RULES):
            part = rules[first : first + MOST_RULES]
            step: Step = {"switch": [{"condition": expression(c), "next": to} for c, to in part]}
            if next is not None and first + MOST_RULES >= len(rules):
                step["next"] = next
            self.add(f"{name}_{first}" if first else name, step)

    def entered(self, name: str, here: str, step: Mapping[str, Any]) -> None:
        """Count an entry into a step, and compute what it gets: ``given`` and ``where``."""
        self.assign(
            here,
            ("entry", expression("entry + 1")),
            ("where", expression(f"place + {quoted(name + '#')} + string(entry)")),
        )
        self.filled(f"{here}__input", "given", step.get("input", "$"))

    def filled(self, name: str, variable: str, template: Any) -> None:
        """Assign to *variable* what a template stands for."""
        rendering = Rendering(name)
        value = rendering.value(template)
        self.out += rendering.steps
        self.assign(name, (variable, value))

    def put(
        self, name: str, step: Mapping[str, Any], value: str, following: str, new: bool = False
    ) -> None:
        """Put *value*, an expression, where a step's result goes, and go to *following*.

        *new*: nobody has looked at how large it is.
        """
        if "select" in step:
            # A path of the template begins at the result, not at the document.
            self.assign(f"{name}_result", ("result", expression(value)))
            rendering = Rendering(f"{name}_select", "result")
            selected = rendering.value(step["select"])
            self.out += rendering.steps
            self.assign(f"{name}_selected", ("result", selected))
            value, new = "result", True
        path = step.get("result", "$")
        if path is None:
            self.add(name, {"next": following})
        elif path == "$" and new:
            self.call(name, "portafaas_sized", "document", following, value=expression(value))
        elif path == "$":
            self.assign(name, ("document", expression(value)), next=following)
        else:
            self.call(
                name, "portafaas_put", "document", following,
                document=expression("document"), path=literal(list(parsed(path))),
                value=expression(value), shown=literal(path),
            )  # fmt: skip

    def ended(self, name: str, here: str, step: Mapping[str, Any], following: str) -> None:
        """Write what comes after a step that may fail: its answer is ``answer``."""
        rules = step.get("catch", ())
        self.switch(
            f"{here}__check",
            [('"error" in answer', f"{here}__failed" if rules else FAILED)],
        )
        self.succeeded(name, here, step, following)
        if rules:
            self.caught(here, rules)

    def succeeded(self, name: str, here: str, step: Mapping[str, Any], following: str) -> None:
        """Put the result of a step, and keep how to undo it."""
        undo = step.get("compensate")
        if undo is None:
            self.put(f"{here}__put", step, 'answer["ok"]', following)
            return
        self.put(f"{here}__put", step, 'answer["ok"]', f"{here}__keep")
        self.writer.undo[name] = {
            **self.writer.call(undo["function"]),
            "retry": _rules(undo.get("retry", ())),
        }
        rendering = Rendering(f"{here}__keep")
        value = rendering.value(undo.get("input", "$"))
        self.assign(f"{here}__keep", ("kept", {}))
        self.out += rendering.steps
        self.assign(
            f"{here}__kept",
            ("kept", {"step": literal(name), "place": expression("where"), "input": value}),
            ("log", expression("list.concat(log, kept)")),
            next=following,
        )

    def caught(self, here: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Write where a failed step goes on."""
        self.call(
            f"{here}__failed", "portafaas_rule", "choice",
            rules=literal([list(rule["errors"]) for rule in rules]),
            error=expression('answer["error"]'),
        )  # fmt: skip
        self.switch(
            f"{here}__catch",
            [(f"choice == {index}", f"{here}__catch_{index}") for index in range(len(rules))],
            next=FAILED,
        )
        for index, rule in enumerate(rules):
            path = rule.get("result", "$")
            name = f"{here}__catch_{index}"
            if path is None:
                self.add(name, {"next": names.step(rule["next"])})
                continue
            self.assign(
                name,
                ("result", {"Error": expression('answer["error"]'),
                            "Cause": expression('answer["cause"]')}),
            )  # fmt: skip
            self.put(f"{name}_put", {"result": path}, "result", names.step(rule["next"]))

    def again(self, here: str, step: Mapping[str, Any]) -> None:
        """Write the retries of what no routine of the library retries: ``answer`` has failed."""
        rules = step.get("retry", ())
        after = f"{here}__failed" if step.get("catch") else FAILED
        if not rules:
            return
        self.call(
            f"{here}__retry", "portafaas_retry", "pause",
            rules=_rules(rules), counts=expression("counts"), error=expression('answer["error"]'),
        )  # fmt: skip
        self.switch(f"{here}__more", [('pause["again"]', f"{here}__sleep")], next=after)
        self.call(f"{here}__sleep", "sys.sleep", None, seconds=expression('pause["seconds"]'))
        self.assign(
            f"{here}__next",
            ("counts", expression('pause["counts"]')),
            ("tries", expression("tries + 1")),
            next=f"{here}__run",
        )

    def repeated(self, name: str, here: str, step: Mapping[str, Any], following: str) -> None:
        """Write the end of a step that the routine itself retries."""
        rules = step.get("catch", ())
        after = f"{here}__failed" if rules else FAILED
        if step.get("retry"):
            after = f"{here}__retry"
        self.switch(f"{here}__check", [('"error" in answer', after)])
        self.succeeded(name, here, step, following)
        self.again(here, step)
        if rules:
            self.caught(here, rules)

    def inside(self) -> str:
        """Return an expression for where a try of the present step is: its place and the try."""
        return 'where + "!" + string(tries) + "/"'

    # What each kind of step is.

    def _task(
        self, name: str, here: str, step: Mapping[str, Any], following: str, end: str
    ) -> None:
        self.entered(name, here, step)
        self.call(
            f"{here}__call", "portafaas_call", "answer",
            **self.writer.call(step["function"], step.get("timeout")),
            given=expression("given"), workflow=literal(self.writer.workflow),
            run=expression('context["Execution"]["Id"]'), step=literal(name),
            place=expression("where"), rules=_rules(step.get("retry", ())),
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
            routine, given = "portafaas_apart", _apart(routine, given, step.get("timeout", YEAR))
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
                        **self.within_it(branch["machine"], given, name, branch["name"]),
                        "result": f"answer_{index}",
                    }},
                    {f"{here}__put_{index}": {
                        "assign": [{f"answers[{index}]": expression(f"answer_{index}")}],
                    }},
                ]
            )  # fmt: skip
        self.add(f"{here}__all", {"parallel": _branches(here, calls)})
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
                        "assign": [{"documents": expression("list.concat(documents, one)")}],
                    }},
                ],
            }})  # fmt: skip
        given = {
            "document": expression(document),
            "context": expression("around"),
            "place": expression(f'{self.inside()} + string(index) + "/"'),
        }
        called = self.within_it(step["machine"], given, name)
        self.switch(f"{here}__empty", [("len(items) == 0", f"{here}__gather")])
        self.add(f"{here}__all", {"parallel": {
            "shared": ["answers"],
            "concurrency_limit": min(step["concurrency"], MOST_AT_ONCE),
            "for": {
                "value": "item",
                "index": "index",
                "in": expression("items"),
                "steps": [
                    {f"{here}__item": {"assign": [{"around": item_context}]}},
                    {f"{here}__call": {**called, "result": "item_answer"}},
                    {f"{here}__answer": {
                        "assign": [{"answers[index]": expression("item_answer")}],
                    }},
                ],
            },
        }})  # fmt: skip
        self.gathered(name, here, step, following)

    def within_it(self, machine: Mapping[str, Any], given: dict[str, Any], *names: str) -> Step:
        """Add the machine of a branch or an item, and return what calls it with *given*."""
        around = self.around + 1
        apart = around >= DEEPEST and self.writer.depth(machine) > 0
        routine = self.writer.machine(machine, *self.within, *names, around=0 if apart else around)
        if not apart:
            return {"call": routine, "args": given}
        self.writer.apart[routine] = (self.writer.workflow, machine)
        return {"call": "portafaas_apart", "args": _apart(routine, given, YEAR)}

    def sized(self, here: str, step: Mapping[str, Any]) -> None:
        """Check what a parallel or map gets; a call checks its own."""
        if "input" in step:
            self.call(f"{here}__sized", "portafaas_sized", None, value=expression("given"))

    def gathered(self, name: str, here: str, step: Mapping[str, Any], following: str) -> None:
        """Write what comes after all branches or items have ended."""
        self.call(
            f"{here}__gather", "portafaas_gather", "answer",
            answers=expression("answers"), log=expression("log"),
        )  # fmt: skip
        self.assign(f"{here}__log", ("log", expression('answer["log"]')))
        self.repeated(name, here, step, following)

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


def _rules(retry: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    wanted = ("errors", "attempts", "initial", "factor", "max", "jitter")
    found = [{word: rule[word] for word in wanted if word in rule} for rule in retry]
    return [literal(rule) for rule in found]


def _apart(routine: str, given: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the arguments of ``portafaas_apart``."""
    return {
        "routine": routine,
        "given": given,
        "run": expression('context["Execution"]["Id"]'),
        "timeout": timeout,
    }


def _branches(here: str, calls: list[list[Step]]) -> Step:
    """Return a parallel step that runs all *calls*.

    More than the platform takes as branches are iterations, each of which goes to its own.
    """
    if len(calls) <= MOST_BRANCHES:
        return {
            "shared": ["answers"],
            "branches": [
                {f"{here}__branch_{index}": {"steps": steps}} for index, steps in enumerate(calls)
            ],
        }
    rules = [
        {"condition": expression(f"index == {index}"), "steps": steps}
        for index, steps in enumerate(calls)
    ]
    parts = [
        {f"{here}__which_{first}": {"switch": rules[first : first + MOST_RULES]}}
        for first in range(0, len(rules), MOST_RULES)
    ]
    return {
        "shared": ["answers"],
        "for": {"value": "index", "range": [0, len(calls) - 1], "steps": parts},
    }
