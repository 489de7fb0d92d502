"""The bucket of packages, records and templates: one per account and region, for all services.

Its name can be guessed, so every call names the account that must own it: a bucket that somebody
else made first is refused and not written to.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portafaas.deployment.contract import Blobs
from portafaas_aws.deployment.cloud import Cloud, speaking
from portafaas_aws.deployment.faults import code_of, fail

_CLOSED = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
_SUMMARY = "the store of packages does not answer:"


class Store(Blobs):
    """``portafaas-<account>-<region>``: private, encrypted, versioned, reached by TLS alone."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return f"portafaas-{self.cloud.account}-{self.cloud.region}"

    def url(self, key: str) -> str:
        """Return the address that CloudFormation reads *key* at."""
        return f"https://{self.bucket}.s3.{self.cloud.region}.{self.cloud.suffix}/{key}"

    @property
    def _s3(self) -> Any:
        return self.cloud.client("s3")

    @property
    def _ours(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.cloud.account}

    @speaking(_SUMMARY)
    def make(self) -> None:
        """Make the bucket if it is missing, and finish one whose making was broken off.

        Raises DeploymentError (PF8008) when the name belongs to another account.
        """
        if not self._exists():
            more: dict[str, Any] = {}
            if self.cloud.region != "us-east-1":
                # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
                more = {"CreateBucketConfiguration": {"LocationConstraint": self.cloud.region}}
            try:
                self._s3.create_bucket(
                    Bucket=self.bucket, ObjectOwnership="BucketOwnerEnforced", **more
                )
            except self._s3.exceptions.BucketAlreadyOwnedByYou:
                pass
            except self._s3.exceptions.BucketAlreadyExists:
                raise self._foreign() from None
        elif self._finished():
            return
        self._close()

    def _exists(self) -> bool:
        try:
            self._s3.head_bucket(**self._ours)
        except self._s3.exceptions.ClientError as exc:
            if code_of(exc) in ("404", "NoSuchBucket"):
                return False
            if code_of(exc) in ("403", "AccessDenied"):
                raise self._foreign() from None
            raise
        return True

    def _foreign(self) -> Exception:
        return fail(
            "nothing was stored:",
            "PF8008",
            f"bucket {self.bucket} belongs to another account, or you may not use it",
            "its name follows from your account and region: ask who made it, "
            "and for s3:ListBucket on it",
        )

    def _finished(self) -> bool:
        # The tags are the last that is set.
        try:
            found = self._s3.get_bucket_tagging(**self._ours)["TagSet"]
        except self._s3.exceptions.ClientError as exc:
            if code_of(exc) != "NoSuchTagSet":
                raise
            return False
        return {"Key": "managed-by", "Value": "portafaas"} in found

    def _close(self) -> None:
        s3, ours = self._s3, self._ours
        s3.put_public_access_block(**ours, PublicAccessBlockConfiguration=_CLOSED)
        s3.put_bucket_encryption(
            **ours,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        s3.put_bucket_versioning(**ours, VersioningConfiguration={"Status": "Enabled"})
        arn = f"arn:{self.cloud.partition}:s3:::{self.bucket}"
        statement = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3.put_bucket_policy(**ours, Policy=json.dumps(policy))
        tags = [{"Key": "managed-by", "Value": "portafaas"}]
        s3.put_bucket_tagging(**ours, Tagging={"TagSet": tags})

    @speaking(_SUMMARY)
    def read(self, key: str) -> bytes | None:
        """Return the object's content, None when there is none or no bucket."""
        try:
            content: bytes = self._s3.get_object(**self._ours, Key=key)["Body"].read()
        except self._s3.exceptions.ClientError as exc:
            if code_of(exc) in ("NoSuchKey", "NoSuchBucket", "404"):
                return None
            raise
        return content

    @speaking("nothing was stored:")
    def write(self, key: str, content: bytes | Path) -> None:
        """Write an object whole; S3 checks what arrives."""
        if isinstance(content, bytes):
            self._s3.put_object(**self._ours, Key=key, Body=content)
            return
        with content.open("rb") as file:
            self._s3.put_object(**self._ours, Key=key, Body=file)

    @speaking(_SUMMARY)
    def names(self, prefix: str) -> Sequence[str]:
        """Return the keys that begin with *prefix*, sorted."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(**self._ours, Prefix=prefix)
        try:
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))
        except self._s3.exceptions.NoSuchBucket:
            return ()

    @speaking("nothing was removed:")
    def remove(self, key: str) -> None:
        """Remove an object, if it is there; its versions stay until the bucket forgets them."""
        try:
            self._s3.delete_object(**self._ours, Key=key)
        except self._s3.exceptions.NoSuchBucket:
            return
