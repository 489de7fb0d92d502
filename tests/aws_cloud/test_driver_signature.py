"""The driver's signature is botocore's, byte for byte."""

from __future__ import annotations

import random
import string

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

sigv4 = pytest.importorskip("portafaas_aws.runtime.sigv4")


class _Fixed(SigV4Auth):  # type: ignore[misc]
    """botocore's signer at a given time: it asks the clock in ``add_auth`` only."""

    def __init__(self, *arguments: object, now: str) -> None:
        super().__init__(*arguments)
        self.now = now

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self.now
        self._modify_request_before_signing(request)
        signature = self.signature(
            self.string_to_sign(request, self.canonical_request(request)), request
        )
        self._inject_signature_to_request(request, signature)


def test_many_requests_are_signed_as_botocore_signs_them() -> None:
    rng = random.Random(20261123)
    printable = string.ascii_letters + string.digits + string.punctuation + "  "

    def text(least: int, most: int) -> str:
        return "".join(rng.choices(printable, k=rng.randint(least, most)))

    for _ in range(300):
        key = "".join(rng.choices(string.ascii_uppercase, k=20))
        secret, token = text(1, 60), rng.choice([None, text(1, 400).strip() or "t"])
        region, service = rng.choice(["eu-central-1", "us-gov-west-1"]), "secretsmanager"
        host = rng.choice(["secretsmanager.eu-central-1.amazonaws.com", "127.0.0.1:5000"])
        now = f"20{rng.randint(10, 99)}{rng.randint(10, 12)}{rng.randint(10, 28)}T101112Z"
        body = rng.randbytes(rng.randint(0, 3000))
        headers = {
            "Host": host,
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "secretsmanager.GetSecretValue",
            f"X-{''.join(rng.choices(string.ascii_letters, k=8))}": text(1, 40).strip() or "v",
        }
        theirs = AWSRequest("POST", f"https://{host}/", dict(headers), body)
        credentials = Credentials(key, secret, token)
        _Fixed(credentials, service, region, now=now).add_auth(theirs)
        ours = sigv4.sign(headers, body, now, region, service, key, secret, token)
        assert ours == dict(theirs.headers.items())
