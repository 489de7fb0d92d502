"""Objects of buckets, with google-cloud-storage. Ships; imports at first use."""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo

_lock = Lock()
_client: Any = None


def _blob(bucket: str, key: str) -> Any:
    return _bucket(bucket).blob(key)


def _bucket(bucket: str) -> Any:
    global _client
    with _lock:
        if _client is None:
            from google.cloud.storage import Client

            # STORAGE_EMULATOR_HOST is the client's own.
            _client = Client()
    return _client.bucket(bucket)


def read(bucket: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    from portafaas_gcp.runtime.failures import calling, patient

    found: bytes = calling(
        f"read {key!r} of bucket {bucket}",
        lambda: _blob(bucket, key).download_as_bytes(retry=patient()),
    )
    return found


def read_range(bucket: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    from portafaas.runtime.resources import Conflict, NotFound
    from portafaas_gcp.runtime.failures import calling, patient

    def call() -> bytes:
        found: bytes = _blob(bucket, key).download_as_bytes(
            start=start, end=start + size - 1, if_generation_match=int(etag), checksum=None,
            retry=patient(),
        )  # fmt: skip
        return found

    try:
        data: bytes = calling(f"read {key!r} of bucket {bucket}", call)
    except NotFound as exc:
        raise Conflict(str(exc)) from exc
    return data


def stat(bucket: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    from portafaas_gcp.runtime.failures import calling, patient

    def call() -> ObjectInfo:
        blob = _blob(bucket, key)
        blob.reload(retry=patient())
        return _info(blob)

    found: ObjectInfo = calling(f"look at {key!r} of bucket {bucket}", call)
    return found


def _info(blob: Any) -> ObjectInfo:
    from portafaas.runtime.objects import ObjectInfo

    # The generation is the content's; the etag changes with the metadata, too.
    return ObjectInfo(blob.name, blob.size, str(blob.generation), blob.updated, blob.content_type)


def list_objects(
    bucket: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the service's token of the next page."""
    from portafaas_gcp.runtime.failures import calling, patient

    def call() -> tuple[list[ObjectInfo], str | None]:
        listed = _bucket(bucket).list_blobs(
            prefix=prefix or None, page_token=after, page_size=limit, retry=patient()
        )
        found = [_info(blob) for blob in next(listed.pages, ())]
        return found, listed.next_page_token or None

    result: tuple[list[ObjectInfo], str | None] = calling(f"list bucket {bucket}", call)
    return result


def write(
    bucket: str, key: str, data: bytes, content_type: str | None, if_absent: bool
) -> None:
    """Store an object; raises Conflict when there is one and *if_absent*."""
    from portafaas_gcp.runtime.failures import calling, patient

    def call() -> None:
        _blob(bucket, key).upload_from_string(
            data, content_type=content_type or "application/octet-stream", retry=patient(),
            **_absent(if_absent),
        )  # fmt: skip

    calling(f"write {key!r} to bucket {bucket}", call)


def _absent(if_absent: bool) -> dict[str, int]:
    """Return the condition that there is no such object: it has no generation."""
    return {"if_generation_match": 0} if if_absent else {}


def write_parts(
    bucket: str, key: str, parts: Iterator[bytes], content_type: str | None, if_absent: bool
) -> None:
    """Store an object of parts: a resumable upload, which is no object before its last part.

    https://cloud.google.com/storage/docs/resumable-uploads
    """
    from portafaas.runtime.objects import PART
    from portafaas_gcp.runtime.failures import calling, patient

    source = _Parts(parts)

    def call() -> None:
        blob = _blob(bucket, key)
        blob.chunk_size = PART
        blob.upload_from_file(
            source, content_type=content_type or "application/octet-stream", retry=patient(),
            **_absent(if_absent),
        )  # fmt: skip

    try:
        calling(f"write {key!r} to bucket {bucket}", call)
    except Exception:
        if source.failed is not None:
            raise source.failed from None
        raise


class _Parts:
    """A file of parts, which keeps what they raise: it is the handler's, no fault of the bucket."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._held = b""
        self._place = 0
        self.failed: Exception | None = None

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes; fewer at the end only."""
        try:
            while size < 0 or len(self._held) < size:
                part = next(self._parts, None)
                if part is None:
                    break
                self._held += part
        except Exception as exc:
            self.failed = exc
            raise
        data = self._held if size < 0 else self._held[:size]
        self._held = self._held[len(data) :]
        self._place += len(data)
        return data


def signed_url(
    bucket: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL that the function's account signs, by IAM: it has no key of its own.

    https://cloud.google.com/storage/docs/access-control/signed-urls
    """
    from portafaas_gcp.runtime.failures import calling

    def call() -> str:
        from datetime import timedelta

        blob = _blob(bucket, key)
        credentials = blob.client._credentials
        signer = {}
        if not hasattr(credentials, "sign_bytes"):
            from google.auth.transport.requests import Request

            if not hasattr(credentials, "service_account_email"):
                from portafaas.runtime.resources import ResourceError

                # A person's, in a script.
                raise ResourceError("only a service account can")
            if not credentials.valid:
                credentials.refresh(Request())
            signer = {
                "service_account_email": credentials.service_account_email,
                "access_token": credentials.token,
            }
        url: str = blob.generate_signed_url(
            version="v4", expiration=timedelta(seconds=expires), method=method,
            content_type=content_type, **signer,
        )  # fmt: skip
        return url

    found: str = calling(f"sign a URL of {key!r} of bucket {bucket}", call)
    return found


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
