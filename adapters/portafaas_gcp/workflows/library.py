"""Routines that every workflow's source brings: what its language has no words for.

Only functions whose meaning the vendor's reference states are used, and no ``and`` or ``or`` whose
right side could fail. Every name of a type that was ever used is known, and numbers of two types
are made doubles before they are compared.
https://cloud.google.com/workflows/docs/reference/stdlib/overview
"""

from __future__ import annotations

from typing import Any

from portafaas.runtime import states
from portafaas_gcp.workflows.expressions import expression as e

Routine = dict[str, Any]

#: Seconds that a call may take: https://cloud.google.com/workflows/quotas
LONGEST_CALL = 1800
#: Bytes of an execution's argument:
#: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions
LONGEST_ARGUMENT = 32_768
#: Label of an execution that is a part of a run.
RUN = "portafaas-run"
_KINDS = {
    "null": "null",
    "boolean": "boolean",
    "bool": "boolean",
    "integer": "number",
    "int": "number",
    "double": "number",
    "float": "number",
    "string": "string",
    "list": "array",
    "map": "object",
    "bytes": "bytes",
}


def _routine(params: list[str], *steps: dict[str, Any]) -> Routine:
    return {"params": params, "steps": list(steps)}


def _assign(name: str, *pairs: tuple[str, Any], next: str | None = None) -> dict[str, Any]:
    step: dict[str, Any] = {"assign": [{variable: value} for variable, value in pairs]}
    if next is not None:
        step["next"] = next
    return {name: step}


def _call(
    name: str, routine: str, result: str | None = None, next: str | None = None, /, **args: Any
) -> dict[str, Any]:
    step: dict[str, Any] = {"call": routine, "args": args}
    if result is not None:
        step["result"] = result
    if next is not None:
        step["next"] = next
    return {name: step}


def _switch(name: str, *rules: tuple[str, str], next: str | None = None) -> dict[str, Any]:
    step: dict[str, Any] = {"switch": [{"condition": e(code), "next": to} for code, to in rules]}
    if next is not None:
        step["next"] = next
    return {name: step}


def _return(name: str, value: Any) -> dict[str, Any]:
    return {name: {"return": value}}


def _fault(name: str, error: str, cause: Any) -> dict[str, Any]:
    return {name: {"raise": {"portafaas": error, "cause": cause}}}


def library(apart: bool) -> dict[str, Routine]:
    """Return the routines by their names; *apart*: with the one that starts executions."""
    out = {**_values(), **_comparing(), **_errors(), **_calling(), **_together()}
    return {**out, **_apart()} if apart else out


def _values() -> dict[str, Routine]:
    return {
        # What is there at a path, or that nothing is: {"there", "value"}.
        "portafaas_look": _routine(
            ["value", "path"],
            _assign("begin", ("at", 0)),
            _switch(
                "more",
                ("at == len(path)", "found"),
                ('get_type(path[at]) == "string"', "named"),
                ('get_type(value) != "list"', "missing"),
                ("path[at] >= len(value)", "missing"),
                next="inside",
            ),
            _switch("named", ('get_type(value) != "map"', "missing"), next="known"),
            _switch("known", ("path[at] in value", "inside"), next="missing"),
            _assign("inside", ("value", e("value[path[at]]")), ("at", e("at + 1")), next="more"),
            _return("found", {"there": True, "value": e("value")}),
            _return("missing", {"there": False}),
        ),
        # What is at a path; fails when nothing is.
        "portafaas_at": _routine(
            ["value", "path", "shown"],
            _call("look", "portafaas_look", "found", value=e("value"), path=e("path")),
            _switch("check", ('found["there"]', "done")),
            _fault("missing", states.RUNTIME, e('"there is nothing at " + shown')),
            _return("done", e('found["value"]')),
        ),
        # A copy of a document with a value put at a path of names.
        "portafaas_put": _routine(
            ["document", "path", "value", "shown"],
            _assign("begin", ("at", 0), ("empty", {}), ("chain", []), ("node", e("document"))),
            _switch("more", ("at == len(path)", "back"), ('get_type(node) != "map"', "wrong")),
            _assign("keep", ("chain", e("list.concat(chain, node)")), ("name", e("path[at]")),
                    ("at", e("at + 1"))),
            _switch("known", ("name in node", "deeper")),
            _assign("new", ("node", e("empty")), next="more"),
            _assign("deeper", ("node", e("node[name]")), next="more"),
            _fault("wrong", states.RUNTIME, e('"nothing can be put at " + shown')),
            _switch("back", ("at == 0", "sized")),
            _assign("merge", ("at", e("at - 1")), ("name", e("path[at]")), ("one", e("empty")),
                    ("one[name]", e("value")), ("value", e("map.merge(chain[at], one)")),
                    next="back"),
            _call("sized", "portafaas_sized", value=e("value")),
            _return("done", e("value")),
        ),
        # A value, unless it is larger than a document may be. Characters, which is at most bytes.
        "portafaas_sized": _routine(
            ["value"],
            _switch("check", (f"len(json.encode_to_string(value)) <= {states.LARGEST}", "done")),
            _fault("wrong", states.TOO_LARGE, f"more than {states.LARGEST} bytes of JSON"),
            _return("done", e("value")),
        ),
        # How long to wait, of a document; fails when it is no number.
        "portafaas_seconds": _routine(
            ["value", "step"],
            _call("what", "portafaas_kind", "kind", value=e("value")),
            _switch("check", ('kind != "number"', "wrong")),
            _switch("sign", ("value >= 0", "done")),
            _fault("wrong", states.RUNTIME, e('"seconds of " + step + " is no such number"')),
            _return("done", e("value")),
        ),
        # A text of a document; fails when it is none.
        "portafaas_text": _routine(
            ["value", "what"],
            _switch("check", ('get_type(value) == "string"', "done")),
            _fault("wrong", states.RUNTIME, e('what + " is no text"')),
            _return("done", e("value")),
        ),
    }  # fmt: skip


