"""Random definitions by family of constructs, each of which ends; the same for the same seed.

``generate("map", 7)`` is a :class:`Case` whose tasks answer by ``drawn`` scripts, so that no order of
concurrent calls changes what they answer. ``strategy("map")`` is the same for hypothesis, which makes
what fails smaller. Documents are objects with ``n``, ``flag``, ``word`` and ``list`` throughout.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from tests.workflows.cases import Case
from tests.workflows.project.scripted import ERRORS

#: What the steps of a family are made of, beside tasks and sets.
FAMILIES: dict[str, tuple[str, ...]] = {
    "task": ("task", "task", "task", "set", "succeed"),
    "choice": ("choice", "choice", "task", "task", "set", "succeed", "fail"),
    "errors": ("task", "task", "choice", "fail", "loop", "parallel"),
    "parallel": ("parallel", "task", "choice"),
    "map": ("map", "task", "choice"),
    "loop": ("loop", "task", "task", "choice", "set"),
    "wait": ("wait", "task", "parallel", "choice"),
    "sub": ("workflow", "task", "parallel", "map"),
    "saga": ("task", "task", "parallel", "map", "loop", "workflow"),
    "mixed": ("task", "task", "task", "set", "choice", "parallel", "map", "loop", "wait", "workflow", "fail", "succeed"),
}  # fmt: skip

_FACTS: dict[str, Any] = {"n": 3, "flag": True, "word": "b", "list": [2, 0, 1]}
_NESTED = ("parallel", "map", "loop", "workflow")


def generate(family: str, seed: int) -> Case:
    """Return the case of a family and a seed."""
    return made(random.Random(f"{family} {seed}"), family, f"{family}-{seed}")


def strategy(family: str) -> st.SearchStrategy[Case]:
    """Return what draws cases of a family."""
    return st.randoms(use_true_random=False).map(lambda rng: made(rng, family, family))


def made(rng: random.Random, family: str, name: str) -> Case:
    maker = _Maker(rng, family)
    workflows = {}
    if "workflow" in FAMILIES[family]:
        maker.inside = True
        workflows["child"] = maker.scope(2)
        maker.inside = False
    steps = maker.scope(5)
    if family == "saga" and rng.random() < 0.7:
        steps["sorry"] = {"fail": {"error": "Sorry", "cause": "$.word"}}
        for step in steps.values():
            step.pop("end", None)
    _reached(steps)
    fails = {"errors": 40, "saga": 15}.get(family, rng.choice((0, 0, 10, 30)))
    seed = rng.randrange(1_000_000)
    answers: dict[str, Any] = {
        function: {"drawn": seed, "fails": fails} for function in ("one", "two", "three")
    }
    answers |= {
        function: {"drawn": seed, "fails": rng.choice((0, 25))} for function in ("undo", "unmake")
    }
    document = {
        "n": rng.randrange(6), "flag": rng.random() < 0.5, "word": rng.choice("abc"),
        "list": [rng.randrange(4) for _ in range(rng.randrange(4))],
    }  # fmt: skip
    # Without the workflows that nothing runs.
    workflows = {k: v for k, v in workflows.items() if f"'workflow': '{k}'" in repr(steps)}
    return Case(name, steps, document, answers, maker.signals, workflows)


def _reached(steps: dict[str, Any]) -> None:
    """Leave out what no step leads to."""
    names = list(steps)
    seen: set[str] = set()
    waiting = names[:1]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        step = steps[name]
        waiting += [rule["next"] for rule in step.get("choice", ())]
        waiting += [rule["next"] for rule in step.get("catch", ())]
        waiting += [step[key] for key in ("default", "next") if key in step]
        place = names.index(name) + 1
        last = {"choice", "succeed", "fail", "end", "next"} & step.keys()
        if not last and place < len(names):
            waiting.append(names[place])
    for name in names:
        if name not in seen:
            del steps[name]


class _Maker:
    def __init__(self, rng: random.Random, family: str) -> None:
        self.rng = rng
        self.family = family
        self.count = 0
        #: Whether steps of the workflow are made that others run.
        self.inside = False
        self.loops = self.maps = 0
        self.signals: dict[str, tuple[float, Any]] = {}

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def scope(self, most: int, depth: int = 0, within: str = "") -> dict[str, Any]:
        """Return steps of one level; *within* is the kind of step around them."""
        names = []
        for _ in range(self.rng.randint(1 if depth else 2, most)):
            self.count += 1
            names.append(f"s{self.count}")
        steps: dict[str, Any] = {}
        for place, name in enumerate(names):
            later = names[place + 1 :]
            steps[name] = self.step(later, depth, within)
        _reached(steps)
        return steps

    def step(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        kinds = [
            kind
            for kind in FAMILIES[self.family]
            if (kind not in _NESTED or depth < 2)
            and not (kind == "choice" and not later)
            and not (kind == "workflow" and self.inside)
            and not (kind == "loop" and self.loops)
            and not (kind in ("succeed", "fail") and later and not self.chance(0.1))
        ]
        kind = self.rng.choice(kinds or ["task"])
        step: dict[str, Any] = getattr(self, f"_{kind}")(later, depth, within)
        if kind in ("choice", "succeed", "fail"):
            return step
        if kind in ("task", "workflow", "parallel", "map"):
            self.errors(step, later, kind)
        if later and self.chance(0.15):
            step["next"] = self.rng.choice(later)
        elif self.chance(0.05):
            step["end"] = True
        return step

    def errors(self, step: dict[str, Any], later: list[str], kind: str) -> None:
        often = 0.5 if self.family in ("errors", "saga") else 0.2
        several = kind != "task"
        if self.chance(often / 2 if several else often):
            rules = [self.retry(several)]
            if self.chance(0.3):
                rules.insert(0, {**self.retry(True), "errors": [self.rng.choice(ERRORS)]})
            step["retry"] = rules if len(rules) > 1 else rules[0]
        if later and self.chance(often):
            rules = []
            left = self.rng.sample(ERRORS, 3)
            for _ in range(self.rng.randint(1, 2)):
                rule: dict[str, Any] = {
                    "next": self.rng.choice(later), "result": self.rng.choice(("$.error", None)),
                    "errors": left[: self.rng.randint(1, 2)],
                }  # fmt: skip
                left = left[len(rule["errors"]) :]
                rules.append(rule)
            if self.chance(0.4):
                rules[-1]["errors"] = [self.rng.choice(("States.ALL", "States.TaskFailed"))]
            step["catch"] = rules
        if self.family == "saga" and self.chance(0.6):
            undo: dict[str, Any] = {"task": self.rng.choice(("undo", "unmake"))}
            if self.chance(0.7):
                undo["input"] = self.template()
            if self.chance(0.4):
                undo["retry"] = self.retry(False)
            step["compensate"] = undo

    def retry(self, few: bool) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "attempts": self.rng.randint(1, 2 if few else 3), "initial": "1s", "max": "1s",
        }  # fmt: skip
        if self.chance(0.3):
            rule["errors"] = self.rng.sample(ERRORS, 2)
        elif self.chance(0.2):
            rule["errors"] = ["States.TaskFailed"]
        return rule

    def path(self) -> str:
        # In a loop a document that holds itself would double again and again.
        return self.rng.choice(
            ("$.n" if self.loops else "$", "$.n", "$.flag", "$.word", "$.list", "$['n']", "$$.Execution.Input.n",
             "$$.Execution.Input.list")
        )  # fmt: skip

    def template(self) -> Any:
        if self.chance(0.3):
            return self.path()
        out: dict[str, Any] = {}
        for key in self.rng.sample(("k", "of", "ü", "two words"), self.rng.randint(0, 3)):
            out[key] = self.rng.choice(
                (self.path(), self.path(), {"deep": self.path()}, [self.path(), self.path()],
                 {"$literal": "$.n"}, [1, "x", None], True, "$5", None, 17, "text")
            )  # fmt: skip
        return out

    def facts(self) -> dict[str, Any]:
        """Return a template of a whole document."""
        return {
            "n": self.rng.choice(("$.n", self.rng.randrange(6))),
            "flag": self.rng.choice(("$.flag", self.chance(0.5))),
            "word": self.rng.choice(("$.word", self.rng.choice("abc"))),
            "list": self.rng.choice(("$.list", [1, 2], [3])),
        }

    def place(self) -> str | None:
        return self.rng.choice((f"$.r{self.rng.randrange(3)}", "$.deep.er", "$['o o']", None))

    def _task(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        step: dict[str, Any] = {"task": self.rng.choice(("one", "two", "three"))}
        if self.chance(0.5):
            step["input"] = self.template()
        if self.chance(0.3):
            step["select"] = self.rng.choice(("$.n", {"x": "$.word", "y": "$"}, "$.list"))
            step["result"] = self.place()
        elif self.chance(0.4):
            step["result"] = self.rng.choice((self.place(), "$.n2"))
        if within == "loop" and self.chance(0.5):
            step |= {"select": "$.n", "result": "$.n"}
        return step

    def _set(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        if self.chance(0.4):
            return {"set": self.facts()}
        return {"set": self.template(), "result": self.place() or "$.r3"}

    def _succeed(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        return {"succeed": True}

    def _fail(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        error = self.rng.choice((*ERRORS, "$.word"))
        return {"fail": {"error": error, "cause": self.rng.choice(("$.word", "plain"))}}

    def _choice(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        rules = [
            {"when": self.condition(), "next": self.rng.choice(later)}
            for _ in range(self.rng.randint(1, 3))
        ]
        step: dict[str, Any] = {"choice": rules}
        if self.chance(0.9):
            step["default"] = self.rng.choice(later)
        return step

    def condition(self, depth: int = 0) -> dict[str, Any]:
        rng = self.rng
        if depth < 2 and self.chance(0.3):
            word = rng.choice(("and", "or", "not"))
            if word == "not":
                return {"not": self.condition(depth + 1)}
            return {word: [self.condition(depth + 1) for _ in range(rng.randint(1, 3))]}
        path = rng.choice(
            ("$.n", "$.n", "$.word", "$.flag", "$.list", "$.list[0]", "$.gone", "$.error.Error")
        )
        operator = rng.choice(("==", "!=", "<", "<=", ">", ">=", "matches", "is"))
        if operator == "is":
            value: Any = rng.choice(("null", "string", "number", "boolean", "present"))
        elif operator == "matches":
            value = rng.choice(("*", "a*", "*b", "c", "B*", "*us*", "a\\*"))
        elif self.chance(0.2):
            value = rng.choice(("$.n", "$.list[1]", "$$.Execution.Input.word", "$.gone"))
        elif operator in ("==", "!="):
            value = rng.choice((rng.randrange(6), "a", "Busy", True, None))
        else:
            value = rng.choice((rng.randrange(6), "b"))
        return {path: {operator: value}}

    def _parallel(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        branches = {
            f"b{index}": {"steps": self.scope(2, depth + 1, "parallel")}
            for index in range(self.rng.randint(1, 3))
        }
        step: dict[str, Any] = {"parallel": branches, "result": self.place()}
        if self.chance(0.3):
            step["input"] = self.facts()
        if self.chance(0.3):
            step["select"] = self.rng.choice(("$[0]", {"all": "$", "k": 1}))
        return step

    def _map(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        each = {**self.facts(), "n": "$$.Map.Item.Value", "i": "$$.Map.Item.Index"}
        self.maps += 1
        steps = self.scope(2, depth + 1, "map")
        self.maps -= 1
        step: dict[str, Any] = {
            "map": {
                "items": "$.list", "most": self.rng.choice((2, 3, 3, 3)), "each": each,
                "steps": steps,
            },
            "result": self.place(),
        }  # fmt: skip
        if self.chance(0.6):
            step["map"]["concurrency"] = self.rng.randint(1, 3)
        if self.chance(0.3):
            step["input"] = self.facts()
        return step

    def _loop(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        when: dict[str, Any] = {"$.n": {self.rng.choice(("<", "!=", ">")): self.rng.randrange(6)}}
        if self.chance(0.3):
            when = {"and": [when, self.condition(1)]}
        self.loops += 1
        steps = self.scope(2, depth + 1, "loop")
        self.loops -= 1
        return {"loop": {"while": when, "most": self.rng.randint(2, 6), "steps": steps}}

    def _wait(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        word = self.rng.choice(("seconds", "seconds", "until", "signal"))
        if (
            word == "signal"
            and within in ("", "parallel")
            and not (self.inside or self.maps or self.loops)
        ):
            name = f"go{len(self.signals)}"
            self.signals[name] = (0.2, {**_FACTS, "word": self.rng.choice("abc")})
            late = self.chance(0.2)
            wait: dict[str, Any] = {"signal": name, "timeout": "1h"}
            if late:
                self.signals[name] = (5.0, None)
                wait["timeout"] = "1s"
            step: dict[str, Any] = {"wait": wait, "result": self.rng.choice(("$", "$.said", None))}
            if late and later:
                step["catch"] = [
                    {"errors": ["States.Timeout"], "next": self.rng.choice(later), "result": None}
                ]
            return step
        if word == "until":
            return {"wait": {"until": "2020-02-02T02:02:02Z"}}
        return {"wait": {"seconds": self.rng.choice((0, 1))}}

    def _workflow(self, later: list[str], depth: int, within: str) -> dict[str, Any]:
        step: dict[str, Any] = {"workflow": "child", "input": self.facts()}
        if self.chance(0.6):
            step["result"] = self.place()
        else:
            step["select"] = self.facts()
        return step
