"""Answers that are kept, and given again to who asks again. Ships; for http and task functions."""

from __future__ import annotations

from portafaas.runtime.http import HttpError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Request

#: Bytes of an answer that is kept, as JSON; a row has 400 000.
MAX_ANSWER = 250_000


def refusal(state: str, left: float) -> HttpError:
    """Return what is answered while the same request is ``busy``, or when it is another."""
    if state == "busy":
        wait = str(max(1, -int(-left // 1)))
        return HttpError(409, "the same request is being processed", {"retry-after": wait})
    return HttpError(422, "the idempotency key was used with another request")


def replayed(answer: Mapping[str, Any] | None) -> Response:
    """Return the answer that was kept; raises HttpError 409 where none was."""
    if answer is None:
        raise HttpError(409, "the same request was done; its answer was too long to be kept")
    body: Any = answer.get("body")
    if answer.get("base64"):
        from binascii import a2b_base64

        body = a2b_base64(body)
    response = Response(body, answer["status"])
    response.headers = {**answer["headers"], "idempotent-replayed": "true"}
    response.cookies = list(answer["cookies"])
    return response


def kept(response: Response) -> dict[str, Any] | None:
    """Return *response* as a record keeps it, or None when it is too long."""
    body: Any = response.body
    answer: dict[str, Any] = {
        "status": response.status,
        "headers": dict(response.headers),
        "cookies": list(response.cookies),
        "body": body,
    }
    if isinstance(body, bytes):
        try:
            answer["body"] = body.decode("utf-8")
        except UnicodeDecodeError:
            from binascii import b2a_base64

            answer["body"] = b2a_base64(body, newline=False).decode("ascii")
            answer["base64"] = True
    from portafaas.runtime.outbound import to_json

    return answer if len(to_json(answer)) <= MAX_ANSWER else None


def kept_result(result: Any) -> dict[str, Any] | None:
    """Return a task's result as a record keeps it, or None when it is too long.

    Raises TypeError or ValueError for what is no JSON.
    """
    import json

    # As text: no table changes a number then.
    text = json.dumps(result, allow_nan=False, separators=(",", ":"))
    return {"result": text} if len(text) <= MAX_ANSWER else None


class _Plain:
    """Stands for the function where an answer is checked, without its CORS headers.

    They depend on who asks, and are added to every answer.
    """

    __slots__ = ("trigger",)

    def __init__(self, function: Function) -> None:
        self.trigger = {"max_body": function.trigger.get("max_body", 0)}


def checked(function: Function, request: Request, result: Any) -> Response:
    """Return what a handler returned as the Response that is sent, but for CORS."""
    from portafaas.runtime.serve import after

    plain: Any = _Plain(function)
    return after(plain, request, result)


def refused(response: Response) -> bool:
    """Tell whether the same request may succeed later: its answer is not kept."""
    return response.status >= 500 or response.status in (408, 425, 429)
