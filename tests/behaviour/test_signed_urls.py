"""URLs that a bucket signs: who has one can read or store the object, until it ends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from portafaas.runtime import NotGranted, ResourceError
from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from tests.behaviour.backends import Backend

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
KEY = "a/\u00fc b?#%25+&.bin"


def _fetch(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> bytes:
    sent = {"Content-Type": "application/octet-stream", **headers}
    request = urllib.request.Request(url, data, sent, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("started", ["aws"], indirect=True)
def test_urls_work(backend: Backend, client: Callable[..., Any]) -> None:
    bucket = client("bucket", backend.bucket())
    _fetch(bucket.signed_url(KEY, "PUT", 60), "PUT", b"content")
    assert bucket.read(KEY) == b"content"
    assert _fetch(bucket.signed_url(KEY)) == b"content"
    url = bucket.signed_url("nothing", expires=7 * 24 * 3600)
    with pytest.raises(urllib.error.HTTPError) as caught:
        _fetch(url)
    assert caught.value.code == 404
    caught.value.close()


@pytest.mark.parametrize("started", ["azure"], indirect=True)
@pytest.mark.parametrize(("method", "permitted"), [("GET", "r"), ("PUT", "cw")])
def test_azure_signs_with_a_key_of_the_identity(
    backend: Backend, client: Callable[..., Any], method: str, permitted: str
) -> None:
    """Azurite gives the key; it does not know the version in which the SDK signs.

    https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
    """
    from portafaas_azure.runtime import blobs

    address = backend.bucket()
    bucket = client("bucket", address)
    parts = urlsplit(bucket.signed_url(KEY, method, 7 * 24 * 3600))
    facts = {name: value for name, [value] in parse_qs(parts.query).items()}
    account, container = urlsplit(address).path.strip("/").split("/")
    assert parts.path == f"/{account}/{container}/" + quote(KEY, safe="/~")
    assert (facts["sp"], facts["sr"], facts["spr"]) == (permitted, "b", "https")
    end = datetime.strptime(facts["se"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    assert abs(end - time.time() - 7 * 24 * 3600) < 60
    ends, key = blobs._keys[address.rpartition("/")[0]]
    assert facts["ske"] == key.signed_expiry and ends.timestamp() >= end - 1
    text = "\n".join(
        [facts["sp"], facts["st"], facts["se"], f"/blob/{account}/{container}/{KEY}",
         *(facts[name] for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")), *[""] * 6,
         facts["spr"], facts["sv"], facts["sr"], *[""] * 9]
    )  # fmt: skip
    signed = hmac.new(base64.b64decode(key.value), text.encode(), "sha256").digest()
    assert facts["sig"] == base64.b64encode(signed).decode()
    # The next one needs no other key.
    bucket.signed_url("b", method, 60)
    assert blobs._keys[address.rpartition("/")[0]][1] is key


@pytest.mark.parametrize("started", ["aws"], indirect=True)
def test_urls_of_s3_are_of_version_4(backend: Backend, client: Callable[..., Any]) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html"""
    bucket = client("bucket", backend.bucket())
    facts = parse_qs(urlsplit(bucket.signed_url("a", "PUT", 90, "image/png")).query)
    assert facts["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert facts["X-Amz-Expires"] == ["90"]
    assert facts["X-Amz-SignedHeaders"] == ["content-type;host"]


def test_an_azure_url_is_of_no_type() -> None:
    from portafaas_azure.runtime.resources import signed_url

    with pytest.raises(ResourceError, match="cannot sign a URL for one type of content"):
        signed_url("https://a.blob.core.windows.net/b", "a", "PUT", 60, "image/png")


def test_google_signs_in_the_name_of_the_functions_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By IAM, which only the request shows: no emulator signs.

    https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    https://cloud.google.com/storage/docs/authentication/canonical-requests
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from google.auth.compute_engine import Credentials
    from google.auth.transport import requests
    from google.cloud.storage import Client

    from portafaas_gcp.runtime import blobs

    key = rsa.generate_private_key(65537, 2048)
    asked: list[tuple[str, str, Any]] = []

    class Answer:
        status = 200

        def __init__(self, content: Any) -> None:
            text = isinstance(content, str)
            self.headers = {"content-type": "text/plain" if text else "application/json"}
            self.data = (content if text else json.dumps(content)).encode()

    def call(self: Any, url: str, method: str = "GET", body: Any = None, headers: Any = None,
             timeout: Any = None, **more: Any) -> Answer:  # fmt: skip
        if "iamcredentials" not in url:  # the metadata server
            if "token" in url:
                return Answer({"access_token": "t1", "expires_in": 3600})
            if "universe" in url:
                return Answer("googleapis.com")
            return Answer({"email": "f@p.iam.gserviceaccount.com", "scopes": ["x"]})
        asked.append((method, url, headers["Authorization"]))
        payload = base64.b64decode(json.loads(body)["payload"])
        signed = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return Answer({"keyId": "1", "signedBlob": base64.b64encode(signed).decode()})

    monkeypatch.setattr(requests.Request, "__call__", call)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    made = Client(project="p", credentials=Credentials())  # type: ignore[no-untyped-call]
    monkeypatch.setattr(blobs, "_client", made)
    try:
        url = blobs.signed_url("shop-files", KEY, "PUT", 90, "image/png")
    finally:
        made.close()
    account = "f@p.iam.gserviceaccount.com"
    assert [(method, address, who) for method, address, who in asked] == [
        (
            "POST",
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
            f"{account}:signBlob?alt=json",
            "Bearer t1",
        )
    ]
    parts = urlsplit(url)
    signature = parts.query.rpartition("&X-Goog-Signature=")
    facts = parse_qs(parts.query)
    assert parts.path == "/shop-files/" + quote(KEY, safe="/~")
    assert facts["X-Goog-Expires"] == ["90"]
    assert facts["X-Goog-SignedHeaders"] == ["content-type;host"]
    canonical = "\n".join(
        ["PUT", parts.path, signature[0], f"content-type:image/png\nhost:{parts.netloc}\n",
         "content-type;host", "UNSIGNED-PAYLOAD"]
    )  # fmt: skip
    stamp = facts["X-Goog-Date"][0]
    text = "\n".join(
        ["GOOG4-RSA-SHA256", stamp, f"{stamp[:8]}/auto/storage/goog4_request",
         hashlib.sha256(canonical.encode()).hexdigest()]
    )  # fmt: skip
    key.public_key().verify(
        bytes.fromhex(signature[2]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize("started", ["local"], indirect=True)
def test_a_local_url_leads_nowhere(backend: Backend, client: Callable[..., Any]) -> None:
    bucket = client("bucket", backend.bucket())
    parts = urlsplit(bucket.signed_url(KEY, "PUT", 60))
    assert parts.hostname is not None and parts.hostname.endswith(".invalid")
    assert parts.path == "/" + quote(KEY, safe="/~")
    facts = parse_qs(parts.query)
    assert facts["method"] == ["PUT"] and abs(int(facts["expires"][0]) - time.time() - 60) < 30


def test_what_is_asked_is_granted() -> None:
    def bucket(*verbs: str) -> Any:
        uses = {"bucket": {"b": {"verbs": list(verbs), "address": "/nowhere/bucket/b"}}}
        function = Function(
            {
                "name": "f", "service": "s", "kind": "http", "handler": "x:y", "timeout": 5,
                "memory": 256, "source": "/", "trigger": {}, "uses": uses,
            }
        )  # fmt: skip
        return Context(function, "1").buckets["b"]

    assert bucket("read").signed_url("a") and bucket("write").signed_url("a", "PUT")
    with pytest.raises(NotGranted):
        bucket("read").signed_url("a", "PUT")
    with pytest.raises(NotGranted):
        bucket("write").signed_url("a")
    for call, error in (
        (lambda: bucket("read").signed_url("a", "DELETE"), ValueError),
        (lambda: bucket("read").signed_url("a", expires=0), ValueError),
        (lambda: bucket("read").signed_url("a", expires=604_801), ValueError),
        (lambda: bucket("read").signed_url("a", expires="1"), TypeError),
        (lambda: bucket("read").signed_url("a", content_type="text/plain"), ValueError),
        (lambda: bucket("write").signed_url("a", "PUT", content_type="a\r\nb"), ValueError),
        (lambda: bucket("read").signed_url("../a"), ValueError),
    ):
        with pytest.raises(error):
            call()
