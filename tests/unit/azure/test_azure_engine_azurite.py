"""The store of packages and records in Azurite, Microsoft's own stand-in for blobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour import emulators


@pytest.fixture
def azurite(site: Any, tmp_path: Path) -> Iterator[str]:
    """The account's address; the certificate is one that the engine trusts already."""
    with emulators.azurite(tmp_path, os.environ["REQUESTS_CA_BUNDLE"]) as address:
        yield address


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
