"""The API of change sets, stacks and drift over ``aws_deployment_formation``; ours, as AWS says it.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import aws_deployment_formation as formation  # type: ignore[import-not-found]
import moto_aws  # type: ignore[import-not-found]
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult

NESTED, NAMED, IDENTIFIERS = formation.NESTED, formation.NAMED, formation.IDENTIFIERS
SETS: dict[str, dict[str, Any]] = {}
DETECTIONS: dict[str, str] = {}
EMPTY = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)
EARLY = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To "
    "troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
)


def refuse(message: str) -> Exception:
    return ValidationError(message=message)


class NotFound(ServiceException):
    code = "ChangeSetNotFound"


class BadStatus(ServiceException):
    code = "InvalidChangeSetStatus"


class Capabilities(ServiceException):
    code = "InsufficientCapabilitiesException"


def find_stack(backend: Any, name: str) -> Any:
    for stack in backend.stacks.values():
        if name in (stack.name, stack.stack_id):
            return stack
    return backend.deleted_stacks.get(name)


def create_change_set(self: Any) -> ActionResult:
    backend = self.cloudformation_backend
    name, kind = self._get_param("StackName"), self._get_param("ChangeSetType", "CREATE")
    url = self._get_param("TemplateURL")
    if not url or not url.startswith("https://"):
        raise refuse("TemplateURL must be a supported URL.")
    text = formation.read_template(backend, url)
    template = json.loads(text)
    stack = find_stack(backend, name)
    fresh = stack is None or stack.status == "REVIEW_IN_PROGRESS"
    imports = {r["LogicalResourceId"]: r["ResourceIdentifier"] for r in self._get_param("ResourcesToImport", [])}
    if kind == "CREATE" and not fresh:
        raise refuse(f"Stack [{name}] already exists and cannot be created again with the changeSet [{self._get_param('ChangeSetName')}].")
    if kind == "UPDATE" and fresh:
        raise refuse(f"Stack [{name}] does not exist")
    if not fresh and (
        not stack.status.endswith(("_COMPLETE",)) or stack.status == "ROLLBACK_COMPLETE"
    ):
        raise refuse(f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
    parameters = check_parameters(template, self._get_param("Parameters", []), None if fresh else stack)
    types = {r["Type"] for r in template["Resources"].values()}
    if types & {"AWS::IAM::Role", NESTED} and not self._get_param("Capabilities", []):
        raise Capabilities("Requires capabilities : [CAPABILITY_IAM]")
    tags = {t["Key"]: t["Value"] for t in self._get_param("Tags", [])}
    if stack is None:
        stack = formation.empty_stack(backend, name, tags)
        formation.state(stack, "REVIEW_IN_PROGRESS", "User Initiated")
    old = {} if fresh else json.loads(stack.template)["Resources"]
    if kind == "IMPORT":
        check_import(template, old, imports, None if fresh else json.loads(stack.template))
    before = {} if fresh else stack.resource_map.resolved_parameters
    found, failures = reckon(backend, stack, template, old, before, parameters, imports, self._get_bool_param("IncludeNestedStacks"))
    if self._get_bool_param("DisableValidation") or kind == "IMPORT":
        failures = []
    id = f"arn:aws:cloudformation:{backend.region_name}:{backend.account_id}:changeSet/{self._get_param('ChangeSetName')}/{uuid.uuid4()}"
    status, why = "CREATE_COMPLETE", None
    if not found and not (tags and tags != stack.tags):
        status, why = "FAILED", EMPTY
    if failures:
        status, why = "FAILED", EARLY
    SETS[id] = {
        "ChangeSetId": id, "ChangeSetName": self._get_param("ChangeSetName"), "StackId": stack.stack_id,
        "StackName": name, "Status": status, "StatusReason": why, "Changes": found,
        "ExecutionStatus": "AVAILABLE" if status == "CREATE_COMPLETE" else "UNAVAILABLE",
        "CreationTime": datetime.now(UTC), "Description": self._get_param("Description"),
        "_run": (kind, text, parameters, imports, tags), "_failures": failures,
    }  # fmt: skip
    return ActionResult({"Id": id, "StackId": stack.stack_id})


def check_parameters(template: Any, given: list[dict[str, Any]], stack: Any) -> dict[str, str]:
    declared = template.get("Parameters", {})
    values: dict[str, str] = {}
    for entry in given:
        name = entry["ParameterKey"]
        if name not in declared:
            raise refuse(f"Parameters: [{name}] do not exist in the template")
        if entry.get("UsePreviousValue"):
            if stack is None or name not in stack.parameters:
                raise refuse(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key not in the previous template")
            values[name] = stack.parameters[name]
        else:
            values[name] = entry["ParameterValue"]
    lacking = [name for name, facts in declared.items() if name not in values and "Default" not in facts]
    if lacking:
        raise refuse(f"Parameters: [{', '.join(lacking)}] must have values")
    for name, value in values.items():
        pattern = declared[name].get("AllowedPattern")
        if pattern and not re.fullmatch(pattern, value):
            raise refuse(f"Parameter {name} failed to satisfy constraint: Member must satisfy regular expression pattern: {pattern}, but was {value}")
    return values


def check_import(template: Any, old: Any, imports: Any, before: Any) -> None:
    added = [logical for logical in template["Resources"] if logical not in old]
    if set(added) != set(imports):
        raise refuse(f"Resources {sorted(set(added) ^ set(imports))} must be either imported or in the stack already")
    for logical, facts in old.items():
        if template["Resources"].get(logical) != facts:
            raise refuse("As part of the import operation, you cannot modify or delete existing resources")
    if template.get("Outputs", {}) != ((before or {}).get("Outputs", {})):
        raise refuse("As part of the import operation, you cannot modify or add [Outputs]")
    for logical, identifier in imports.items():
        facts = template["Resources"][logical]
        if "DeletionPolicy" not in facts:
            raise refuse(f"Resource {logical} has no DeletionPolicy")
        if set(identifier) != {IDENTIFIERS[facts["Type"]]}:
            raise refuse(f"Resource identifiers of {logical} must be {IDENTIFIERS[facts['Type']]}")
        if formation.references(facts) - set(template["Resources"]) - {"AWS::AccountId", "AWS::Region"}:
            raise refuse("Template format error: Unresolved resource dependencies in the Resources block")


def reckon(backend: Any, stack: Any, template: Any, old: Any, before: Any, parameters: Any, imports: Any, nested: bool) -> tuple[list[Any], list[Any]]:
    new = template["Resources"]
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []

    def add(action: str, logical: str, facts: Any, **more: Any) -> None:
        found.append({"Type": "Resource", "ResourceChange": {
            "Action": action, "LogicalResourceId": logical, "ResourceType": facts["Type"], **more,
        }})  # fmt: skip

    def inner(logical: str, facts: Any) -> dict[str, Any]:
        if facts["Type"] != NESTED or not nested:
            return {}
        url = facts["Properties"]["TemplateURL"]
        url = url.get("Fn::Sub", url) if isinstance(url, dict) else url
        for key, value in parameters.items():
            url = url.replace(f"${{{key}}}", value)
        child = json.loads(formation.read_template(backend, url))
        passed = {
            key: parameters.get(value.get("Ref"), str(value)) if isinstance(value, dict) else value
            for key, value in facts["Properties"].get("Parameters", {}).items()
        }
        held = stack.resource_map._parsed_resources.get(logical)
        was = held.stack if held is not None else None
        lists, _ = reckon(
            backend, was, child, was.template_dict["Resources"] if was else {},
            was.parameters if was else {}, passed, {}, nested,
        )  # fmt: skip
        if not lists:
            return {"empty": True}
        id = f"arn:aws:cloudformation:{backend.region_name}:{backend.account_id}:changeSet/nested-{logical}/{uuid.uuid4()}"
        SETS[id] = {"ChangeSetId": id, "ChangeSetName": f"nested-{logical}", "Status": "CREATE_COMPLETE",
                    "ExecutionStatus": "UNAVAILABLE", "Changes": lists, "StackId": "nested", "_nested": True}  # fmt: skip
        return {"ChangeSetId": id}

    for logical, facts in new.items():
        if logical in old:
            continue
        if logical in imports:
            add("Import", logical, facts)
            continue
        add("Add", logical, facts, **{k: v for k, v in inner(logical, facts).items() if k != "empty"})
        name = facts.get("Properties", {}).get(NAMED.get(facts["Type"], ""), "")
        name = name.get("Fn::Sub", "") if isinstance(name, dict) else name
        name = name.replace("${AWS::AccountId}", backend.account_id).replace("${AWS::Region}", backend.region_name)
        if name and taken(backend, facts["Type"], name):
            failures.append({
                "LogicalResourceId": logical, "ResourceType": facts["Type"], "EventType": "VALIDATION_ERROR",
                "ValidationStatus": "FAILED", "EventId": str(uuid.uuid4()), "StackId": stack.stack_id,
                "Timestamp": datetime.now(UTC),
                "ValidationStatusReason": f"Resource of type '{facts['Type']}' with identifier '{name}' already exists.",
            })  # fmt: skip
    details = formation.differences(old, new, before, parameters)
    for logical, facts in new.items():
        if logical not in old:
            continue
        if facts["Type"] == NESTED:
            deeper = inner(logical, facts)
            if deeper and "empty" not in deeper:
                add("Modify", logical, facts, Replacement="False", **deeper)
        elif logical in details:
            fixed = any(d["Target"]["RequiresRecreation"] == "Always" for d in details[logical])
            add("Modify", logical, facts, Details=details[logical], Replacement=str(fixed),
                **({"PolicyAction": "ReplaceAndRetain"} if fixed and "UpdateReplacePolicy" in facts else {}))  # fmt: skip
    for logical, facts in old.items():
        if logical not in new:
            kept = facts.get("DeletionPolicy", "").startswith("Retain")
            add("Remove", logical, facts, PolicyAction="Retain" if kept else "Delete")
    return found, failures


def taken(backend: Any, type: str, name: str) -> bool:
    region = backend.region_name
    client = moto_aws.client
    try:
        if type == "AWS::SQS::Queue":
            client("sqs", region).get_queue_url(QueueName=name)
        elif type == "AWS::S3::Bucket":
            client("s3", region).head_bucket(Bucket=name)
        elif type == "AWS::DynamoDB::Table":
            client("dynamodb", region).describe_table(TableName=name)
        else:
            client("secretsmanager", region).describe_secret(SecretId=name)
    except Exception:
        return False
    return True


def the_set(self: Any) -> dict[str, Any]:
    id = self._get_param("ChangeSetName")
    if id not in SETS:
        raise NotFound(f"ChangeSet [{id}] does not exist")
    return SETS[id]


#: Changes on a page of DescribeChangeSet: small, so that pages are turned.
PAGE = 20


def describe_change_set(self: Any) -> ActionResult:
    found = the_set(self)
    at = int(self._get_param("NextToken") or 0)
    shown = {key: value for key, value in found.items() if not key.startswith("_")}
    shown["Changes"] = found["Changes"][at : at + PAGE]
    if at + PAGE < len(found["Changes"]):
        shown["NextToken"] = str(at + PAGE)
    return ActionResult(shown)


def describe_events(self: Any) -> ActionResult:
    return ActionResult({"OperationEvents": the_set(self)["_failures"]})


def list_change_sets(self: Any) -> ActionResult:
    stack = find_stack(self.cloudformation_backend, self._get_param("StackName"))
    found = [
        {key: value for key, value in entry.items() if not key.startswith("_") and key != "Changes"}
        for entry in SETS.values()
        if stack and entry["StackId"] == stack.stack_id
    ]
    return ActionResult({"Summaries": found})


def delete_change_set(self: Any) -> ActionResult:
    SETS.pop(self._get_param("ChangeSetName"), None)
    return EmptyResult()


def execute_change_set(self: Any) -> ActionResult:
    found = the_set(self)
    backend = self.cloudformation_backend
    stack = find_stack(backend, found["StackId"])
    if found["ExecutionStatus"] != "AVAILABLE" or stack is None:
        raise BadStatus(f"ChangeSet [{found['ChangeSetId']}] cannot be executed in its current status of [{found['Status']}]")
    if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
        raise refuse(f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
    kind, text, parameters, imports, tags = found["_run"]
    if tags:
        stack.tags = tags
    # All change sets of a stack are gone when one of them is executed.
    for id in [id for id, entry in SETS.items() if entry["StackId"] == stack.stack_id]:
        del SETS[id]
    formation.state(stack, f"{kind}_IN_PROGRESS", "User Initiated")
    operation = formation.Operation(backend, stack, kind, text, parameters, imports)
    threading.Thread(target=operation.run, daemon=True).start()
    return EmptyResult()


def delete_stack(self: Any) -> ActionResult:
    backend = self.cloudformation_backend
    stack = find_stack(backend, self._get_param("StackName"))
    if stack is None or stack.status == "DELETE_COMPLETE":
        return EmptyResult()
    if stack.enable_termination_protection:
        raise refuse(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    if not hasattr(stack, "operation"):
        backend.stacks.pop(stack.stack_id)
        return EmptyResult()
    stack.status = "DELETE_IN_PROGRESS"
    threading.Thread(target=formation.remove_stack, args=(stack,), daemon=True).start()
    return EmptyResult()


def list_stack_resources(self: Any) -> ActionResult:
    stack = find_stack(self.cloudformation_backend, self._get_param("StackName"))
    if stack is None:
        raise refuse(f"Stack with id {self._get_param('StackName')} does not exist")
    now = datetime.now(UTC)
    return ActionResult({"StackResourceSummaries": [
        {"LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceType": type,
         "ResourceStatus": state, "LastUpdatedTimestamp": now}
        for logical, (type, physical, state) in list(stack.states.items())
    ]})  # fmt: skip


def detect_stack_drift(self: Any) -> ActionResult:
    id = str(uuid.uuid4())
    DETECTIONS[id] = find_stack(self.cloudformation_backend, self._get_param("StackName")).stack_id
    return ActionResult({"StackDriftDetectionId": id})


def describe_stack_drift_detection_status(self: Any) -> ActionResult:
    id = self._get_param("StackDriftDetectionId")
    return ActionResult({
        "StackId": DETECTIONS[id], "StackDriftDetectionId": id, "StackDriftStatus": "DRIFTED",
        "DetectionStatus": "DETECTION_COMPLETE", "Timestamp": datetime.now(UTC),
    })  # fmt: skip


def describe_stack_resource_drifts(self: Any) -> ActionResult:
    import aws_deployment_drift as drift  # type: ignore[import-not-found]

    stack = find_stack(self.cloudformation_backend, self._get_param("StackName"))
    wanted = self._get_param("StackResourceDriftStatusFilters", [])
    found = [entry for entry in drift.drifts(stack) if entry["StackResourceDriftStatus"] in wanted]
    return ActionResult({"StackResourceDrifts": found})


def patch() -> None:
    # Those for moto's own change sets.
    CloudFormationResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        key: value
        for key, value in CloudFormationResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if not key.startswith("DescribeChangeSet")
    }
    for call in (
        create_change_set, describe_change_set, describe_events, list_change_sets,
        delete_change_set, execute_change_set, delete_stack, list_stack_resources,
        detect_stack_drift, describe_stack_drift_detection_status, describe_stack_resource_drifts,
    ):  # fmt: skip
        setattr(CloudFormationResponse, call.__name__, call)
