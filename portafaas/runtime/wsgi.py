"""Serves an existing WSGI application (PEP 3333), and what WSGI and ASGI share. Ships.

Rules A-1 to A-14 and W-1 to W-10 of ``docs/spec/applications.md``. Loaded only by functions with
``interface: wsgi`` or ``asgi``; imports nothing at module level.
https://peps.python.org/pep-3333/
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Request, Response

#: What is logged when the response was complete already.
LATE = "application failed after its response: %r"

_VARARGS = 0x04  # inspect.CO_VARARGS, without importing inspect


class WsgiApplication:
    """A WSGI application as a handler.

    ``found`` is the application, or a function or class without required arguments that makes it
    (``create_app``); it is called once. Raises HandlerError when it is neither.
    """

    __slots__ = ("_app", "_function")

    def __init__(self, found: Any, function: Function) -> None:
        self._app = application(found, 2, function)
        self._function = function

    def handle(self, request: Request, context: Context) -> Response:
        """Return the application's whole response.

        Raises what the application raises, RuntimeError or AssertionError when it breaks the
        protocol, ValueError when its body is larger than the function's limit.
        """
        reply = _Reply(request.method == "HEAD", body_limit(self._function))
        result = self._app(self._environ(request, context), reply.start)
        try:
            for chunk in result:
                reply.write(chunk)
            reply.finish()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                try:
                    close()
                except Exception as exc:
                    # Behind a server the client has its response by now, complete or not.
                    from portafaas.runtime.context import log_failure

                    log_failure(context, LATE, exc)
        return reply.response()

    def _environ(self, request: Request, context: Context) -> dict[str, Any]:
        import sys
        from io import BytesIO

        scheme, server, client = connection(request)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path.encode("utf-8", "surrogatepass").decode("latin-1"),
            "QUERY_STRING": request.raw_query.encode("utf-8", "surrogatepass").decode("latin-1"),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": self._function.concurrency > 1,
            "wsgi.multiprocess": True,  # other instances serve the same function
            "wsgi.run_once": False,
            "portafaas.context": context,
            "portafaas.request": request,
            "portafaas.identity": request.identity,
        }
        if client is not None:
            environ["REMOTE_ADDR"] = client[0]
            environ["REMOTE_PORT"] = str(client[1])
        if request.identity is not None:
            environ["REMOTE_USER"] = request.identity.subject
        for name, value in header_pairs(request):
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = f"HTTP_{key}"
            environ[key] = value if value.isascii() else octets(value).decode("latin-1")
        return environ


class _Reply:
    """Collects what one call of the application answers."""

    __slots__ = ("_chunks", "_head", "_limit", "_response", "_size")

    def __init__(self, head: bool, limit: int) -> None:
        self._head = head
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._response: Response | None = None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """``start_response`` of PEP 3333; a second call needs *exc_info*."""
        from portafaas.runtime.http import Response

        if exc_info:
            try:
                if self._size:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the frames it holds refer back to this one
        elif self._response is not None:
            raise AssertionError("start_response was called a second time without exc_info")
        code = status[:3]
        if not (len(code) == 3 and code.isascii() and code.isdigit() and status[3:4] in (" ", "")):
            raise ValueError(f"status {status!r} does not begin with three digits and a space")
        # Django begins its cookies with a space; around a value it means nothing (RFC 9110 5.5).
        pairs = [(name, value.strip(" \t")) for name, value in headers]
        self._response = Response(None, int(code), pairs)
        return self.write

    def write(self, chunk: bytes) -> None:
        """Take a part of the body; also the ``write`` callable that start_response returns."""
        if not isinstance(chunk, bytes):
            raise TypeError(f"a WSGI body must consist of bytes, not {type(chunk).__name__!r}")
        if not chunk:
            return
        if self._response is None:
            raise AssertionError("the application sent its body before it called start_response")
        self._size += len(chunk)
        if not self._head:
            check_size(self._size, self._limit)
            self._chunks.append(chunk)

    def finish(self) -> None:
        """Check that there is a response."""
        if self._response is None:
            raise RuntimeError("the application never called start_response")

    def response(self) -> Response:
        """Return the response with its whole body."""
        assert self._response is not None
        self._response.body = joined(self._chunks)
        return self._response


def application(found: Any, count: int, function: Function) -> Any:
    """Return the application that *found* is, or that the factory *found* makes.

    *count* is the number of positional arguments of an application: 2 for WSGI, 3 for ASGI. What
    takes none is a factory. Raises HandlerError for anything else.
    """
    from portafaas.runtime.function import HandlerError

    takes = _arguments(found)
    name = function.handler
    if takes is not None and takes[0] == 0 and not takes[2]:
        found, name = found(), f"{name}()"
        if not callable(found):
            if hasattr(found, "close"):
                found.close()  # a coroutine, which would otherwise warn that nobody awaited it
            raise HandlerError(f"{name} returned {type(found).__name__!r}, not an application")
        takes = _arguments(found)
    if takes is not None and not (takes[0] <= count and (takes[2] or count <= takes[1])):
        hint = ""
        if takes[1] == 1:
            hint = (
                "; if it is an ASGI 2 application, wrap it in "
                "asgiref.compatibility.guarantee_single_callable"
            )
        elif takes[1] == 5 - count:
            hint = f"; is it an application for 'interface: {'asgi' if count == 2 else 'wsgi'}'?"
        raise HandlerError(
            f"{name} takes {takes[1]} positional argument(s), but 'interface: "
            f"{function.interface}' calls it with {count}{hint}"
        )
    return found


def _arguments(found: Any) -> tuple[int, int, bool] | None:
    """Return (required, most, any number more) positional arguments, or None if unknown."""
    target, bound = found, 0
    if isinstance(found, type):
        target, bound = getattr(found, "__init__", None), 1
        if target is object.__init__:
            # Without an __init__ of its own it takes none, unless a __new__ says otherwise.
            return (0, 0, False) if getattr(found, "__new__", None) is object.__new__ else None
    elif not hasattr(found, "__code__"):
        target = getattr(found, "__call__", None)  # noqa: B004 (wanted for its code)
    code = getattr(target, "__code__", None)
    if code is None:
        return None
    if getattr(target, "__self__", None) is not None:
        bound = 1
    most = code.co_argcount - bound
    required = most - len(getattr(target, "__defaults__", None) or ())
    return required, most, bool(code.co_flags & _VARARGS)


def header_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the request's headers for an application that reads the body itself.

    The body is complete here, so ``content-length`` states its length and ``transfer-encoding``
    is gone (RFC 9112 section 6.3); frameworks skip a form without a length. Without a body there
    is no length: some platforms add ``content-length: 0`` to every request, others never do.
    """
    headers = request.headers
    pairs = [
        (name, value)
        for name, value in headers.items()
        if name != "content-length" and name != "transfer-encoding"
    ]
    if request.body:
        pairs.append(("content-length", str(len(request.body))))
    # A platform may hand the cookies over apart from the headers.
    if "cookie" not in headers and request.cookies:
        pairs.append(("cookie", "; ".join(f"{name}={value}" for name, value in request.cookies)))
    return pairs