def _comparing() -> dict[str, Routine]:
    return {
        "portafaas_kind": _routine(
            ["value"],
            _assign("kinds", ("kinds", _KINDS)),
            _return("done", e("kinds[get_type(value)]")),
        ),
        # Runs a program of conditions.py; returns its outcome.
        "portafaas_choose": _routine(
            ["program", "document", "context"],
            _assign("begin", ("at", 0), ("roots", {"document": e("document"),
                                                  "context": e("context")})),
            _assign("one", ("leaf", e("program[at]")), ("value", e('roots[leaf["of"]]')),
                    ("right", {"there": True, "value": e('leaf["other"]')})),
            _call("left", "portafaas_look", "left", value=e("value"), path=e('leaf["path"]')),
            _switch("plain", ('leaf["with"] == "value"', "test")),
            _assign("two", ("value", e('roots[leaf["with"]]'))),
            _call("other", "portafaas_look", "right", value=e("value"), path=e('leaf["other"]')),
            _call("test", "portafaas_test", "holds", left=e("left"), op=e('leaf["op"]'),
                  right=e("right")),
            _switch("which", ("holds", "yes")),
            _assign("no", ("at", e('leaf["no"]')), next="go_on"),
            _assign("yes", ("at", e('leaf["yes"]'))),
            _switch("go_on", ("at >= 0", "one")),
            _return("done", e("-1 - at")),
        ),
        # Rule W-10.
        "portafaas_test": _routine(
            ["left", "op", "right"],
            _switch("there", ('left["there"]', "both")),
            _return("missing", e('op == "!="')),
            _switch("both", ('op == "is"', "is"), ('right["there"]', "kinds"), next="missing"),
            _switch("is", ('right["value"] == "present"', "true")),
            _call("is_kind", "portafaas_kind", "kind", value=e('left["value"]')),
            _return("is_it", e('kind == right["value"]')),
            _return("true", e("1 == 1")),
            _return("false", e("1 == 0")),
            _assign("kinds", ("a", e('left["value"]')), ("b", e('right["value"]'))),
            _call("kind_a", "portafaas_kind", "kind", value=e("a")),
            _call("kind_b", "portafaas_kind", "other", value=e("b")),
            _switch("same", ("kind != other", "missing"), ('kind == "array"', "missing"),
                    ('kind == "object"', "missing"), ('op == "matches"', "text"),
                    ("get_type(a) == get_type(b)", "compare")),
            _assign("numbers", ("a", e("double(a)")), ("b", e("double(b)"))),
            _switch("compare", ('op == "=="', "eq"), ('op == "!="', "ne"),
                    ('kind == "null"', "false"), ('kind == "boolean"', "false"),
                    ('op == "<"', "lt"), ('op == "<="', "le"), ('op == ">"', "gt")),
            _return("ge", e("a >= b")),
            _return("eq", e("a == b")),
            _return("ne", e("a != b")),
            _return("lt", e("a < b")),
            _return("le", e("a <= b")),
            _return("gt", e("a > b")),
            _switch("text", ('kind != "string"', "false")),
            _call("glob", "portafaas_glob", "pattern", pattern=e("b")),
            _return("matches", e("text.match_regex(a, pattern)")),
        ),
        # A regular expression for a pattern with ``*`` and ``\*``. Of a character that is neither
        # letter nor digit a backslash makes itself: https://github.com/google/re2/wiki/Syntax
        "portafaas_glob": _routine(
            ["pattern"],
            _assign("begin", ("tokens", e(r'text.find_all_regex(pattern, "(?s)\\\\.|.")')),
                    ("at", 0), ("out", r"(?s)\A")),
            _switch("more", ("at == len(tokens)", "done")),
            _assign("one", ("token", e('tokens[at]["match"]')), ("at", e("at + 1"))),
            _switch("which", ('token == "*"', "any"), ("len(token) > 1", "escaped"),
                    (r'text.match_regex(token, "[0-9A-Za-z_]|[^\\x00-\\x7F]")', "plain")),
            _assign("quote", ("out", e(r'out + "\\" + token')), next="more"),
            _assign("any", ("out", e('out + ".*"')), next="more"),
            _assign("plain", ("out", e("out + token")), next="more"),
            _switch("escaped",
                    (r'text.match_regex(token, "\\A\\\\([0-9A-Za-z_]|[^\\x00-\\x7F])")', "strip"),
                    next="plain"),
            _assign("strip", ("out", e("out + text.substring(token, 1, len(token))")),
                    next="more"),
            _return("done", e(r'out + "\\z"')),
        ),
    }  # fmt: skip


