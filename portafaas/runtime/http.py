"""HTTP as handlers see it. Ships; imports nothing at module level.

One module for requests and responses: every http function needs both, and a second file would cost
each of their cold starts.

Rules H-1 to H-30 of ``docs/spec/http.md``: bytes in, bytes out, header names in lower case,
repeated request headers joined with ``,``, cookies as a list, everything percent-decoded once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from portafaas.runtime.auth import Identity

_MISSING: Any = object()


class Headers:
    """Request headers: a read-only mapping that ignores case.

    A header that was sent several times holds its values joined with ``,`` in order of arrival.
    """

    __slots__ = ("_values",)

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = items.items() if hasattr(items, "items") else items
        values: dict[str, str] = {}
        for name, value in pairs:
            name = name.lower()
            if name in values:
                # HTTP/2 may split Cookie: https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3
                value = f"{values[name]}{'; ' if name == 'cookie' else ','}{value}"
            values[name] = value
        self._values = values

    @classmethod
    def of(cls, values: dict[str, str]) -> Headers:
        """Wrap a dict whose names are in lower case already, without a copy."""
        self = cls.__new__(cls)
        self._values = values
        return self

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of *name* in any case, or *default*."""
        return self._values.get(name.lower(), default)

    def get_list(self, name: str) -> list[str]:
        """Return the members of a list-valued header (``Accept``, ``Via``); [] when absent.

        Commas inside quoted strings do not split (RFC 9110 section 5.6.1). Do not use it on a
        header whose single value may hold a comma, such as a date.
        """
        members, current, quoted, escaped = [], "", False, False
        for char in self._values.get(name.lower(), ""):
            if char == "," and not quoted:
                members.append(current.strip())
                current = ""
                continue
            if char == '"' and not escaped:
                quoted = not quoted
            escaped = char == "\\" and quoted and not escaped
            current += char
        members.append(current.strip())
        return [member for member in members if member]

    def drop(self, name: str) -> None:
        """Hide a header from the handler; for the bridge."""
        self._values.pop(name.lower(), None)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> Iterable[str]:
        """Return the names, in lower case."""
        return self._values.keys()

    def items(self) -> Iterable[tuple[str, str]]:
        """Return (lower-case name, value) pairs."""
        return self._values.items()

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"


class Query:
    """Query parameters, decoded, in order; one name may have several values."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = list(pairs)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the first value of *name*, or *default*."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value of *name*, in order; [] when absent."""
        return [value for key, value in self.pairs if key == name]

    def __getitem__(self, name: str) -> str:
        value = self.get(name, _MISSING)
        if value is _MISSING:
            raise KeyError(name)
        return str(value)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def items(self) -> list[tuple[str, str]]:
        """Return every (name, value) pair, in order."""
        return list(self.pairs)

    def __repr__(self) -> str:
        return f"Query({self.pairs!r})"