def connection(request: Request) -> tuple[str, tuple[str, int], tuple[str, int] | None]:
    """Return (scheme, (server host, port), (client host, port) or None) of a request.

    Scheme and client are the last entries of ``x-forwarded-proto`` and ``x-forwarded-for``: those
    the platform's own front end wrote. What stands before them the client may have made up.
    """
    headers = request.headers
    scheme = (headers.get("x-forwarded-proto") or "").rpartition(",")[2].strip().lower()
    if scheme not in ("http", "https"):
        scheme = "http"
    server = _address(headers.get("host") or "", 443 if scheme == "https" else 80)
    client = _address((headers.get("x-forwarded-for") or "").rpartition(",")[2], 0)
    return scheme, server if server[0] else ("localhost", server[1]), client if client[0] else None


def _address(text: str, port: int) -> tuple[str, int]:
    # "host", "host:port", "[v6]", "[v6]:port" or a bare v6; Azure writes the port of the client.
    text = text.strip()
    if text[:1] == "[":
        host, _, rest = text[1:].partition("]")
        digits = rest[1:]
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
    else:
        return text, port
    return host, int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else port


def octets(text: str) -> bytes:
    """Return a header value as the bytes on the wire: Latin-1, or UTF-8 for what has none."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def body_limit(function: Function) -> int:
    """Return the largest body in bytes that *function* may answer with."""
    from portafaas.runtime.serve import MAX_BODY

    return int(function.trigger.get("max_body", MAX_BODY))


def check_size(size: int, limit: int) -> None:
    """Raise ValueError when *size* is over *limit*: a stream is cut off before it fills memory."""
    if size > limit:
        raise ValueError(f"the response body has more than {limit} bytes, which is the limit")


def joined(chunks: list[bytes]) -> bytes | None:
    """Return the whole body; None when there is none."""
    return chunks[0] if len(chunks) == 1 else b"".join(chunks) or None
