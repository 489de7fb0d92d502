"""Google Workflows on this machine: workflows-emulator, where it differs from the vendor's
documentation put right from outside, and the Workflow Executions API in front of it.

Runs in an environment of its own (``gcp.py`` makes it), as ``python gcp_engine.py``: it prints the
port that it listens on at 127.0.0.1. ``docs/vendor-runtimes.md`` has the list of what is put right,
each with the vendor's page.

Sleeping takes no time unless ``clock`` is ``real``. With ``signals`` in the labels of an execution
(a test's own: ``{name: [seconds, payload]}``) callbacks come by that plan, else over the API.
"""

from __future__ import annotations

import contextvars
import copy
import json
import logging
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import workflows_emulator.main as emulator
import workflows_emulator.render as render
from workflows_emulator.utils import WorkflowError

logging.disable(logging.CRITICAL)

LIMITS = {"assign": 50, "switch": 50, "branches": 10, "depth": 20, "nested": 2, "steps": 100_000}
#: The execution that this thread works for, its open step entries, and its depths.
CURRENT: contextvars.ContextVar[Any] = contextvars.ContextVar("current")
ROUTINE: contextvars.ContextVar[str] = contextvars.ContextVar("routine", default="")
STACK: contextvars.ContextVar[tuple[Any, ...]] = contextvars.ContextVar("stack", default=())
DEPTH: contextvars.ContextVar[int] = contextvars.ContextVar("depth", default=0)
#: The routine whose loop this is in, and the number of the iteration, from 1.
PROGRESS: contextvars.ContextVar[tuple[str, int]] = contextvars.ContextVar("progress", default=("", 0))
NESTED: contextvars.ContextVar[int] = contextvars.ContextVar("nested", default=0)


class Stopped(BaseException):
    """A run that is canceled, or that waits for what never comes."""


def error(tag: str, message: str, **more: Any) -> WorkflowError:
    made = WorkflowError(message)
    made.payload = {"message": message, "tags": [tag], **more}
    return made


# Expressions: one is the whole of a text, and what it evaluates to is the value as it is. Types go
# by the names of the reference; null, texts and lists do what the reference says.

NAMES = {
    bool: "boolean", int: "integer", float: "double", str: "string", list: "list", dict: "map",
    bytes: "bytes", type(None): "null",
}  # fmt: skip


class Map(dict):  # type: ignore[type-arg]
    """A map in an expression; a key that is not there is a KeyError, and no key an attribute."""


def length(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise error("TypeError", f"len of {value!r}")
    return len(value)


def merge(first: Any, second: Any) -> Any:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        raise error("TypeError", "map.merge of what is no map")
    return {**first, **second}


def concat(first: Any, value: Any) -> Any:
    if not isinstance(first, list):
        raise error("TypeError", "list.concat to what is no list")
    return [*first, value]


def encode_to_string(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode("utf-8", "surrogatepass")) > 262_144:
        raise error("ResourceLimitError", "a string of more than 256 KB")
    return text


def find_all_regex(source: str, regexp: str) -> list[dict[str, Any]]:
    import re2

    return [{"index": m.start(), "match": m.group(0)} for m in re2.finditer(regexp, source)]


class Module:
    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)


def get_env(name: str) -> str:
    found: str = CURRENT.get().env[name]
    return found


LIBRARY = {
    "get_type": lambda value: NAMES[type(value)],
    "len": length,
    "string": lambda value: (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    ),
    "double": float,
    "int": int,
    "map": Module(merge=merge),
    "list": Module(concat=concat),
    "json": Module(encode_to_string=encode_to_string, decode=json.loads),
    "text": Module(
        find_all_regex=find_all_regex,
        match_regex=render.lib_text.match_regex,
        substring=render.lib_text.substring,
    ),
    "sys": Module(now=lambda: CURRENT.get().now(), get_env=get_env),
}
COMPILED: dict[str, Any] = {}


def run_code(code: str, context: Any) -> Any:
    if len(code) > 400:
        raise error("ResourceLimitError", f"an expression of {len(code)} characters")
    compiled = COMPILED.get(code)
    if compiled is None:
        compiled = COMPILED[code] = compile(code, "expression", "eval")
    try:
        # Values are copied where they are used: what is assigned is never shared.
        return copy.deepcopy(eval(compiled, {"__builtins__": {}, **LIBRARY}, context))
    except WorkflowError:
        raise
    except NameError as exc:
        raise error("KeyError", str(exc)) from None
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as exc:
        raise error(type(exc).__name__, str(exc)) from None


