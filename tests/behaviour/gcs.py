"""What gcp-storage-emulator lacks of Cloud Storage and the suite needs.

Conditions on generations (https://cloud.google.com/storage/docs/request-preconditions) and pages of
lists (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any


def repaired(handlers: Any) -> Any:
    """Return the emulator's table of handlers with these."""
    from gcp_storage_emulator.handlers import objects  # type: ignore[import-untyped]

    changed = {
        objects.insert: _conditional(objects.insert),
        objects.download: _conditional(objects.download),
        objects.get: _conditional(objects.get),
        objects.ls: _paged(objects.ls),
    }
    return tuple(
        (pattern, {method: changed.get(handler, handler) for method, handler in methods.items()})
        for pattern, methods in handlers
    )


def _conditional(handler: Callable[..., Any]) -> Callable[..., Any]:
    def checked(request: Any, response: Any, storage: Any, *more: Any, **named: Any) -> Any:
        wanted = request.query.get("ifGenerationMatch")
        if wanted and "upload_id" not in request.query:
            name = request.params.get("object_id") or (request.query.get("name") or [None])[0]
            if name is None:
                data = request.data
                name = (data.get("meta") or data)["name"]
            found = storage.objects.get(request.params["bucket_name"], {}).get(name)
            if str(found["generation"] if found else 0) != wanted[0]:
                gone = found is None and handler.__name__ != "insert"
                response.status = HTTPStatus.NOT_FOUND if gone else HTTPStatus.PRECONDITION_FAILED
                text = "At least one of the pre-conditions you specified did not hold."
                response.json({"error": {"code": int(response.status), "message": text}})
                return None
        return handler(request, response, storage, *more, **named)

    return checked


def _paged(handler: Callable[..., Any]) -> Callable[..., Any]:
    def paged(request: Any, response: Any, storage: Any, *more: Any, **named: Any) -> None:
        handler(request, response, storage, *more, **named)
        if response.status != HTTPStatus.OK:
            return
        found = json.loads(response._content)
        items = sorted(found.get("items", ()), key=lambda item: item["name"].encode())
        token = request.query.get("pageToken")
        if token:
            last = base64.urlsafe_b64decode(token[0])
            items = [item for item in items if item["name"].encode() > last]
        most = int(request.query.get("maxResults", ["1000"])[0])
        found.pop("nextPageToken", None)
        if len(items) > most:
            last = items[most - 1]["name"].encode()
            found["nextPageToken"] = base64.urlsafe_b64encode(last).decode()
        found["items"] = items[:most]
        response.json(found)

    return paged