def _errors() -> dict[str, Routine]:
    fatal = f'error == "{states.RUNTIME}" or error == "{states.TOO_LARGE}"'
    named = (
        f'error in errors or "{states.ALL}" in errors or '
        f'("{states.TASK_FAILED}" in errors and error != "{states.TIMEOUT}")'
    )
    return {
        # The tags of what was raised: https://cloud.google.com/workflows/docs/reference/syntax/error-types
        "portafaas_tags": _routine(
            ["error"],
            _switch("map", ('get_type(error) != "map"', "none")),
            _switch("has", ('"tags" in error', "done")),
            _return("none", []),
            _return("done", e('error["tags"]')),
        ),
        "portafaas_message": _routine(
            ["error"],
            _switch("map", ('get_type(error) != "map"', "none")),
            _switch("has", ('"message" in error', "text")),
            _return("none", ""),
            _switch("text", ('get_type(error["message"]) != "string"', "none")),
            _return("done", e('error["message"]')),
        ),
        # What went wrong within steps, and is no error of a step: {"error", "cause"}.
        "portafaas_broken": _routine(
            ["error"],
            _switch("map", ('get_type(error) != "map"', "other")),
            _switch("own", ('"portafaas" in error', "known")),
            _call("other", "portafaas_tags", "tags", error=e("error")),
            _call("said", "portafaas_message", "message", error=e("error")),
            _switch("which", ('"ResourceLimitError" in tags', "large"),
                    ('"MemoryLimitExceededError" in tags', "large"),
                    ('"ResultSizeLimitExceededError" in tags', "large")),
            _return("runtime", {"error": states.RUNTIME, "cause": e("message")}),
            _return("large", {"error": states.TOO_LARGE, "cause": e("message")}),
            _return("known", {"error": e('error["portafaas"]'), "cause": e('error["cause"]')}),
        ),
        # What a call that was not answered is to the workflow.
        "portafaas_refused": _routine(
            ["error"],
            _call("tags", "portafaas_tags", "tags", error=e("error")),
            _call("said", "portafaas_message", "message", error=e("error")),
            _switch("which", ('"TimeoutError" in tags', "timeout"),
                    ('not ("HttpError" in tags)', "failed")),
            _switch("status", ('not ("code" in error)', "failed")),
            _switch("late", ('error["code"] == 504', "timeout")),
            _return("failed", {"error": states.TASK_FAILED, "cause": e("message")}),
            _return("timeout", {"error": states.TIMEOUT, "cause": ""}),
        ),
        # Whether a rule for errors is one for that error.
        "portafaas_names": _routine(
            ["errors", "error"],
            _switch("fatal", (fatal, "no")),
            _return("done", e(named)),
            _return("no", e("1 == 0")),
        ),
        # The index of the first rule that names an error; -1 if none does.
        "portafaas_rule": _routine(
            ["rules", "error"],
            _assign("begin", ("at", 0)),
            _switch("more", ("at == len(rules)", "none")),
            _call("one", "portafaas_names", "named", errors=e("rules[at]"), error=e("error")),
            _switch("which", ("named", "done")),
            _assign("following", ("at", e("at + 1")), next="more"),
            _return("done", e("at")),
            _return("none", -1),
        ),
        # Rule W-7. *counts* is how often each rule was the one, [] at first.
        "portafaas_retry": _routine(
            ["rules", "counts", "error"],
            _assign("begin", ("none", []), ("names", e("none")), ("at", 0)),
            _switch("more", ("at == len(rules)", "which")),
            _assign("one", ("names", e('list.concat(names, rules[at]["errors"])')),
                    ("at", e("at + 1"))),
            _switch("fresh", ("len(counts) >= at", "more")),
            _assign("zero", ("counts", e("list.concat(counts, 0)")), next="more"),
            _call("which", "portafaas_rule", "at", rules=e("names"), error=e("error")),
            _switch("named", ("at < 0", "no")),
            _assign("count", ("tries", e("counts[at] + 1")), ("counts[at]", e("tries")),
                    ("rule", e("rules[at]")), ("seconds", e('double(rule["initial"])'))),
            _switch("left", ('tries >= rule["attempts"]', "no")),
            _switch("grow", ("tries == 1", "bound"),
                    ('"max" in rule', "over")),
            _assign("times", ("tries", e("tries - 1")),
                    ("seconds", e('seconds * double(rule["factor"])')), next="grow"),
            _switch("over", ('seconds > double(rule["max"])', "bound"), next="times"),
            _switch("bound", ('not ("max" in rule)', "jitter")),
            _switch("most", ('seconds <= double(rule["max"])', "jitter")),
            _assign("cut", ("seconds", e('double(rule["max"])'))),
            _switch("jitter", ('not rule["jitter"]', "yes")),
            _assign("part", ("seconds",
                             e("seconds * double(int(sys.now() * 1000000) % 1000) / 1000"))),
            _return("yes", {"again": True, "seconds": e("seconds"), "counts": e("counts")}),
            _return("no", {"again": False, "seconds": 0, "counts": e("counts")}),
        ),
    }  # fmt: skip


