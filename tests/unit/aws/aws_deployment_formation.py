"""CloudFormation for tests: moto's resources, with change sets and operations as AWS documents them.

Ours, since moto 5.2 has none of it: change sets with details, nested ones, imports and refusals
(parameters, capabilities, names that are taken); operations that run beside the requests, with an
event for each resource; rollback; DELETE_SKIPPED, DELETE_FAILED, protection from removal; Outputs
after a change set. ``CONTROL`` lets a test hold a resource, or let it fail.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from typing import Any

import moto.cloudformation.parsing as parsing
import moto_aws  # type: ignore[import-not-found]
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.utils import generate_stack_id
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

NESTED = "AWS::CloudFormation::Stack"
NAMED = {
    "AWS::SQS::Queue": "QueueName", "AWS::S3::Bucket": "BucketName",
    "AWS::DynamoDB::Table": "TableName", "AWS::SecretsManager::Secret": "Name",
}  # fmt: skip
IDENTIFIERS = {
    "AWS::SQS::Queue": "QueueUrl", "AWS::S3::Bucket": "BucketName",
    "AWS::DynamoDB::Table": "TableName", "AWS::SecretsManager::Secret": "Id",
}  # fmt: skip
#: What a change of makes a new resource.
FIXED = {*NAMED.values(), "FunctionName", "FifoQueue", "KeySchema", "LogGroupName", "RoleName"}


class Control:
    """What a test asks for: resources that wait, or fail with a reason."""

    def __init__(self) -> None:
        self.fail: dict[str, str] = {}
        self.hold = ""
        self.held, self.go = threading.Event(), threading.Event()

    def pass_by(self, logical: str) -> None:
        if logical == self.hold:
            self.held.set()
            self.go.wait(60)


CONTROL = Control()


class Failed(Exception):
    pass


def event(stack: Any, logical: str, physical: str, type: str, state: str, why: str = "") -> None:
    from moto.cloudformation.models import Event

    stack.events.append(Event(stack.stack_id, stack.name, logical, physical, type, state, why or None, None))
    if logical != stack.name:
        stack.states[logical] = (type, physical, state)


def state(stack: Any, value: str, why: str = "") -> None:
    stack.status_reason = why or None
    event(stack, stack.name, stack.stack_id, NESTED, value, why)
    # Last: who sees the state must see its events.
    stack.status = value


def load(stack: Any, template: Any, parameters: dict[str, str]) -> None:
    """Let the stack's map speak of *template*, and make nothing."""
    resources = stack.resource_map
    resources._template, resources.input_parameters = template, parameters
    resources.resolved_parameters = {}
    resources.load_mapping()
    resources.load_parameters()
    resources.load_conditions()
    resources._resource_json_map = template["Resources"]


def physical_of(resource: Any) -> str:
    return str(getattr(resource, "physical_resource_id", "") or "")


def reason_of(exc: Exception) -> str:
    if isinstance(exc, Failed):
        return str(exc)
    text = getattr(exc, "message", "") or getattr(exc, "description", "") or str(exc)
    return f'Resource handler returned message: "{text}" (RequestToken: {uuid.uuid4()})'


