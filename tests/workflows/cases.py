"""Cases of workflows, by hand: every construct and error path of ``docs/spec/workflows.md``.

Durations are short (whole seconds where a platform has no parts of them). What is compared is never
made of ``$$.Execution.Id``. Expected calls are there where they were written by hand: ``(function,
input)`` or ``(function, input, attempt)``, in order, of cases without concurrency.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.workflows.shop import shop_cases


def ok(value: Any, seconds: float | None = None) -> dict[str, Any]:
    """Return the answer *value*, that takes *seconds*."""
    return {"ok": value} | ({} if seconds is None else {"seconds": seconds})


def err(name: str, cause: str = "so it is", seconds: float | None = None) -> dict[str, Any]:
    """Return an answer that is an error."""
    return {"error": name, "cause": cause} | ({} if seconds is None else {"seconds": seconds})


def dies(status: int = 3) -> dict[str, Any]:
    """Return an answer that ends the process."""
    return {"exit": status}


@dataclass(frozen=True)
class Case:
    """One run.

    ``answers``: function -> list of answers by number of call, or a script as ``scripted.py`` has
    them. An answer that is a text is that error, ``(name, cause)`` an error with that cause,
    ``ok(…)``, ``err(…)``, ``dies()`` are what they say, and anything else is the value that the task
    returns. ``signals``: name -> (seconds after it is waited for, payload). ``workflows``: steps of
    the workflows that it runs, by name. ``schemas``: ``input`` and ``output`` of a workflow by its
    name, "" is the case's own. ``machine``: text of a States Language machine in place of ``steps``,
    every function of which is ``one``. ``outcome`` ``{"ok": value}`` or ``{"error", "cause"}``; the
    cause of errors that the engine makes is not compared. ``needs``: what an engine must have to run
    it for real: ``dies``, ``slow`` (really waits), ``large``, ``until``, ``signal``.
    """

    name: str
    steps: dict[str, Any]
    input: Any = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, tuple[float, Any]] = field(default_factory=dict)
    workflows: dict[str, Any] = field(default_factory=dict)
    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    machine: str = ""
    outcome: dict[str, Any] | None = None
    calls: list[tuple[Any, ...]] | None = None
    needs: tuple[str, ...] = ()

    @property
    def scripts(self) -> dict[str, Any]:
        """The answers as ``scripted.py`` takes them."""
        out = {}
        for function, given in self.answers.items():
            if isinstance(given, list):
                out[function] = {"calls": [_answer(one) for one in given]}
            elif "by" in given:
                out[function] = {
                    "by": [
                        {"input": rule["input"], "answers": [_answer(a) for a in rule["answers"]]}
                        for rule in given["by"]
                    ]
                }
            else:
                out[function] = given
        return out


def _answer(given: Any) -> Any:
    if isinstance(given, str):
        return err(given)
    if isinstance(given, tuple):
        return err(*given)
    if isinstance(given, dict) and given.keys() & {"ok", "error", "exit"}:
        return given
    return {"ok": given}


def by(*pairs: tuple[Any, list[Any]]) -> dict[str, Any]:
    """Return a script by input: ``(input, answers)``."""
    return {"by": [{"input": input, "answers": answers} for input, answers in pairs]}


def did(name: str) -> dict[str, Any]:
    """Return what a function answers that nothing is said about."""
    return {"did": name}


#: Nobody waits long for a second try.
SOON = {"initial": "1s"}

CASES: list[Case] = []


def case(name: str, steps: dict[str, Any], input: Any = None, **more: Any) -> None:
    CASES.append(Case(name, steps, {} if input is None else input, **more))


# Tasks, inputs, results: W-1 to W-5.
case(
    "task-one",
    {"a": {"task": "one"}},
    {"n": 1},
    outcome={"ok": did("one")},
    calls=[("one", {"n": 1})],
)
case("task-null", {"a": {"task": "one"}}, answers={"one": [ok(None)]}, outcome={"ok": None})
case(
    "task-text", {"a": {"task": "one"}, "b": {"task": "two"}}, answers={"one": [ok("ü\n\"ß\" 漢 🙂")]},
    outcome={"ok": did("two")}, calls=[("one", {}), ("two", "ü\n\"ß\" 漢 🙂")],
)  # fmt: skip
case(
    "task-input-plain", {"a": {"task": "one"}}, [1, {"a": None}, "x", False, 3],
    calls=[("one", [1, {"a": None}, "x", False, 3])], outcome={"ok": did("one")},
)  # fmt: skip
case(
    "sequence", {"a": {"task": "one"}, "b": {"task": "two"}, "c": {"task": "three"}}, {"n": 1},
    answers={"one": [{"x": 1}], "two": [[1, 2]]}, outcome={"ok": did("three")},
    calls=[("one", {"n": 1}), ("two", {"x": 1}), ("three", [1, 2])],
)  # fmt: skip
case(
    "next-and-end",
    {"a": {"task": "one", "next": "c"}, "b": {"task": "two", "end": True},
     "c": {"task": "three", "next": "b"}},
    {"n": 1}, calls=[("one", {"n": 1}), ("three", did("one")), ("two", did("three"))],
    outcome={"ok": did("two")},
)  # fmt: skip
case(
    "input-template",
    {"a": {"task": "one", "input": {
        "id": "$.id", "all": "$", "deep": {"x": "$.list[1]", "const": 3}, "odd": "$['a b'].c",
        "many": ["$.id", "$.list[0]"], "plain": [1, 2, "x"], "said": {"$literal": "$.id"},
        "money": "$5", "none": None, "yes": True, "empty": {}, "nothing": []}}},
    {"id": "i1", "list": [10, 20], "a b": {"c": "d"}},
    calls=[("one", {
        "id": "i1", "all": {"id": "i1", "list": [10, 20], "a b": {"c": "d"}},
        "deep": {"x": 20, "const": 3}, "odd": "d", "many": ["i1", 10], "plain": [1, 2, "x"],
        "said": "$.id", "money": "$5", "none": None, "yes": True, "empty": {}, "nothing": []})],
)  # fmt: skip
case(
    "input-scalars",
    {"a": {"task": "one", "input": "$.n", "result": None}, "b": {"task": "one", "input": 7, "result": None},
     "c": {"task": "one", "input": "text", "result": None}, "d": {"task": "one", "input": None, "result": None},
     "e": {"task": "one", "input": [], "result": None}, "f": {"task": "one", "input": {}, "result": None},
     "g": {"task": "one", "input": {"$literal": {"$literal": "$.n"}}, "result": None},
     "h": {"task": "one", "input": False, "result": None}},
    {"n": 4}, outcome={"ok": {"n": 4}},
    calls=[("one", 4), ("one", 7), ("one", "text"), ("one", None), ("one", []), ("one", {}),
           ("one", {"$literal": "$.n"}), ("one", False)],
)  # fmt: skip
case(
    "result-places",
    {"a": {"task": "one", "result": "$.x"}, "b": {"task": "two", "result": "$.deep.er.y"},
     "c": {"task": "three", "result": None}, "d": {"task": "one", "result": "$.x"},
     "e": {"task": "two", "result": "$['a b']"}},
    {"n": 1, "deep": {"kept": 1}},
    answers={"one": [1, 2], "two": [None, ok([None])]},
    outcome={"ok": {"n": 1, "deep": {"kept": 1, "er": {"y": None}}, "x": 2, "a b": [None]}},
)  # fmt: skip
case(
    "select", {"a": {"task": "one", "select": {"id": "$.payment.id", "run": "fixed"}, "result": "$.paid"}},
    {"n": 1}, answers={"one": [{"payment": {"id": "p1", "x": 2}}]},
    outcome={"ok": {"n": 1, "paid": {"id": "p1", "run": "fixed"}}},
)  # fmt: skip
case(
    "select-path", {"a": {"task": "one", "select": "$.items[0]"}}, answers={"one": [{"items": ["first"]}]},
    outcome={"ok": "first"},
)  # fmt: skip
case(
    "context-input",
    {"a": {"task": "one"}, "b": {"task": "two", "input": {"first": "$$.Execution.Input.n", "all": "$$.Execution.Input"}}},
    {"n": 5}, calls=[("one", {"n": 5}), ("two", {"first": 5, "all": {"n": 5}})],
)  # fmt: skip
case("missing-input", {"a": {"task": "one", "result": "$.a"}, "b": {"task": "two", "input": "$.gone"}},
     calls=[("one", {})], outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case(
    "missing-is-not-caught",
    {"a": {"task": "one", "result": "$.a", "compensate": {"task": "undo"}},
     "b": {"task": "two", "input": "$.gone", "retry": SOON, "catch": [{"next": "c"}]}, "c": {"succeed": True}},
    calls=[("one", {})], outcome={"error": "States.Runtime", "cause": ""},
)  # fmt: skip
case("missing-select", {"a": {"task": "one", "select": "$.gone", "catch": [{"next": "b"}]}, "b": {"succeed": True}},
     calls=[("one", {})], outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case("result-nowhere", {"a": {"task": "one", "result": "$.n.x"}, "b": {"task": "two"}}, {"n": 1},
     calls=[("one", {"n": 1})], outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case("result-in-a-list", {"a": {"task": "one", "result": "$.n"}, "b": {"task": "two"}}, [1],
     calls=[("one", [1])], outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip

# Errors of tasks, retry, catch, timeout: W-5 to W-8.
case("error", {"a": {"task": "one"}, "b": {"task": "two"}}, answers={"one": [("Broken", "it is ü")]},
     outcome={"error": "Broken", "cause": "it is ü"}, calls=[("one", {})])  # fmt: skip
case("error-without-cause", {"a": {"task": "one"}}, answers={"one": [("Broken", "")]},
     outcome={"error": "Broken", "cause": ""})  # fmt: skip
case(
    "catch", {"a": {"task": "one", "catch": [{"errors": ["Other"], "next": "c"}, {"errors": ["Broken"], "next": "d", "result": "$.error"}]},
              "b": {"task": "two", "end": True}, "c": {"task": "three", "end": True}, "d": {"task": "two"}},
    {"n": 1}, answers={"one": [("Broken", "yes")]},
    calls=[("one", {"n": 1}), ("two", {"n": 1, "error": {"Error": "Broken", "Cause": "yes"}})],
)  # fmt: skip
case(
    "catch-replaces", {"a": {"task": "one", "catch": [{"next": "b"}]}, "b": {"task": "two"}},
    {"n": 1}, answers={"one": [("Broken", "yes")]},
    calls=[("one", {"n": 1}), ("two", {"Error": "Broken", "Cause": "yes"})],
)  # fmt: skip
case(
    "catch-forgets", {"a": {"task": "one", "catch": [{"errors": ["Broken", "Other"], "next": "b", "result": None}]}, "b": {"task": "two"}},
    {"n": 1}, answers={"one": ["Other"]}, calls=[("one", {"n": 1}), ("two", {"n": 1})],
)  # fmt: skip
case(
    "catch-none-fits", {"a": {"task": "one", "catch": [{"errors": ["Other"], "next": "b"}]}, "b": {"task": "two"}},
    answers={"one": ["Broken"]}, calls=[("one", {})], outcome={"error": "Broken", "cause": "so it is"},
)  # fmt: skip
case(
    "catch-goes-back", {"a": {"task": "one", "catch": [{"errors": ["Broken"], "next": "fix", "result": "$.error"}], "end": True},
                        "fix": {"task": "two", "result": "$.fixed", "next": "a"}},
    answers={"one": ["Broken", "Broken", {"fine": 1}]}, outcome={"ok": {"fine": 1}},
)  # fmt: skip
case(
    "retry-then-right", {"a": {"task": "one", "retry": {"attempts": 3, **SOON}}}, {"n": 1},
    answers={"one": ["Broken", {"fine": True}]}, outcome={"ok": {"fine": True}},
    calls=[("one", {"n": 1}, 1), ("one", {"n": 1}, 2)],
)  # fmt: skip
case(
    "retry-used-up", {"a": {"task": "one", "retry": {"attempts": 3, "initial": "1s", "factor": 2, "max": "1s"},
                            "catch": [{"next": "b", "result": "$.error"}]}, "b": {"task": "two"}},
    answers={"one": ["Broken", "Broken", ("Broken", "last")]},
    calls=[("one", {}, 1), ("one", {}, 2), ("one", {}, 3), ("two", {"error": {"Error": "Broken", "Cause": "last"}}, 1)],
)  # fmt: skip
case("retry-once-is-none", {"a": {"task": "one", "retry": {"attempts": 1}}}, answers={"one": ["Broken"]},
     calls=[("one", {}, 1)], outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case(
    "retry-rules-count-each",
    {"a": {"task": "one", "retry": [{"errors": ["Busy"], "attempts": 3, **SOON}, {"errors": ["Broken", "Gone"], "attempts": 2, **SOON}]}},
    answers={"one": ["Busy", "Broken", "Busy", "Gone", {"fine": 1}]},
    calls=[("one", {}, 1), ("one", {}, 2), ("one", {}, 3), ("one", {}, 4)],
    outcome={"error": "Gone", "cause": "so it is"},
)  # fmt: skip
case(
    "retry-other-error", {"a": {"task": "one", "retry": {"errors": ["Busy"], **SOON}}},
    answers={"one": ["Busy", "Broken"]}, calls=[("one", {}, 1), ("one", {}, 2)],
    outcome={"error": "Broken", "cause": "so it is"},
)  # fmt: skip
case("retry-default", {"a": {"task": "one", "retry": {"max": "1s"}}}, answers={"one": ["A", "B", "C", "D", {"x": 1}]},
     calls=[("one", {}, n) for n in (1, 2, 3, 4)], outcome={"error": "D", "cause": "so it is"})  # fmt: skip
case("retry-jitter", {"a": {"task": "one", "retry": {"attempts": 2, "jitter": True, **SOON}}}, answers={"one": ["A", 1]},
     calls=[("one", {}, 1), ("one", {}, 2)], outcome={"ok": 1})  # fmt: skip
case(
    "retry-anew-on-each-entry",
    {"a": {"task": "one", "retry": {"attempts": 2, **SOON}, "result": "$.n"},
     "more": {"choice": [{"when": {"$.n": {"<": 2}}, "next": "a"}], "default": "z"}, "z": {"succeed": True}},
    answers={"one": ["Broken", 1, "Broken", 2]}, outcome={"ok": {"n": 2}},
    calls=[("one", {}, 1), ("one", {}, 2), ("one", {"n": 1}, 1), ("one", {"n": 1}, 2)],
)  # fmt: skip
case(
    "task-failed-is-all-but-timeout",
    {"a": {"task": "one", "catch": [{"errors": ["States.TaskFailed"], "next": "b", "result": "$.error"}]}, "b": {"task": "two"}},
    answers={"one": [("Broken", "x")]}, calls=[("one", {}), ("two", {"error": {"Error": "Broken", "Cause": "x"}})],
)  # fmt: skip
case(
    "timeout-of-a-step",
    {"a": {"task": "one", "timeout": "1s", "catch": [{"errors": ["States.TaskFailed"], "next": "b"}, {"errors": ["States.Timeout"], "next": "c", "result": "$.error"}]},
     "b": {"task": "two", "end": True}, "c": {"task": "three", "input": "$.error.Error"}},
    answers={"one": [ok(1, 3)]}, calls=[("one", {}), ("three", "States.Timeout")], needs=("slow",),
)  # fmt: skip
case(
    "timeout-is-retried", {"a": {"task": "one", "timeout": "1s", "retry": {"errors": ["States.Timeout"], "attempts": 2, **SOON}}},
    answers={"one": [ok(1, 3), 2]}, calls=[("one", {}, 1), ("one", {}, 2)], outcome={"ok": 2}, needs=("slow",),
)  # fmt: skip
case(
    "timeout-of-a-function", {"a": {"task": "slow", "catch": [{"errors": ["States.Timeout"], "next": "b", "result": None}]}, "b": {"task": "two"}},
    answers={"slow": [ok(1, 3)]}, calls=[("slow", {}), ("two", {})], needs=("slow",),
)  # fmt: skip
case(
    "process-dies", {"a": {"task": "one", "retry": {"errors": ["States.TaskFailed"], "attempts": 2, **SOON}, "catch": [{"errors": ["States.TaskFailed"], "next": "b", "result": "$.e"}]},
                     "b": {"task": "two", "input": "$.e.Error"}},
    answers={"one": [dies(), dies()]}, calls=[("one", {}, 1), ("one", {}, 2), ("two", "States.TaskFailed", 1)],
    needs=("dies",),
)  # fmt: skip

# Choice: W-9, W-10.
_OPS: list[tuple[str, Any]] = [
    ("eq", {"$.n": {"==": 3}}), ("eq-text", {"$.t": {"==": "abc"}}), ("eq-bool", {"$.b": {"==": True}}),
    ("eq-null", {"$.z": {"==": None}}), ("eq-kind", {"$.n": {"==": "3"}}), ("eq-bool-number", {"$.one": {"==": True}}),
    ("ne", {"$.n": {"!=": 3}}), ("ne-kind", {"$.n": {"!=": "3"}}), ("ne-missing", {"$.gone": {"!=": 1}}),
    ("eq-missing", {"$.gone": {"==": None}}), ("lt", {"$.n": {"<": 4}}), ("lt-equal", {"$.n": {"<": 3}}),
    ("le", {"$.n": {"<=": 3}}), ("gt", {"$.n": {">": 2}}), ("ge", {"$.n": {">=": 4}}), ("lt-text", {"$.t": {"<": "abd"}}),
    ("gt-text", {"$.t": {">": "ABC"}}), ("lt-kind", {"$.t": {"<": 5}}), ("lt-missing", {"$.gone": {"<": 5}}),
    ("lt-bool", {"$.b": {"<": 5}}), ("matches", {"$.t": {"matches": "a*c"}}), ("matches-not", {"$.t": {"matches": "a*d"}}),
    ("matches-star", {"$.s": {"matches": "a\\*b*"}}), ("matches-star-not", {"$.t": {"matches": "a\\*c"}}),
    ("matches-number", {"$.n": {"matches": "*"}}), ("is-null", {"$.z": {"is": "null"}}), ("is-null-not", {"$.n": {"is": "null"}}),
    ("is-string", {"$.t": {"is": "string"}}), ("is-number", {"$.n": {"is": "number"}}), ("is-number-bool", {"$.b": {"is": "number"}}),
    ("is-boolean", {"$.b": {"is": "boolean"}}), ("is-present", {"$.z": {"is": "present"}}), ("is-present-not", {"$.gone": {"is": "present"}}),
    ("is-string-missing", {"$.gone": {"is": "string"}}), ("path", {"$.n": {"==": "$.m"}}), ("path-less", {"$.n": {"<": "$.one"}}),
    ("path-missing", {"$.n": {"==": "$.gone"}}), ("path-missing-ne", {"$.n": {"!=": "$.gone"}}), ("both-missing-ne", {"$.gone": {"!=": "$.away"}}),
    ("list-eq", {"$.l": {"==": "$.l"}}), ("list-ne", {"$.l": {"!=": "$.l"}}), ("index", {"$.l[1]": {"==": 2}}), ("index-missing", {"$.l[5]": {"is": "present"}}),
    ("through-text", {"$.t.x": {"is": "present"}}),
    ("and", {"and": [{"$.n": {">": 1}}, {"$.n": {"<": 5}}]}), ("and-not", {"and": [{"$.n": {">": 1}}, {"$.n": {"<": 2}}]}),
    ("or", {"or": [{"$.n": {">": 5}}, {"$.t": {"==": "abc"}}]}), ("not", {"not": {"$.gone": {"is": "present"}}}),
    ("nested", {"and": [{"not": {"or": [{"$.n": {">": 5}}, {"$.gone": {"==": 1}}]}}, {"not": {"not": {"$.b": {"==": True}}}}]}),
    ("float", {"$.f": {">": 2}}), ("float-eq", {"$.n": {"==": 3.0}}), ("negative", {"$.neg": {"<": -1}}),
    ("context", {"$$.Execution.Input.n": {"==": 3}}),
]  # fmt: skip
#: The condition and the document of each operator's case.
CONDITIONS = _OPS
FACTS = {
    "n": 3, "m": 3, "one": 1, "t": "abc", "s": "a*bc", "b": True, "z": None, "l": [1, 2], "f": 2.5, "neg": -2,
}  # fmt: skip


def _every_condition() -> dict[str, Any]:
    """Return steps that put the names of the conditions that hold into the document."""
    steps: dict[str, Any] = {}
    names = [name for name, _ in _OPS]
    for index, (name, when) in enumerate(_OPS):
        following = f"c-{names[index + 1]}" if index + 1 < len(names) else "last"
        steps[f"c-{name}"] = {"choice": [{"when": when, "next": f"y-{name}"}], "default": following}
        steps[f"y-{name}"] = {"set": True, "result": f"$.holds['{name}']", "next": following}
    return {**steps, "last": {"task": "one", "input": "$.holds"}}


_HOLDS = (
    "eq", "eq-text", "eq-bool", "eq-null", "ne-kind", "ne-missing", "lt", "le", "gt", "lt-text", "gt-text", "matches",
    "matches-star", "is-null", "is-string", "is-number", "is-boolean", "is-present", "path", "path-missing-ne",
    "both-missing-ne", "list-ne", "index", "and", "or", "not", "nested", "float", "float-eq", "negative", "context",
)  # fmt: skip
case("conditions", _every_condition(), FACTS, calls=[("one", dict.fromkeys(_HOLDS, True))])
case(
    "choice-first-wins", {"a": {"choice": [{"when": {"$.n": {">": 5}}, "next": "x"}, {"when": {"$.n": {">": 1}}, "next": "y"}, {"when": {"$.n": {">": 0}}, "next": "z"}], "default": "z"},
                          "x": {"task": "one", "end": True}, "y": {"task": "two", "end": True}, "z": {"task": "three"}},
    {"n": 3}, calls=[("two", {"n": 3})],
)  # fmt: skip
case("choice-none", {"a": {"choice": [{"when": {"$.n": {">": 5}}, "next": "b"}]}, "b": {"task": "one"}}, {"n": 3},
     calls=[], outcome={"error": "States.NoChoiceMatched", "cause": ""})  # fmt: skip
case(
    "choice-none-compensates",
    {"a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": "$.a"}},
     "b": {"choice": [{"when": {"$.n": {">": 5}}, "next": "c"}]}, "c": {"succeed": True}}, {"n": 3},
    calls=[("one", {"n": 3}), ("undo", did("one"))], outcome={"error": "States.NoChoiceMatched", "cause": ""},
)  # fmt: skip

# set, succeed, fail: W-15.
case(
    "set", {"a": {"set": {"x": "$.n", "y": [1, 2]}}, "b": {"set": "$.y", "result": "$.z"}, "c": {"set": None, "result": "$.none"}, "d": {"task": "one"}},
    {"n": 9}, calls=[("one", {"x": 9, "y": [1, 2], "z": [1, 2], "none": None})],
)  # fmt: skip
case(
    "succeed",
    {"a": {"task": "one", "catch": [{"next": "c"}]}, "b": {"succeed": True}, "c": {"task": "two"}},
    calls=[("one", {})],
    outcome={"ok": did("one")},
)
case("fail", {"a": {"task": "one"}, "b": {"fail": {"error": "Sorry", "cause": "it is so"}}}, calls=[("one", {})],
     outcome={"error": "Sorry", "cause": "it is so"})  # fmt: skip
case(
    "fail-paths",
    {"b": {"fail": {"error": "$.e", "cause": "$.why[0]"}}},
    {"e": "Odd", "why": ["so"]},
    outcome={"error": "Odd", "cause": "so"},
)
case("fail-no-cause", {"b": {"fail": {"error": "Sorry"}}}, outcome={"error": "Sorry", "cause": ""})
case(
    "fail-no-text",
    {"b": {"fail": {"error": "$.e"}}},
    {"e": 5},
    outcome={"error": "States.Runtime", "cause": ""},
)

# Parallel: W-11.
case(
    "parallel", {"p": {"parallel": {"x": {"steps": {"a": {"task": "one"}, "b": {"task": "two"}}}, "y": {"steps": {"c": {"task": "three"}}}, "z": {"steps": {"d": {"set": {"n": "$.n"}}}}},
                       "result": "$.both"}},
    {"n": 1}, outcome={"ok": {"n": 1, "both": [did("two"), did("three"), {"n": 1}]}},
)  # fmt: skip
case(
    "parallel-input-select", {"p": {"parallel": {"x": {"steps": {"a": {"task": "one"}}}, "y": {"steps": {"b": {"task": "two"}}}},
                                    "input": {"k": "$.n"}, "select": {"second": "$[1].did", "first": "$[0]"}}},
    {"n": 1}, outcome={"ok": {"second": "two", "first": did("one")}},
)  # fmt: skip
case(
    "parallel-first-failed-in-order",
    {"p": {"parallel": {"x": {"steps": {"a": {"task": "one"}}}, "y": {"steps": {"b": {"task": "two"}}}, "z": {"steps": {"c": {"task": "three"}, "d": {"task": "three"}}}},
           "catch": [{"next": "q", "result": "$.error"}]}, "q": {"task": "undo"}},
    answers={"one": [err("Late", "x", 0.3)], "two": [("Early", "y")], "three": [ok(1, 0.2)]},
)  # fmt: skip
case(
    "parallel-retried",
    {"p": {"parallel": {"x": {"steps": {"a": {"task": "one"}}}, "y": {"steps": {"b": {"task": "two"}}}}, "retry": {"attempts": 2, **SOON}}},
    answers={"one": [1, 2], "two": ["Broken", 3]}, outcome={"ok": [2, 3]},
)  # fmt: skip
case(
    "parallel-error-inside-caught",
    {"p": {"parallel": {"x": {"steps": {"a": {"task": "one", "catch": [{"next": "ac", "result": "$.e"}]}, "ac": {"task": "undo"}}}, "y": {"steps": {"b": {"task": "two"}}}}}},
    answers={"one": [("Broken", "c")]}, outcome={"ok": [did("undo"), did("two")]},
)  # fmt: skip
case(
    "parallel-nested",
    {"p": {"parallel": {
        "x": {"steps": {"q": {"parallel": {"i": {"steps": {"a": {"task": "one"}}}, "j": {"steps": {"b": {"task": "two"}}}}}, "c": {"task": "three"}}},
        "y": {"steps": {"d": {"succeed": True}, }}}}},
    {"n": 1}, outcome={"ok": [did("three"), {"n": 1}]},
)  # fmt: skip
case(
    "parallel-fail-in-branch",
    {"p": {"parallel": {"x": {"steps": {"f": {"fail": {"error": "Sorry", "cause": "no"}}}}, "y": {"steps": {"b": {"task": "two"}}}}, "result": "$.p"}},
    outcome={"error": "Sorry", "cause": "no"},
)  # fmt: skip
case(
    "parallel-runtime-error-in-branch",
    {"p": {"parallel": {"x": {"steps": {"a": {"task": "one", "input": "$.gone"}}}, "y": {"steps": {"b": {"task": "two"}}}}, "catch": [{"next": "q"}]}, "q": {"succeed": True}},
    outcome={"error": "States.Runtime", "cause": ""},
)  # fmt: skip

# Map: W-12.
_MAP = {"items": "$.items", "most": 5}
case(
    "map", {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}, "b": {"task": "two", "result": "$.two"}}}, "result": "$.done"}},
    {"items": [1, 2, 3]}, answers={"one": by((1, [{"v": "x"}]), (2, [{"v": "y"}]), (3, [{"v": "z"}]))},
    outcome={"ok": {"items": [1, 2, 3], "done": [{"v": v, "two": did("two")} for v in "xyz"]}},
)  # fmt: skip
case(
    "map-empty",
    {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}}}}, "b": {"task": "two"}},
    {"items": []},
    calls=[("two", [])],
)
case("map-whole-document", {"m": {"map": {"items": "$", "most": 3, "steps": {"a": {"task": "one"}}}, "select": "$[1]"}}, ["a", "b"],
     answers={"one": by(("b", [{"b": 1}]))}, outcome={"ok": {"b": 1}})  # fmt: skip
case(
    "map-each", {"m": {"map": {**_MAP, "each": {"i": "$$.Map.Item.Index", "v": "$$.Map.Item.Value", "k": "$.k", "in": "$$.Map.Item.Value.x"}, "concurrency": 1, "steps": {"a": {"task": "one"}}},
                       "input": {"items": "$.list", "k": "$.key"}, "result": None}},
    {"list": [{"x": 1}, {"x": 2}], "key": "K"}, outcome={"ok": {"list": [{"x": 1}, {"x": 2}], "key": "K"}},
    calls=[("one", {"i": 0, "v": {"x": 1}, "k": "K", "in": 1}), ("one", {"i": 1, "v": {"x": 2}, "k": "K", "in": 2})],
)  # fmt: skip
case(
    "map-context-inside", {"m": {"map": {**_MAP, "concurrency": 1, "steps": {
        "a": {"task": "one", "input": {"i": "$$.Map.Item.Index", "v": "$$.Map.Item.Value", "d": "$"}}, "b": {"task": "two", "input": "$$.Map.Item.Value"}}}}},
    {"items": ["x", "y"]},
    calls=[("one", {"i": 0, "v": "x", "d": "x"}), ("two", "x"), ("one", {"i": 1, "v": "y", "d": "y"}), ("two", "y")],
)  # fmt: skip
case(
    "map-concurrency", {"m": {"map": {"items": "$", "most": 10, "concurrency": 2, "steps": {"a": {"task": "one"}, "b": {"task": "two", "input": {"of": "$$.Map.Item.Value"}}}}}},
    [1, 2, 3, 4, 5], outcome={"ok": [did("two")] * 5},
)  # fmt: skip
case(
    "map-first-failed-in-order", {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}}}, "catch": [{"next": "q", "result": "$.error"}]}, "q": {"task": "two"}},
    {"items": [1, 2, 3]}, answers={"one": by((2, [err("Two", "x", 0.3)]), (3, [("Three", "y")]))},
)  # fmt: skip
case("map-too-many", {"m": {"map": {"items": "$", "most": 2, "steps": {"a": {"task": "one"}}}, "catch": [{"errors": ["Map.TooManyItems"], "next": "q"}]}, "q": {"task": "two", "input": "$.Error"}},
     [1, 2, 3], calls=[("two", "Map.TooManyItems")])  # fmt: skip
case("map-too-many-fails", {"m": {"map": {"items": "$", "most": 2, "steps": {"a": {"task": "one"}}}}}, [1, 2, 3], calls=[],
     outcome={"error": "Map.TooManyItems", "cause": ""})  # fmt: skip
case(
    "map-most-exactly",
    {"m": {"map": {"items": "$", "most": 2, "steps": {"a": {"task": "one"}}}}},
    [1, 2],
    outcome={"ok": [did("one")] * 2},
)
case("map-no-list", {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}}}, "catch": [{"next": "q"}]}, "q": {"task": "two"}}, {"items": "x"}, calls=[],
     outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case("map-missing", {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}}}, "catch": [{"next": "q"}]}, "q": {"task": "two"}}, {}, calls=[],
     outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case(
    "map-retried", {"m": {"map": {**_MAP, "steps": {"a": {"task": "one"}}}, "retry": {"attempts": 2, **SOON}}}, {"items": [1, 2]},
    answers={"one": by((1, [10, 20]), (2, ["Broken", 30]))}, outcome={"ok": [20, 30]},
)  # fmt: skip
case(
    "map-nested", {"m": {"map": {"items": "$.rows", "most": 3, "steps": {"n": {"map": {"items": "$.cells", "most": 3, "each": {"c": "$$.Map.Item.Value", "row": "$.row"}, "steps": {"a": {"task": "one"}}}},
                                                                        "b": {"task": "two", "input": {"row": "$$.Map.Item.Value.row", "n": "$[0].did"}}}}}},
    {"rows": [{"row": 1, "cells": [1, 2]}, {"row": 2, "cells": [3]}]}, outcome={"ok": [did("two")] * 2},
)  # fmt: skip
case(
    "map-of-parallel", {"m": {"map": {**_MAP, "steps": {"p": {"parallel": {"x": {"steps": {"a": {"task": "one"}}}, "y": {"steps": {"b": {"task": "two"}}}}}}}}},
    {"items": [1, 2]}, answers={"two": by((2, ["Broken"]))}, outcome={"error": "Broken", "cause": "so it is"},
)  # fmt: skip
case(
    "map-choice-inside", {"m": {"map": {**_MAP, "steps": {"c": {"choice": [{"when": {"$": {">": 2}}, "next": "x"}], "default": "y"}, "x": {"task": "one", "end": True}, "y": {"succeed": True}}}}},
    {"items": [1, 2, 3]}, calls=[("one", 3)], outcome={"ok": [1, 2, did("one")]},
)  # fmt: skip

# Loop: W-13.
_COUNT = {"a": {"task": "one", "result": "$.n"}}
case("loop", {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 5, "steps": _COUNT}}, "z": {"task": "two"}}, {"n": 0}, answers={"one": [1, 2, 3]},
     calls=[("one", {"n": 0}), ("one", {"n": 1}), ("one", {"n": 2}), ("two", {"n": 3})])  # fmt: skip
case(
    "loop-never",
    {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 5, "steps": _COUNT}}},
    {"n": 3},
    calls=[],
    outcome={"ok": {"n": 3}},
)
case("loop-limit", {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 2, "steps": _COUNT}}}, {"n": 0}, answers={"one": [0, 0, 0]},
     calls=[("one", {"n": 0})] * 2, outcome={"error": "Loop.LimitExceeded", "cause": ""})  # fmt: skip
case(
    "loop-most-exactly",
    {"l": {"loop": {"while": {"$.n": {"<": 2}}, "most": 2, "steps": _COUNT}}},
    {"n": 0},
    answers={"one": [1, 2]},
    outcome={"ok": {"n": 2}},
)
case(
    "loop-error-and-succeed-inside",
    {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 5, "steps": {
        "a": {"task": "one", "result": "$.n", "retry": {"attempts": 2, **SOON}, "catch": [{"errors": ["Broken"], "next": "c", "result": "$.error"}]},
        "b": {"succeed": True}, "c": {"set": 9, "result": "$.n"}}}}},
    {"n": 0}, answers={"one": [1, "Broken", "Broken"]}, outcome={"ok": {"n": 9, "error": {"Error": "Broken", "Cause": "so it is"}}},
)  # fmt: skip
case(
    "loop-fails", {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 5, "steps": {"a": {"task": "one", "result": "$.n"}, "b": {"choice": [{"when": {"$.n": {"==": 1}}, "next": "d"}], "default": "c"}, "c": {"set": "$.n", "result": "$.x", "end": True}, "d": {"fail": {"error": "Sorry"}}}}}},
    {"n": -1}, answers={"one": [0, 1]}, calls=[("one", {"n": -1}), ("one", {"n": 0, "x": 0})], outcome={"error": "Sorry", "cause": ""},
)  # fmt: skip
case(
    "loop-nested", {"l": {"loop": {"while": {"$.n": {"<": 2}}, "most": 5, "steps": {
        "z": {"set": 0, "result": "$.k"}, "k": {"loop": {"while": {"$.k": {"<": 2}}, "most": 5, "steps": {"a": {"task": "one", "input": {"n": "$.n", "k": "$.k"}, "result": "$.k"}}}},
        "b": {"task": "two", "input": "$.n", "result": "$.n"}}}}},
    {"n": 0}, answers={"one": [1, 2, 1, 2], "two": [1, 2]},
    calls=[("one", {"n": 0, "k": 0}), ("one", {"n": 0, "k": 1}), ("two", 0), ("one", {"n": 1, "k": 0}), ("one", {"n": 1, "k": 1}), ("two", 1)],
)  # fmt: skip
case(
    "map-of-loop", {"m": {"map": {**_MAP, "each": {"id": "$$.Map.Item.Value", "n": 0}, "steps": {"l": {"loop": {"while": {"$.n": {"<": 2}}, "most": 3, "steps": {"a": {"task": "one", "result": "$.n"}}}}}}}},
    {"items": ["x", "y"]}, answers={"one": by(({"id": "x", "n": 0}, [1]), ({"id": "x", "n": 1}, [2]), ({"id": "y", "n": 0}, [2]))},
    outcome={"ok": [{"id": "x", "n": 2}, {"id": "y", "n": 2}]},
)  # fmt: skip
case(
    "loop-of-map", {"l": {"loop": {"while": {"$.n": {"<": 2}}, "most": 3, "steps": {"m": {"map": {**_MAP, "each": {"n": "$.n", "v": "$$.Map.Item.Value"}, "steps": {"a": {"task": "one"}}}, "result": "$.m"}, "b": {"task": "two", "input": "$.n", "result": "$.n"}}}}},
    {"n": 0, "items": ["x", "y"]}, answers={"two": [1, 2]}, outcome={"ok": {"n": 2, "items": ["x", "y"], "m": [did("one")] * 2}},
)  # fmt: skip

# Wait: W-14.
case(
    "wait-seconds",
    {"a": {"wait": {"seconds": 1}}, "b": {"task": "one"}},
    {"n": 1},
    calls=[("one", {"n": 1})],
)
case(
    "wait-path",
    {"a": {"wait": {"seconds": "$.s"}}, "b": {"task": "one"}},
    {"s": 1},
    calls=[("one", {"s": 1})],
)
case(
    "wait-zero",
    {"a": {"wait": {"seconds": 0}}, "b": {"task": "one"}},
    {"s": 1},
    calls=[("one", {"s": 1})],
)
case(
    "wait-no-number",
    {"a": {"wait": {"seconds": "$.s"}}, "b": {"task": "one"}},
    {"s": "x"},
    calls=[],
    outcome={"error": "States.Runtime", "cause": ""},
)
case(
    "wait-missing",
    {"a": {"wait": {"seconds": "$.s"}}, "b": {"task": "one"}},
    {},
    calls=[],
    outcome={"error": "States.Runtime", "cause": ""},
)
case(
    "wait-until-past",
    {"a": {"wait": {"until": "2020-01-01T00:00:00Z"}}, "b": {"task": "one"}},
    {"s": 1},
    calls=[("one", {"s": 1})],
    needs=("until",),
)
case(
    "wait-until-path",
    {"a": {"wait": {"until": "$.t"}}, "b": {"task": "one", "input": 1}},
    {"t": "2021-06-01T12:30:00Z"},
    calls=[("one", 1)],
    needs=("until",),
)
case(
    "wait-until-no-time",
    {"a": {"wait": {"until": "$.t"}}, "b": {"task": "one"}},
    {"t": "2021-02-30T12:30:00Z"},
    calls=[],
    outcome={"error": "States.Runtime", "cause": ""},
    needs=("until",),
)
case("signal", {"a": {"wait": {"signal": "approved", "timeout": "1h"}, "result": "$.approval"}, "b": {"task": "one"}}, {"n": 1},
     signals={"approved": (0.5, {"by": "me"})}, calls=[("one", {"n": 1, "approval": {"by": "me"}})], needs=("signal",))  # fmt: skip
case("signal-null", {"a": {"wait": {"signal": "approved"}}, "b": {"task": "one", "input": {"got": "$"}}}, {"n": 1},
     signals={"approved": (0.5, None)}, calls=[("one", {"got": None})], needs=("signal",))  # fmt: skip
case("signal-select", {"a": {"wait": {"signal": "approved"}, "select": "$.by", "result": "$.by"}, "b": {"task": "one"}}, {"n": 1},
     signals={"approved": (0.5, {"by": "me"})}, calls=[("one", {"n": 1, "by": "me"})], needs=("signal",))  # fmt: skip
case("signal-late", {"a": {"wait": {"signal": "approved", "timeout": "1s"}, "catch": [{"errors": ["States.Timeout"], "next": "c", "result": "$.e"}]}, "b": {"task": "one", "end": True}, "c": {"task": "two", "input": "$.e.Error"}},
     {"n": 1}, calls=[("two", "States.Timeout")], needs=("signal",))  # fmt: skip
case("signal-late-compensates", {"z": {"task": "one", "result": "$.z", "compensate": {"task": "undo", "input": 1}}, "a": {"wait": {"signal": "approved", "timeout": "1s"}}, "b": {"task": "one"}},
     {}, calls=[("one", {}), ("undo", 1)], outcome={"error": "States.Timeout", "cause": ""}, needs=("signal",))  # fmt: skip
case("signal-twice", {"a": {"wait": {"signal": "first"}, "result": "$.a"}, "b": {"task": "one"}, "c": {"wait": {"signal": "second"}}, "d": {"task": "two"}},
     {"n": 1}, signals={"first": (0.3, 1), "second": (0.3, 2)}, calls=[("one", {"n": 1, "a": 1}), ("two", 2)], needs=("signal",))  # fmt: skip
case("signal-in-parallel", {"p": {"parallel": {"x": {"steps": {"a": {"wait": {"signal": "first"}}, "c": {"task": "one"}}}, "y": {"steps": {"b": {"wait": {"signal": "second"}}, "d": {"task": "two"}}}}}},
     {"n": 1}, signals={"first": (0.6, 1), "second": (0.3, 2)}, outcome={"ok": [did("one"), did("two")]}, needs=("signal",))  # fmt: skip

# Sub-workflows: W-16.
case("sub", {"a": {"workflow": "child", "input": {"k": "$.n"}, "result": "$.c"}, "b": {"task": "one"}}, {"n": 1},
     workflows={"child": {"x": {"task": "two"}, "y": {"task": "three"}}},
     calls=[("two", {"k": 1}), ("three", did("two")), ("one", {"n": 1, "c": did("three")})])  # fmt: skip
case("sub-fails", {"a": {"workflow": "child", "catch": [{"errors": ["Sorry"], "next": "b", "result": "$.e"}], "end": True}, "b": {"task": "one"}}, {"n": 1},
     workflows={"child": {"x": {"task": "two"}, "y": {"fail": {"error": "Sorry", "cause": "child"}}}},
     calls=[("two", {"n": 1}), ("one", {"n": 1, "e": {"Error": "Sorry", "Cause": "child"}})])  # fmt: skip
case("sub-retried", {"a": {"workflow": "child", "retry": {"attempts": 2, **SOON}, "select": "$.did"}}, {"n": 1}, answers={"two": ["Broken", 5]},
     workflows={"child": {"x": {"task": "two"}, "y": {"task": "three"}}}, calls=[("two", {"n": 1}), ("two", {"n": 1}), ("three", 5)], outcome={"ok": "three"})  # fmt: skip
case("sub-compensates-itself", {"z": {"task": "one", "result": "$.z", "compensate": {"task": "undo", "input": "z"}}, "a": {"workflow": "child", "compensate": {"task": "undo", "input": "a"}}}, {},
     workflows={"child": {"x": {"task": "two", "compensate": {"task": "unmake", "input": "x"}}, "y": {"task": "three"}}}, answers={"three": [("Broken", "c")]},
     calls=[("one", {}), ("two", {"z": did("one")}), ("three", did("two")), ("unmake", "x"), ("undo", "z")], outcome={"error": "Broken", "cause": "c"})  # fmt: skip
case("sub-undone-as-one", {"a": {"workflow": "child", "compensate": {"task": "undo", "input": "$.did"}}, "b": {"task": "one"}}, {},
     workflows={"child": {"x": {"task": "two", "compensate": {"task": "unmake"}}}}, answers={"one": ["Broken"]},
     calls=[("two", {}), ("one", did("two")), ("undo", "two")], outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case("sub-of-sub", {"a": {"workflow": "child"}}, {"n": 1}, workflows={"child": {"x": {"workflow": "grand"}}, "grand": {"g": {"task": "one", "input": {"e": "$$.Execution.Input"}}}},
     calls=[("one", {"e": {"n": 1}})])  # fmt: skip
case("sub-in-map", {"m": {"map": {**_MAP, "steps": {"a": {"workflow": "child"}}}}}, {"items": [1, 2]}, workflows={"child": {"x": {"task": "one"}}}, answers={"one": by((2, ["Broken"]))},
     outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case("sub-runtime-error", {"a": {"workflow": "child", "catch": [{"next": "b"}]}, "b": {"task": "one"}}, {}, workflows={"child": {"x": {"task": "one", "input": "$.gone"}}},
     calls=[], outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case("sub-timeout", {"a": {"workflow": "child", "timeout": "1s", "catch": [{"errors": ["States.Timeout"], "next": "b", "result": "$.e"}], "end": True}, "b": {"task": "one", "input": "$.e.Error"}}, {},
     workflows={"child": {"x": {"wait": {"seconds": 4}}, "y": {"task": "two"}}}, calls=[("one", "States.Timeout")], needs=("slow",))  # fmt: skip

# Compensation: W-17.
_SAGA = {
    "a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": {"a": "$.a", "n": "$.n"}}},
    "b": {"task": "two", "result": "$.b", "compensate": {"task": "unmake", "input": "$.b", "retry": {"attempts": 3, **SOON}}},
    "c": {"task": "three"},
}  # fmt: skip
case("saga-right", _SAGA, {"n": 1}, outcome={"ok": did("three")})
case(
    "saga-first-fails",
    _SAGA,
    {"n": 1},
    answers={"one": ["Broken"]},
    calls=[("one", {"n": 1})],
    outcome={"error": "Broken", "cause": "so it is"},
)
case("saga-second-fails", _SAGA, {"n": 1}, answers={"two": [("Broken", "b")]},
     calls=[("one", {"n": 1}), ("two", {"n": 1, "a": did("one")}), ("undo", {"a": did("one"), "n": 1})], outcome={"error": "Broken", "cause": "b"})  # fmt: skip
case("saga-third-fails", _SAGA, {"n": 1}, answers={"three": [("Broken", "c")]},
     calls=[("one", {"n": 1}), ("two", {"n": 1, "a": did("one")}), ("three", {"n": 1, "a": did("one"), "b": did("two")}), ("unmake", did("two")), ("undo", {"a": did("one"), "n": 1})],
     outcome={"error": "Broken", "cause": "c"})  # fmt: skip
case("saga-undo-retried", _SAGA, {"n": 1}, answers={"three": ["Broken"], "unmake": ["Busy", "Busy", 1]},
     calls=[("one", {"n": 1}, 1), ("two", {"n": 1, "a": did("one")}, 1), ("three", {"n": 1, "a": did("one"), "b": did("two")}, 1),
            ("unmake", did("two"), 1), ("unmake", did("two"), 2), ("unmake", did("two"), 3), ("undo", {"a": did("one"), "n": 1}, 1)],
     outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case(
    "saga-undo-fails",
    _SAGA,
    {"n": 1},
    answers={"three": ["Broken"], "unmake": ["Busy", "Busy", "Busy"]},
    outcome={"error": "Compensation.Failed", "cause": "Broken"},
)
case("saga-caught-is-kept", {**{k: _SAGA[k] for k in "ab"}, "c": {"task": "three", "catch": [{"errors": ["Broken"], "next": "d", "result": "$.e"}]}, "d": {"fail": {"error": "Sorry"}}}, {"n": 1}, answers={"three": ["Broken"]},
     outcome={"error": "Sorry", "cause": ""})  # fmt: skip
case("saga-caught-goes-right", {"a": _SAGA["a"], "c": {"task": "three", "catch": [{"errors": ["Broken"], "next": "d", "result": None}]}, "d": {"succeed": True}}, {"n": 1}, answers={"three": ["Broken"]},
     outcome={"ok": {"n": 1, "a": did("one")}}, calls=[("one", {"n": 1}), ("three", {"n": 1, "a": did("one")})])  # fmt: skip
case(
    "saga-whole-document",
    {"a": {"task": "one", "compensate": {"task": "undo"}}, "b": {"fail": {"error": "Sorry"}}},
    {"n": 1},
    calls=[("one", {"n": 1}), ("undo", did("one"))],
)
case("saga-in-loop", {"l": {"loop": {"while": {"$.n": {"<": 3}}, "most": 3, "steps": {"a": {"task": "one", "result": "$.n", "compensate": {"task": "undo", "input": "$.n"}}}}}, "b": {"fail": {"error": "Sorry"}}},
     {"n": 0}, answers={"one": [1, 2, 3]}, calls=[("one", {"n": 0}), ("one", {"n": 1}), ("one", {"n": 2}), ("undo", 3), ("undo", 2), ("undo", 1)])  # fmt: skip
case("saga-branches", {"p": {"parallel": {
        "x": {"steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": "a"}}, "b": {"task": "two", "compensate": {"task": "undo", "input": "b"}}}},
        "y": {"steps": {"c": {"task": "three", "compensate": {"task": "unmake", "input": "c"}}, "d": {"task": "slow"}}}}}},
     {}, answers={"slow": ["Broken"]}, outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case("saga-step-of-branches", {"p": {"parallel": {"x": {"steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": "a"}}}}, "y": {"steps": {"c": {"task": "two"}}}}, "result": "$.p", "compensate": {"task": "unmake", "input": "$.p[1]"}},
                               "z": {"fail": {"error": "Sorry"}}}, {}, outcome={"error": "Sorry", "cause": ""})  # fmt: skip
case("saga-items", {"m": {"map": {"items": "$", "most": 5, "concurrency": 3, "steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": {"i": "$$.Map.Item.Index", "v": "$$.Map.Item.Value"}}}}}}, "z": {"fail": {"error": "Sorry"}}},
     ["x", "y", "z"], answers={"one": by(("x", [ok(1, 0.3)]))}, outcome={"error": "Sorry", "cause": ""})  # fmt: skip
case("saga-item-fails", {"m": {"map": {"items": "$", "most": 5, "steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": "$$.Map.Item.Value"}}, "b": {"task": "two", "input": "$$.Map.Item.Value"}}}}},
     ["x", "y", "z"], answers={"two": by(("y", ["Broken"]))}, outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case("saga-earlier-tries", {"p": {"parallel": {"x": {"steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": "$.t"}}}}, "y": {"steps": {"b": {"task": "two"}}}}, "retry": {"attempts": 2, **SOON}}},
     {}, answers={"one": [{"t": 1}, {"t": 2}], "two": ["Broken", "Broken"]}, outcome={"error": "Broken", "cause": "so it is"})  # fmt: skip
case("saga-caught-branches", {"p": {"parallel": {"x": {"steps": {"a": {"task": "one", "compensate": {"task": "undo", "input": "a"}}}}, "y": {"steps": {"b": {"task": "two"}}}}, "catch": [{"next": "q", "result": "$.e"}]}, "q": {"fail": {"error": "Sorry"}}},
     {}, answers={"two": ["Broken"]}, outcome={"error": "Sorry", "cause": ""})  # fmt: skip
case("saga-input-missing", {"a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": "$.gone"}}, "b": {"task": "two"}}, {}, calls=[("one", {})],
     outcome={"error": "States.Runtime", "cause": ""})  # fmt: skip
case(
    "saga-runtime-undoes-nothing",
    {"a": _SAGA["a"], "b": {"task": "two", "input": "$.gone"}},
    {"n": 1},
    calls=[("one", {"n": 1})],
    outcome={"error": "States.Runtime", "cause": ""},
)

# Sizes: W-18.
case("large-input", {"a": {"task": "one", "input": {"x": "$.t", "y": "$.t", "z": "$.t"}, "retry": SOON, "catch": [{"next": "b"}]}, "b": {"succeed": True}}, {"t": "x" * 90_000}, calls=[],
     outcome={"error": "States.DataLimitExceeded", "cause": ""}, needs=("large",))  # fmt: skip
case("large-output", {"a": {"task": "one", "result": None, "catch": [{"next": "b"}]}, "b": {"succeed": True}}, {}, answers={"one": [ok("x" * 262_200)]}, calls=[("one", {})],
     outcome={"error": "States.DataLimitExceeded", "cause": ""}, needs=("large",))  # fmt: skip
case("large-undo", {"a": {"task": "one", "result": None, "compensate": {"task": "undo", "input": {"x": "$.t", "y": "$.t", "z": "$.t"}}}, "b": {"task": "two"}}, {"t": "x" * 90_000},
     calls=[("one", {"t": "x" * 90_000})], outcome={"error": "States.DataLimitExceeded", "cause": ""}, needs=("large",))  # fmt: skip
case("large-document", {"a": {"task": "one", "result": "$.x"}, "b": {"task": "two", "result": "$.y"}, "c": {"task": "three"}}, {}, answers={"one": [ok("x" * 200_000)], "two": [ok("x" * 70_000)]},
     outcome={"error": "States.DataLimitExceeded", "cause": ""}, needs=("large",))  # fmt: skip

# The saga of the example shop.
CASES += shop_cases()

case(
    "wait-until-another-zone",
    {"a": {"wait": {"until": "$.t"}}, "b": {"task": "one"}},
    {"t": "2021-06-01T12:30:00+02:00"},
    calls=[],
    outcome={"error": "States.Runtime", "cause": ""},
    needs=("until",),
)

# Schemas: W-21.
TOTAL = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number", "minimum": 1}}}
TEXTS = {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": True}
case(
    "schema-input",
    {"a": {"task": "one", "input": "$.total"}},
    {"total": 0.5},
    schemas={"": {"input": TOTAL}},
    calls=[],
    outcome={"error": "Schema.InvalidInput", "cause": "$.total: 0.5 is less than 1"},
)
case(
    "schema-fits",
    {
        "a": {"task": "one", "input": "$.total"},
        "b": {"choice": [{"when": {"$[1]": {"is": "present"}}, "next": "c"}], "default": "d"},
        "c": {"succeed": True},
        "d": {"set": []},
    },
    {"total": 2, "x.$": "$.y"},
    schemas={"": {"input": TOTAL, "output": TEXTS}},
    answers={"one": [ok(["a", "b"])]},
    calls=[("one", 2)],
    outcome={"ok": ["a", "b"]},
)
case(
    "schema-output-undone",
    {
        "a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": "$.a"}},
        "l": {"loop": {"while": {"$.n": {"is": "present"}}, "most": 3,
                       "steps": {"s": {"set": {"text": "$.text"}}, "q": {"succeed": True}}}},
        "b": {"set": ["x", "$.text"]},
    },
    {"text": "${It}'s \"ü\"", "n": 1},
    schemas={"": {"output": {"items": {"enum": ["x", "$.y", "a.$"]}, "$defs": {"${x}": {"a.$": "$"}}}}},
    answers={"one": [ok(7)]},
    calls=[("one", {"text": "${It}'s \"ü\"", "n": 1}), ("undo", 7)],
    outcome={"error": "Schema.InvalidOutput",
             "cause": '$[1]: "${It}\'s \\"\\u00fc\\"" is not one of "x", "$.y", "a.$"'},
)  # fmt: skip
case(
    "schema-of-sub",
    {
        "m": {"map": {"items": "$.list", "most": 9, "concurrency": 1, "steps": {
            "c": {"workflow": "inner", "result": "$.got",
                  "catch": [{"errors": ["Schema.InvalidInput"], "next": "w", "result": "$.e"},
                            {"errors": ["Schema.InvalidOutput"], "next": "v", "result": "$.e"}],
                  "end": True},
            "w": {"set": {"in": "$.e"}, "end": True},
            "v": {"set": {"out": "$.e"}},
        }}},
        "s": {"succeed": True},
    },
    {"list": [{"total": 1}, {"total": "1"}, {"total": 3}]},
    workflows={"inner": {"t": {"task": "one", "input": "$.total"}}},
    schemas={"inner": {"input": TOTAL, "output": TEXTS}},
    answers={"one": by((1, [ok(["b"])]), (3, [ok(["b", "b"])]))},
    calls=[("one", 1), ("one", 3)],
    outcome={"ok": [
        {"total": 1, "got": ["b"]},
        {"in": {"Error": "Schema.InvalidInput", "Cause": "$.total: \"1\" is not of type number"}},
        {"out": {"Error": "Schema.InvalidOutput", "Cause": "$: \"b\" is there twice"}},
    ]},
)  # fmt: skip
case(
    "schema-of-sub-again",
    {"c": {"workflow": "inner", "retry": {"errors": ["Schema.InvalidOutput"], "attempts": 3, "initial": 1}}},
    {"total": 1},
    workflows={"inner": {"t": {"task": "one", "input": "$.total"}}},
    schemas={"inner": {"output": TEXTS}, "": {"input": TOTAL}},
    answers={"one": [ok(["A"]), ok(["a"])]},
    calls=[("one", 1), ("one", 1)],
    outcome={"ok": ["a"]},
)

BY_NAME = {one.name: one for one in CASES}
