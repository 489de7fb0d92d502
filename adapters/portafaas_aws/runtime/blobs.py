"""Objects of buckets in S3. Ships; loads boto3 lazily.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from portafaas.runtime.resources import Conflict, NotFound
from portafaas_aws.runtime.calls import call, client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo

#: Codes of what a condition refuses.
_REFUSED = {"PreconditionFailed": Conflict, "ConditionalRequestConflict": Conflict}


def read(bucket: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""

    def get() -> bytes:
        content: bytes = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    found: bytes = call(get, {"NoSuchKey": NotFound})
    return found


def read_range(bucket: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""

    def get() -> bytes:
        answer = client("s3").get_object(
            Bucket=bucket, Key=key, Range=f"bytes={start}-{start + size - 1}", IfMatch=etag
        )
        content: bytes = answer["Body"].read()
        return content

    found: bytes = call(get, {**_REFUSED, "NoSuchKey": Conflict})
    return found


def stat(bucket: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    from portafaas.runtime.objects import ObjectInfo

    # The answer to HEAD has no body, and so no code: neither does it tell of the bucket.
    found = call(client("s3").head_object, {"404": NotFound}, Bucket=bucket, Key=key)
    return ObjectInfo(
        key, found["ContentLength"], found["ETag"], found["LastModified"], found.get("ContentType")
    )


def list_objects(
    bucket: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the cursor: the last key."""
    from portafaas.runtime.objects import ObjectInfo

    start = {} if after is None else {"StartAfter": after}
    answer = call(
        client("s3").list_objects_v2, Bucket=bucket, Prefix=prefix, MaxKeys=limit, **start
    )
    found = [
        ObjectInfo(each["Key"], each["Size"], each["ETag"], each["LastModified"])
        for each in answer.get("Contents", ())
    ]
    return found, found[-1].key if found and answer.get("IsTruncated") else None


def _facts(content_type: str | None, if_absent: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an object has (without a type it is S3's), and on what condition."""
    kind = {} if content_type is None else {"ContentType": content_type}
    return kind, {"IfNoneMatch": "*"} if if_absent else {}


def write(
    bucket: str, key: str, data: bytes, content_type: str | None, if_absent: bool
) -> None:
    """Store *data*; raises Conflict when there is an object and *if_absent*."""
    kind, condition = _facts(content_type, if_absent)
    call(client("s3").put_object, _REFUSED, Bucket=bucket, Key=key, Body=data, **kind, **condition)


def write_parts(
    bucket: str, key: str, parts: Iterator[bytes], content_type: str | None, if_absent: bool
) -> None:
    """Store an object of parts: a multipart upload, aborted when anything fails.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
    """
    kind, condition = _facts(content_type, if_absent)
    s3 = client("s3")
    place = {"Bucket": bucket, "Key": key}
    place["UploadId"] = call(s3.create_multipart_upload, **place, **kind)["UploadId"]
    try:
        done = []
        for number, part in enumerate(parts, 1):
            answer = call(s3.upload_part, PartNumber=number, Body=part, **place)
            done.append({"PartNumber": number, "ETag": answer["ETag"]})
        call(
            s3.complete_multipart_upload, _REFUSED, MultipartUpload={"Parts": done}, **place,
            **condition,
        )  # fmt: skip
    except BaseException:
        from contextlib import suppress

        # What is left behind costs money; the reason why is worth more than this one's.
        with suppress(Exception):
            s3.abort_multipart_upload(**place)
        raise


def delete(bucket: str, key: str) -> None:
    """Delete an object, if there is one."""
    call(client("s3").delete_object, Bucket=bucket, Key=key)


def signed_url(
    bucket: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL signed with the function's own, temporary key: none outlives that.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
    """
    place = {"Bucket": bucket, "Key": key}
    if content_type is not None:
        place["ContentType"] = content_type
    url: str = call(
        client("s3").generate_presigned_url,
        ClientMethod="get_object" if method == "GET" else "put_object",
        Params=place,
        ExpiresIn=expires,
    )
    return url
