"""Routines of the library that call: tasks, signals, executions; and what comes of branches."""

from __future__ import annotations

from typing import Any

from portafaas.runtime import states
from portafaas_gcp.workflows.expressions import expression as e
from portafaas_gcp.workflows.routines import Routine, assign, call, fault, returns, routine, switch

#: Seconds that a call may take: https://cloud.google.com/workflows/quotas
LONGEST_CALL = 1800
#: How often a function is asked whether a value fits a schema, when it does not answer.
ASKED = 5
#: Bytes of an execution's argument:
#: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions
LONGEST_ARGUMENT = 32_768
#: Label of an execution that is a part of a run.
RUN = "portafaas-run"


def _send(problem: str, **body: str) -> dict[str, Any]:
    """Return the step ``send``: asks the function at ``url`` with the expressions of *body*.

    There is ``response`` then, or ``answer`` when it could not be asked; *problem* is the name of
    the variable for why.
    """
    return {"send": {
        "try": {
            "call": "http.post",
            "args": {
                "url": e("url"),
                "timeout": e("timeout"),
                "auth": {"type": "OIDC"},
                "body": {name: e(text) for name, text in body.items()},
            },
            "result": "response",
        },
        "except": {
            "as": problem,
            "steps": [call("refused", "portafaas_refused", "answer", error=e(problem))],
        },
    }}  # fmt: skip


def calling() -> dict[str, Routine]:
    """Return what calls tasks and waits for signals."""
    return {
        # Calls a task until it succeeds or nothing retries it: {"ok"} or {"error", "cause"}.
        "portafaas_call": routine(
            ["url", "given", "workflow", "run", "step", "place", "timeout", "rules"],
            call("sized", "portafaas_sized", value=e("given")),
            assign("begin", ("attempt", 1), ("counts", []), ("response", {}),
                    ("answer", {}), ("key", e('run + "/" + place'))),
            _send("error", input="given", workflow="workflow", run="run", step="step",
                  attempt="attempt", key="key"),
            switch("came", ('"error" in answer', "failed")),
            call("read", "portafaas_answer", "answer", response=e("response")),
            switch("which", ('"ok" in answer', "done")),
            switch("failed", ("len(rules) == 0", "done")),
            call("again", "portafaas_retry", "pause", rules=e("rules"), counts=e("counts"),
                  error=e('answer["error"]')),
            switch("more", ('not pause["again"]', "done")),
            call("sleep", "sys.sleep", seconds=e('pause["seconds"]')),
            assign("following", ("attempt", e("attempt + 1")), ("answer", {}),
                    ("counts", e('pause["counts"]')), next="send"),
            returns("done", e("answer")),
        ),
        # What the bridge of a task answers.
        "portafaas_answer": routine(
            ["response"],
            assign("body", ("body", e('response["body"]'))),
            switch("map", ('get_type(body) != "map"', "none")),
            switch("which", ('"ok" in body', "ok"), ('not ("error" in body)', "none"),
                    ('not ("cause" in body)', "none")),
            returns("error", {"error": e('body["error"]'), "cause": e('body["cause"]')}),
            returns("none", {"error": states.TASK_FAILED,
                             "cause": "the answer is not one of a task"}),
            call("ok", "portafaas_sized", value=e('body["ok"]')),
            returns("done", {"ok": e('body["ok"]')}),
        ),
        # Waits for a signal. Whoever sends one does not know which of several callbacks is whose:
        # what is for another name is not taken.
        "portafaas_signal": routine(
            ["name", "timeout"],
            call("create", "events.create_callback_endpoint", "callback",
                  http_callback_method="POST"),
            assign("begin", ("until", e("sys.now() + timeout")), ("answer", {}),
                    ("received", {})),
            assign("left", ("left", e("until - sys.now()"))),
            switch("late", ("left <= 0", "timeout")),
            {"wait": {
                "try": {
                    "call": "events.await_callback",
                    "args": {"callback": e("callback"), "timeout": e("left")},
                    "result": "received",
                },
                "except": {
                    "as": "error",
                    "steps": [
                        call("tags", "portafaas_tags", "tags", error=e("error")),
                        switch("which", ('"TimeoutError" in tags', "over")),
                        {"other": {"raise": e("error")}},
                        returns("over", {"error": states.TIMEOUT, "cause": ""}),
                    ],
                },
            }},
            assign("body", ("body", e('received["http_request"]["body"]'))),
            switch("map", ('get_type(body) != "map"', "left")),
            switch("known", ('not ("signal" in body)', "left")),
            switch("mine", ('body["signal"] != name', "left")),
            call("sized", "portafaas_sized", value=e('body["payload"]')),
            returns("done", {"ok": e('body["payload"]')}),
            returns("timeout", {"error": states.TIMEOUT, "cause": ""}),
        ),
    }  # fmt: skip


def checking() -> dict[str, Routine]:
    """Return what has a function check a value by a schema (W-21): Workflows knows none."""
    return {
        # {"ok"}, or {"error", "cause"}; what never came to the function is asked again.
        "portafaas_fits": routine(
            ["url", "timeout", "value", "schema", "error"],
            assign("begin", ("tries", 1), ("response", {}), ("answer", {})),
            _send("problem", input="value", schema="schema", error="error"),
            switch("came", ('"error" in answer', "again")),
            call("read", "portafaas_answer", "answer", response=e("response")),
            switch("again", ('"ok" in answer', "done"), ('answer["error"] == error', "done"),
                    (f"tries == {ASKED}", "done")),
            call("sleep", "sys.sleep", seconds=e("tries")),
            assign("following", ("tries", e("tries + 1")), ("answer", {}), next="send"),
            returns("done", e("answer")),
        ),
    }  # fmt: skip


