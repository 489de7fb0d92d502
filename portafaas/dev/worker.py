"""A process that runs one function for ``portafaas dev``; started before it is known which.

Its argument is the number of one end of a stream socket. The first frame from there says what to
be: the function, its environment, and file descriptors: the socket that requests come from, which
all processes of the function read, so that each takes the next one when it is free; a piece of
memory where it says which request it is at; where to print. Answers and logs go to the stream
(``portafaas.dev.frames``).
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
import threading
import time
from contextvars import ContextVar

from portafaas.dev.frames import (
    ANSWER,
    END,
    ERROR,
    FILE,
    HTTP,
    LOG,
    LONGEST,
    OK,
    READY,
    REFUSED,
    SLOT,
    TIMEOUT,
    Stream,
    read,
    whole_frame,
)
from portafaas.local import marks
from portafaas.local.printed import divert
from portafaas.runtime.context import Context, HandlerTimeout, ended, endings
from portafaas.runtime.deadline import call, whole
from portafaas.runtime.function import Function
from portafaas.runtime.http import Headers, HttpError, Request
from portafaas.runtime.serve import after, before, failed
from portafaas.runtime.text import percent_decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.http import Response

#: Number of the request that this thread, or this task, is at.
_at: ContextVar[int] = ContextVar("portafaas-number", default=0)


class Worker:
    """The function, and the threads that run it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.function: Function
        self._marks = False
        self._alone = True
        self._last = 0

    def number(self) -> int:
        """Return the number of the request that what is printed now belongs to; 0 for none.

        Async handlers have it in their context; another thread's is known when there is but one.
        """
        return _at.get() or (self._last if self._alone else 0)

    def _printed(self, descriptor: int, text: bytes) -> None:
        self.stream.send((LOG, self.number(), descriptor, time.time(), text))

    def run(self) -> None:
        """Be what the first frame says until there is nothing more to do."""
        what, descriptors = self.stream.first()
        requests, slots = descriptors[:2]
        for number, descriptor in zip((1, 2), descriptors[2:4], strict=False):
            os.dup2(descriptor, number)
        for descriptor in descriptors[2:]:
            os.close(descriptor)
        os.environ.update(what["environment"])
        # As if this process had been started with them.
        for name in reversed(what["environment"].get("PYTHONPATH", "").split(os.pathsep)):
            if name:
                sys.path.insert(0, name)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 (a plain string is what sys.path wants)
        threading.Thread(target=self.stream.watch, name="watch", daemon=True).start()
        divert(self._printed)
        if what["debug"]:
            from portafaas.local.debugger import listen

            listen()
        import mmap

        self.function = Function(what["spec"])
        self._ids: str = what["ids"]
        concurrency = self.function.concurrency
        self._alone = concurrency == 1
        self._marks = self._alone and bool(self.function.uses)
        memory = mmap.mmap(slots, SLOT.size * concurrency)
        taken = socket.socket(fileno=requests)
        if what["load"]:
            self._load()
        self.stream.send((READY, os.getpid()))
        if concurrency == 1:
            # On the main thread, where the deadline interrupts what blocks.
            self._serve(taken, memory, 0)
        else:
            threads = [
                threading.Thread(target=self._serve, args=(taken, memory, n * SLOT.size))
                for n in range(concurrency)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()

    def _load(self) -> None:
        # What fails now does so again when it is called, and is told then.
        try:
            self.function.load()
        except Exception:
            return

    def _serve(self, requests: socket.socket, memory: Any, slot: int) -> None:
        send, pack_into = self.stream.send, SLOT.pack_into
        while True:
            message = requests.recv(LONGEST + 4096)
            if not message:
                return
            order = marshal.loads(message)
            if order[0] == FILE:
                order = read(order[1])
            kind = order[0]
            if kind == END:
                return
            number = order[1]
            pack_into(memory, slot, number, time.monotonic())
            _at.set(number)
            self._last = number
            answer = self._http(order) if kind == HTTP else self._event(order)
            send(answer)
            _at.set(0)
            pack_into(memory, slot, 0, 0.0)

    def _http(self, order: tuple[Any, ...]) -> tuple[Any, ...]:
        _, number, method, path, query, given, body, caller = order
        headers: dict[str, str] = {}
        for name, value in given:
            if b"_" in name:
                continue
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            if key in headers:
                text = f"{headers[key]}{'; ' if key == 'cookie' else ','}{text}"
            headers[key] = text
        request: Any = _Request.__new__(_Request)
        request.order = order
        request.method = method
        request.path = percent_decode(path) if "%" in path else path
        request.raw_query = query
        request.headers = Headers.of(headers)
        request.body = body
        if caller is not None:
            from portafaas.runtime.auth import Identity

            request.identity = Identity(caller, {}, (), "iam")
        function = self.function
        id = f"{self._ids}{number:012x}"
        if self._marks:
            marks.current = id
        context = Context(function, id, target="local", trace_parent=headers.get("traceparent"))
        how, why = OK, ""
        # As portafaas.runtime.serve.run, but that it is noted how it went.
        error: BaseException | None = None
        try:
            result = before(function, request, context)
            if result is None:
                result = call(function.handle, request, context, function.timeout)
            else:
                how = REFUSED
            response = after(function, request, result)
        except BaseException as exc:
            error = exc
            if isinstance(exc, HandlerTimeout):
                how, why = TIMEOUT, f"the handler did not end within {function.timeout} s"
            elif not isinstance(exc, HttpError) or exc.status >= 500:
                how, why = ERROR, _text(exc)
            response = failed(function, request, context, exc)
        if endings:
            ended(context, request, response, error)
        trace = _trace(context) if context._made else None
        headers_out, body_out = _sendable(response, method)
        return (ANSWER, number, response.status, headers_out, body_out, how, why, trace)

    def _event(self, order: tuple[Any, ...]) -> tuple[Any, ...]:
        """Deliver a neutral event, as JSON text; answer with the outcome's."""
        import json

        from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
        from portafaas.local import runner

        _, number, text = order
        if self._marks:
            marks.current = f"{self._ids}{number:012x}"
        outcome = runner.deliver(self.function, stimulus_from_json(json.loads(text)))
        body = json.dumps(outcome_to_json(outcome), ensure_ascii=False).encode()
        return (ANSWER, number, 0, [], body, OK, "", None)


class _Request(Request):
    """One whose ``raw`` is made when it is asked for."""

    __slots__ = ("order",)


def _raw(request: Any) -> Any:
    """Return the request as ``portafaas.local.runner`` hands it on."""
    from portafaas.adapter.stimulus import HttpStimulus

    _, _, method, path, query, given, body, caller = request.order
    pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in given)
    return HttpStimulus(method, path, query, pairs, body, caller)


_Request._fill = {**Request._fill, "raw": _raw}


def _sendable(response: Response, method: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body as an ASGI server takes them."""
    body = response.body or b""
    if isinstance(body, str):
        body = body.encode("utf-8")
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if body or name != "content-type"
    ]
    for cookie in response.cookies:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
    if body or not (response.status in (204, 304) or method == "HEAD"):
        headers.append((b"content-length", b"%d" % len(body)))
    return headers, body


def _trace(context: Context) -> tuple[str, str, str, str] | None:
    try:
        span = context.span
        return span.trace_id, span.span_id, span.parent_id, context.correlation_id
    except Exception:
        # The handler may have put anything there.
        return None


def _text(error: BaseException) -> str:
    try:
        return repr(error)[:4000]
    except BaseException:
        return type(error).__name__


def main() -> None:
    """Get ready for whatever function it will be, then run it."""
    stream = Stream(int(sys.argv[1]))
    # What nearly every function needs, loaded while nobody waits.
    import json
    import logging
    import mmap

    from portafaas.local import resources
    from portafaas.runtime import log

    for module in (json, logging, mmap, resources, log):
        assert module
    whole(whole_frame)
    Worker(stream).run()


if __name__ == "__main__":
    main()
