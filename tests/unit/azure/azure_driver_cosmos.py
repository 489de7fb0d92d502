"""Cosmos DB's REST interface, as far as rows need it, strictly; with the roles of its data plane.

https://learn.microsoft.com/rest/api/cosmos-db/
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

_ITEMS = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers"
METADATA = "Microsoft.DocumentDB/databaseAccounts/readMetadata"
#: What the built-in Data Reader may.
#: https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security
READER = (METADATA, f"{_ITEMS}/items/read", f"{_ITEMS}/executeQuery", f"{_ITEMS}/readChangeFeed")


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str = "", sub: int = 0) -> None:
        super().__init__(message or code)
        self.status, self.code, self.sub = status, code, sub


class Cosmos:
    """An account; *allowed* are the actions of whoever calls, None for all of them."""

    def __init__(self) -> None:
        self.host = ""
        self.token = ""
        self.allowed: tuple[str, ...] | None = None
        self.containers: dict[str, dict[str, Any]] = {}
        self.items: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        #: Statuses of the next answers.
        self.faults: list[int] = []
        self.serial = 0

    def add(self, database: str, name: str, key: str, sort: str = "") -> str:
        """Make a container as the template does; return its address."""
        definition: dict[str, Any] = {
            "id": name, "_rid": "AAAAAAAAAAA=",
            "partitionKey": {"paths": [key], "kind": "Hash", "version": 2},
        }  # fmt: skip
        if sort:
            definition["uniqueKeyPolicy"] = {"uniqueKeys": [{"paths": [sort]}]}
        path = f"dbs/{database}/colls/{name}"
        self.containers[path], self.items[path] = definition, {}
        return f"https://{self.host}/{path}"

    def answer(
        self, method: str, url: str, headers: Any, body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        try:
            self.asked.append((method, url))
            assert headers["x-ms-version"] and headers["x-ms-date"]
            if unquote(headers["authorization"]) != f"type=aad&ver=1.0&sig={self.token}":
                raise Refused(401, "Unauthorized", "The input authorization token can't serve it")
            if self.faults:
                raise Refused(self.faults.pop(0), "Fault", "on purpose")
            status, found, more = self._do(method, url, headers, body)
        except Refused as exc:
            wrong = {"code": exc.code, "message": f"Message: {exc}"}
            return exc.status, wrong, {"x-ms-substatus": str(exc.sub)} if exc.sub else {}
        extra = {"x-ms-session-token": f"0:-1#{self.serial}", "x-ms-request-charge": "1"}
        return status, b"" if found is None else found, {**extra, **more}

    def _may(self, action: str) -> None:
        name = action if "/" in action and action.startswith("Micro") else f"{_ITEMS}/{action}"
        if self.allowed is not None and name not in self.allowed:
            text = f"principal does not have required RBAC permissions to perform action [{name}]"
            raise Refused(403, "Forbidden", text, 5302)

    def _do(self, method: str, url: str, headers: Any, body: bytes) -> tuple[int, Any, Any]:
        parts = url.partition("?")[0].strip("/").split("/")
        if parts == [""]:
            self._may(METADATA)
            here = [{"name": "West Europe", "databaseAccountEndpoint": f"https://{self.host}/"}]
            return 200, {
                "_self": "", "id": "account", "_rid": "account", "media": "//media/",
                "addresses": "//addresses/", "_dbs": "//dbs/", "writableLocations": here,
                "readableLocations": here, "enableMultipleWriteLocations": False,
                "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
                "queryEngineConfiguration": "{}",
            }, {}  # fmt: skip
        path = "/".join(parts[:4])
        if path not in self.containers:
            raise Refused(404, "NotFound", "Owner resource does not exist",
                          1003 if len(parts) > 4 else 0)  # fmt: skip
        rest = parts[4:]
        if method == "GET" and not rest:
            self._may(METADATA)
            return 200, self.containers[path], {}
        if method == "GET" and rest == ["pkranges"]:
            self._may(METADATA)
            ranges = [{"id": "0", "_rid": "AAAAAAAAAAACAAAAAAAAUA==", "minInclusive": "",
                       "maxExclusive": "FF", "parents": []}]  # fmt: skip
            if headers.get("if-none-match") == '"1"':
                return 304, None, {"etag": '"1"'}
            found = {"_rid": "AAAAAAAAAAA=", "PartitionKeyRanges": ranges, "_count": 1}
            return 200, found, {"etag": '"1"'}
        items = self.items[path]
        if method == "POST" and rest == ["docs"]:
            if headers.get("x-ms-documentdb-isquery", "").lower() == "true":
                return self._query(items, headers, json.loads(body))
            if headers.get("x-ms-cosmos-is-batch-request", "").lower() == "true":
                return self._batch(path, items, headers, json.loads(body))
            return self._store(path, items, headers, json.loads(body))
        if len(rest) != 2 or rest[0] != "docs":
            raise Refused(400, "BadRequest", f"no such operation: {method} {url}")
        [partition] = json.loads(headers["x-ms-documentdb-partitionkey"])
        place = (partition, unquote(rest[1]))
        self._may(
            {"GET": "items/read", "DELETE": "items/delete", "PUT": "items/replace"}[method]
        )
        if place not in items:
            raise Refused(404, "NotFound", "Entity with the specified id does not exist")
        if method == "PUT":
            item = json.loads(body)
            if item["id"] != place[1]:
                raise Refused(400, "BadRequest", "replacing the id is not allowed")
            return self._store(path, items, headers, item, replaces=True)
        self._match(items[place], headers.get("if-match"))
        if method == "DELETE":
            del items[place]
            return 204, None, {}
        return 200, items[place], {"etag": items[place]["_etag"]}

    def _query(self, items: Any, headers: Any, asked: Any) -> tuple[int, Any, Any]:
        self._may("executeQuery")
        if headers["content-type"] != "application/query+json":
            raise Refused(415, "UnsupportedMediaType")
        if asked["query"] != "SELECT * FROM c":
            raise Refused(400, "BadRequest", f"unknown query {asked['query']!r}")
        if headers.get("x-ms-cosmos-is-query-plan-request", "").lower() == "true":
            plan = {
                "partitionedQueryExecutionInfoVersion": 2,
                "queryInfo": {"distinctType": "None", "top": None, "offset": None, "limit": None,
                              "orderBy": [], "orderByExpressions": [], "groupByExpressions": [],
                              "groupByAliases": [], "aggregates": [], "rewrittenQuery": "",
                              "groupByAliasToAggregateType": {}, "hasSelectValue": False},
                "queryRanges": [{"min": "", "max": "FF", "isMinInclusive": True,
                                 "isMaxInclusive": False}],
            }  # fmt: skip
            return 200, plan, {}
        enabled = headers.get("x-ms-documentdb-query-enablecrosspartition", "").lower()
        if enabled != "true" and "x-ms-documentdb-partitionkey" not in headers:
            raise Refused(400, "BadRequest", "Cross partition query is required but disabled")
        first = int(headers.get("x-ms-continuation") or 0)
        size = int(headers.get("x-ms-max-item-count") or 100)
        found = list(items.values())[first : first + size]
        more = {"x-ms-continuation": str(first + size)} if first + size < len(items) else {}
        return 200, {"_rid": "x", "Documents": found, "_count": len(found)}, more

    @staticmethod
    def _match(item: Any, etag: str | None) -> None:
        if etag is not None and etag != item["_etag"]:
            raise Refused(412, "PreconditionFailed", "One of the specified pre-conditions is not met")

    def _batch(self, path: str, items: Any, headers: Any, steps: Any) -> tuple[int, Any, Any]:
        """https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch"""
        assert headers["x-ms-cosmos-batch-atomic"].lower() == "true"
        assert 1 < len(steps) <= 100
        [partition] = json.loads(headers["x-ms-documentdb-partitionkey"])
        before, found = dict(items), []
        for step in steps:
            kind, item = step["operationType"], step.get("resourceBody")
            inner = {**headers, "x-ms-documentdb-is-upsert": str(kind == "Upsert")}
            inner["if-match"] = step.get("ifMatch")
            place = (partition, step.get("id") or item["id"])
            try:
                if kind == "Delete":
                    self._may("items/delete")
                    if place not in items:
                        raise Refused(404, "NotFound")
                    self._match(items[place], step.get("ifMatch"))
                    del items[place]
                    found.append({"statusCode": 204})
                    continue
                if kind == "Replace":
                    self._may("items/replace")
                    if place not in items:
                        raise Refused(404, "NotFound")
                status, _, _ = self._store(path, items, inner, item, replaces=kind == "Replace")
                found.append({"statusCode": status})
            except Refused as exc:
                if exc.status == 403:
                    raise
                items.clear()
                items.update(before)
                failed = [{"statusCode": 424}] * len(steps)
                failed[len(found)] = {"statusCode": exc.status}
                return 207, failed, {}
        return 200, found, {}

    def _store(
        self, path: str, items: Any, headers: Any, item: Any, replaces: bool = False
    ) -> tuple[int, Any, Any]:
        upsert = headers.get("x-ms-documentdb-is-upsert", "").lower() == "true"
        if not replaces:
            self._may("items/upsert" if upsert else "items/create")
        if upsert:
            self._may("items/create")
            self._may("items/replace")
        identity = item.get("id")
        if not isinstance(identity, str) or not 0 < len(identity.encode()) <= 1023:
            raise Refused(400, "BadRequest", "One of the specified inputs is invalid: id")
        if set(identity) & set("/\\?#") or identity.endswith(" "):
            raise Refused(400, "BadRequest", "Id contains illegal chars")
        if "ttl" in item and not isinstance(item["ttl"], int):
            raise Refused(400, "BadRequest", "The input ttl is invalid")
        definition = self.containers[path]
        key = definition["partitionKey"]["paths"][0][1:].strip('"')
        if json.loads(headers["x-ms-documentdb-partitionkey"]) != [item[key]]:
            text = "PartitionKey extracted from document doesn't match the one in the header"
            raise Refused(400, "BadRequest", text, 1001)
        place = (item[key], identity)
        there = place in items
        if replaces:
            self._match(items[place], headers.get("if-match"))
        elif there and not upsert:
            raise Refused(409, "Conflict", "Entity with the specified id already exists")
        for unique in definition.get("uniqueKeyPolicy", {}).get("uniqueKeys", ()):
            name = unique["paths"][0][1:].strip('"')
            for other, found in items.items():
                if other != place and other[0] == place[0] and found.get(name) == item.get(name):
                    raise Refused(409, "Conflict", "Unique index constraint violation.")
        self.serial += 1
        # Numbers are doubles.
        kept = json.loads(json.dumps(item), parse_int=lambda text: _double(text))
        kept |= {
            "_rid": "AAAAAAAAAAABAAAAAAAAAA==", "_self": "dbs/A/colls/A/docs/A/",
            "_etag": f'"{self.serial}"', "_attachments": "attachments/", "_ts": 1_790_000_000,
        }  # fmt: skip
        items[place] = kept
        return 200 if there else 201, kept, {"etag": kept["_etag"]}


def _double(text: str) -> int:
    assert float(text) == int(text), text
    return int(text)
