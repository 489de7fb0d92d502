"""A moto server for tests of templates; run as a script, it prints its port and serves until killed.

moto skips types it does not know, and properties too. This one refuses unknown types, and knows
those of ours that moto lacks: each is created by the service's own API through boto3, so that the
values pass through botocore's models and moto's checks. It keeps what RetainExceptOnCreate keeps.
"""

# ruff: noqa: E402 (first what is not to be loaded, then moto)
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

# Of moto's REST APIs: a grammar of all IRIs, which takes a second to load.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import boto3
import moto.cloudformation.models as models
import moto.cloudformation.parsing as parsing
from moto.cloudformation.utils import get_stack_from_s3_url
from moto.core.common_models import CloudFormationModel
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.models import FakeBucket
from moto.sns.models import SNSBackend

ENDPOINT = [""]
ADDED: list[type[CloudFormationModel]] = []

Facts = dict[str, Any]


@cache
def client(service: str, region: str) -> Any:
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=ENDPOINT[0],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def suppress_absence(service: Any) -> Any:
    names = ("NotFoundException", "ResourceNotFoundException", "NotFound", "QueueDoesNotExist")
    return suppress(*(getattr(service.exceptions, n) for n in names if n in known(service)))


def known(service: Any) -> set[str]:
    return {shape.name for shape in service.meta.service_model.error_shapes}


def add(
    type_name: str,
    service: str,
    create: Callable[[Any, Facts], Facts],
    delete: Callable[[Any, str, Facts], Any],
    identity: Callable[[Facts, Facts], str],
    attributes: dict[str, str] | None = None,
    name: str = "",
) -> None:
    """Teach moto *type_name*; *attributes* are those of GetAtt by the key of the API's answer."""
    readable = attributes or {}

    class Model(CloudFormationModel):
        # moto finds a model's service by the second part of its module.
        __module__ = "moto.portafaas.models"

        def __init__(self, region: str, facts: Facts, answer: Facts) -> None:
            self.region, self.facts, self.answer = region, facts, answer
            self.physical_resource_id = identity(facts, answer)

        @staticmethod
        def cloudformation_type() -> str:
            return type_name

        @staticmethod
        def cloudformation_name_type() -> str:
            return name

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr in readable

        def get_cfn_attribute(self, attribute_name: str) -> Any:
            return self.answer[readable[attribute_name]]

        def is_created(self) -> bool:
            return True

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
        ) -> Any:
            facts = dict(cloudformation_json.get("Properties", {}))
            return cls(region_name, facts, create(client(service, region_name), facts) or {})

        @classmethod
        def update_from_cloudformation_json(
            cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any,
            account_id: str, region_name: str,
        ) -> Any:
            original_resource.delete(account_id, region_name)
            return cls.create_from_cloudformation_json(
                new_resource_name, cloudformation_json, account_id, region_name
            )

        @classmethod
        def delete_from_cloudformation_json(cls, *_: Any) -> None:
            raise AssertionError("deleted by its object")

        def delete(self, account_id: str, region_name: str) -> None:
            # moto removes in any order, so that what this was a part of may be gone.
            with suppress_absence(client(service, region_name)):
                delete(client(service, region_name), self.physical_resource_id, self.facts)

    Model.__name__ = type_name.replace("::", "")
    # moto finds models among the subclasses, which Python forgets with the last reference.
    ADDED.append(Model)


def _subscribe(sns: Any, facts: Facts) -> Facts:
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in facts.items()
        if key not in ("TopicArn", "Protocol", "Endpoint")
    }
    answer: Facts = sns.subscribe(
        TopicArn=facts["TopicArn"],
        Protocol=facts["Protocol"],
        Endpoint=facts["Endpoint"],
        Attributes=attributes,
        ReturnSubscriptionArn=True,
    )
    return answer


def _queue_policy(sqs: Any, facts: Facts) -> Facts:
    for url in facts["Queues"]:
        sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": json.dumps(facts["PolicyDocument"])}
        )
    return {}


def _without_queue_policy(sqs: Any, _: str, facts: Facts) -> None:
    for url in facts["Queues"]:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


