"""Routines that every workflow's source brings: what its language has no words for.

Only functions whose meaning the vendor's reference states are used, and no ``and`` or ``or`` whose
right side could fail. Every name of a type that was ever used is known, and numbers of two types
are made doubles before they are compared. A list that becomes part of another is assigned, since
``list.concat`` might append what is in it. Nothing is changed that another variable may hold.
https://cloud.google.com/workflows/docs/reference/stdlib/overview
"""

from __future__ import annotations

from portafaas.runtime import states
from portafaas_gcp.workflows.calling import apart_routines, calling, checking, together
from portafaas_gcp.workflows.expressions import expression as e
from portafaas_gcp.workflows.routines import Routine, assign, call, fault, returns, routine, switch

#: RFC 3339 in UTC, as an expression has it.
_TIME = r"\\A[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}([.][0-9]+)?Z\\z"
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


def library(apart: bool, schemas: bool = False) -> dict[str, Routine]:
    """Return the routines by their names.

    *apart*: with the one that starts executions. *schemas*: with the one that has them checked.
    """
    out = {**_values(), **_comparing(), **_errors(), **calling(), **together()}
    out |= checking() if schemas else {}
    return {**out, **apart_routines()} if apart else out


def _values() -> dict[str, Routine]:
    return {
        # What is there at a path, or that nothing is: {"there", "value"}.
        "portafaas_look": routine(
            ["value", "path"],
            assign("begin", ("at", 0)),
            switch(
                "more",
                ("at == len(path)", "found"),
                ('get_type(path[at]) == "string"', "named"),
                ('get_type(value) != "list"', "missing"),
                ("path[at] >= len(value)", "missing"),
                next="inside",
            ),
            switch("named", ('get_type(value) != "map"', "missing"), next="known"),
            switch("known", ("path[at] in value", "inside"), next="missing"),
            assign("inside", ("value", e("value[path[at]]")), ("at", e("at + 1")), next="more"),
            returns("found", {"there": True, "value": e("value")}),
            returns("missing", {"there": False}),
        ),
        # What is at a path; fails when nothing is.
        "portafaas_at": routine(
            ["value", "path", "shown"],
            call("look", "portafaas_look", "found", value=e("value"), path=e("path")),
            switch("check", ('found["there"]', "done")),
            fault("missing", states.RUNTIME, e('"there is nothing at " + shown')),
            returns("done", e('found["value"]')),
        ),
        # A copy of a document with a value put at a path of names.
        "portafaas_put": routine(
            ["document", "path", "value", "shown"],
            assign("begin", ("at", 0), ("chain", []), ("node", e("document"))),
            switch("more", ("at == len(path)", "back"), ('get_type(node) != "map"', "wrong")),
            assign("keep", ("chain", e("list.concat(chain, node)")), ("name", e("path[at]")),
                    ("at", e("at + 1"))),
            switch("known", ("name in node", "deeper")),
            assign("new", ("node", {}), next="more"),
            assign("deeper", ("node", e("node[name]")), next="more"),
            fault("wrong", states.RUNTIME, e('"nothing can be put at " + shown')),
            switch("back", ("at == 0", "sized")),
            assign("merge", ("at", e("at - 1")), ("name", e("path[at]")), ("one", {}),
                    ("one[name]", e("value")), ("value", e("map.merge(chain[at], one)")),
                    next="back"),
            call("sized", "portafaas_sized", value=e("value")),
            returns("done", e("value")),
        ),
        # A value, unless it is larger than a document may be. Characters, which is at most bytes.
        "portafaas_sized": routine(
            ["value"],
            switch("check", (f"len(json.encode_to_string(value)) <= {states.LARGEST}", "done")),
            fault("wrong", states.TOO_LARGE, f"more than {states.LARGEST} bytes of JSON"),
            returns("done", e("value")),
        ),
        # How long to wait, of a document; fails when it is no number.
        "portafaas_seconds": routine(
            ["value", "step"],
            call("what", "portafaas_kind", "kind", value=e("value")),
            switch("check", ('kind != "number"', "wrong")),
            switch("sign", ("value >= 0", "done")),
            fault("wrong", states.RUNTIME, e('"seconds of " + step + " is no such number"')),
            returns("done", e("value")),
        ),
        # A time in UTC of a document; fails when it is none. Days that are not in the calendar are
        # the platform's to refuse.
        "portafaas_time": routine(
            ["value", "step"],
            switch("check", ('get_type(value) != "string"', "wrong")),
            switch("like", (f'text.match_regex(value, "{_TIME}")', "done")),
            fault("wrong", states.RUNTIME, e('"until of " + step + " is no time in UTC"')),
            returns("done", e("value")),
        ),
        # A text of a document; fails when it is none.
        "portafaas_text": routine(
            ["value", "what"],
            switch("check", ('get_type(value) == "string"', "done")),
            fault("wrong", states.RUNTIME, e('what + " is no text"')),
            returns("done", e("value")),
        ),
    }  # fmt: skip


