"""Packages, records and Terraform documents in one private bucket of the project and region.

Object names: a package lies at ``<service>/<digest>.zip``, where the emitted document looks for
it, everything else below ``_/``, which no service can be called.
https://cloud.google.com/storage/docs/json_api
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portafaas.deployment.contract import Blobs
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import ApiError, failure

PACKAGES = "packages/"
OTHER = "_/"
#: Bytes; a part of an upload, a multiple of 256 KiB:
#: https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
PART = 8 * 1024 * 1024
#: Days after which replaced and removed objects are gone.
OLD_DAYS = 90


def bucket_name(project: str, region: str) -> str:
    """Return ``<project>-portafaas-<region>``, or a digest for a region that makes it too long."""
    project = re.sub(r"[^a-z0-9-]", "-", project)
    name = f"{project}-portafaas-{region}"
    if len(name) <= 63:
        return name
    return f"{project}-portafaas-{hashlib.sha256(region.encode()).hexdigest()[:8]}"


def object_of(key: str) -> str:
    """Return the object's name for a key of the core."""
    return key[len(PACKAGES) :] if key.startswith(PACKAGES) else OTHER + key


class Store(Blobs):
    """The bucket, if it is there."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._found = False

    @property
    def bucket(self) -> str:
        """Name of the bucket, there or not."""
        return bucket_name(self._cloud.project, self._cloud.region)

    def exists(self) -> bool:
        """Return whether the bucket is there, and the project's own.

        Names of buckets are shared by all of Google Cloud: only a list of the project's own tells
        that one is not a stranger's, who would read what is put there.
        """
        if not self._found:
            query = {"project": self._cloud.project, "prefix": self.bucket, "fields": "items/name"}
            page = self._cloud.call("storage", "GET", "storage/v1/b", query)
            self._found = any(item["name"] == self.bucket for item in page.get("items") or ())
        return self._found

    def create(self) -> None:
        """Make the bucket if it is missing; PF8008 when a stranger has its name."""
        if self.exists():
            return
        body = {
            "name": self.bucket,
            "location": self._cloud.region,
            "labels": {"managed-by": "portafaas"},
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": True},
                "publicAccessPrevention": "enforced",
            },
            "versioning": {"enabled": True},
            "lifecycle": {
                "rule": [
                    {
                        "action": {"type": "Delete"},
                        "condition": {"daysSinceNoncurrentTime": OLD_DAYS},
                    }
                ]
            },
        }
        try:
            self._cloud.call("storage", "POST", "storage/v1/b",
                             {"project": self._cloud.project}, body)  # fmt: skip
        except ApiError as exc:
            if exc.status != 409:
                raise
            self._found = False
            if not self.exists():  # or another deployer was quicker
                raise failure(
                    "PF8008",
                    "the store of packages cannot be made:",
                    f"the bucket {self.bucket!r} exists, and is not of this project",
                    "names of buckets are shared by all of Google Cloud: use another project",
                ) from exc
        self._found = True

    def read(self, key: str) -> bytes | None:
        """Return an object's content."""
        return self.read_object(object_of(key)) if self.exists() else None

    def read_object(self, name: str, bucket: str = "") -> bytes | None:
        """Return the content of an object by its own name."""
        path = self._path(name, bucket)
        response = self._cloud.send("storage", "GET", path, {"alt": "media"}, absent=True)
        return None if response is None else bytes(response.content)

    def write(self, key: str, content: bytes | Path) -> None:
        """Write an object; a big one in parts. The bucket must be there."""
        name = object_of(key)
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if size > PART:
            stored, md5 = self._in_parts(name, content, size)
        else:
            data = content.read_bytes() if isinstance(content, Path) else content
            query = {"uploadType": "media", "name": name}
            path = f"upload/storage/v1/b/{self.bucket}/o"
            headers = {"Content-Type": "application/octet-stream"}
            stored = self._cloud.send("storage", "POST", path, query, data=data,
                                      headers=headers).json()  # fmt: skip
            md5 = hashlib.md5(data, usedforsecurity=False)
        if stored.get("md5Hash") != base64.b64encode(md5.digest()).decode():
            raise failure(
                "PF8012",
                "an upload was damaged on its way:",
                f"gs://{self.bucket}/{name} is not what was sent",
                "try again",
            )

    def _in_parts(self, name: str, content: bytes | Path, size: int) -> tuple[Any, Any]:
        """Send a resumable upload: https://cloud.google.com/storage/docs/resumable-uploads."""
        import io

        query = {"uploadType": "resumable", "name": name}
        headers = {"X-Upload-Content-Length": str(size)}
        path = f"upload/storage/v1/b/{self.bucket}/o"
        start = self._cloud.send("storage", "POST", path, query, headers=headers)
        place, md5, at = start.headers["Location"], hashlib.md5(usedforsecurity=False), 0
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
            while True:
                part = stream.read(PART)
                md5.update(part)
                headers = {"Content-Range": f"bytes {at}-{at + len(part) - 1}/{size}"}
                response = self._cloud.send("storage", "PUT", place, data=part, headers=headers)
                at += len(part)
                if response.status_code != 308:
                    return response.json(), md5

    def names(self, prefix: str) -> Sequence[str]:
        """Return the keys that begin with *prefix*, sorted."""
        if not self.exists():
            return []
        found = []
        if prefix.startswith(PACKAGES) or PACKAGES.startswith(prefix):
            names = self._objects(prefix[len(PACKAGES) :])
            found += [PACKAGES + name for name in names if not name.startswith(OTHER)]
        if not prefix.startswith(PACKAGES):
            found += [name[len(OTHER) :] for name in self._objects(OTHER + prefix)]
        return sorted(found)

    def _objects(self, prefix: str) -> list[str]:
        path = f"storage/v1/b/{self.bucket}/o"
        query = {"prefix": prefix, "fields": "items/name,nextPageToken"}
        return [item["name"] for item in self._cloud.pages("storage", path, "items", query)]

    def remove(self, key: str) -> None:
        """Remove an object; its versions go by the bucket's rule."""
        if self.exists():
            self._cloud.send("storage", "DELETE", self._path(object_of(key)), absent=True)

    def _path(self, name: str, bucket: str = "") -> str:
        return f"storage/v1/b/{bucket or self.bucket}/o/{quote(name, safe='')}"