def _calling() -> dict[str, Routine]:
    return {
        # Calls a task until it succeeds or nothing retries it: {"ok"} or {"error", "cause"}.
        "portafaas_call": _routine(
            ["url", "given", "workflow", "run", "step", "place", "timeout", "rules"],
            _call("sized", "portafaas_sized", value=e("given")),
            _assign("begin", ("attempt", 1), ("counts", []), ("response", {}),
                    ("answer", {}), ("key", e('run + "/" + place'))),
            {"send": {
                "try": {
                    "call": "http.post",
                    "args": {
                        "url": e("url"),
                        "timeout": e("timeout"),
                        "auth": {"type": "OIDC"},
                        "body": {
                            "input": e("given"),
                            "workflow": e("workflow"),
                            "run": e("run"),
                            "step": e("step"),
                            "attempt": e("attempt"),
                            "key": e("key"),
                        },
                    },
                    "result": "response",
                },
                "except": {
                    "as": "error",
                    "steps": [
                        _call("refused", "portafaas_refused", "answer", error=e("error")),
                    ],
                },
            }},
            _switch("came", ('"error" in answer', "failed")),
            _call("read", "portafaas_answer", "answer", response=e("response")),
            _switch("which", ('"ok" in answer', "done")),
            _switch("failed", ("len(rules) == 0", "done")),
            _call("again", "portafaas_retry", "pause", rules=e("rules"), counts=e("counts"),
                  error=e('answer["error"]')),
            _switch("more", ('not pause["again"]', "done")),
            _call("sleep", "sys.sleep", seconds=e('pause["seconds"]')),
            _assign("following", ("attempt", e("attempt + 1")), ("answer", {}),
                    ("counts", e('pause["counts"]')), next="send"),
            _return("done", e("answer")),
        ),
        # What the bridge of a task answers.
        "portafaas_answer": _routine(
            ["response"],
            _assign("body", ("body", e('response["body"]'))),
            _switch("map", ('get_type(body) != "map"', "none")),
            _switch("which", ('"ok" in body', "ok"), ('not ("error" in body)', "none"),
                    ('not ("cause" in body)', "none")),
            _return("error", {"error": e('body["error"]'), "cause": e('body["cause"]')}),
            _return("none", {"error": states.TASK_FAILED,
                             "cause": "the answer is not one of a task"}),
            _call("ok", "portafaas_sized", value=e('body["ok"]')),
            _return("done", {"ok": e('body["ok"]')}),
        ),
        # Waits for a signal. Whoever sends one does not know which of several callbacks is whose:
        # what is for another name is not taken.
        "portafaas_signal": _routine(
            ["name", "timeout"],
            _call("create", "events.create_callback_endpoint", "callback",
                  http_callback_method="POST"),
            _assign("begin", ("until", e("sys.now() + timeout")), ("answer", {}),
                    ("received", {})),
            _assign("left", ("left", e("until - sys.now()"))),
            _switch("late", ("left <= 0", "timeout")),
            {"wait": {
                "try": {
                    "call": "events.await_callback",
                    "args": {"callback": e("callback"), "timeout": e("left")},
                    "result": "received",
                },
                "except": {
                    "as": "error",
                    "steps": [
                        _call("tags", "portafaas_tags", "tags", error=e("error")),
                        _switch("which", ('"TimeoutError" in tags', "over")),
                        {"other": {"raise": e("error")}},
                        _return("over", {"error": states.TIMEOUT, "cause": ""}),
                    ],
                },
            }},
            _assign("body", ("body", e('received["http_request"]["body"]'))),
            _switch("map", ('get_type(body) != "map"', "left")),
            _switch("known", ('not ("signal" in body)', "left")),
            _switch("mine", ('body["signal"] != name', "left")),
            _call("sized", "portafaas_sized", value=e('body["payload"]')),
            _return("done", {"ok": e('body["payload"]')}),
            _return("timeout", {"error": states.TIMEOUT, "cause": ""}),
        ),
    }  # fmt: skip


