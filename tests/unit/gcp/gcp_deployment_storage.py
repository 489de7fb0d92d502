"""Cloud Storage, as far as the engine and Terraform's backend need it, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import unquote

Answer = tuple[int, dict[str, str], bytes]


def say(status: int, value: Any = None, **headers: str) -> Answer:
    body = b"" if value is None else json.dumps(value).encode()
    return status, {"Content-Type": "application/json", **headers}, body


def refuse(status: int, word: str, message: str, **info: Any) -> Answer:
    """Return an error as https://google.aip.dev/193 has it."""
    error: dict[str, Any] = {"code": status, "message": message, "status": word}
    if info:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        reason = info.pop("reason")
        error["details"] = [{"@type": kind, "reason": reason, "metadata": info}]
    return say(status, {"error": error})


class Storage:
    """Buckets with the generation and the content of each object."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self.objects: dict[tuple[str, str], tuple[int, bytes]] = {}
        #: Buckets of other projects, which exist and are not listed.
        self.strangers: set[str] = set()
        self.uploads: dict[str, tuple[str, str, int, bytearray]] = {}
        #: Objects that are damaged on their way.
        self.damage = False
        self._generation = 1000

    def handle(
        self, verb: str, path: str, query: dict[str, str], headers: Any, body: bytes, root: str
    ) -> Answer:
        if path == "storage/v1/b" and verb == "GET":
            found = [b for b in self.buckets.values() if b["name"].startswith(query["prefix"])]
            return say(200, {"items": found} if found else {})
        if path == "storage/v1/b":
            bucket = json.loads(body)
            if bucket["name"] in self.buckets or bucket["name"] in self.strangers:
                return self._error(409, "conflict", "The requested bucket name is not available.")
            self.buckets[bucket["name"]] = bucket
            return say(200, bucket)
        place = re.fullmatch(r"(?:upload/)?storage/v1/b/([^/]+)/o(?:/(.+))?", path)
        if place is None:
            bucket_name, _, name = path.partition("/")  # as the XML API has it
            return self._read(verb, bucket_name, unquote(name), {"alt": "media"})
        if place[1] not in self.buckets:
            return self._error(404, "notFound", "The specified bucket does not exist.")
        if path.startswith("upload/"):
            return self._upload(verb, place[1], query, headers, body, root)
        if place[2] is None:
            return self._list(place[1], query)
        return self._read(verb, place[1], unquote(place[2]), query)

    def _list(self, bucket: str, query: dict[str, str]) -> Answer:
        names = sorted(n for b, n in self.objects if b == bucket)
        names = [n for n in names if n.startswith(query.get("prefix", ""))]
        start = int(query.get("pageToken", "0"))
        page: dict[str, Any] = {"items": [self._about(bucket, n) for n in names[start : start + 3]]}
        if start + 3 < len(names):
            page["nextPageToken"] = str(start + 3)
        return say(200, page)

    def _read(self, verb: str, bucket: str, name: str, query: dict[str, str]) -> Answer:
        stored = self.objects.get((bucket, name))
        if stored is None:
            return self._error(404, "notFound", f"No such object: {bucket}/{name}")
        if verb == "DELETE":
            del self.objects[bucket, name]
            return say(204)
        if query.get("alt") == "media":
            return 200, {"X-Goog-Generation": str(stored[0])}, stored[1]
        return say(200, self._about(bucket, name))

    def _upload(
        self, verb: str, bucket: str, query: dict[str, str], headers: Any, body: bytes, root: str
    ) -> Answer:
        kind, name, content = query["uploadType"], query.get("name", ""), body
        if kind == "resumable" and verb == "POST":
            size = int(headers["X-Upload-Content-Length"])
            place = str(len(self.uploads))
            self.uploads[place] = (bucket, name, size, bytearray())
            where = f"{root}upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={place}"
            return say(200, None, Location=where)
        if kind == "resumable":
            bucket, name, size, whole = self.uploads[query["upload_id"]]
            span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers["Content-Range"])
            assert span is not None and int(span[1]) == len(whole) and int(span[3]) == size
            assert int(span[2]) - int(span[1]) + 1 == len(body)
            whole += body
            if len(whole) < size:
                assert len(body) % (256 * 1024) == 0
                return say(308, None, Range=f"bytes=0-{len(whole) - 1}")
            content = bytes(whole)
        if kind == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', headers["Content-Type"])
            assert boundary is not None
            parts = body.split(b"--" + boundary[1].encode())
            about, content = (part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:3])
            name = name or json.loads(about)["name"]
        there = self.objects.get((bucket, name), (0, b""))[0]
        if query.get("ifGenerationMatch") not in (None, str(there)):
            return self._error(412, "conditionNotMet", "At least one precondition failed.")
        self.put(bucket, name, content[:-1] if self.damage else content)
        return say(200, self._about(bucket, name))

    def put(self, bucket: str, name: str, content: bytes) -> None:
        self._generation += 1
        self.objects[bucket, name] = (self._generation, content)

    def _about(self, bucket: str, name: str) -> dict[str, str]:
        generation, content = self.objects[bucket, name]
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        return {"name": name, "bucket": bucket, "generation": str(generation), "md5Hash": md5,
                "size": str(len(content))}  # fmt: skip

    def _error(self, status: int, reason: str, message: str) -> Answer:
        error = {"code": status, "message": message, "errors": [{"reason": reason}]}
        return say(status, {"error": error})
