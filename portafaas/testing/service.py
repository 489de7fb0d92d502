"""The service the cases are delivered to, as a manifest cut to what a target offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.testing.tokens import AUDIENCE, ISSUER, JWKS

NAME = "conformance"

#: Plain key and name of the ``auth: key`` cases; any key will do, it guards nothing.
KEY, KEY_NAME = "conformance-key-1", "client-1"


def _http(method: Any, path: str, **settings: Any) -> dict[str, Any]:
    return {"http": {"method": method, "path": path, **settings}}


def _function(handler: str, trigger: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"handler": f"kit.{handler}", "trigger": trigger, **settings}


_CORS = {
    "origins": ["https://shop.example"],
    "headers": ["content-type", "x-case"],
    "expose": ["etag"],
    "credentials": True,
    "max-age": "5m",
}
_JWT = {"jwt": {"issuer": ISSUER, "audience": AUDIENCE, "scopes": ["orders:write"]}}

FUNCTIONS: Mapping[str, Mapping[str, Any]] = {
    "echo": _function("web:Echo", _http("ANY", "/echo/{path*}")),
    "item": _function("web:Echo", _http(["GET", "PUT"], "/items/{id}/parts/{part}")),
    "reply": _function("web:Reply", _http("ANY", "/reply/{what}"), timeout="1s"),
    "async-echo": _function("web:AsyncEcho", _http("ANY", "/async/{what}"), timeout="1s"),
    "site": _function("web:Echo", _http("GET", "/{path*}")),
    "plain": _function("web:plain", _http("GET", "/plain")),
    "plain-async": _function("web:plain_async", _http("GET", "/plain-async")),
    "callable": _function("web:Callable", _http("GET", "/callable")),
    "lifecycle": _function("web:Lifecycle", _http("GET", "/lifecycle")),
    "async-lifecycle": _function("web:AsyncLifecycle", _http("GET", "/async-lifecycle")),
    "parallel": _function("web:Echo", _http("ANY", "/parallel/{path*}"), concurrency=8),
    "limited": _function(
        "web:plain",
        _http("GET", "/limited", rate={"requests": 1000}),
        **{"max-instances": 2},
    ),
    "limited-hourly": _function(
        "web:plain",
        _http("GET", "/limited-hourly", rate={"requests": 1, "per": "1h"}),
        **{"max-instances": 1},
    ),
    "warm": _function("web:plain", _http("GET", "/warm"), **{"min-instances": 1}),
    "small": _function("web:Reply", _http("POST", "/small/{what}", **{"max-body": 100})),
    "cors": _function("web:Echo", _http(["GET", "POST"], "/cors", cors=_CORS)),
    "cors-any": _function("web:Reply", _http(["GET"], "/cors-any/{what}", cors=True)),
    "keyed": _function("web:Echo", _http("GET", "/keyed", auth="key")),
    "signed": _function("web:Echo", _http("GET", "/signed", auth=_JWT)),
    "internal": _function("web:Echo", _http("GET", "/internal", auth="iam")),
    "asgi-app": _function(
        "web:asgi", _http("ANY", "/asgi/{path*}"), interface="asgi", timeout="1s"
    ),
    "wsgi-app": _function(
        "web:wsgi", _http("ANY", "/wsgi/{path*}"), interface="wsgi", timeout="1s"
    ),
    "work": _function("work:Work", {"queue": {"name": "jobs"}}, timeout="1s"),
    "work-async": _function("work:AsyncWork", {"queue": {"name": "async-jobs"}}, timeout="1s"),
    "work-function": _function("work:work_function", {"queue": {"name": "function-jobs"}}),
    "work-many": _function("work:Work", {"queue": {"name": "many-jobs", "batch": 5}}),
    "work-batch": _function("work:WorkBatch", {"queue": {"name": "batch-jobs", "batch": 5}}),
    "work-ordered": _function("work:Work", {"queue": {"name": "ordered-jobs", "batch": 5}}),
    "on-event": _function("work:OnEvent", {"topic": {"name": "news"}}, timeout="1s"),
    "on-event-async": _function("work:OnEventAsync", {"topic": {"name": "news"}}, timeout="1s"),
    "on-placed": _function(
        "work:OnEvent",
        {
            "topic": {
                "name": "news",
                "filter": {"type": ["order.placed", "order.paid"], "tier": "gold"},
            }
        },
    ),
    "on-ordered-event": _function("work:OnEvent", {"topic": {"name": "log"}}),
    "broken-work": _function("work:BrokenWork", {"queue": {"name": "broken-jobs"}}),
    "broken-event": _function("work:BrokenEvent", {"topic": {"name": "news"}}),
    "broken-web": _function("web:Broken", _http("GET", "/broken")),
    "settings": _function(
        "web:settings", _http("GET", "/settings"), environment={"COLOUR": "grün", "SIZE": 7}
    ),
    "on-upload": _function(
        "work:OnObject",
        {"object": {"bucket": "uploads", "prefix": "in/", "suffix": ".csv"}},
    ),
    "on-created": _function("work:OnObject", {"object": {"bucket": "all-files"}}),
    "on-removed": _function(
        "work:OnObject", {"object": {"bucket": "files", "on": ["created", "deleted"]}}
    ),
    "on-upsert": _function("work:OnChange", {"table": {"name": "orders"}}, timeout="1s"),
    "on-change": _function(
        "work:OnChange",
        {
            "table": {
                "name": "stock",
                "on": ["insert", "update", "delete"],
                "images": ["new", "old"],
            }
        },
    ),
    "on-insert": _function("work:OnChange", {"table": {"name": "parts", "on": ["insert"]}}),
    "on-delete": _function(
        "work:OnChange", {"table": {"name": "carts", "on": ["delete"], "images": ["old"]}}
    ),
    "on-minute": _function("work:OnSchedule", {"schedule": {"cron": "*/5 * * * *"}}),
    "on-morning": _function(
        "work:OnSchedule", {"schedule": {"cron": "30 6 * * MON-FRI", "timezone": "Europe/Berlin"}}
    ),
    "on-night": _function(
        "work:OnSchedule", {"schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}}
    ),
    "on-failing": _function("work:OnScheduleRaise", {"schedule": {"cron": "*/5 * * * *"}}),
    "on-task": _function("work:OnTask", {"task": {}}),
    "on-task-async": _function("work:OnTaskAsync", {"task": {}}),
    "on-task-slow": _function("work:OnTask", {"task": {}}, timeout="1s"),
}

_RESOURCES: Mapping[str, Mapping[str, Any]] = {
    "queues": {
        "jobs": {},
        "async-jobs": {},
        "function-jobs": {},
        "many-jobs": {},
        "batch-jobs": {},
        "ordered-jobs": {"ordered": True},
        "broken-jobs": {},
    },
    "topics": {"news": {}, "log": {"ordered": True}},
    "buckets": {"uploads": {}, "all-files": {}, "files": {}},
    "tables": {
        "orders": {"key": "order_id"},
        "stock": {"key": "sku", "sort": "place"},
        "parts": {},
        "carts": {},
    },
}

#: Environment of every function; the digest of :data:`KEY`, and the keys of the tokens.
ENVIRONMENT: Mapping[str, str] = {
    "PORTAFAAS_HTTP_KEYS": f"{KEY_NAME}={hashlib.sha256(KEY.encode()).hexdigest()}",
    "PORTAFAAS_JWKS": json.dumps(JWKS),
}


def document(python: str, functions: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the manifest for Python *python* (``3.11``) with *functions* (default: all)."""
    return {
        "portafaas": 1,
        "name": NAME,
        "python": python,
        "functions": dict(FUNCTIONS if functions is None else functions),
        **{kind: dict(block) for kind, block in _RESOURCES.items()},
    }


def write(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write the project with the manifest *content* into *folder*; return the manifest's path."""
    from importlib import resources

    source = resources.files("portafaas.testing").joinpath("project", "kit")
    (folder / "kit").mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        if item.name.endswith(".py"):
            (folder / "kit" / item.name).write_bytes(item.read_bytes())
    manifest = folder / "portafaas.yaml"
    # JSON is YAML.
    manifest.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return manifest