def _together() -> dict[str, Routine]:
    return {
        # The items of a map, and room for what comes of them.
        "portafaas_items": _routine(
            ["value", "path", "shown", "most", "step"],
            _call("look", "portafaas_at", "items", value=e("value"), path=e("path"),
                  shown=e("shown")),
            _switch("kind", ('get_type(items) == "list"', "count")),
            _fault("wrong", states.RUNTIME, e('"items of " + step + " are no list"')),
            _switch("count", ("len(items) <= most", "room")),
            _return("many", {"error": states.TOO_MANY_ITEMS,
                             "cause": e('string(len(items)) + " items of " + step')}),
            _assign("room", ("answers", []), ("at", 0)),
            _switch("more", ("at == len(items)", "done")),
            _assign("one", ("answers", e("list.concat(answers, at)")), ("at", e("at + 1")),
                    next="more"),
            _return("done", {"items": e("items"), "answers": e("answers")}),
        ),
        # Rule W-11: the outputs in order, or the first failure; and the log with those within.
        "portafaas_gather": _routine(
            ["answers", "log"],
            _assign("begin", ("at", 0), ("ok", []), ("failed", -1), ("fatal", -1)),
            _switch("more", ("at == len(answers)", "which")),
            _assign("one", ("answer", e("answers[at]")), ("k", 0)),
            _switch("kept", ('k == len(answer["log"])', "good")),
            _assign("keep", ("log", e('list.concat(log, answer["log"][k])')), ("k", e("k + 1")),
                    next="kept"),
            _switch("good", ('"error" in answer', "bad")),
            _assign("put", ("ok", e('list.concat(ok, answer["ok"])')), next="following"),
            _assign("bad", ("error", e('answer["error"]'))),
            _switch("worse", (f'error == "{states.RUNTIME}"', "fatal"),
                    (f'error == "{states.TOO_LARGE}"', "fatal")),
            _switch("first", ("failed >= 0", "following")),
            _assign("failed", ("failed", e("at")), next="following"),
            _switch("fatal", ("fatal >= 0", "following")),
            _assign("fatal_first", ("fatal", e("at"))),
            _assign("following", ("at", e("at + 1")), next="more"),
            _switch("which", ("fatal >= 0", "fatal_one"), ("failed >= 0", "failed_one")),
            _call("sized", "portafaas_sized", value=e("ok")),
            _return("done", {"ok": e("ok"), "log": e("log")}),
            _assign("fatal_one", ("failed", e("fatal"))),
            _return("failed_one", {"error": e('answers[failed]["error"]'),
                                   "cause": e('answers[failed]["cause"]'), "log": e("log")}),
        ),
    }  # fmt: skip


