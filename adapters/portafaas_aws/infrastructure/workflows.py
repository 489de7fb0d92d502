"""Workflows: a state machine each, with the role that it runs in, and its log.

A machine may invoke the functions of its tasks and nothing else; nobody but a machine invokes them.
"""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan, WorkflowPlan
from portafaas.plan.machines import called, every_step, subworkflows
from portafaas_aws.infrastructure.document import (
    Template,
    arn,
    att,
    logical_id,
    ref,
    sub,
    tags,
)
from portafaas_aws.infrastructure.iam import Grant, add_role
from portafaas_aws.machines.common import Places
from portafaas_aws.machines.lowering import definition
from portafaas_aws.machines.text import encoded
from portafaas_aws.names import (
    LOG_NAME,
    SINK,
    machine_name,
    physical_name,
    topic_name,
)

#: The topic that takes what Step Functions sends when a run waits for a signal. No queue and no
#: function listens to it: what is sent is gone at once, and is in the history of the run alone.
SIGNALS = "WorkflowSignals"
#: What a machine needs to hand its log over; none of these knows a narrower resource.
#: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
DELIVER = (
    "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
    "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
)  # fmt: skip
#: The rule by which Step Functions learns that a run has ended that another waits for.
#: https://docs.aws.amazon.com/step-functions/latest/dg/stepfunctions-iam.html
_RULE = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
_RULES = ("events:DescribeRule", "events:PutRule", "events:PutTargets")


class TemplatePlaces(Places):
    """Addresses as variables of ``Fn::Sub``."""

    def function(self, name: str) -> str:
        """Return the ARN of a function."""
        return f"${{{logical_id(name, 'Function')}.Arn}}"

    def workflow(self, name: str) -> str:
        """Return the ARN of another machine."""
        return f"${{{logical_id(name, 'Workflow')}}}"

    def sink(self) -> str:
        """Return the ARN of the topic."""
        return f"${{{SIGNALS}}}"


def signals(workflow: WorkflowPlan) -> bool:
    """Tell whether a workflow waits for a signal."""
    return any("signal" in step for _, step in every_step(workflow.machine))


def text_of(workflow: WorkflowPlan) -> str:
    """Return the definition, for ``Fn::Sub``; raises Unspeakable."""
    return encoded(definition(workflow, TemplatePlaces()))


def add_workflows(template: Template) -> list[Permission]:
    """Add all machines of the plan; return what they may do."""
    plan = template.plan
    waiting = tuple(f"$.workflows.{w.name}" for w in plan.workflows if signals(w))
    if waiting:
        template.asked = waiting
        facts = {"TopicName": topic_name(plan, SINK, False), "Tags": tags(plan)}
        template.add(SIGNALS, "AWS::SNS::Topic", facts)
    permissions: list[Permission] = []
    for workflow in plan.workflows:
        template.asked = (f"$.workflows.{workflow.name}",)
        permissions += _workflow(template, workflow)
    return permissions


def _workflow(template: Template, workflow: WorkflowPlan) -> list[Permission]:
    plan, name = template.plan, machine_name(template.plan, workflow.name)
    text = text_of(workflow)
    group = "/aws/vendedlogs/states/" + physical_name(plan, workflow.name, LOG_NAME)
    logs = template.add(
        logical_id(workflow.name, "WorkflowLog"),
        "AWS::Logs::LogGroup",
        {
            "LogGroupName": group,
            "RetentionInDays": plan.options.get("log-retention", plan.logs.retention),
            "Tags": tags(plan),
        },
    )
    # Of machines of this account: the machine itself is not there yet when the role is tried.
    # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
    condition = {
        "StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")},
        "ArnLike": {"aws:SourceArn": sub(arn("states", "stateMachine:*"))},
    }
    permissions = add_role(
        template, workflow, "WorkflowAccess", "states.amazonaws.com", _grants(plan, workflow, text),
        condition,
    )  # fmt: skip
    template.add(
        logical_id(workflow.name, "Workflow"),
        "AWS::StepFunctions::StateMachine",
        {
            "StateMachineName": name,
            "StateMachineType": "STANDARD",
            "DefinitionString": sub(text) if "${" in text else text,
            "RoleArn": att(logical_id(workflow.name, "WorkflowAccess")),
            "LoggingConfiguration": {
                # Which runs fail, and where; no documents of theirs.
                "Level": "ERROR",
                "IncludeExecutionData": False,
                "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": att(logs)}}],
            },
            "Tags": tags(plan),
        },
    )
    return permissions


def _grants(plan: BuildPlan, workflow: WorkflowPlan, text: str) -> list[Grant]:
    """Return what the definition *text* calls: steps that nothing leads to are not in it."""
    why = f"$.workflows.{workflow.name}"
    grants = [Grant("Log", DELIVER, "*", "*", "platform")]
    for function in called(workflow.machine):
        own = logical_id(function, "Function")
        if f'"${{{own}.Arn}}"' not in text:
            continue
        scope = arn("lambda", f"function:{physical_name(plan, function)}")
        grants.append(Grant(f"Invoke{own}", ("lambda:InvokeFunction",), att(own), scope, why))
    if f'"${{{SIGNALS}}}"' in text:
        scope = arn("sns", topic_name(plan, SINK, False))
        grants.append(Grant("Wait", ("sns:Publish",), ref(SIGNALS), scope, why))
    children = [
        child
        for child in dict.fromkeys(subworkflows(workflow.machine))
        if f'"${{{logical_id(child, "Workflow")}}}"' in text
    ]
    for child in children:
        own, name = logical_id(child, "Workflow"), machine_name(plan, child)
        scope = arn("states", f"stateMachine:{name}")
        runs = arn("states", f"execution:{name}:*")
        grants += [
            Grant(f"Run{own}", ("states:StartExecution",), ref(own), scope, why),
            Grant(f"Watch{own}", ("states:DescribeExecution", "states:StopExecution"),
                  sub(runs), runs, why),
        ]  # fmt: skip
    if children:
        rule = arn("events", _RULE)
        grants.append(Grant("Learn", _RULES, sub(rule), rule, why))
    return grants


def start_grants(plan: BuildPlan, name: str, why: str) -> list[Grant]:
    """Return the statements of a function that starts the workflow *name*, and signals its runs.

    The machine goes by its name: it refers to the functions of its tasks, which may be this one.
    """
    machine = machine_name(plan, name)
    scope = arn("states", f"stateMachine:{machine}")
    runs = arn("states", f"execution:{machine}:*")
    own = logical_id(name, "Workflow")
    actions: tuple[Any, ...] = ("states:SendTaskSuccess", "states:StartExecution")
    seen = ("states:DescribeExecution", "states:GetExecutionHistory")
    return [
        Grant(f"Start{own}", actions, sub(scope), scope, why),
        Grant(f"Follow{own}", seen, sub(runs), runs, why),
    ]
