"""Workflows, by the control function of their app. Ships.

An address is ``https://<app>/portafaas/workflows/<workflow>#<resource>``: after the ``#`` is whom
the token is for. One that begins with ``/`` is in the app itself.
"""

from __future__ import annotations

from portafaas.runtime.resources import NotFound, NotWaiting, ResourceError
from portafaas.runtime.workflows import RunStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds to wait for an answer: the app may have to start first.
TIMEOUT = 60.0
ATTEMPTS = 3


def start(address: str, input: Any) -> str:
    """Start a run and return its id, which is chosen here: asking again starts no second one."""
    from uuid import uuid4

    run = uuid4().hex
    call("POST", address, "", {"run": run, "input": input}, "start", ATTEMPTS)
    return run


def status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    found = call("GET", address, f"/{_id(run)}", None, "ask for a run of", ATTEMPTS)
    return RunStatus(
        run,
        found.get("state", "running"),
        found.get("output"),
        found.get("error", ""),
        found.get("cause", ""),
        found.get("waiting", ()),
    )


def signal(address: str, run: str, name: str, payload: Any) -> None:
    """Signal a run; raises NotFound or NotWaiting. It is not repeated: it might have arrived."""
    path = f"/{_id(run)}/{_word(name)}"
    call("POST", address, path, {"payload": payload}, "signal a run of", 1)


def _id(run: str) -> str:
    if not run.strip("."):  # Such a path would be of something else.
        raise NotFound(f"there is no run {run!r}")
    return _word(run)


def _word(text: str) -> str:
    from portafaas.runtime.text import percent_encode

    return percent_encode(text)


def call(
    method: str, address: str, path: str, document: Any, what: str, attempts: int
) -> dict[str, Any]:
    """Send a request; return the JSON object of the answer, or raise a ResourceError."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from json import dumps, loads
    from os import environ
    from time import sleep

    from portafaas_azure.runtime.identity import token

    where, _, resource = address.partition("#")
    if where.startswith("/"):
        where = f"https://{environ.get('WEBSITE_HOSTNAME', 'localhost')}{where}"
    scheme, _, rest = where.partition("://")
    host, _, base = rest.partition("/")
    what = f"{what} {where.rpartition('/')[2]}"
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    body = None if document is None else dumps(document).encode()
    refused = False
    attempt = 1
    while True:
        if resource:
            headers["Authorization"] = f"Bearer {token(resource, refused).token}"
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        connection = kind(host, timeout=TIMEOUT)
        try:
            connection.request(method, f"/{base}{path}", body, headers)
            response = connection.getresponse()
            code, text = response.status, response.read()
        except (OSError, HTTPException) as exc:
            if attempt >= attempts:
                reason = str(exc) or type(exc).__name__
                raise ResourceError(f"cannot {what}: {reason}", retryable=True) from exc
            code, text = 0, b""
        finally:
            connection.close()
        if attempt < attempts and (code in (0, 401, 408, 429) or code >= 500):
            refused = code == 401
            sleep(0.1 * 4 ** (attempt - 1))
            attempt += 1
            continue
        try:
            found = loads(text)
        except ValueError:
            found = {}
        answer: dict[str, Any] = found if isinstance(found, dict) else {}
        if code == 200:
            return answer
        message = f"cannot {what}: {answer.get('error') or f'status {code}'}"
        if code == 404:
            raise NotFound(message)
        if code == 409:
            raise NotWaiting(message)
        raise ResourceError(message, retryable=code in (408, 429) or code >= 500)