class Request:
    """One HTTP request.

    Attributes:
        method: upper case (str).
        path: percent-decoded once, begins with ``/`` (str).
        path_params: values of the route's ``{names}``, decoded (dict of str).
        raw_query: the query string as sent, without ``?`` (str).
        query: the decoded parameters (:class:`Query`).
        headers: :class:`Headers`.
        cookies: list of (name, value) pairs.
        body: bytes.
        identity: who calls, once the route's ``auth`` has been checked; None for ``auth: none``.
        raw: the platform's own request.

    Attributes that an adapter did not fill are computed on first use and kept.
    """

    __slots__ = (
        "body",
        "cookies",
        "headers",
        "identity",
        "method",
        "path",
        "path_params",
        "query",
        "raw",
        "raw_query",
    )

    body: bytes
    cookies: list[tuple[str, str]]
    headers: Headers
    identity: Identity | None
    method: str
    path: str
    path_params: dict[str, str]
    query: Query
    raw: Any
    raw_query: str

    #: How to fill an empty slot; adapters extend the table in their subclass.
    _fill: Mapping[str, Callable[[Any], Any]]

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | str = b"",
        path_params: Mapping[str, str] | None = None,
        raw: Any = None,
    ) -> None:
        self.method = method.upper()
        self.path = path
        self.raw_query = query
        self.headers = Headers(headers)
        self.body = body.encode("utf-8") if isinstance(body, str) else body
        if path_params is not None:
            self.path_params = dict(path_params)
        self.raw = raw

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot is empty.
        fill = self._fill.get(name)
        if fill is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = fill(self)
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"

    @property
    def text(self) -> str:
        """The body in the charset of ``content-type``, else UTF-8; bad bytes become U+FFFD."""
        charset = "utf-8"
        for part in (self.headers.get("content-type") or "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
        try:
            return self.body.decode(charset, "replace")
        except (LookupError, ValueError):
            # No such charset, or a codec that knows no "replace" (idna, undefined).
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body parsed as JSON.

        Raises :class:`HttpError` 400 when it is not JSON, so that an unguarded call answers the
        caller's mistake with 400 and not with 500.
        """
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise HttpError(400, f"the body is not valid JSON: {exc}") from exc

    def cookie(self, name: str, default: Any = None) -> Any:
        """Return the value of the first cookie called *name*, or *default*."""
        for key, value in self.cookies:
            if key == name:
                return value
        return default


def _parse_query(request: Request) -> Query:
    from portafaas.runtime.text import parse_query

    query = Query.__new__(Query)
    query.pairs = parse_query(request.raw_query)
    return query


def _parse_cookies(request: Request) -> list[tuple[str, str]]:
    from portafaas.runtime.text import parse_cookies

    return parse_cookies(request.headers.get("cookie") or "")


Request._fill = {
    "query": _parse_query,
    "cookies": _parse_cookies,
    "path_params": lambda request: {},
    "identity": lambda request: None,
}

_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


class Response:
    """One HTTP response.

    ``body`` may be str (sent as UTF-8), bytes or None. ``headers`` names are sent in lower case,
    each once: values of a repeated name are joined with ``, ``. ``cookies`` are ``Set-Cookie``
    values, one a cookie; a ``set-cookie`` header given in ``headers`` moves there.
    """

    __slots__ = ("body", "cookies", "headers", "status")

    body: str | bytes | None
    cookies: list[str]
    headers: dict[str, str]
    status: int

    def __init__(
        self,
        body: str | bytes | None = None,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        *,
        cookies: Iterable[str] = (),
        content_type: str | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.cookies = list(cookies)
        self.headers = {}
        if headers:
            for name, value in headers.items() if hasattr(headers, "items") else headers:
                self.add_header(name, value)
        if content_type is not None:
            self.headers["content-type"] = content_type

    def add_header(self, name: str, value: str) -> None:
        """Add a header; a second value of one name is joined with ``, ``."""
        name = name.lower()
        if name == "set-cookie":
            self.cookies.append(value)
        elif name in self.headers:
            self.headers[name] += f", {value}"
        else:
            self.headers[name] = value

    @classmethod
    def json(
        cls,
        value: Any,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> Response:
        """Return a response with *value* as JSON; raises TypeError when it has no JSON form."""
        import json

        response = cls(json.dumps(value), status, headers)
        response.headers.setdefault("content-type", "application/json")
        return response

    @classmethod
    def redirect(cls, location: str, status: int = 303) -> Response:
        """Return a redirect to *location*; characters beyond ASCII are percent-encoded."""
        if not location.isascii():
            location = "".join(
                char if char.isascii() else "".join(f"%{byte:02X}" for byte in char.encode())
                for char in location
            )
        return cls(None, status, {"location": location})

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = True,
        http_only: bool = True,
        same_site: str | None = "Lax",
    ) -> None:
        """Add a cookie; ``max_age`` is in seconds, ``same_site`` Lax, Strict or None.

        Raises ValueError for characters RFC 6265 does not allow.
        """
        for text in (name, value, path or "", domain or ""):
            if any(char in ";\r\n\0" for char in text):
                raise ValueError(f"{text!r} may not stand in a cookie")
        parts = [f"{name}={value}"]
        if max_age is not None:
            parts.append(f"Max-Age={max_age}")
        if domain:
            parts.append(f"Domain={domain}")
        if path:
            parts.append(f"Path={path}")
        if secure:
            parts.append("Secure")
        if http_only:
            parts.append("HttpOnly")
        if same_site:
            try:
                parts.append(f"SameSite={_SAME_SITE[same_site.lower()]}")
            except KeyError:
                raise ValueError(f"same_site {same_site!r} is not Lax, Strict or None") from None
        self.cookies.append("; ".join(parts))

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class HttpError(Exception):
    """Raise it in an http handler to answer with *status* and an RFC 9457 problem document."""

    def __init__(
        self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
