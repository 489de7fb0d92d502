"""The response object for the Functions SDK. Ships; loads with the first response."""

from __future__ import annotations

from azure.functions import HttpResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ReplyHeaders(dict):  # type: ignore[type-arg]
    """What the SDK's converter reads of a response's headers.

    It sends ``items()``, after adding a content type where it finds none and taking ``Set-Cookie``
    (in this case) apart into typed cookies. ``cookies`` are the ones it is to find; a plain
    ``set-cookie`` among the items passes as it is.
    https://github.com/Azure/azure-functions-python-library/blob/dev/azure/functions/http.py
    """

    __slots__ = ("cookies",)

    def __init__(self, headers: dict[str, str], cookies: list[str]) -> None:
        super().__init__(headers)
        self.cookies = cookies

    def __contains__(self, name: object) -> bool:
        if name == "Set-Cookie":
            return bool(self.cookies)
        # A response without a body has no content type; the SDK would add text/plain.
        return name == "content-type" or super().__contains__(name)

    def get_all(self, name: str) -> list[str]:
        """Return the values of *name*, as ``werkzeug.datastructures.Headers`` does."""
        return list(self.cookies) if name == "Set-Cookie" else []

    def pop(self, name: str, *default: Any) -> Any:
        """Remove *name*."""
        if name == "Set-Cookie":
            self.cookies = []
            return None
        return super().pop(name, *default)


class Reply(HttpResponse):
    """An HttpResponse whose headers the SDK cannot rearrange."""

    def __init__(self, body: bytes, status: int, headers: ReplyHeaders) -> None:
        super().__init__(body, status_code=status)
        self._reply_headers = headers

    @property
    def headers(self) -> ReplyHeaders:  # type: ignore[override]
        """The headers."""
        return self._reply_headers
