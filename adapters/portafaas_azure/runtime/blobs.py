"""Objects of buckets, with azure-storage-blob. Ships; imports at first use."""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds that all repetitions of a call may take, about.
PATIENCE: dict[str, Any] = {"retry_total": 4, "connection_timeout": 10, "read_timeout": 30}

_lock = Lock()
_containers: dict[str, Any] = {}


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


def write(address: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store an object in place of the one with that key."""
    from portafaas_azure.runtime.failures import calling

    def call() -> None:
        from azure.storage.blob import ContentSettings

        kind = ContentSettings(content_type=content_type or "application/octet-stream")
        _blob(address, key).upload_blob(data, overwrite=True, content_settings=kind)

    calling(_what("write", address, key), call)


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