class Operation:
    """One run over a stack: create, update or import; in the thread of its own or its parent's."""

    def __init__(self, backend: Any, stack: Any, kind: str, text: str, parameters: dict[str, str],
                 imports: dict[str, dict[str, str]]) -> None:  # fmt: skip
        self.backend, self.stack, self.kind = backend, stack, kind
        self.text, self.template = text, json.loads(text)
        self.parameters, self.imports = parameters, imports
        self.old = (stack.template if isinstance(stack.template, str) else "", dict(stack.parameters))
        self.made: list[str] = []
        self.changed: list[str] = []

    def run(self, nested: bool = False) -> bool:
        stack = self.stack
        stack.operation = self
        old = json.loads(self.old[0])["Resources"] if self.old[0] else {}
        try:
            before = {} if not old else dict(stack.resource_map.resolved_parameters)
            load(stack, self.template, self.parameters)
            modified = set(differences(old, self.template["Resources"], before, stack.resource_map.resolved_parameters))
            self.all(old, modified)
        except Exception as exc:
            self.roll_back(exc, old, nested)
            return False
        stack.template, stack.template_dict, stack.parameters = self.text, self.template, self.parameters
        stack.output_map = stack._create_output_map()
        self.clean(old)
        state(stack, f"{self.kind}_COMPLETE")
        return True

    def all(self, old: dict[str, Any], modified: set[str]) -> None:
        order = in_order(self.template["Resources"])
        for logical in order:
            if logical not in old:
                _ = self.stack.resource_map[logical]
        for logical in order:
            if logical in old and logical in modified:
                self.modify(logical)
        for logical in order:
            # A nested stack may change where its block does not: its template lies elsewhere.
            if logical in old and logical not in modified and old[logical]["Type"] == NESTED:
                self.modify(logical)

    def make(self, create: Any, logical: str, json_: Any, *more: Any) -> Any:
        type = json_["Type"]
        doing, done = ("IMPORT", "IMPORT") if logical in self.imports else ("CREATE", "CREATE")
        event(self.stack, logical, "", type, f"{doing}_IN_PROGRESS")
        CONTROL.pass_by(logical)
        try:
            if logical in CONTROL.fail:
                raise Failed(CONTROL.fail[logical])
            if logical in self.imports:
                made = self.adopt(logical, json_)
            elif type == NESTED:
                made = self.nest(logical, json_)
            else:
                made = create(logical, json_, *more)
        except Exception as exc:
            event(self.stack, logical, "", type, f"{doing}_FAILED", reason_of(exc))
            raise
        self.made.append(logical)
        event(self.stack, logical, physical_of(made), type, f"{done}_COMPLETE")
        return made

    def nest(self, logical: str, json_: Any) -> Any:
        facts = parsing.clean_json(json_, self.stack.resource_map)["Properties"]
        name = f"{self.stack.name}-{logical}-{uuid.uuid4().hex[:12].upper()}"
        stack = empty_stack(self.backend, name, dict(self.stack.tags))
        # CloudFormation says so as soon as it has begun.
        event(self.stack, logical, stack.stack_id, NESTED, "CREATE_IN_PROGRESS", "Resource creation Initiated")
        state(stack, "CREATE_IN_PROGRESS")
        text = read_template(self.backend, facts["TemplateURL"])
        operation = Operation(self.backend, stack, "CREATE", text, facts.get("Parameters", {}), {})
        if not operation.run(nested=True):
            raise Failed(
                f"Embedded stack {stack.stack_id} was not successfully created: "
                "The following resource(s) failed to create: […]."
            )
        return self.as_resource(stack, logical)

    @staticmethod
    def as_resource(stack: Any, logical: str) -> Any:
        part = Nested(stack)
        part.logical_resource_id, part.cf_resource_type = logical, NESTED
        return part

    def adopt(self, logical: str, json_: Any) -> Any:
        """Return what is there already, as what moto would have made."""
        (id,) = self.imports[logical].values()
        account, region, type = self.backend.account_id, self.backend.region_name, json_["Type"]
        facts = parsing.clean_json(json_, self.stack.resource_map)["Properties"]
        found: Any
        if type == "AWS::SQS::Queue":
            found = sqs_backends[account][region].get_queue(id.rpartition("/")[2])
        elif type == "AWS::S3::Bucket":
            found = s3_backends[account]["aws"].buckets[id]
        elif type == "AWS::DynamoDB::Table":
            found = dynamodb_backends[account][region].get_table(id)
        else:
            (model,) = [m for m in moto_aws.ADDED if m.cloudformation_type() == type]
            found = model(region, facts, {"ARN": id})
        found.logical_resource_id, found.cf_resource_type = logical, type
        return found

    def modify(self, logical: str) -> None:
        resources, json_ = self.stack.resource_map, self.template["Resources"][logical]
        original = resources._parsed_resources.get(logical)
        if json_["Type"] == NESTED:
            self.modify_nested(logical, json_, original.stack)
            return
        event(self.stack, logical, physical_of(original), json_["Type"], "UPDATE_IN_PROGRESS")
        CONTROL.pass_by(logical)
        try:
            if logical in CONTROL.fail:
                raise Failed(CONTROL.fail[logical])
            replace(resources, logical, json_, self.backend)
        except Exception as exc:
            event(self.stack, logical, physical_of(original), json_["Type"], "UPDATE_FAILED", reason_of(exc))
            raise
        self.changed.append(logical)
        event(self.stack, logical, physical_of(resources[logical]), json_["Type"], "UPDATE_COMPLETE")

    def modify_nested(self, logical: str, json_: Any, stack: Any) -> None:
        facts = parsing.clean_json(json_, self.stack.resource_map)["Properties"]
        text = read_template(self.backend, facts["TemplateURL"])
        parameters = facts.get("Parameters", {})
        if json.loads(text) == stack.template_dict and parameters == stack.parameters:
            return
        event(self.stack, logical, stack.stack_id, NESTED, "UPDATE_IN_PROGRESS")
        state(stack, "UPDATE_IN_PROGRESS")
        if not Operation(self.backend, stack, "UPDATE", text, parameters, {}).run(nested=True):
            why = f"Embedded stack {stack.stack_id} was not successfully updated."
            event(self.stack, logical, stack.stack_id, NESTED, "UPDATE_FAILED", why)
            raise Failed(why)
        event(self.stack, logical, stack.stack_id, NESTED, "UPDATE_COMPLETE")

    def clean(self, old: dict[str, Any]) -> None:
        """Remove what the new template has no more; what is kept is skipped."""
        gone = [logical for logical in old if logical not in self.template["Resources"]]
        if gone:
            state(self.stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for logical in reversed(gone):
            delete(self.stack, logical, old[logical])

    def roll_back(self, exc: Exception, old: dict[str, Any], nested: bool) -> None:
        stack = self.stack
        failed = [logical for logical, (_, _, s) in stack.states.items() if s.endswith("_FAILED")]
        for logical, json_ in self.template["Resources"].items():
            if logical not in old and logical not in self.made and logical not in failed:
                event(stack, logical, "", json_["Type"], "CREATE_FAILED", "Resource creation cancelled")
                break
        why = f"The following resource(s) failed to {self.kind.lower()}: [{', '.join(failed)}]. "
        prefix = "" if self.kind == "CREATE" else f"{self.kind}_"
        state(stack, f"{prefix}ROLLBACK_IN_PROGRESS", why + ("Rollback requested by user." if not prefix else ""))
        broken = CONTROL.fail.get("rollback", "")
        for logical in reversed(self.made):
            json_ = self.template["Resources"][logical]
            if logical not in self.imports:
                delete(stack, logical, {**json_, "DeletionPolicy": "Delete"})
            stack.resource_map._parsed_resources.pop(logical, None)
        if old:
            template = json.loads(self.old[0])
            load(stack, template, self.old[1])
            for logical in self.changed:
                replace(stack.resource_map, logical, old[logical], self.backend)
                event(stack, logical, "", old[logical]["Type"], "UPDATE_COMPLETE")
        for logical in set(stack.states) - set(old):
            del stack.states[logical]
        if broken:
            state(stack, f"{prefix}ROLLBACK_FAILED", broken)
        else:
            state(stack, f"{prefix}ROLLBACK_COMPLETE")


class Nested:
    """A nested stack among the resources of its parent."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.logical_resource_id = self.cf_resource_type = ""

    @property
    def physical_resource_id(self) -> str:
        return str(self.stack.stack_id)

    def is_created(self) -> bool:
        return True

    def get_cfn_attribute(self, attribute: str) -> Any:
        key = attribute.removeprefix("Outputs.")
        return self.stack.output_map[key].value

    def delete(self, account: str, region: str) -> None:
        remove_stack(self.stack)


def replace(resources: Any, logical: str, json_: Any, backend: Any) -> None:
    """Update a resource as moto does, where that keeps what is in it."""
    original = resources._parsed_resources[logical]
    if json_["Type"] == "AWS::SecretsManager::Secret":
        # moto_aws makes it anew, without its value.
        facts = parsing.clean_json(json_, resources)["Properties"]
        moto_aws.client("secretsmanager", backend.region_name).tag_resource(
            SecretId=original.physical_resource_id, Tags=facts.get("Tags", [])
        )
        return
    if json_["Type"] == "AWS::SQS::Queue":
        facts = parsing.clean_json(json_, resources)["Properties"]
        wanted = {k: str(v) for k, v in facts.items() if k in QUEUE_ATTRIBUTES}
        if wanted:
            moto_aws.client("sqs", backend.region_name).set_queue_attributes(
                QueueUrl=original.physical_resource_id, Attributes=wanted
            )
        return
    made = parsing.parse_and_update_resource(
        logical, json_, resources, account_id=backend.account_id, region_name=backend.region_name
    )
    if made is not None:
        resources._parsed_resources[logical] = made


QUEUE_ATTRIBUTES = {"VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds"}


def delete(stack: Any, logical: str, json_: Any) -> None:
    resource = stack.resource_map._parsed_resources.get(logical)
    if resource is None or isinstance(resource, str):
        return
    physical, type = physical_of(resource), json_["Type"]
    if json_.get("DeletionPolicy", "").startswith("Retain"):
        event(stack, logical, physical, type, "DELETE_SKIPPED")
    else:
        event(stack, logical, physical, type, "DELETE_IN_PROGRESS")
        CONTROL.pass_by(f"delete {logical}")
        if f"delete {logical}" in CONTROL.fail:
            why = CONTROL.fail[f"delete {logical}"]
            event(stack, logical, physical, type, "DELETE_FAILED", why)
            raise Failed(why)
        stack.resource_map._delete_resource(resource, json_)
        event(stack, logical, physical, type, "DELETE_COMPLETE")
    stack.resource_map._parsed_resources.pop(logical, None)
    stack.states.pop(logical, None)


def remove_stack(stack: Any) -> None:
    """Delete what is in the stack, in moto's manner of trying again what depends on others."""
    backend = stack.backend
    state(stack, "DELETE_IN_PROGRESS", "User Initiated")
    resources = dict(stack.resource_map._resource_json_map)
    failed: list[str] = []
    for attempt in range(3):
        failed = []
        for logical in reversed(list(resources)):
            if logical not in stack.resource_map._parsed_resources:
                continue
            try:
                delete(stack, logical, resources[logical])
            except Failed:
                failed.append(logical)
            except Exception as exc:
                failed.append(logical)
                if attempt == 2:
                    event(stack, logical, "", resources[logical]["Type"], "DELETE_FAILED", reason_of(exc))
        if not failed or CONTROL.fail:
            break
    if failed:
        state(stack, "DELETE_FAILED", f"The following resource(s) failed to delete: {failed}. ")
        return
    backend.deleted_stacks[stack.stack_id] = stack
    state(stack, "DELETE_COMPLETE")
    backend.stacks.pop(stack.stack_id, None)


def empty_stack(backend: Any, name: str, tags: dict[str, str]) -> Any:
    kind: Any = Stack
    stack = kind(
        stack_id=generate_stack_id(name, backend.region_name, backend.account_id), name=name,
        template={}, parameters={}, account_id=backend.account_id,
        region_name=backend.region_name, tags=tags,
    )  # fmt: skip
    stack.backend, stack.states, stack.status_reason = backend, {}, None
    stack.resource_map.no_echo_parameter_keys = []
    backend.stacks[stack.stack_id] = stack
    return stack


def read_template(backend: Any, url: str) -> str:
    from moto.cloudformation.utils import get_stack_from_s3_url

    return get_stack_from_s3_url(url, account_id=backend.account_id, partition="aws")


def references(value: Any) -> set[str]:
    found = set(parsing.get_references_from_template({"value": value}))
    return found | set(re.findall(r"\$\{(\w+)\}", json.dumps(value)))


def differences(old: dict[str, Any], new: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the details of each resource that is in both templates and differs."""
    changed = {name for name in after if name in before and before[name] != after[name]}
    found: dict[str, list[dict[str, Any]]] = {}
    for logical in new:
        if logical not in old or (old[logical] == new[logical] and not references(new[logical]) & changed):
            continue
        details = []
        was, now = (d.get("Properties", {}) for d in (old[logical], new[logical]))
        for name in sorted({*was, *now}):
            cause = sorted(references(now.get(name)) & changed)
            if was.get(name) != now.get(name) or cause:
                target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": "Always" if name in FIXED else "Never"}
                details.append({
                    "Target": target, "Evaluation": "Static",
                    "ChangeSource": "ParameterReference" if cause else "DirectModification",
                    **({"CausingEntity": cause[0]} if cause else {}),
                })  # fmt: skip
        found[logical] = details
    return found


def in_order(resources: dict[str, Any]) -> list[str]:
    """Return the logical ids, each after what it refers to."""
    order: dict[str, None] = {}

    def visit(logical: str) -> None:
        facts = resources[logical]
        depends = facts.get("DependsOn", [])
        wanted = references(facts.get("Properties", {})) | parts(facts)
        wanted |= {depends} if isinstance(depends, str) else set(depends)
        for other in sorted(wanted):
            if other in resources and other not in order and other != logical:
                visit(other)
        order[logical] = None

    for logical in resources:
        if logical not in order:
            visit(logical)
    return list(order)


def parts(value: Any) -> set[str]:
    """Return the ids in Fn::GetAtt."""
    if isinstance(value, dict):
        own = {value["Fn::GetAtt"][0]} if "Fn::GetAtt" in value else set()
        return own.union(*map(parts, value.values()))
    return set().union(*map(parts, value)) if isinstance(value, list) else set()


def patch() -> None:
    create = parsing.parse_and_create_resource

    def made(logical_id: str, resource_json: Any, resources_map: Any, account_id: str, region_name: str) -> Any:
        from moto.cloudformation.models import cloudformation_backends

        stack: Any = cloudformation_backends[account_id][region_name].stacks.get(resources_map.stack_id)
        operation = getattr(stack, "operation", None)
        if operation is None:
            return create(logical_id, resource_json, resources_map, account_id, region_name)
        return operation.make(create, logical_id, resource_json, resources_map, account_id, region_name)

    parsing.parse_and_create_resource = made

    def parameter_list(self: Any) -> list[dict[str, Any]]:
        hidden = self.resource_map.no_echo_parameter_keys
        return [
            {"ParameterKey": key, "ParameterValue": "****" if key in hidden else value}
            for key, value in self.resource_map.resolved_parameters.items()
        ]

    kind: Any = Stack
    kind.parameter_list = property(parameter_list)
    backends: Any = CloudFormationBackend
    backends.delete_stack = lambda self, id: remove_stack(self.get_stack(id))
