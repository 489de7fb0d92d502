"""Objects of buckets, with azure-storage-blob. Ships; imports at first use."""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo

#: Seconds that all repetitions of a call may take, about.
PATIENCE: dict[str, Any] = {"retry_total": 4, "connection_timeout": 10, "read_timeout": 30}

_lock = Lock()
_containers: dict[str, Any] = {}
#: By account: keys that sign URLs, and when they end.
_keys: dict[str, tuple[datetime, Any]] = {}


def container(address: str) -> Any:
    """Return the client of the container at *address*."""
    with _lock:
        found = _containers.get(address)
        if found is None:
            from azure.storage.blob import ContainerClient

            from portafaas_azure.runtime.failures import quiet
            from portafaas_azure.runtime.identity import credential

            quiet()
            found = _containers[address] = ContainerClient.from_container_url(
                address, credential=credential(), **PATIENCE
            )
    return found


def _blob(address: str, key: str) -> Any:
    """Return the client of a blob; *address* is that of its container."""
    return container(address).get_blob_client(key)


def _what(verb: str, address: str, key: str) -> str:
    return f"{verb} {key!r} of bucket {address.rpartition('/')[2]}"


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    from portafaas_azure.runtime.failures import calling

    found: bytes = calling(
        _what("read", address, key), lambda: _blob(address, key).download_blob().readall()
    )
    return found


def read_range(address: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    from portafaas.runtime.resources import Conflict, NotFound
    from portafaas_azure.runtime.failures import calling

    def call() -> bytes:
        from azure.core import MatchConditions

        found: bytes = (
            _blob(address, key)
            .download_blob(
                offset=start, length=size, etag=etag, match_condition=MatchConditions.IfNotModified
            )
            .readall()
        )
        return found

    try:
        data: bytes = calling(_what("read", address, key), call)
    except NotFound as exc:
        raise Conflict(str(exc)) from exc
    return data


def stat(address: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    from portafaas_azure.runtime.failures import calling

    what = _what("look at", address, key)
    return _info(calling(what, lambda: _blob(address, key).get_blob_properties()))


def _info(found: Any) -> ObjectInfo:
    from portafaas.runtime.objects import ObjectInfo

    kind = found.content_settings.content_type
    # Lists have it without the quotes that a header has.
    etag = f'"{found.etag.strip(chr(34))}"'
    return ObjectInfo(found.name, found.size, etag, found.last_modified, kind)


def list_objects(
    address: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the service's marker of the next page."""
    from portafaas_azure.runtime.failures import calling

    def call() -> tuple[list[ObjectInfo], str | None]:
        pages = (
            container(address)
            .list_blobs(name_starts_with=prefix or None, results_per_page=limit)
            .by_page(after)
        )
        found = [_info(each) for each in next(pages)]
        return found, pages.continuation_token or None

    what = f"list bucket {address.rpartition('/')[2]}"
    result: tuple[list[ObjectInfo], str | None] = calling(what, call)
    return result


def write(
    address: str, key: str, data: bytes, content_type: str | None, if_absent: bool
) -> None:
    """Store an object; raises Conflict when there is one and *if_absent*."""
    from portafaas_azure.runtime.failures import calling

    def call() -> None:
        blob = _blob(address, key)
        blob.upload_blob(data, overwrite=not if_absent, content_settings=_kind(content_type))

    calling(_what("write", address, key), call)


def _kind(content_type: str | None) -> Any:
    from azure.storage.blob import ContentSettings

    return ContentSettings(content_type=content_type or "application/octet-stream")


def write_parts(
    address: str,
    key: str,
    parts: Iterator[bytes],
    content_type: str | None,
    if_absent: bool,
) -> None:
    """Store an object of blocks, which are one when their list is; others go after a week.

    https://learn.microsoft.com/rest/api/storageservices/put-block-list
    """
    from functools import partial
    from os import urandom

    from portafaas_azure.runtime.failures import calling

    what = _what("write", address, key)
    blob = calling(what, lambda: _blob(address, key))
    blocks = []
    # Of this upload alone: others may write the same object.
    upload = urandom(8).hex()
    for number, part in enumerate(parts):
        name = f"{upload}-{number:05}"
        calling(what, partial(blob.stage_block, name, part, len(part)))
        blocks.append(name)

    def call() -> None:
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock

        absent = {"match_condition": MatchConditions.IfMissing} if if_absent else {}
        blob.commit_block_list(
            [BlobBlock(name) for name in blocks], content_settings=_kind(content_type), **absent
        )

    calling(what, call)


def signed_url(
    address: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL signed with a key of the app's identity, a user delegation SAS.

    Azure cannot hold a PUT to a type of content, so that one is refused; and a PUT must send
    ``x-ms-blob-type: BlockBlob``.
    https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
    """
    from portafaas.runtime.resources import ResourceError
    from portafaas_azure.runtime.failures import calling

    if content_type is not None:
        raise ResourceError("Azure cannot sign a URL for one type of content")

    def call() -> str:
        from datetime import datetime, timedelta, timezone

        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        blob = _blob(address, key)
        now = datetime.now(timezone.utc)  # noqa: UP017 (Python 3.10)
        end = now + timedelta(seconds=expires)
        read = method == "GET"
        signature = generate_blob_sas(
            container(address).account_name,
            blob.container_name,
            key,
            user_delegation_key=_delegated(address, now, end),
            permission=BlobSasPermissions(read=read, create=not read, write=not read),
            start=now - timedelta(minutes=5),
            expiry=end,
            protocol="https",
        )
        return f"{blob.url}?{signature}"

    url: str = calling(_what("sign a URL of", address, key), call)
    return url


def _delegated(address: str, now: datetime, end: datetime) -> Any:
    """Return a key of the account that is good until *end*, that of the last call if it is."""
    from datetime import timedelta

    account = address.rpartition("/")[0]
    with _lock:
        found = _keys.get(account)
    if found is None or found[0] < end:
        from azure.storage.blob import BlobServiceClient

        from portafaas_azure.runtime.identity import credential

        # Somewhat longer than asked for, so that the next URLs need none of their own.
        last = min(end + timedelta(hours=1), now + timedelta(days=7))
        with BlobServiceClient(account, credential(), **PATIENCE) as service:
            key = service.get_user_delegation_key(now - timedelta(minutes=5), last)
        found = (last, key)
        with _lock:
            _keys[account] = found
    return found[1]


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    from portafaas_azure.runtime.failures import calling

    def call() -> None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            _blob(address, key).delete_blob(delete_snapshots="include")
        except ResourceNotFoundError as exc:
            if getattr(exc, "error_code", None) == "ContainerNotFound":
                raise

    calling(_what("delete", address, key), call)
