"""Stand-ins for the worker's protobuf messages, to and from JSON. Runs in the worker process.

``azure-functions-runtime`` takes its ``protos`` module from its caller, builds messages by keyword
and reads them by attribute; so plain objects will do. It runs next to user code and imports
nothing but the standard library.

What the host puts in: ``RpcMessageConversionExtensions`` and ``GrpcMessageExtensions``
in https://github.com/Azure/azure-functions-host/tree/dev/src/WebJobs.Script.Grpc/MessageExtensions
"""

from __future__ import annotations

import base64
import json
import types
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import quote


class Message:
    """A message: its fields are its attributes, an absent one reads as None."""

    oneof: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        # The runtime tells a message from a wrapper by whether ``.TypedData`` raises.
        if name.startswith("__") or name == "TypedData":
            raise AttributeError(name)
        return None

    def WhichOneof(self, group: str) -> str | None:  # the name is protobuf's
        """Return the name of the field that is set, as protobuf does."""
        return next((name for name in self.oneof if self.__dict__.get(name) is not None), None)


class TypedData(Message):
    """A value with its kind."""

    oneof = (
        "string",
        "json",
        "bytes",
        "stream",
        "http",
        "int",
        "double",
        "collection_bytes",
        "collection_string",
        "collection_double",
        "collection_sint64",
        "model_binding_data",
        "collection_model_binding_data",
    )


class ParameterBinding(Message):
    """A named argument or output."""

    oneof = ("data",)

    def WhichOneof(self, group: str) -> str | None:  # the name is protobuf's
        """Return ``data``, which is set even when it holds nothing."""
        return "data"


class _BindingInfo(Message):
    undefined, inout, out = 0, 2, 1


class _StatusResult(Message):
    Failure, Success, Cancelled = 0, 1, 2


class _RpcHttpCookie(Message):
    SameSite = types.SimpleNamespace(**{"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})


_PLAIN = (
    "FunctionEnvironmentReloadResponse",
    "FunctionLoadResponse",
    "FunctionMetadataResponse",
    "InvocationResponse",
    "NullableBool",
    "NullableDouble",
    "NullableString",
    "NullableTimestamp",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcRetryOptions",
    "Timestamp",
    "WorkerInitResponse",
    "WorkerMetadata",
)

#: The ``protos`` that the runtime is given.
PROTOS = types.SimpleNamespace(
    TypedData=TypedData,
    ParameterBinding=ParameterBinding,
    BindingInfo=_BindingInfo,
    StatusResult=_StatusResult,
    RpcHttpCookie=_RpcHttpCookie,
    **{name: type(name, (Message,), {}) for name in _PLAIN},
)


def read_data(data: Mapping[str, Any] | None) -> TypedData:
    """Return the message for ``{"type": kind, "value": value}``; none for a null value."""
    if data is None or data["value"] is None:
        return TypedData()
    kind, value = data["type"], data["value"]
    if kind == "http":
        body = value.get("body")
        return TypedData(
            http=PROTOS.RpcHttp(
                method=value["method"],
                url=value["url"],
                headers=dict(value.get("headers") or {}),
                params=dict(value.get("params") or {}),
                query=dict(value.get("query") or {}),
                body=TypedData(bytes=base64.b64decode(body)) if body else TypedData(),
            )
        )
    if kind == "json":
        return TypedData(json=json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    if kind == "bytes":
        return TypedData(bytes=base64.b64decode(value))
    if kind == "collection_bytes":
        items = [base64.b64decode(item) for item in value]
        return TypedData(collection_bytes=Message(bytes=items))
    if kind.startswith("collection_"):
        return TypedData(**{kind: Message(**{kind.removeprefix("collection_"): list(value)})})
    if kind not in TypedData.oneof:
        raise ValueError(f"{kind!r} is not a kind of TypedData; allowed: {TypedData.oneof}")
    return TypedData(**{kind: value})


def write_data(data: TypedData | None) -> Any:
    """Return the JSON form of what the runtime answered, or None."""
    kind = data.WhichOneof("data") if data is not None else None
    if data is None or kind is None:
        return None
    value = getattr(data, kind)
    if kind == "http":
        return {
            "status": int(value.status_code or 200),
            "headers": [[name, text] for name, text in (value.headers or {}).items()],
            "cookies": [_set_cookie(cookie) for cookie in value.cookies or ()],
            "body": base64.b64encode(_body(value.body)).decode("ascii"),
        }
    if kind == "json":
        return {"type": kind, "value": json.loads(value)}
    if kind == "bytes":
        return {"type": kind, "value": base64.b64encode(value).decode("ascii")}
    return {"type": kind, "value": value}


def _body(data: TypedData | None) -> bytes:
    kind = data.WhichOneof("data") if data is not None else None
    if kind is None:
        return b""
    value = getattr(data, kind)
    return value if isinstance(value, bytes) else str(value).encode()


def _set_cookie(cookie: Message) -> str:
    """Return the header as the host's ASP.NET Core writes it, the value percent-encoded.

    https://github.com/dotnet/aspnetcore/blob/main/src/Http/Http/src/Internal/ResponseCookies.cs
    Domain and path are left out when empty, which means the same to a browser (RFC 6265, 5.2).
    """
    parts = [f"{cookie.name}={quote(cookie.value or '', safe='')}"]
    if cookie.expires is not None:
        parts.append("expires=" + formatdate(cookie.expires.value.seconds, usegmt=True))
    if cookie.max_age is not None:
        parts.append(f"max-age={int(cookie.max_age.value)}")
    for name in ("domain", "path"):
        field = getattr(cookie, name)
        if field is not None and field.value:
            parts.append(f"{name}={field.value}")
    if cookie.secure is not None and cookie.secure.value:
        parts.append("secure")
    if cookie.same_site:
        parts.append("samesite=" + {1: "lax", 2: "strict", 3: "none"}[cookie.same_site])
    if cookie.http_only is not None and cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