def _apart() -> dict[str, Routine]:
    base = (
        '"https://workflowexecutions.googleapis.com/v1/projects/" + '
        'sys.get_env("GOOGLE_CLOUD_PROJECT_ID") + "/locations/" + '
        'sys.get_env("GOOGLE_CLOUD_LOCATION") + "/workflows/" + '
        'sys.get_env("GOOGLE_CLOUD_WORKFLOW_ID") + "/executions"'
    )
    signed = {"type": "OAuth2"}
    return {
        # Runs a routine in an execution of its own: what one execution cannot nest, or not end.
        # https://cloud.google.com/workflows/docs/reference/executions/rest
        "portafaas_apart": _routine(
            ["routine", "given", "run", "timeout"],
            _assign("begin", ("argument", {"portafaas": {"routine": e("routine"), "run": e("run"),
                                                         "given": e("given")}}),
                    ("until", e("sys.now() + timeout")), ("pause", 1), ("base", e(base)),
                    ("answer", {}), ("got", {}), ("words", e("json.encode_to_string(argument)"))),
            _switch("size", (f"len(words) <= {LONGEST_ARGUMENT}", "create")),
            _return("large", {"error": states.TOO_LARGE, "log": [], "cause":
                    f"more than {LONGEST_ARGUMENT} bytes of JSON for an execution of its own"}),
            {"create": {
                "try": {
                    "call": "http.post",
                    "args": {"url": e("base"), "auth": signed,
                             "body": {"argument": e("words"), "labels": {RUN: e("run")}}},
                    "result": "got",
                },
                "except": {"as": "error", "steps": [
                    _call("refused", "portafaas_refused", "answer", error=e("error")),
                ]},
            }},
            _switch("made", ('"error" in answer', "not_made")),
            _assign("place", ("place", e('"https://workflowexecutions.googleapis.com/v1/" + '
                                         'got["body"]["name"]'))),
            _assign("left", ("left", e("until - sys.now()"))),
            _switch("late", ("left <= 0", "cancel"), ("left >= pause", "sleep")),
            _assign("less", ("pause", e("left"))),
            _call("sleep", "sys.sleep", seconds=e("pause")),
            _switch("grow", ("pause > 200", "look")),
            _assign("longer", ("pause", e("pause * 1.25"))),
            {"look": {
                "try": {
                    "call": "http.get",
                    "args": {"url": e("place"), "auth": signed},
                    "result": "got",
                },
                # It is asked again.
                "except": {"as": "error", "steps": [_assign("lost", ("got", {}))]},
            }},
            _switch("came", ('not ("body" in got)', "left"), ('got["body"]["state"] == "ACTIVE"',
                    "left"), ('got["body"]["state"] == "QUEUED"', "left"),
                    ('got["body"]["state"] == "SUCCEEDED"', "done")),
            _return("ended", {"error": states.RUNTIME, "log": [], "cause":
                    e('"an execution of a part is " + got["body"]["state"]')}),
            _return("done", e('json.decode(got["body"]["result"])')),
            _return("not_made", {"error": e('answer["error"]'), "cause": e('answer["cause"]'),
                                 "log": []}),
            {"cancel": {
                "try": {
                    "call": "http.post",
                    "args": {"url": e('place + ":cancel"'), "auth": signed, "body": {}},
                    "result": "got",
                },
                # It has ended meanwhile: too late all the same.
                "except": {"as": "error", "steps": [_assign("gone", ("got", {}))]},
            }},
            _return("timeout", {"error": states.TIMEOUT, "cause": "", "log": []}),
        ),
    }  # fmt: skip
