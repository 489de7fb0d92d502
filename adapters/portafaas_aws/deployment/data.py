"""What holds data: find it by its name, tell whose it is, and remove it with all it holds.

Queues, buckets, tables and secrets; the types that templates keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.record import dataclass
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.documents import NAMED
from portafaas_aws.deployment.faults import code_of, fail
from portafaas_aws.deployment.stack import ours
from portafaas_aws.infrastructure.document import tag_map

QUEUE, BUCKET, TABLE, SECRET = NAMED

#: Codes of what is not there. The first of SQS is its older protocol's.
_GONE = frozenset({
    "404", "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "QueueDoesNotExist",
    "ResourceNotFoundException",
})  # fmt: skip
#: Property that tells CloudFormation which resource is imported.
#: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resource-import-supported-resources.html
_IDENTIFIER = {QUEUE: "QueueUrl", BUCKET: "BucketName", TABLE: "TableName", SECRET: "Id"}
_ARNS = (("sqs", "", QUEUE), ("s3", "", BUCKET), ("dynamodb", "table/", TABLE),
         ("secretsmanager", "secret:", SECRET))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """Something that holds data. ``physical`` is what CloudFormation calls it: a queue's URL."""

    type: str
    name: str
    physical: str
    tags: Mapping[str, str]
    #: A secret that waits for its removal: its name is taken, but nothing can use it.
    doomed: bool = False

    @property
    def identifier(self) -> dict[str, str]:
        """What an import calls it."""
        return {_IDENTIFIER[self.type]: self.physical}


def find(cloud: Cloud, type: str, name: str) -> Held | None:
    """Return what is called *name*, None when there is none; whoever's it is."""
    try:
        return {QUEUE: _queue, BUCKET: _bucket, TABLE: _table, SECRET: _secret}[type](cloud, name)
    except Exception as exc:
        if code_of(exc) in _GONE:
            return None
        raise


def _pairs(tags: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _queue(cloud: Cloud, name: str) -> Held:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return Held(QUEUE, name, url, sqs.list_queue_tags(QueueUrl=url).get("Tags", {}))


def _bucket(cloud: Cloud, name: str) -> Held:
    s3 = cloud.client("s3")
    owner = {"Bucket": name, "ExpectedBucketOwner": cloud.account}
    try:
        s3.head_bucket(**owner)
        tags = _pairs(s3.get_bucket_tagging(**owner)["TagSet"])
    except s3.exceptions.ClientError as exc:
        # Another account's, or one without tags: not ours in either case.
        if code_of(exc) not in ("403", "AccessDenied", "NoSuchTagSet"):
            raise
        tags = {}
    return Held(BUCKET, name, name, tags)


def _table(cloud: Cloud, name: str) -> Held:
    dynamodb = cloud.client("dynamodb")
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    pages = dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return Held(TABLE, name, name, _pairs(tag for page in pages for tag in page["Tags"]))


def _secret(cloud: Cloud, name: str) -> Held:
    found = cloud.client("secretsmanager").describe_secret(SecretId=name)
    tags = _pairs(found.get("Tags", ()))
    return Held(SECRET, found["Name"], found["ARN"], tags, "DeletedDate" in found)


def orphans(cloud: Cloud) -> Iterator[Held]:
    """Yield everything with the service's and stage's tags, in a stack or left by one.

    The index of tags lags behind, so each is asked for.
    """
    wanted = [{"Key": key, "Values": [value]} for key, value in tag_map(cloud.plan).items()]
    pages = cloud.client("resourcegroupstaggingapi").get_paginator("get_resources")
    types = ["sqs", "s3", "dynamodb:table", "secretsmanager:secret"]
    for page in pages.paginate(TagFilters=wanted, ResourceTypeFilters=types):
        for entry in page["ResourceTagMappingList"]:
            type, name = _of_arn(entry["ResourceARN"])
            found = find(cloud, type, name) if type else None
            if found is not None and ours(cloud.plan, found.tags):
                yield found


def _of_arn(arn: str) -> tuple[str, str]:
    _, _, service, _, _, rest = arn.split(":", 5)
    for known, prefix, type in _ARNS:
        if service == known and rest.startswith(prefix):
            # A secret's ARN finds it as well as its name does.
            name = arn if type == SECRET else rest.removeprefix(prefix)
            return type, name
    return "", ""


def name_of(type: str, physical: str) -> str:
    """Return the name of a stack's resource by its physical id; a secret's ARN stays one."""
    return physical.rpartition("/")[2] if type == QUEUE else physical


def remove(cloud: Cloud, held: Held) -> None:
    """Remove it with all that is in it; nothing brings it back."""
    if not ours(cloud.plan, held.tags):
        raise fail(
            "not everything was removed:", "PF8008",
            f"{held.name} ({held.type}) has not the tags of the service",
        )  # fmt: skip
    try:
        match held.type:
            case "AWS::SQS::Queue":
                cloud.client("sqs").delete_queue(QueueUrl=held.physical)
            case "AWS::DynamoDB::Table":
                cloud.client("dynamodb").delete_table(TableName=held.physical)
                waiter = cloud.client("dynamodb").get_waiter("table_not_exists")
                waiter.config.delay = cloud.poll
                waiter.wait(TableName=held.physical)
            case "AWS::SecretsManager::Secret":
                cloud.client("secretsmanager").delete_secret(
                    SecretId=held.physical, ForceDeleteWithoutRecovery=True
                )
            case "AWS::S3::Bucket":
                _empty(cloud, held.name)
                cloud.client("s3").delete_bucket(
                    Bucket=held.name, ExpectedBucketOwner=cloud.account
                )
            case _:
                raise AssertionError(f"nothing is known of {held.type}")
    except Exception as exc:
        if code_of(exc) not in _GONE:
            raise


def _empty(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    owner = {"Bucket": bucket, "ExpectedBucketOwner": cloud.account}
    for page in s3.get_paginator("list_object_versions").paginate(**owner):
        entries = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for entry in page.get(kind, ())
        ]
        if not entries:
            continue
        answer = s3.delete_objects(**owner, Delete={"Objects": entries, "Quiet": True})
        for error in answer.get("Errors", ()):
            raise fail(
                "not everything was removed:", "PF8007",
                f"{bucket}/{error.get('Key')}: {error.get('Code')}: {error.get('Message')}",
            )  # fmt: skip