def render_str(value: Any, context: Any) -> Any:
    if not isinstance(value, str) or "${" not in value:
        return value
    assert value.startswith("${") and value.endswith("}"), f"not one expression: {value}"
    return run_code(value[2:-1], context)


def assign_var(key: str, value: Any, context: Any) -> tuple[str, Any]:
    root, bracket, rest = key.partition("[")
    if not bracket:
        return root, value
    place = run_code(rest[:-1], context)
    target = copy.deepcopy(context[root])
    target[place] = value
    return root, target


render.run_code = emulator.run_code = run_code
render.render_str = render_str
emulator.assign_var = assign_var


# A subworkflow that returns null returns. Its variables are its own.


class Returned(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


def execute_return(self: Any) -> Any:
    raise Returned(render.render_config(self.config["return"], self.context))


def execute_subworkflow(workflow: Any, params: Any, routine: Any) -> Any:
    if DEPTH.get() >= LIMITS["depth"]:
        raise error("RecursionError", "more than 20 calls within one another")
    token = DEPTH.set(DEPTH.get() + 1)
    named = ROUTINE.set(routine)
    variables = {}
    for name in workflow.get("params", []):
        if name not in params:
            raise error("KeyError", f"no argument {name}")
        variables[name] = params[name]
    if set(params) - set(variables):
        raise error("TypeError", f"arguments {sorted(params)} of {sorted(variables)}")
    try:
        _, after, _ = emulator.execute_steps_list(workflow["steps"], variables)
        assert after is None, f"no step {after}"
        return None
    except Returned as returned:
        return returned.value
    finally:
        DEPTH.reset(token)
        ROUTINE.reset(named)


emulator.StepReturn.execute = execute_return
emulator.execute_subworkflow = execute_subworkflow


def execute_call(self: Any) -> Any:
    name = self.config["call"]
    args = render.render_config(self.config.get("args", {}), self.context)
    execution = CURRENT.get()
    if name in execution.source:
        value = execute_subworkflow(execution.source[name], args, name)
    else:
        call: Any = CALLS[name]
        value = call(**args)
    if "result" in self.config:
        self.context[self.config["result"]] = value
    return self.context, self.config.get("next"), None


def post(url: str, timeout: float, auth: Any, body: Any) -> Any:
    """http.post with an ID token of the workflow's account: its e-mail stands in for one."""
    assert auth == {"type": "OIDC"}, auth
    assert 0 < timeout <= 1800, timeout
    headers = {"Authorization": "Bearer workflow", "User-Agent": "GoogleCloudWorkflows"}
    execution = CURRENT.get()
    try:
        found = requests.post(url, json=body, headers=headers, timeout=timeout)
    except requests.Timeout:
        raise error("TimeoutError", "the call took too long") from None
    except requests.ConnectionError as exc:
        tag = "ConnectionFailedError" if "refused" in str(exc) else "ConnectionError"
        raise error(tag, str(exc)) from None
    execution.alive()
    is_json = "application/json" in found.headers.get("content-type", "")
    body = found.json() if is_json else found.text
    if found.status_code >= 400:
        raise error("HttpError", f"HTTP server responded with error code {found.status_code}",
                    code=found.status_code, headers=dict(found.headers), body=body)  # fmt: skip
    return {"code": found.status_code, "headers": dict(found.headers), "body": body}


def api(method: str, url: str, body: Any) -> Any:
    """A call of the Workflow Executions API with an access token of the workflow's account."""
    host, _, path = url.removeprefix("https://").partition("/")
    assert host == "workflowexecutions.googleapis.com", host
    execution = CURRENT.get()
    try:
        found = WORLD.answer(method, f"/{path}", {}, copy.deepcopy(body), execution)
    except Refused as exc:
        raise error(
            "HttpError", "the API refused", code=exc.status, headers={}, body=exc.document
        ) from None
    execution.alive()
    return {"code": 200, "headers": {}, "body": found}


def http_post(url: str, auth: Any, body: Any, timeout: float = 300) -> Any:
    if auth == {"type": "OAuth2"}:
        return api("POST", url, body)
    return post(url, timeout, auth, body)


def http_get(url: str, auth: Any) -> Any:
    assert auth == {"type": "OAuth2"}, auth
    return api("GET", url, None)


def sleep(seconds: float) -> None:
    assert isinstance(seconds, (int, float)), seconds
    CURRENT.get().sleep(seconds)


def sleep_until(time: str) -> None:
    try:
        then = datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise error("ValueError", f"no time: {time}") from None
    CURRENT.get().sleep(then - CURRENT.get().now())


def create_callback_endpoint(http_callback_method: str) -> Any:
    assert http_callback_method == "POST"
    return CURRENT.get().callback()


def await_callback(callback: Any, timeout: float) -> Any:
    return CURRENT.get().wait(callback, timeout)


CALLS = {
    "http.post": http_post,
    "http.get": http_get,
    "sys.sleep": sleep,
    "sys.sleep_until": sleep_until,
    "events.create_callback_endpoint": create_callback_endpoint,
    "events.await_callback": await_callback,
}
emulator.StepCall.execute = execute_call


# A step may have a next, whatever it does; each is an entry of the history.


def execute_step(step_id: Any, config: Any, context: Any) -> Any:
    executor = emulator.get_step_executor(config)
    execution = CURRENT.get()
    execution.alive()
    for word in ("assign", "switch"):
        if len(config.get(word, ())) > LIMITS[word]:
            raise error("ResourceLimitError", f"too many of {word}")
    entry = execution.entered(step_id, config)
    token = STACK.set((*STACK.get(), entry))
    try:
        found = executor(step_id=step_id, config=config, context=context).execute()
        entry["state"] = "STATE_SUCCEEDED"
        return found
    except Returned:
        entry["state"] = "STATE_SUCCEEDED"
        raise
    except WorkflowError as exc:
        entry["state"] = "STATE_FAILED"
        entry["exception"] = {"payload": json.dumps(exc.payload)}
        raise
    finally:
        entry["updateTime"] = stamp(time.time())
        STACK.reset(token)


def execute_try(self: Any) -> Any:
    assert "retry" not in self.config
    try:
        return execute_step(self.step_id, self.config["try"], self.context)
    except WorkflowError as exc:
        after = self.config["except"]
        self.context[after["as"]] = copy.deepcopy(exc.payload)
        return emulator.execute_steps_list(after["steps"], self.context)


def execute_raise(self: Any) -> Any:
    made = WorkflowError("raised")
    made.payload = render.render_config(self.config["raise"], self.context)
    raise made


def execute_for(self: Any) -> Any:
    """Variables of a loop are its own, those from before it stay changed."""
    config = self.config["for"]
    inner = self.context
    before = set(inner)
    for index, value in enumerate(items_of(config, inner)):
        inner[config["value"]] = value
        if "index" in config:
            inner[config["index"]] = index
        token = PROGRESS.set((ROUTINE.get(), index + 1))
        try:
            _, after, _ = emulator.execute_steps_list(config["steps"], inner)
        finally:
            PROGRESS.reset(token)
        assert after is None, after
    for name in set(inner) - before:
        del inner[name]
    return self.context, None, None


def items_of(config: Any, context: Any) -> list[Any]:
    if "in" in config:
        found = render.render_config(config["in"], context)
        if not isinstance(found, list):
            raise error("TypeError", "for in what is no list")
        return found
    first, last = render.render_config(config["range"], context)
    return list(range(first, last + 1))


class Shared(dict):  # type: ignore[type-arg]
    """Variables of a branch: what is shared is that of the step around it, the rest its own."""

    def __init__(self, outer: Any, shared: list[str], own: Any) -> None:
        # Values from before may be read, not assigned.
        super().__init__({name: copy.deepcopy(outer[name]) for name in outer if name not in shared})
        self.outer, self.shared, self.before = outer, frozenset(shared), frozenset(outer) - set(own)
        super().update(own)

    def __getitem__(self, name: str) -> Any:
        return self.outer[name] if name in self.shared else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in self.shared or super().__contains__(name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self.shared:
            self.outer[name] = value
            return
        if name in self.before:
            raise error("ValueError", f"{name} is not shared")
        super().__setitem__(name, value)


def execute_parallel(self: Any) -> Any:
    if NESTED.get() >= LIMITS["nested"]:
        raise error("ParallelNestingError", "more than 2 parallel steps within one another")
    config, outer = self.config["parallel"], self.context
    shared = config.get("shared", [])
    assert all(name in outer for name in shared), shared
    if "for" in config:
        loop = config["for"]
        tasks = []
        for index, value in enumerate(items_of(loop, outer)):
            own = {loop["value"]: value}
            if "index" in loop:
                own[loop["index"]] = index
            tasks.append((loop["steps"], own))
    else:
        assert len(config["branches"]) <= LIMITS["branches"]
        tasks = [(next(iter(branch.values()))["steps"], {}) for branch in config["branches"]]
    most = min(config.get("concurrency_limit") or 20, 20)
    failures: list[BaseException] = []

    def branch(steps: Any, own: Any, number: int) -> None:
        PROGRESS.set((ROUTINE.get(), number if "for" in config else 0))
        try:
            emulator.execute_steps_list(steps, Shared(outer, shared, own))
        except BaseException as exc:
            failures.append(exc)

    token = NESTED.set(NESTED.get() + 1)
    if tasks:
        with ThreadPoolExecutor(most) as pool:
            for number, (steps, own) in enumerate(tasks, 1):
                pool.submit(contextvars.copy_context().run, branch, steps, own, number)
    NESTED.reset(token)
    for failure in failures:
        if not isinstance(failure, WorkflowError):
            raise failure
    if failures:
        raise error("UnhandledBranchError", "; ".join(map(repr, failures)))
    return self.context, self.config.get("next"), None


def execute_assign(self: Any) -> Any:
    with ASSIGNING:
        for pair in self.config["assign"]:
            ((key, value),) = pair.items()
            root, new = assign_var(key, render.render_config(value, self.context), self.context)
            self.context[root] = new
    return self.context, self.config.get("next"), None


def execute_switch(self: Any) -> Any:
    for rule in self.config["switch"]:
        holds = render.render_config(rule["condition"], self.context)
        if not isinstance(holds, bool):
            raise error("TypeError", f"no boolean: {rule['condition']}")
        if holds:
            if "steps" in rule:
                _, after, _ = emulator.execute_steps_list(rule["steps"], self.context)
                return self.context, after or self.config.get("next"), None
            return self.context, rule["next"], None
    return self.context, self.config.get("next"), None


ASSIGNING = threading.RLock()
emulator.execute_step = execute_step
emulator.StepTry.execute = execute_try
emulator.StepRaise.execute = execute_raise
emulator.StepFor.execute = execute_for
emulator.StepParallel.execute = execute_parallel
emulator.StepAssign.execute = execute_assign
emulator.StepSwitch.execute = execute_switch


# The Workflow Executions API.


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Execution:
    def __init__(self, name: str, source: Any, argument: str, labels: Any) -> None:
        self.name, self.source, self.argument = name, source, argument
        self.labels = {k: v for k, v in labels.items() if k.startswith("portafaas-")}
        self.real = labels.get("clock") in ("real", "real-time")
        self.signals = labels.get("signals")
        self.slept = 0.0
        self.begun = time.time()
        self.ended = 0.0
        self.state = "ACTIVE"
        self.result: str | None = None
        self.error: str | None = None
        self.entries: list[dict[str, Any]] = []
        self.callbacks: dict[str, dict[str, Any]] = {}
        self.changed = threading.Condition()
        parts = name.split("/")
        self.env = {
            "GOOGLE_CLOUD_PROJECT_ID": parts[1],
            "GOOGLE_CLOUD_LOCATION": parts[3],
            "GOOGLE_CLOUD_WORKFLOW_ID": parts[5],
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": parts[7],
        }

    def now(self) -> float:
        return time.time() + self.slept

    def alive(self) -> None:
        if self.state != "ACTIVE":
            raise Stopped

    def sleep(self, seconds: float) -> None:
        if not self.real:
            self.slept += max(seconds, 0)
            return
        with self.changed:
            self.changed.wait_for(lambda: self.state != "ACTIVE", max(seconds, 0))
        self.alive()

    def entered(self, step: Any, config: Any) -> dict[str, Any]:
        if len(self.entries) >= LIMITS["steps"]:
            raise error("ResourceLimitError", "more than 100000 steps")
        kind = "STEP_ASSIGN"
        if "call" in config:
            inside = config["call"] in self.source
            kind = "STEP_SUBWORKFLOW_CALL" if inside else "STEP_STD_LIB_CALL"
        parent = STACK.get()[-1]["entryId"] if STACK.get() else "0"
        entry = {
            "step": step, "routine": ROUTINE.get(), "state": "STATE_IN_PROGRESS", "createTime": stamp(time.time()),
            "stepType": kind, "navigationInfo": {"parent": parent},
        }  # fmt: skip
        routine, place = PROGRESS.get()
        if place and routine == ROUTINE.get():
            entry["stepEntryMetadata"] = {"progressType": "PROGRESS_TYPE_FOR", "progressNumber": str(place)}
        with self.changed:
            self.entries.append(entry)
            last = str(len(self.entries))
        entry |= {"entryId": last, "name": f"{self.name}/stepEntries/{last}"}
        return entry

    def callback(self) -> Any:
        name = f"{self.name}/callbacks/{uuid.uuid4()}"
        self.callbacks[name] = {"name": name, "method": "POST", "waiters": 0, "payloads": []}
        return {"url": f"http://127.0.0.1/v1/{name}", "name": name}

    def wait(self, callback: Any, timeout: float) -> Any:
        if self.signals is not None:
            return self.planned(timeout)
        mine = self.callbacks[callback["name"]]
        with self.changed:
            mine["waiters"] += 1
            came = self.changed.wait_for(
                lambda: mine["payloads"] or self.state != "ACTIVE", timeout
            )
            mine["waiters"] -= 1
            self.alive()
            if not came:
                raise error("TimeoutError", "no callback came")
            return {"http_request": {"body": mine["payloads"].pop(0)}, "type": "HTTP"}

    def planned(self, timeout: float) -> Any:
        step = next(e["step"] for e in reversed(STACK.get()) if e["step"].startswith("await_"))
        # As the driver reads it.
        name = step[len("await_") :].partition("__")[0].replace("_d", "-").replace("_u", "_")
        if name not in self.signals and timeout >= 31_000_000:
            raise Stopped
        when, payload = self.signals.get(name, (float("inf"), None))
        if when > timeout:
            self.slept += timeout
            raise error("TimeoutError", "no callback came")
        self.slept += when
        return {"http_request": {"body": {"signal": name, "payload": payload}}, "type": "HTTP"}

    def run(self) -> None:
        CURRENT.set(self)
        try:
            value = execute_subworkflow(
                self.source["main"], {"args": json.loads(self.argument)}, "main"
            )
            self.end("SUCCEEDED", result=json.dumps(value))
        except WorkflowError as exc:
            self.end("FAILED", error=json.dumps(exc.payload))
        except Stopped:
            if self.state == "ACTIVE":
                self.state = "WAITING"
        except BaseException as exc:
            import traceback

            self.end("FAILED", error=json.dumps({"message": traceback.format_exc(), "tags": [
                "EmulatorError", type(exc).__name__]}))  # fmt: skip

    def end(self, state: str, result: str | None = None, error: str | None = None) -> None:
        with self.changed:
            if self.state == "ACTIVE":
                self.state, self.result, self.error = state, result, error
                self.ended = time.time()
            self.changed.notify_all()

    def document(self) -> dict[str, Any]:
        out = {
            "name": self.name, "state": self.state, "argument": self.argument, "labels": self.labels,
            "createTime": stamp(self.begun), "startTime": stamp(self.begun),
        }  # fmt: skip
        if self.ended:
            out["endTime"] = stamp(self.ended)
        if self.result is not None:
            out["result"] = self.result
        if self.error is not None:
            out["error"] = {"payload": self.error, "context": "in step"}
        return out


class Refused(Exception):
    def __init__(self, status: int, message: str, word: str) -> None:
        self.status, self.document = status, {
            "error": {"code": status, "message": message, "status": word}
        }  # fmt: skip


class World:
    def __init__(self) -> None:
        #: Sources by the names of workflows, executions by theirs.
        self.workflows: dict[str, Any] = {}
        self.executions: dict[str, Execution] = {}

    def answer(
        self, method: str, path: str, query: dict[str, str], body: Any, by: Any = None
    ) -> Any:
        if method == "PUT" and path.startswith("/source/"):
            self.workflows[path[len("/source/") :]] = body
            return {}
        name = path.removeprefix("/v1/")
        if method == "POST" and name.endswith("/executions"):
            return self.create(name[: -len("/executions")], body, by)
        if method == "GET" and name.endswith("/executions"):
            known = [e for e in self.executions.values() if e.name.startswith(f"{name}/")]
            size = int(query.get("pageSize", 100))
            return {"executions": [e.document() for e in reversed(known)][:size]}
        verb = ""
        if ":" in name:
            name, _, verb = name.partition(":")
        parts = name.split("/")
        execution = self.executions.get("/".join(parts[:8]))
        if execution is None:
            raise Refused(404, f"{name} not found", "NOT_FOUND")
        rest = "/".join(parts[8:])
        if method == "POST" and verb == "cancel":
            if execution.state not in ("ACTIVE", "WAITING"):
                raise Refused(400, "the execution has ended", "FAILED_PRECONDITION")
            execution.state = "ACTIVE"
            execution.end("CANCELLED", error=json.dumps({"message": "canceled"}))
            return execution.document()
        if method == "GET" and not rest:
            return execution.document()
        if method == "GET" and rest == "callbacks":
            found = [
                {
                    "name": one["name"], "method": one["method"], "waiters": str(one["waiters"]),
                    **({"availablePayloads": list(map(json.dumps, one["payloads"]))} if one["payloads"] else {}),
                }
                for one in execution.callbacks.values()
            ]
            return {"callbacks": found}
        if method == "GET" and rest == "stepEntries":
            wanted = query.get("filter", "")
            entries = [
                e for e in list(execution.entries) if not wanted or f'"{e["state"]}"' in wanted
            ]
            start = int(query.get("pageToken") or 0)
            size = int(query.get("pageSize", 1000))
            out: dict[str, Any] = {"stepEntries": entries[start : start + size]}
            if len(entries) > start + size:
                out["nextPageToken"] = str(start + size)
            return out
        if method == "POST" and rest.startswith("callbacks/"):
            return self.called_back(execution, name, body)
        raise Refused(404, f"no method {method} {path}", "NOT_FOUND")

    def create(self, workflow: str, body: Any, by: Any = None) -> Any:
        source = self.workflows.get(workflow.rpartition("/")[2])
        if source is None:
            raise Refused(404, f"{workflow} not found", "NOT_FOUND")
        argument = body.get("argument", "null")
        if len(argument) > 32_768 and "large" not in body.get("labels", {}):
            raise Refused(400, "the argument is over 32 KB", "INVALID_ARGUMENT")
        name = f"{workflow}/executions/{uuid.uuid4()}"
        execution = Execution(name, source, argument, body.get("labels", {}))
        self.executions[name] = execution
        if by is not None:
            # What a run starts has its clock and its signals; it is over when it is asked for.
            execution.real, execution.signals = by.real, by.signals
        context = contextvars.Context()
        thread = threading.Thread(target=context.run, args=(execution.run,), daemon=True)
        thread.start()
        if body.get("labels", {}).get("clock") in ("wait", "real") or (by and not by.real):
            thread.join()
        return execution.document()

    def called_back(self, execution: Execution, name: str, body: Any) -> Any:
        with execution.changed:
            found = execution.callbacks.get(name)
            if found is None or execution.state != "ACTIVE":
                raise Refused(404, "no such callback", "NOT_FOUND")
            if found["payloads"]:
                raise Refused(429, "a callback is waiting", "RESOURCE_EXHAUSTED")
            found["payloads"].append(body)
            execution.changed.notify_all()
        return {}


WORLD = World()


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def do(self) -> None:
        from urllib.parse import parse_qsl

        size = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path, _, query = self.path.partition("?")
        status = 200
        try:
            found = WORLD.answer(self.command, path, dict(parse_qsl(query)), body)
        except Refused as exc:
            status, found = exc.status, exc.document
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do

    def log_message(self, *args: Any) -> None:
        return


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)

    def ends_with_its_parent() -> None:
        sys.stdin.read()
        server.shutdown()

    threading.Thread(target=ends_with_its_parent, daemon=True).start()
    server.serve_forever()
