"""What steps of all kinds share: names, assignments, results, retries, errors that are caught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portafaas.runtime.states import parsed
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.expressions import Rendering, Step, expression, literal, quoted

if TYPE_CHECKING:
    from portafaas_gcp.workflows.machine import Writer

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


def is_parallel(step: Mapping[str, Any]) -> bool:
    """Return whether a step is a parallel step of the source.

    A map of one item at a time is not: iterations of a parallel step run in any order.
    """
    return bool(step["kind"] == "parallel" or (step["kind"] == "map" and step["concurrency"] > 1))


class Steps:
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
            "retry": rules_of(undo.get("retry", ())),
        }
        rendering = Rendering(f"{here}__keep")
        value = rendering.value(undo.get("input", "$"))
        self.assign(f"{here}__keep", ("kept", {}))
        self.out += rendering.steps
        entry = {"step": literal(name), "place": expression("where"), "input": value}
        listed = ("log", expression("list.concat(log, kept)"))
        if isinstance(undo.get("input"), (dict, list)):
            # What is put together may be larger than the document that it is of.
            self.assign(f"{here}__kept", ("kept", entry))
            self.call(f"{here}__keeps", "portafaas_sized", None, value=expression('kept["input"]'))
            self.assign(f"{here}__logged", listed, next=following)
        else:
            self.assign(f"{here}__kept", ("kept", entry), listed, next=following)

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
            rules=rules_of(rules), counts=expression("counts"), error=expression('answer["error"]'),
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
    def within_it(
        self,
        step: Mapping[str, Any],
        machine: Mapping[str, Any],
        given: dict[str, Any],
        *names: str,
    ) -> Step:
        """Add the machine of a branch or an item of *step*; return what calls it with *given*."""
        around = self.around + is_parallel(step)
        apart = around >= DEEPEST and self.writer.depth(machine) > 0
        routine = self.writer.machine(machine, *self.within, *names, around=0 if apart else around)
        if not apart:
            return {"call": routine, "args": given}
        self.writer.apart[routine] = (self.writer.workflow, machine)
        return {"call": "portafaas_apart", "args": apart_of(routine, given, YEAR)}

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


def rules_of(retry: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rules of a retry as ``portafaas_call`` takes them."""
    wanted = ("errors", "attempts", "initial", "factor", "max", "jitter")
    found = [{word: rule[word] for word in wanted if word in rule} for rule in retry]
    return [literal(rule) for rule in found]


def apart_of(routine: str, given: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the arguments of ``portafaas_apart``."""
    return {
        "routine": routine,
        "given": given,
        "run": expression('context["Execution"]["Id"]'),
        "timeout": timeout,
    }


def branches_of(here: str, calls: list[list[Step]]) -> Step:
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
