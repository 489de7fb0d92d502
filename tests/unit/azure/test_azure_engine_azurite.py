"""The store of packages and records in Azurite, Microsoft's own stand-in for blobs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = shutil.which("azurite-blob")


@pytest.fixture
def azurite(site: Any, tmp_path: Path) -> Iterator[str]:
    """Azurite with tokens, which it takes through TLS only; yields the account's address."""
    if COMMAND is None:
        pytest.skip("azurite-blob is not in the PATH (npm install --global azurite)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pem = os.environ["REQUESTS_CA_BUNDLE"]
    words = [
        COMMAND, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent", "--oauth", "basic",
        "--cert", pem, "--key", pem, "--skipApiVersionCheck", "--inMemoryPersistence",
        "--disableTelemetry",
    ]  # fmt: skip
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.05)
            yield f"https://127.0.0.1:{port}/devstoreaccount1"
        finally:
            process.terminate()


def test_the_store_in_azurite(site: Any, azurite: str, tmp_path: Path) -> None:
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import BlobServiceClient

    site.cloud.blob_url = azurite
    blobs = site.engine().blobs(create=True)
    # Azurite has no Resource Manager: there is no container yet.
    assert blobs.read("a") is None
    assert site.refused(lambda: blobs.write("a", b"1"))[0] == ["PF8010"]
    with BlobServiceClient(azurite, credential=DefaultAzureCredential()) as service:
        service.create_container("portafaas")
    file = tmp_path / "package"
    file.write_bytes(bytes(range(256)) * 40_000)
    blobs.write("packages/shop/a.zip", file)
    assert blobs.read("packages/shop/a.zip") == file.read_bytes()
    blobs.write("records/\N{SNOWMAN} 1.json", b"{}")
    blobs.write("records/\N{SNOWMAN} 1.json", b"{1}")
    assert blobs.read("records/\N{SNOWMAN} 1.json") == b"{1}"
    assert list(blobs.names("records/")) == ["records/\N{SNOWMAN} 1.json"]
    assert list(blobs.names("")) == ["packages/shop/a.zip", "records/\N{SNOWMAN} 1.json"]
    blobs.remove("packages/shop/a.zip")
    blobs.remove("packages/shop/a.zip")
    assert list(blobs.names("packages/")) == []