def _url(awslambda: Any, facts: Facts) -> Facts:
    answer: Facts = awslambda.create_function_url_config(
        FunctionName=facts["TargetFunctionArn"],
        AuthType=facts["AuthType"],
        InvokeMode=facts["InvokeMode"],
    )
    return answer


def _part(kind: str) -> tuple[Callable[[Any, Facts], Facts], Callable[[Any, str, Facts], Any]]:
    """Return how a part of an API is made and removed: ``route`` is ``create_route(**facts)``."""

    def create(api: Any, facts: Facts) -> Facts:
        answer: Facts = getattr(api, f"create_{kind}")(**facts)
        return answer

    def delete(api: Any, id: str, facts: Facts) -> None:
        own = {} if kind == "api" else {"ApiId": facts["ApiId"]}
        key = "StageName" if kind == "stage" else f"{kind.capitalize()}Id"
        getattr(api, f"delete_{kind}")(**own, **{key: id})

    return create, delete


for _kind in ("api", "integration", "route", "stage"):
    _key = "StageName" if _kind == "stage" else f"{_kind.capitalize()}Id"
    add(
        f"AWS::ApiGatewayV2::{_kind.capitalize()}",
        "apigatewayv2",
        *_part(_kind),
        lambda facts, answer, key=_key: str(answer[key]),  # type: ignore[misc]
        {"ApiEndpoint": "ApiEndpoint"} if _kind == "api" else {},
    )
add(
    "AWS::SNS::Subscription",
    "sns",
    _subscribe,
    lambda sns, arn, facts: sns.unsubscribe(SubscriptionArn=arn),
    lambda facts, answer: str(answer["SubscriptionArn"]),
)
add(
    "AWS::SQS::QueuePolicy",
    "sqs",
    _queue_policy,
    _without_queue_policy,
    lambda facts, answer: str(facts["Queues"][0]),
)
add(
    "AWS::SecretsManager::Secret",
    "secretsmanager",
    lambda secrets, facts: secrets.create_secret(**facts),
    lambda secrets, arn, facts: secrets.delete_secret(
        SecretId=arn, ForceDeleteWithoutRecovery=True
    ),
    lambda facts, answer: str(answer["ARN"]),
    name="Name",
)
add(
    "AWS::Lambda::Url",
    "lambda",
    _url,
    lambda awslambda, arn, facts: awslambda.delete_function_url_config(FunctionName=arn),
    lambda facts, answer: str(facts["TargetFunctionArn"]),
    {"FunctionUrl": "FunctionUrl"},
)
add(
    "AWS::Scheduler::Schedule",
    "scheduler",
    lambda scheduler, facts: scheduler.create_schedule(**facts),
    lambda scheduler, name, facts: scheduler.delete_schedule(Name=name),
    lambda facts, answer: str(facts["Name"]),
    {"Arn": "ScheduleArn"},
    name="Name",
)


add(
    "AWS::CloudWatch::Alarm",
    "cloudwatch",
    lambda cloudwatch, facts: cloudwatch.put_metric_alarm(**facts),
    lambda cloudwatch, name, facts: cloudwatch.delete_alarms(AlarmNames=[name]),
    lambda facts, answer: str(facts["AlarmName"]),
    name="AlarmName",
)


def _filter(logs: Any, facts: Facts) -> Facts:
    (change,) = facts["MetricTransformations"]
    logs.put_metric_filter(
        logGroupName=facts["LogGroupName"],
        filterName=change["MetricName"],
        filterPattern=facts["FilterPattern"],
        metricTransformations=[{k[:1].lower() + k[1:]: v for k, v in change.items()}],
    )
    return {}


add(
    "AWS::Logs::MetricFilter",
    "logs",
    _filter,
    lambda logs, name, facts: logs.delete_metric_filter(
        logGroupName=facts["LogGroupName"], filterName=name
    ),
    lambda facts, answer: str(facts["MetricTransformations"][0]["MetricName"]),
)


def notify(region: str, bucket: str, facts: Facts) -> None:
    """Give *bucket* the notifications that moto's own type drops."""
    entries = facts.get("NotificationConfiguration", {}).get("QueueConfigurations", ())
    client("s3", region).put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": entry["Queue"],
                    "Events": [entry["Event"]],
                    **(
                        {"Filter": {"Key": {"FilterRules": entry["Filter"]["S3Key"]["Rules"]}}}
                        if "Filter" in entry
                        else {}
                    ),
                }
                for entry in entries
            ]
        },
        SkipDestinationValidation=True,
    )


