"""Runs of workflows over the Workflow Executions API. Ships.

https://cloud.google.com/workflows/docs/reference/executions/rest
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from portafaas.runtime.workflows import RunStatus

    #: Returns the JSON object at a path below a run, of which queries are a part; None: not there.
    Get = Callable[[str], Mapping[str, Any] | None]

#: Bytes of a run's argument:
#: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions
ARGUMENT = 32_768
#: Of the names of steps that wait for a signal.
AWAIT = "await_"
_STATES = {
    "ACTIVE": "running",
    "QUEUED": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}
#: Seconds between two looks at whether a signal was taken, in turn.
LOOKS = (0.05, 0.1, 0.2, 0.4, 0.8)
#: What is in progress, as the reference of the field and its example write it.
_FILTER = "stepEntries?pageSize=1000&filter=state%3D%22STATE_IN_PROGRESS%22"


def encoded(name: str) -> str:
    """Return a name of the manifest as part of a step's name; no two give the same."""
    return name.replace("_", "_u").replace("-", "_d")


def decoded(text: str) -> str:
    """Return the name that *text* was made of."""
    return text.replace("_d", "-").replace("_u", "_")


def argument_of(input: Any) -> str:
    """Return a run's argument; raises ValueError for more than the platform takes."""
    from json import dumps

    text = dumps({"input": input}, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode("utf-8", "surrogatepass")) > ARGUMENT:
        raise ValueError(
            f"Google Workflows takes an input of at most {ARGUMENT} bytes of JSON: keep it in a "
            "bucket, send its key"
        )
    return text


def outcome(execution: Mapping[str, Any]) -> tuple[str, Any, str, str]:
    """Return state, output, error and cause of an execution.

    What the platform ends by itself, such as a run that is out of memory, is ``States.Runtime``.
    """
    from json import loads

    state = _STATES.get(str(execution.get("state")), "failed")
    if state == "succeeded":
        return state, loads(execution.get("result") or "null"), "", ""
    if state != "failed":
        return state, None, "", ""
    payload = str((execution.get("error") or {}).get("payload", ""))
    try:
        found = loads(payload)
    except ValueError:
        found = payload
    if isinstance(found, dict) and "error" in found and "cause" in found:
        return state, None, str(found["error"]), str(found["cause"])
    said = found.get("message") if isinstance(found, dict) else None
    return state, None, "States.Runtime", str(said or payload)


def waiting(get: Get) -> list[str]:
    """Return the names of the signals that a run waits for; *get* reads below the run.

    Callbacks have no names, so the steps that wait for them do.
    """
    if not open_callbacks(get):
        return []
    found = _awaited(get, _FILTER)
    # Whether a run has steps in progress is not for a filter to decide.
    return found or _awaited(get, "stepEntries?pageSize=1000")


def _awaited(get: Get, path: str) -> list[str]:
    out: dict[str, None] = {}
    for entry in _pages(get, path, "stepEntries"):
        step = str(entry.get("step", ""))
        if step.startswith(AWAIT) and entry.get("state") == "STATE_IN_PROGRESS":
            out[decoded(step[len(AWAIT) :].partition("__")[0])] = None
    return list(out)


def open_callbacks(get: Get) -> list[str]:
    """Return the ids of the callbacks that a step of a run waits on, and that have come to none."""
    return [
        str(item["name"]).rpartition("/")[2]
        for item in _pages(get, "callbacks?pageSize=100", "callbacks")
        if int(item.get("waiters") or 0) > 0 and not item.get("availablePayloads")
    ]


def give(get: Get, post: Callable[[str, Mapping[str, Any]], bool], name: str, payload: Any) -> bool:
    """Send the signal *name* to every callback that is waited on; tell whether it was taken.

    A step that waits for another signal goes on waiting (``portafaas_gcp.workflows.library``).
    *post* sends a body to a callback, and tells whether it was accepted. What is accepted after
    the step has gone on stays with the callback, and nobody takes it:
    https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions.callbacks
    """
    from time import sleep
    from uuid import uuid4

    by = uuid4().hex[:12]
    body = {"signal": name, "payload": payload, "by": by}
    posted = [one for one in open_callbacks(get) if post(one, body)]
    waits = False
    for seconds in LOOKS if posted else ():
        holding = {
            str(item["name"]).rpartition("/")[2]: int(item.get("waiters") or 0) > 0
            for item in _pages(get, "callbacks?pageSize=100", "callbacks")
            if by in str(item.get("availablePayloads") or "")
        }
        if not all(one in holding for one in posted):
            return True
        waits = any(holding.values())
        sleep(seconds)
    return waits


def _pages(get: Get, path: str, field: str) -> Iterable[Mapping[str, Any]]:
    from urllib.parse import quote

    token = ""
    while True:
        page = get(f"{path}&pageToken={quote(token, safe='')}" if token else path) or {}
        yield from page.get(field) or ()
        token = str(page.get("nextPageToken") or "")
        if not token:
            return


def _url(place: str) -> str:
    from portafaas_gcp.runtime.rest import endpoint

    return f"{endpoint('workflowexecutions')}v1/{place}"


def start(address: str, input: Any) -> str:
    """Start a run and return its id. A start whose answer is lost is not repeated."""
    from portafaas_gcp.runtime.rest import call, refusal

    body = {"argument": argument_of(input)}
    what = f"start {address.rpartition('/')[2]}"
    status, document = call("POST", _url(f"{address}/executions"), what, body, once=True)
    if status != 200:
        raise refusal(what, status, document)
    return str(document["name"]).rpartition("/")[2]


def status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    from portafaas.runtime.workflows import RunStatus

    state, output, error, cause = outcome(_execution(address, run))
    names = waiting(_reader(address, run)) if state == "running" else []
    return RunStatus(run, state, output, error, cause, names)  # type: ignore[arg-type]


def _execution(address: str, run: str) -> Mapping[str, Any]:
    from portafaas.runtime.resources import NotFound

    # Without a word of its own in the path, something else would be asked for.
    found = _reader(address, run)("") if run.strip(".") else None
    if found is None:
        raise NotFound(f"there is no run {run}")
    return found


def _reader(address: str, run: str) -> Get:
    from urllib.parse import quote

    from portafaas_gcp.runtime.rest import call, refusal

    place = f"{address}/executions/{quote(run, safe='')}"

    def get(path: str) -> Mapping[str, Any] | None:
        what = f"read the run {run}"
        status, document = call("GET", _url(f"{place}/{path}".rstrip("/")), what)
        # An id that is none is refused as an argument.
        if status == 404 or (status == 400 and not path):
            return None
        if status != 200:
            raise refusal(what, status, document)
        return document

    return get


def signal(address: str, run: str, name: str, payload: Any) -> None:
    """Hand *payload* to a run that waits for *name*; raises NotFound and NotWaiting."""
    from portafaas.runtime.resources import NotWaiting
    from portafaas_gcp.runtime.rest import call, refusal

    def post(callback: str, body: Mapping[str, Any]) -> bool:
        place = f"{address}/executions/{run}/callbacks/{callback}"
        what = f"signal the run {run}"
        status, document = call("POST", _url(place), what, body, once=True)
        if not 200 <= status < 300 and status not in (404, 429):  # ended, or about to go on
            raise refusal(what, status, document)
        return 200 <= status < 300

    state = outcome(_execution(address, run))[0]
    get = _reader(address, run)
    if state != "running" or name not in waiting(get) or not give(get, post, name, payload):
        raise NotWaiting(f"the run {run} does not wait for the signal {name!r}")
