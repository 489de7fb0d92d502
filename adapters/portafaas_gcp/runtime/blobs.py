"""Objects of buckets, with google-cloud-storage. Ships; imports at first use."""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_lock = Lock()
_client: Any = None


def _blob(bucket: str, key: str) -> Any:
    global _client
    with _lock:
        if _client is None:
            from google.cloud.storage import Client

            # STORAGE_EMULATOR_HOST is the client's own.
            _client = Client()
    return _client.bucket(bucket).blob(key)


def read(bucket: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    from portafaas_gcp.runtime.failures import calling, patient

    found: bytes = calling(
        f"read {key!r} of bucket {bucket}",
        lambda: _blob(bucket, key).download_as_bytes(retry=patient()),
    )
    return found


def write(bucket: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store an object in place of the one with that key."""
    from portafaas_gcp.runtime.failures import calling, patient

    calling(
        f"write {key!r} to bucket {bucket}",
        lambda: _blob(bucket, key).upload_from_string(
            data, content_type=content_type or "application/octet-stream", retry=patient()
        ),
    )


def delete(bucket: str, key: str) -> None:
    """Delete an object, if there is one."""
    from portafaas_gcp.runtime.failures import calling, patient

    def call() -> None:
        from google.api_core.exceptions import NotFound

        try:
            _blob(bucket, key).delete(retry=patient())
        except NotFound as exc:
            if "bucket does not exist" in str(exc):
                raise

    calling(f"delete {key!r} of bucket {bucket}", call)
