"""Machines in the Amazon States Language -> steps of a workflow, as the manifest has them.

https://states-language.net/spec.html with JSONPath. What workflows do not have is refused (PF2221),
all at once, with the state and the field; what is no machine is PF2222, a task whose function the
manifest does not have PF2223. ``docs/manifest.md`` lists what is taken over. One reader, a
method for each type of state, so that a field is understood in one place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.asl_values import condition, constant, path, template
from portafaas.plan.triggers import Findings
from portafaas.runtime import states

Path = tuple[str | int, ...]
Steps = dict[str, Any]

_COMMON = ("Type", "Comment", "QueryLanguage")
_WAY = ("Next", "End")
_IN_OUT = ("InputPath", "OutputPath")
_RESULT = ("Parameters", "ResultSelector", "ResultPath", "Retry", "Catch")
#: Fields of each type that are taken over.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Task": (*_WAY, *_IN_OUT, *_RESULT, "Resource", "TimeoutSeconds"),
    "Pass": (*_WAY, *_IN_OUT, "Parameters", "ResultPath", "Result"),
    "Choice": (*_IN_OUT, "Choices", "Default"),
    "Wait": (*_WAY, *_IN_OUT, "Seconds", "SecondsPath", "Timestamp", "TimestampPath"),
    "Succeed": _IN_OUT,
    "Fail": ("Error", "Cause", "ErrorPath", "CausePath"),
    "Parallel": (*_WAY, *_IN_OUT, *_RESULT, "Branches"),
    "Map": (*_WAY, *_IN_OUT, *_RESULT, "ItemsPath", "ItemSelector", "Iterator", "ItemProcessor",
            "MaxConcurrency"),
}  # fmt: skip
#: Fields of the language that workflows have nothing for, and what to do instead.
_NOT_HAD: Mapping[str, str] = {
    "Assign": "there are no variables; keep it in the document",
    "Arguments": "there is no JSONata", "Output": "there is no JSONata",
    "Items": "there is no JSONata",
    "HeartbeatSeconds": "give the task a timeout", "HeartbeatSecondsPath": "give it a timeout",
    "TimeoutSecondsPath": "give it 'TimeoutSeconds'",
    "Credentials": "the function has its own identity",
    "ItemReader": "maps are not distributed", "ItemBatcher": "maps are not distributed",
    "ResultWriter": "maps are not distributed", "Label": "maps are not distributed",
    "ToleratedFailureCount": "a failed item fails the map; catch it among its steps",
    "ToleratedFailurePercentage": "a failed item fails the map; catch it among its steps",
    "ToleratedFailureCountPath": "a failed item fails the map; catch it among its steps",
    "ToleratedFailurePercentagePath": "a failed item fails the map; catch it among its steps",
    "MaxConcurrencyPath": "give it 'MaxConcurrency'",
}  # fmt: skip
_LAMBDA = re.compile(
    r"arn:aws[\w-]*:lambda:[^:]*:[^:]*:function:([^:]+)(?::([^:]+))?\Z"
)  # https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
_INVOKE = re.compile(r"arn:aws[\w-]*:states:::lambda:invoke\Z")
_START = re.compile(r"arn:aws[\w-]*:states:::states:startExecution\.sync:2\Z")
#: A map without MaxConcurrency runs about so many items at once, and none of workflows more.
_AT_ONCE = 40
_ITEMS = 1000
#: Characters of a state's name.
_LONGEST = 80


def imported(
    found: Findings,
    machine: Mapping[str, Any],
    mapping: Mapping[str, str],
    functions: tuple[str, ...],
    workflows: tuple[str, ...],
    say: str = "say which it is under 'functions:', beside 'file': {{{name}: …}}",
) -> tuple[Steps, dict[Path, Path]]:
    """Return the steps of a machine, {} when something is wrong, and where each is in the file.

    *mapping*: resource, or its last part -> function or workflow of the manifest; *say*: how to say
    more of these. The places lead from the paths of steps in the workflow to those of states in the
    file.
    """
    importer = _Importer(found, mapping, functions, workflows, say)
    before = len(found.problems)
    steps = importer.machine(machine, (), ("steps",))
    return steps if len(found.problems) == before else {}, importer.places


class _Importer:
    def __init__(
        self,
        found: Findings,
        mapping: Mapping[str, str],
        functions: tuple[str, ...],
        workflows: tuple[str, ...],
        say: str,
    ) -> None:
        self.found = found
        self.say = say
        self.mapping = mapping
        self.functions = functions
        self.workflows = workflows
        self.places: dict[Path, Path] = {}
        #: Names of states and of steps, which are one for a whole workflow.
        self.states: set[str] = set()
        self.taken: set[str] = set()
        self.state: Path = ()

    def wrong(self, field: str | int | None, message: str, hint: str | None = None) -> None:
        """Tell of something malformed in the state."""
        self.found.add("PF2222", self.at(field), message, hint)

    def refuse(self, field: str | int | None, message: str, hint: str | None = None) -> None:
        """Tell of something that workflows do not have."""
        self.found.add("PF2221", self.at(field), message, hint)

    def at(self, field: str | int | None) -> Path:
        return self.state if field is None else (*self.state, field)

    def machine(self, machine: Any, here: Path, there: Path) -> Steps:
        """Return the steps of the machine at *here* in the file, which will be at *there*."""
        self.state = here
        if not isinstance(machine, dict):
            self.wrong(None, "a machine is an object with StartAt and States")
            return {}
        if machine.get("QueryLanguage", "JSONPath") != "JSONPath":
            self.refuse("QueryLanguage", "there is no JSONata", "let tasks do what it does")
            return {}
        known = ("StartAt", "States", "Comment", "Version", "QueryLanguage", "ProcessorConfig")
        for field in machine:
            if field == "TimeoutSeconds":
                self.refuse(field, "a workflow has no timeout", "give one to its tasks")
            elif field not in known:
                self.wrong(field, f"a machine has no field {field!r}", guess(field, known))
        config = machine.get("ProcessorConfig") or {}
        if not isinstance(config, dict) or config.get("Mode", "INLINE") != "INLINE":
            self.refuse("ProcessorConfig", "maps are not distributed", "Mode INLINE")
        found = machine.get("States")
        if not isinstance(found, dict) or not found:
            self.wrong("States", "a machine has States")
            return {}
        start = machine.get("StartAt")
        if start not in found:
            self.wrong("StartAt", f"there is no state {start!r}", guess(str(start), found))
            return {}
        for name in found:
            if name in self.states:
                self.wrong("States", f"two states of the machine are called {name!r}", "rename one")
            elif len(name) > _LONGEST:
                self.wrong("States", f"{name!r} is longer than {_LONGEST} characters")
            self.states.add(name)
        names = {name: self.name(name) for name in found}
        out: Steps = {}
        for name in (start, *(one for one in found if one != start)):
            self.state = (*here, "States", name)
            self.places[(*there, names[name])] = self.state
            self.one(name, found[name], names, out, (*there, names[name]))
        return out

    def name(self, name: str) -> str:
        """Return the name of a step for a state's."""
        made = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60] or "step"
        made = made if made[0].isalpha() else f"s-{made}"[:60]
        plain, number = made, 2
        while made in self.taken:
            made, number = f"{plain[:57]}-{number}", number + 1
        self.taken.add(made)
        return made

    def one(self, name: str, state: Any, names: Mapping[str, str], out: Steps, there: Path) -> None:
        """Put the steps of a state into *out*."""
        mine = self.state
        kind = state.get("Type") if isinstance(state, dict) else None
        if not isinstance(kind, str) or kind not in _FIELDS:
            self.wrong("Type", f"there is no state of type {kind!r}", guess(str(kind), _FIELDS))
            return
        if state.get("QueryLanguage", "JSONPath") != "JSONPath":
            self.refuse("QueryLanguage", "there is no JSONata", "let tasks do what it does")
            return
        for field in state:
            if field in (*_COMMON, *_FIELDS[kind]):
                continue
            if field in _NOT_HAD:
                self.refuse(field, f"{name!r} has {field!r}", _NOT_HAD[field])
            else:
                known = (*_COMMON, *_FIELDS[kind])
                self.wrong(field, f"a {kind} has no field {field!r}", guess(field, known))
        state = dict(state)
        step: dict[str, Any] = getattr(self, f"_{kind.lower()}")(state, there)
        self.state = mine
        if kind not in ("Choice", "Succeed", "Fail"):
            self.caught(state, step, names)
            step |= self.way(state, names)
        elif kind == "Choice":
            self.choices(state, step, names)
        step_name = names[name]
        out[step_name] = step
        if kind in ("Choice", "Wait", "Fail"):
            for field in _IN_OUT:
                if state.get(field, "$") != "$":
                    self.refuse(field, f"a {kind} passes its document on", "use a Pass before it")
        elif state.get("OutputPath", "$") != "$" and kind != "Succeed":
            self.cut(state, step_name, out, there[:-1])

    def cut(self, state: Mapping[str, Any], name: str, out: Steps, scope: Path) -> None:
        """Add the step that leaves of the document what is at OutputPath."""
        step = out[name]
        where = state["OutputPath"]
        value = {} if where is None else self.path("OutputPath", where)
        after = self.name(f"{name}-output")
        self.places[(*scope, after)] = self.state
        out[after] = {"set": value, **{k: step.pop(k) for k in ("next", "end") if k in step}}
        step["next"] = after

    def way(self, state: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
        end = state.get("End", False)
        if not isinstance(end, bool) or end == ("Next" in state):
            self.wrong("End", "a state has 'Next', or 'End: true'")
            return {"end": True}
        return {"end": True} if end else {"next": self.target("Next", state["Next"], names)}

    def target(self, field: str, name: Any, names: Mapping[str, str]) -> str:
        if name not in names:
            self.wrong(field, f"there is no state {name!r} beside it", guess(str(name), names))
            return ""
        return names[name]

    def path(self, field: str, value: Any, base: str = "$") -> str:
        return path(value, lambda message: self.refuse(field, message), base)

    def template(self, field: str, value: Any, base: str = "$") -> Any:
        return template(value, lambda message: self.refuse(field, message), base)

    def given(self, state: Mapping[str, Any], step: dict[str, Any]) -> None:
        """Put what a state takes, and where its result goes, into *step*."""
        base = "$"
        if "InputPath" in state:
            if state["InputPath"] is None:
                step["input"] = {}
            else:
                base = self.path("InputPath", state["InputPath"])
                if base != "$":
                    step["input"] = base
        if "Parameters" in state and state["Type"] != "Map":
            if state.get("InputPath", "$") is None:
                self.refuse("InputPath", "there is nothing for Parameters to take")
            step["input"] = self.template("Parameters", state["Parameters"], base)
        if "ResultSelector" in state:
            step["select"] = self.template("ResultSelector", state["ResultSelector"])
        self.result(state, step)

    def result(self, state: Mapping[str, Any], step: dict[str, Any]) -> None:
        if "ResultPath" not in state:
            return
        where = state["ResultPath"]
        if where is None:
            step["result"] = None
            return
        where = self.path("ResultPath", where)
        if where.startswith("$$") or any(isinstance(part, int) for part in states.parsed(where)):
            self.refuse("ResultPath", f"nothing can be put at {where}")
        elif where != "$":
            step["result"] = where

    def caught(self, state: Mapping[str, Any], step: dict[str, Any], names: Any) -> None:
        retry = []
        for rule in self.listed(state, "Retry"):
            tries = rule.get("MaxAttempts", 3)
            made: dict[str, Any] = {
                "errors": self.errors("Retry", rule),
                "attempts": self.whole("Retry", tries, 0, 99) + 1,
                "initial": self.whole("Retry", rule.get("IntervalSeconds", 1), 1),
                "factor": self.number("Retry", rule.get("BackoffRate", 2), 1, 100),
            }
            if "MaxDelaySeconds" in rule:
                made["max"] = self.whole("Retry", rule["MaxDelaySeconds"], 1)
            jitter = rule.get("JitterStrategy", "NONE")
            if jitter not in ("NONE", "FULL"):
                self.wrong("Retry", f"there is no JitterStrategy {jitter!r}")
            elif jitter == "FULL":
                made["jitter"] = True
            self.only("Retry", rule, "ErrorEquals", "MaxAttempts", "IntervalSeconds",
                      "BackoffRate", "MaxDelaySeconds", "JitterStrategy", "Comment")  # fmt: skip
            retry.append(made)
        if retry:
            step["retry"] = retry
        catch = []
        for rule in self.listed(state, "Catch"):
            made = {"errors": self.errors("Catch", rule)}
            made["next"] = self.target("Catch", rule.get("Next"), names)
            self.result({"Type": "Catch", **rule}, made)
            self.only("Catch", rule, "ErrorEquals", "Next", "ResultPath", "Comment")
            catch.append(made)
        if catch:
            step["catch"] = catch

    def listed(self, state: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
        rules = state.get(field, [])
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            self.wrong(field, f"{field} is a list of rules")
            return []
        return rules

    def only(self, field: str, rule: Mapping[str, Any], *known: str) -> None:
        for word in rule:
            if word in known:
                continue
            if word in _NOT_HAD:
                self.refuse(field, f"a rule has {word!r}", _NOT_HAD[word])
            else:
                self.wrong(field, f"a rule of {field} has no {word!r}", guess(word, known))

    def errors(self, field: str, rule: Mapping[str, Any]) -> list[str]:
        errors = rule.get("ErrorEquals")
        right = isinstance(errors, list) and errors and all(isinstance(e, str) for e in errors)
        if not right:
            self.wrong(field, "ErrorEquals is a list of names, not empty")
            return [states.ALL]
        found: list[str] = list(errors or ())
        return found

    def number(self, field: str, value: Any, least: float, most: float = 99_999_999) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.wrong(field, f"{value!r} is no number")
            return least
        if value < least:
            self.wrong(field, f"{value} is less than {least}")
            return least
        if value > most:
            self.refuse(field, f"{value} is more than {most}")
            return least
        return value

    def whole(self, field: str, value: Any, least: int, most: int = 99_999_999) -> int:
        found = self.number(field, value, least, most)
        if found != int(found):
            self.wrong(field, f"{value!r} is no whole number")
        return int(found)

    def _task(self, state: dict[str, Any], there: Path) -> dict[str, Any]:
        step: dict[str, Any] = {}
        resource = state.get("Resource")
        self.given(state, step)
        if not isinstance(resource, str):
            self.wrong("Resource", "a task has the ARN of a function as its Resource")
        elif _INVOKE.match(resource):
            self.invoked(state, step, "FunctionName", "Payload", "task")
        elif _START.match(resource):
            self.invoked(state, step, "StateMachineArn", "Input", "workflow")
        elif resource in self.mapping or _LAMBDA.match(resource) or resource.startswith("${"):
            step["task"] = self.called("Resource", resource, self.functions, "function")
        else:
            self.refuse(
                "Resource", f"{resource} is no function", "let a function's task do it"
                + (", or wait for a signal" if "waitForTaskToken" in resource else ""),
            )  # fmt: skip
        if "TimeoutSeconds" in state:
            step["timeout"] = self.whole("TimeoutSeconds", state["TimeoutSeconds"], 1)
        return step

    def invoked(
        self, state: dict[str, Any], step: dict[str, Any], who: str, what: str, kind: str
    ) -> None:
        """Take over a call by an integration, whose Parameters and result are of its API."""
        given = state.get("Parameters")
        if not isinstance(given, dict):
            self.wrong("Parameters", f"Parameters have {who}")
            return
        for name in given:
            if name.removesuffix(".$") not in (who, what) or name == f"{who}.$":
                self.refuse("Parameters", f"{name!r}: there is {who} and {what} only")
        known = self.functions if kind == "task" else self.workflows
        word = "function" if kind == "task" else "workflow"
        step[kind] = self.called("Parameters", given.get(who), known, word)
        payload = {k: v for k, v in given.items() if k.removesuffix(".$") == what}
        base = state.get("InputPath", "$")
        made = self.template("Parameters", payload, base if isinstance(base, str) else "$")
        step["input"] = made.get(what, {}) if isinstance(made, dict) else {}
        if isinstance(made, dict) and "$literal" in made:
            step["input"] = {"$literal": made["$literal"].get(what)}
        # Of the API's answer there is what the function returned.
        answer = "Payload" if kind == "task" else "Output"
        if "ResultSelector" in state:
            step["select"] = self.unwrapped(step["select"], answer)
        elif "ResultPath" not in state and state.get("OutputPath") == f"$.{answer}":
            state.pop("OutputPath")
        else:
            step["select"] = {answer: "$"}

    def unwrapped(self, value: Any, answer: str) -> Any:
        """Return a template over ``{answer: result}`` as one over the result."""
        if states.is_path(value):
            if value.startswith("$$"):
                return value
            rest = value.removeprefix(f"$.{answer}")
            if rest == value or rest[:1] not in ("", ".", "["):
                self.refuse("ResultSelector", f"{value}: of the answer there is $.{answer} only")
                return "$"
            return f"${rest}"
        if isinstance(value, dict) and "$literal" not in value:
            return {name: self.unwrapped(one, answer) for name, one in value.items()}
        return [self.unwrapped(one, answer) for one in value] if isinstance(value, list) else value

    def called(self, field: str, text: Any, known: tuple[str, ...], kind: str) -> str:
        if not isinstance(text, str):
            self.wrong(field, f"{text!r} names no {kind}")
            return ""
        match = _LAMBDA.match(text)
        last = match[1] if match else text.rpartition(":")[2]
        plain = last.removeprefix("${").removesuffix("}")
        for name in (text, last, plain):
            if name in self.mapping:
                return self.mapping[name]
        if plain in known:
            return plain
        self.found.add(
            "PF2223", self.at(field), f"no {kind} is called {plain!r}",
            guess(plain, known) or self.say.format(name=plain),
        )  # fmt: skip
        return ""

    def _pass(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        step: dict[str, Any] = {}
        self.given(state, step)
        value = step.pop("input", "$")
        if "Result" in state:
            value = constant(state["Result"])
        return {"set": value, **step}

    def _choice(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        return {}

    def choices(self, state: Mapping[str, Any], step: dict[str, Any], names: Any) -> None:
        rules = self.listed(state, "Choices")
        if not rules:
            self.wrong("Choices", "a Choice has Choices")
        step["choice"] = [
            {
                "when": condition(rule, lambda message: self.refuse("Choices", message)),
                "next": self.target("Choices", rule.get("Next"), names),
            }
            for rule in rules
        ]
        if "Default" in state:
            step["default"] = self.target("Default", state["Default"], names)

    def _wait(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        words = [word for word in _FIELDS["Wait"][4:] if word in state]
        if len(words) != 1:
            self.wrong(None, "a Wait has one of Seconds, SecondsPath, Timestamp, TimestampPath")
            return {"wait": {"seconds": 0}}
        (word,) = words
        value = state[word]
        key = "seconds" if word.startswith("Seconds") else "until"
        if word.endswith("Path"):
            return {"wait": {key: self.path(word, value)}}
        if word == "Seconds":
            return {"wait": {key: self.number(word, value, 0, 31_536_000)}}
        if not states.is_time(value):
            self.refuse(word, f"{value!r} is no time in UTC", "as in 2030-01-31T12:00:00Z")
        return {"wait": {key: value}}

    def _succeed(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        value: Any = "$"
        for field in _IN_OUT:
            if field in state and value != {}:
                where = state[field]
                value = {} if where is None else self.path(field, where, value)
        return {"succeed": True} if value == "$" else {"set": value, "end": True}

    def _fail(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        out = {}
        for word in ("Error", "Cause"):
            if word in state and f"{word}Path" in state:
                self.wrong(word, f"a Fail has {word} or {word}Path")
            if f"{word}Path" in state:
                out[word.lower()] = self.path(f"{word}Path", state[f"{word}Path"])
            elif word in state:
                out[word.lower()] = state[word]
                if not isinstance(state[word], str) or states.is_path(state[word]):
                    self.wrong(word, f"{state[word]!r} is no text")
        if "error" not in out:
            self.refuse("Error", "a run fails with an error that has a name", "give it an 'Error'")
        return {"fail": out}

    def _parallel(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        step: dict[str, Any] = {}
        self.given(state, step)
        branches = self.listed(state, "Branches")
        if not branches:
            self.wrong("Branches", "a Parallel has Branches")
        here, made = self.state, {}
        for index, branch in enumerate(branches):
            name = f"branch-{index + 1}"
            where = (*there, "parallel", name, "steps")
            made[name] = {"steps": self.machine(branch, (*here, "Branches", index), where)}
        self.state = here
        return {"parallel": made, **step}

    def _map(self, state: Mapping[str, Any], there: Path) -> dict[str, Any]:
        step: dict[str, Any] = {}
        self.given(state, step)
        here = self.state
        words = [word for word in ("ItemProcessor", "Iterator") if word in state]
        if len(words) != 1:
            self.wrong(None, "a Map has an ItemProcessor, or an Iterator")
            return {"map": {"items": "$", "most": 1, "steps": {}}}
        spec: dict[str, Any] = {"items": "$", "most": _ITEMS}
        if "ItemsPath" in state:
            spec["items"] = self.path("ItemsPath", state["ItemsPath"])
        each = [word for word in ("ItemSelector", "Parameters") if word in state]
        if len(each) > 1:
            self.wrong("Parameters", "a Map has ItemSelector or Parameters")
        elif each:
            spec["each"] = self.template(each[0], state[each[0]])
        most = self.whole("MaxConcurrency", state.get("MaxConcurrency", 0), 0)
        spec["concurrency"] = min(most or _AT_ONCE, _AT_ONCE)
        where = (*there, "map", "steps")
        spec["steps"] = self.machine(state[words[0]], (*here, words[0]), where)
        self.state = here
        return {"map": spec, **step}
