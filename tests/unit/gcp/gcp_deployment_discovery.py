"""Whether a request is one that Google describes: its path, its parameters and its body."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

VERSIONS = {
    "config": "config.v1",
    "logging": "logging.v2",
    "oauth2": "oauth2.v2",
    "secretmanager": "secretmanager.v1",
    "storage": "storage.v1",
}


@lru_cache
def description(api: str) -> Any:
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "discovery_cache" / "documents"
    return json.loads((folder / f"{VERSIONS[api]}.json").read_text("utf-8"))


@lru_cache
def methods(api: str) -> list[tuple[str, re.Pattern[str], Any]]:
    found: list[tuple[str, re.Pattern[str], Any]] = []

    def gather(part: Any) -> None:
        for method in part.get("methods", {}).values():
            paths = [description(api)["servicePath"] + method.get("flatPath", method["path"])]
            for protocol in method.get("mediaUpload", {}).get("protocols", {}).values():
                paths.append(protocol["path"].lstrip("/"))
            for path in paths:
                # A verb after the colon is not part of the name before it.
                pattern = re.sub(r"\\\{[^}]*\\\}", "[^/:]+", re.escape(path))
                found.append((method["httpMethod"], re.compile(pattern), method))
        for inner in part.get("resources", {}).values():
            gather(inner)

    gather(description(api))
    return found


def problems(api: str, verb: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
    """Return what is wrong with a request; *path* begins without a slash, *body* is JSON or None."""
    for wanted, pattern, method in methods(api):
        if wanted == verb and pattern.fullmatch(path):
            known = {**description(api)["parameters"], **method.get("parameters", {})}
            found = [
                f"{verb} {path}: no parameter {name}"
                for name in query
                if name not in known and name != "uploadType"
            ]
            for name, value in query.items():
                choices = known.get(name, {}).get("enum")
                if choices and value not in choices:
                    found.append(f"{verb} {path}: {name} is {value!r}")
            if body is not None and "request" in method:
                found += of_value(api, method["request"], body, f"{verb} {path}")
            elif body is not None:
                found.append(f"{verb} {path}: takes no body")
            return found
    return [f"{api} has no {verb} {path}"]


def of_value(api: str, schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    """Yield what is wrong with a value of a request."""
    schemas = description(api)["schemas"]
    if "$ref" in schema:
        yield from of_value(api, schemas[schema["$ref"]], value, where)
        return
    if schema.get("readOnly"):
        yield f"{where} is output only"
    match schema.get("type"):
        case "object":
            if not isinstance(value, dict):
                yield f"{where} is no object"
                return
            for name, item in value.items():
                known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                if known is None:
                    yield f"{where}.{name} is unknown"
                else:
                    yield from of_value(api, known, item, f"{where}.{name}")
        case "array":
            if not isinstance(value, list):
                yield f"{where} is no array"
                return
            for item in value:
                yield from of_value(api, schema["items"], item, where)
        case "integer":
            if isinstance(value, bool) or not isinstance(value, int):
                yield f"{where} is no integer"
        case "boolean":
            if not isinstance(value, bool):
                yield f"{where} is no boolean"
        case "string":
            if not isinstance(value, str):
                yield f"{where} is no string"
            elif "enum" in schema and value not in schema["enum"]:
                yield f"{where} is {value!r}"