def _comparing() -> dict[str, Routine]:
    return {
        "portafaas_kind": routine(
            ["value"],
            assign("kinds", ("kinds", _KINDS)),
            returns("done", e("kinds[get_type(value)]")),
        ),
        # Runs a program of conditions.py; returns its outcome.
        "portafaas_choose": routine(
            ["program", "document", "context"],
            assign("begin", ("at", 0), ("roots", {"document": e("document"),
                                                  "context": e("context")})),
            assign("one", ("leaf", e("program[at]")), ("value", e('roots[leaf["of"]]')),
                    ("right", {"there": True, "value": e('leaf["other"]')})),
            call("left", "portafaas_look", "left", value=e("value"), path=e('leaf["path"]')),
            switch("plain", ('leaf["with"] == "value"', "test")),
            assign("two", ("value", e('roots[leaf["with"]]'))),
            call("other", "portafaas_look", "right", value=e("value"), path=e('leaf["other"]')),
            call("test", "portafaas_test", "holds", left=e("left"), op=e('leaf["op"]'),
                  right=e("right")),
            switch("which", ("holds", "yes")),
            assign("no", ("at", e('leaf["no"]')), next="go_on"),
            assign("yes", ("at", e('leaf["yes"]'))),
            switch("go_on", ("at >= 0", "one")),
            returns("done", e("-1 - at")),
        ),
        # Rule W-10.
        "portafaas_test": routine(
            ["left", "op", "right"],
            switch("there", ('left["there"]', "both")),
            returns("missing", e('op == "!="')),
            switch("both", ('op == "is"', "of_kind"), ('right["there"]', "kinds"), next="missing"),
            switch("of_kind", ('right["value"] == "present"', "it_is")),
            call("is_kind", "portafaas_kind", "kind", value=e('left["value"]')),
            returns("is_it", e('kind == right["value"]')),
            returns("it_is", e("1 == 1")),
            returns("it_is_not", e("1 == 0")),
            assign("kinds", ("a", e('left["value"]')), ("b", e('right["value"]'))),
            call("kind_a", "portafaas_kind", "kind", value=e("a")),
            call("kind_b", "portafaas_kind", "other", value=e("b")),
            switch("same", ("kind != other", "missing"), ('kind == "array"', "missing"),
                    ('kind == "object"', "missing"), ('op == "matches"', "text"),
                    ("get_type(a) == get_type(b)", "compare")),
            assign("numbers", ("a", e("double(a)")), ("b", e("double(b)"))),
            switch("compare", ('op == "=="', "eq"), ('op == "!="', "ne"),
                    ('kind == "null"', "it_is_not"), ('kind == "boolean"', "it_is_not"),
                    ('op == "<"', "lt"), ('op == "<="', "le"), ('op == ">"', "gt")),
            returns("ge", e("a >= b")),
            returns("eq", e("a == b")),
            returns("ne", e("a != b")),
            returns("lt", e("a < b")),
            returns("le", e("a <= b")),
            returns("gt", e("a > b")),
            switch("text", ('kind != "string"', "it_is_not")),
            call("glob", "portafaas_glob", "pattern", pattern=e("b")),
            returns("matches", e("text.match_regex(a, pattern)")),
        ),
        # A regular expression for a pattern with ``*`` and ``\*``. Of a character that is neither
        # letter nor digit a backslash makes itself: https://github.com/google/re2/wiki/Syntax
        "portafaas_glob": routine(
            ["pattern"],
            assign("begin", ("tokens", e(r'text.find_all_regex(pattern, "(?s)\\\\.|.")')),
                    ("at", 0), ("out", r"(?s)\A")),
            switch("more", ("at == len(tokens)", "done")),
            assign("one", ("token", e('tokens[at]["match"]')), ("at", e("at + 1"))),
            switch("which", ('token == "*"', "any"), ("len(token) > 1", "escaped"),
                    (r'text.match_regex(token, "[0-9A-Za-z_]|[^\\x00-\\x7F]")', "plain")),
            assign("quote", ("out", e(r'out + "\\" + token')), next="more"),
            assign("any", ("out", e('out + ".*"')), next="more"),
            assign("plain", ("out", e("out + token")), next="more"),
            switch("escaped",
                    (r'text.match_regex(token, "\\A\\\\([0-9A-Za-z_]|[^\\x00-\\x7F])")', "strip"),
                    next="plain"),
            assign("strip", ("out", e("out + text.substring(token, 1, len(token))")),
                    next="more"),
            returns("done", e(r'out + "\\z"')),
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
        "portafaas_tags": routine(
            ["error"],
            switch("map", ('get_type(error) != "map"', "none")),
            switch("has", ('"tags" in error', "done")),
            returns("none", []),
            returns("done", e('error["tags"]')),
        ),
        "portafaas_message": routine(
            ["error"],
            switch("map", ('get_type(error) != "map"', "none")),
            switch("has", ('"message" in error', "text")),
            returns("none", ""),
            switch("text", ('get_type(error["message"]) != "string"', "none")),
            returns("done", e('error["message"]')),
        ),
        # What went wrong within steps, and is no error of a step: {"error", "cause"}.
        "portafaas_broken": routine(
            ["error"],
            switch("map", ('get_type(error) != "map"', "other")),
            switch("own", ('"portafaas" in error', "known")),
            call("other", "portafaas_tags", "tags", error=e("error")),
            call("said", "portafaas_message", "message", error=e("error")),
            switch("which", ('"ResourceLimitError" in tags', "large"),
                    ('"MemoryLimitExceededError" in tags', "large"),
                    ('"ResultSizeLimitExceededError" in tags', "large")),
            returns("runtime", {"error": states.RUNTIME, "cause": e("message")}),
            returns("large", {"error": states.TOO_LARGE, "cause": e("message")}),
            returns("known", {"error": e('error["portafaas"]'), "cause": e('error["cause"]')}),
        ),
        # What a call that was not answered is to the workflow.
        "portafaas_refused": routine(
            ["error"],
            call("tags", "portafaas_tags", "tags", error=e("error")),
            call("said", "portafaas_message", "message", error=e("error")),
            switch("which", ('"TimeoutError" in tags', "timeout"),
                    ('not ("HttpError" in tags)', "failed")),
            switch("status", ('not ("code" in error)', "failed")),
            switch("late", ('error["code"] == 504', "timeout")),
            returns("failed", {"error": states.TASK_FAILED, "cause": e("message")}),
            returns("timeout", {"error": states.TIMEOUT, "cause": ""}),
        ),
        # Whether a rule for errors is one for that error.
        "portafaas_names": routine(
            ["errors", "error"],
            switch("fatal", (fatal, "never")),
            returns("done", e(named)),
            returns("never", e("1 == 0")),
        ),
        # The index of the first rule that names an error; -1 if none does.
        "portafaas_rule": routine(
            ["rules", "error"],
            assign("begin", ("at", 0)),
            switch("more", ("at == len(rules)", "none")),
            call("one", "portafaas_names", "named", errors=e("rules[at]"), error=e("error")),
            switch("which", ("named", "done")),
            assign("following", ("at", e("at + 1")), next="more"),
            returns("done", e("at")),
            returns("none", -1),
        ),
        # Rule W-7. *counts* is how often each rule was the one, [] at first.
        "portafaas_retry": routine(
            ["rules", "counts", "error"],
            assign("begin", ("names", []), ("at", 0)),
            switch("more", ("at == len(rules)", "which")),
            assign("one", ("names", e("list.concat(names, 0)")),
                    ("names[at]", e('rules[at]["errors"]')),
                    ("at", e("at + 1"))),
            switch("fresh", ("len(counts) >= at", "more")),
            assign("zero", ("counts", e("list.concat(counts, 0)")), next="more"),
            call("which", "portafaas_rule", "at", rules=e("names"), error=e("error")),
            switch("named", ("at < 0", "no")),
            assign("count", ("tries", e("counts[at] + 1")), ("counts[at]", e("tries")),
                    ("rule", e("rules[at]")), ("seconds", e('double(rule["initial"])'))),
            switch("left", ('tries >= rule["attempts"]', "no")),
            switch("grow", ("tries == 1", "bound"),
                    ('"max" in rule', "over")),
            assign("times", ("tries", e("tries - 1")),
                    ("seconds", e('seconds * double(rule["factor"])')), next="grow"),
            switch("over", ('seconds > double(rule["max"])', "bound"), next="times"),
            switch("bound", ('not ("max" in rule)', "jitter")),
            switch("most", ('seconds <= double(rule["max"])', "jitter")),
            assign("cut", ("seconds", e('double(rule["max"])'))),
            switch("jitter", ('not rule["jitter"]', "yes")),
            assign("part", ("seconds",
                             e("seconds * double(int(sys.now() * 1000000) % 1000) / 1000"))),
            returns("yes", {"again": True, "seconds": e("seconds"), "counts": e("counts")}),
            returns("no", {"again": False, "seconds": 0, "counts": e("counts")}),
        ),
    }  # fmt: skip