def nest() -> None:
    """Give nested stacks their outputs, and have them changed in place."""
    stack: Any = models.Stack

    def attribute(self: Any, name: str) -> Any:
        return self.output_map[name.removeprefix("Outputs.")].value

    def update(cls: Any, /, original_resource: Any, new_resource_name: str,
               cloudformation_json: Any, account_id: str, region_name: str) -> Any:  # fmt: skip
        facts = cloudformation_json["Properties"]
        template = get_stack_from_s3_url(
            facts["TemplateURL"], account_id=account_id, partition="aws"
        )
        original_resource.update(template, parameters=dict(facts["Parameters"]))
        return original_resource

    stack.get_cfn_attribute = attribute
    stack.update_from_cloudformation_json = classmethod(update)


def roles() -> None:
    """Have an update of a role change what it may do; moto changes its description only."""
    from moto.iam.models import Role

    def update(cls: Any, /, original_resource: Any, new_resource_name: str,
               cloudformation_json: Any, account_id: str, region_name: str) -> Any:  # fmt: skip
        facts = cloudformation_json["Properties"]
        original_resource.policies.clear()
        for policy in facts.get("Policies", ()):
            original_resource.put_policy(policy["PolicyName"], policy["PolicyDocument"])
        return original_resource

    role: Any = Role
    role.update_from_cloudformation_json = classmethod(update)


def patch() -> None:
    made: Any = FakeBucket.create_from_cloudformation_json
    changed: Any = FakeBucket.update_from_cloudformation_json

    def create(cls: Any, /, resource_name: str, cloudformation_json: Any, account_id: str,
               region_name: str, **more: Any) -> Any:  # fmt: skip
        facts = cloudformation_json["Properties"]
        bucket = made.__func__(
            cls, resource_name, cloudformation_json, account_id, region_name, **more
        )
        closed = facts.get("PublicAccessBlockConfiguration")
        s3 = client("s3", region_name)
        if closed:
            s3.put_public_access_block(Bucket=bucket.name, PublicAccessBlockConfiguration=closed)
        status = facts.get("VersioningConfiguration")
        if status:
            s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration=status)
        notify(region_name, bucket.name, facts)
        return bucket

    def update(cls: Any, /, original_resource: Any, new_resource_name: str,
               cloudformation_json: Any, account_id: str, region_name: str) -> Any:  # fmt: skip
        bucket = changed.__func__(
            cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
        )
        notify(region_name, bucket.name, cloudformation_json["Properties"])
        return bucket

    bucket: Any = FakeBucket
    bucket.create_from_cloudformation_json = classmethod(create)
    bucket.update_from_cloudformation_json = classmethod(update)

    found_class = parsing.resource_class_from_type

    def strict(resource_type: str) -> Any:
        found = found_class(resource_type)
        if found is None:
            raise parsing.ValidationError(
                name_or_id=resource_type, message=f"{resource_type} is not emulated"
            )
        return found

    parsing.resource_class_from_type = strict

    roles()
    nest()

    sns: Any = SNSBackend
    judge = sns._validate_filter_policy

    def each_way(self: Any, value: Any, scope: str) -> None:
        # moto multiplies the ways of an "$or", and by their depth; SNS adds them up.
        rest = {key: inner for key, inner in value.items() if key != "$or"}
        for way in value.get("$or", [{}]):
            judge(self, {**rest, **way}, scope)

    sns._validate_filter_policy = each_way

    resources: Any = parsing.ResourceMap
    remove = resources._delete_resource

    def keep(self: Any, parsed_resource: Any, resource_json: Any) -> None:
        if not resource_json.get("DeletionPolicy", "").startswith("Retain"):
            remove(self, parsed_resource, resource_json)

    resources._delete_resource = keep


if __name__ == "__main__":
    patch()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    ENDPOINT[0] = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    print(ENDPOINT[0], flush=True)
    # Until the test closes the pipe.
    sys.stdin.read()
    server.stop()