def together() -> dict[str, Routine]:
    """Return what goes before and after branches and items."""
    return {
        # The items of a map, and room for what comes of them.
        "portafaas_items": routine(
            ["value", "path", "shown", "most", "step"],
            call("look", "portafaas_at", "items", value=e("value"), path=e("path"),
                  shown=e("shown")),
            switch("kind", ('get_type(items) == "list"', "count")),
            fault("wrong", states.RUNTIME, e('"items of " + step + " are no list"')),
            switch("count", ("len(items) <= most", "room")),
            returns("many", {"error": states.TOO_MANY_ITEMS,
                             "cause": e('string(len(items)) + " items of " + step')}),
            assign("room", ("answers", []), ("at", 0)),
            switch("more", ("at == len(items)", "done")),
            assign("one", ("answers", e("list.concat(answers, at)")), ("at", e("at + 1")),
                    next="more"),
            returns("done", {"items": e("items"), "answers": e("answers")}),
        ),
        # Rule W-11: the outputs in order, or the first failure; and the log with those within.
        "portafaas_gather": routine(
            ["answers", "log"],
            assign("begin", ("at", 0), ("ok", []), ("failed", -1), ("fatal", -1)),
            switch("more", ("at == len(answers)", "which")),
            assign("one", ("answer", e("answers[at]")), ("k", 0), ("ok", e("list.concat(ok, 0)"))),
            switch("kept", ('k == len(answer["log"])', "good")),
            assign("keep", ("log", e('list.concat(log, answer["log"][k])')), ("k", e("k + 1")),
                    next="kept"),
            switch("good", ('"error" in answer', "bad")),
            assign("put", ("ok[at]", e('answer["ok"]')), next="following"),
            assign("bad", ("error", e('answer["error"]'))),
            switch("worse", (f'error == "{states.RUNTIME}"', "fatal"),
                    (f'error == "{states.TOO_LARGE}"', "fatal")),
            switch("first", ("failed >= 0", "following")),
            assign("failed", ("failed", e("at")), next="following"),
            switch("fatal", ("fatal >= 0", "following")),
            assign("fatal_first", ("fatal", e("at"))),
            assign("following", ("at", e("at + 1")), next="more"),
            switch("which", ("fatal >= 0", "fatal_one"), ("failed >= 0", "failed_one")),
            call("sized", "portafaas_sized", value=e("ok")),
            returns("done", {"ok": e("ok"), "log": e("log")}),
            assign("fatal_one", ("failed", e("fatal"))),
            returns("failed_one", {"error": e('answers[failed]["error"]'),
                                   "cause": e('answers[failed]["cause"]'), "log": e("log")}),
        ),
    }  # fmt: skip


def apart_routines() -> dict[str, Routine]:
    """Return what starts executions."""
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
        "portafaas_apart": routine(
            ["routine", "given", "run", "timeout"],
            assign("begin", ("argument", {"portafaas": {"routine": e("routine"), "run": e("run"),
                                                         "given": e("given")}}),
                    ("until", e("sys.now() + timeout")), ("pause", 1), ("base", e(base)),
                    ("answer", {}), ("got", {}), ("words", e("json.encode_to_string(argument)"))),
            switch("size", (f"len(words) <= {LONGEST_ARGUMENT}", "create")),
            returns("large", {"error": states.TOO_LARGE, "log": [], "cause":
                    f"more than {LONGEST_ARGUMENT} bytes of JSON for an execution of its own"}),
            {"create": {
                "try": {
                    "call": "http.post",
                    "args": {"url": e("base"), "auth": signed,
                             "body": {"argument": e("words"), "labels": {RUN: e("run")}}},
                    "result": "got",
                },
                "except": {"as": "error", "steps": [
                    call("refused", "portafaas_refused", "answer", error=e("error")),
                ]},
            }},
            switch("made", ('"error" in answer', "not_made")),
            assign("place", ("place", e('"https://workflowexecutions.googleapis.com/v1/" + '
                                         'got["body"]["name"]'))),
            assign("left", ("left", e("until - sys.now()"))),
            switch("late", ("left <= 0", "cancel"), ("left >= pause", "sleep")),
            assign("less", ("pause", e("left"))),
            call("sleep", "sys.sleep", seconds=e("pause")),
            switch("grow", ("pause > 200", "look")),
            assign("longer", ("pause", e("pause * 1.25"))),
            {"look": {
                "try": {
                    "call": "http.get",
                    "args": {"url": e("place"), "auth": signed},
                    "result": "got",
                },
                # It is asked again.
                "except": {"as": "error", "steps": [assign("lost", ("got", {}))]},
            }},
            switch("came", ('not ("body" in got)', "left"), ('got["body"]["state"] == "ACTIVE"',
                    "left"), ('got["body"]["state"] == "QUEUED"', "left"),
                    ('got["body"]["state"] == "SUCCEEDED"', "done")),
            returns("ended", {"error": states.RUNTIME, "log": [], "cause":
                    e('"an execution of a part is " + got["body"]["state"]')}),
            returns("done", e('json.decode(got["body"]["result"])')),
            returns("not_made", {"error": e('answer["error"]'), "cause": e('answer["cause"]'),
                                 "log": []}),
            {"cancel": {
                "try": {
                    "call": "http.post",
                    "args": {"url": e('place + ":cancel"'), "auth": signed, "body": {}},
                    "result": "got",
                },
                # It has ended meanwhile: too late all the same.
                "except": {"as": "error", "steps": [assign("gone", ("got", {}))]},
            }},
            returns("timeout", {"error": states.TIMEOUT, "cause": "", "log": []}),
        ),
    }  # fmt: skip
