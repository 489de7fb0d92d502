"""Workflows: the resource, its account, and which functions that account may call.

https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/workflows_workflow
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan
from portafaas.plan.machines import called, subworkflows
from portafaas.plan.model import WorkflowPlan
from portafaas_gcp import names
from portafaas_gcp.infrastructure.document import Document, key, literal, ref
from portafaas_gcp.infrastructure.grants import WORKFLOWS, invoker, project_member
from portafaas_gcp.infrastructure.view import View
from portafaas_gcp.workflows import source

#: Stands for a function's address until the source is text; nothing else has it.
_ADDRESS = "https://{}.portafaas.invalid"
#: In the source of a workflow that starts executions of itself.
_APART = '"portafaas_apart"'


def functions_of(plan: BuildPlan, workflow: WorkflowPlan) -> tuple[str, ...]:
    """Return the functions that a workflow calls, those of the workflows that it runs too."""
    out: dict[str, None] = {}
    waiting, seen = [workflow.name], set()
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            machine = plan.workflow(name).machine
            out |= dict.fromkeys(called(machine))
            waiting += subworkflows(machine)
    return tuple(function.name for function in plan.functions if function.name in out)


def text_of(plan: BuildPlan, workflow: WorkflowPlan) -> str:
    """Return a workflow's source as a template of Terraform's."""
    made = source(plan, workflow, _ADDRESS.format)
    text = literal(json.dumps(made, ensure_ascii=False, separators=(",", ":")))
    for name in functions_of(plan, workflow):
        uri = ref(f"google_cloudfunctions2_function.{key(name)}", "service_config[0].uri")
        text = text.replace(_ADDRESS.format(name), uri)
    return text


def workflows(document: Document) -> None:
    """Add every workflow of the manifest, and what its account may do."""
    plan = document.plan
    for workflow in plan.workflows:
        why = f"$.workflows.{workflow.name}"
        document.ask(why)
        title = " ".join(part for part in (plan.service, plan.stage) if part)
        account = document.add(
            "google_service_account",
            key("_workflow", workflow.name),
            {
                "account_id": names.physical(plan, f"-{workflow.name}", names.ACCOUNT),
                "display_name": f"{title}: workflow {workflow.name}",
            },
        )
        member = ref(account, "member")
        project_member(
            document, key("_workflow", workflow.name, "logs"), "roles/logging.logWriter", member
        )
        actor = f"workflow {workflow.name}"
        document.permissions.append(
            Permission(actor, "roles/logging.logWriter", "projects/${var.project}", why)
        )
        grants = []
        text = text_of(plan, workflow)
        if _APART in text:
            # It starts executions of itself.
            role, block = "roles/workflows.invoker", key("_workflow", workflow.name, "starts")
            grants.append(project_member(document, block, role, member))
            document.permissions.append(Permission(actor, role, "projects/${var.project}", why))
            document.note(
                f"{role} can be granted on a project only, not on the workflow "
                f"{workflow.name!r} ({WORKFLOWS})",
                why,
            )
        for name in functions_of(plan, workflow):
            function = plan.function(name)
            grants.append(invoker(document, function, member, key(name, "workflow", workflow.name)))
            service = names.service_name(plan, function)
            document.permissions.append(Permission(actor, "roles/run.invoker", service, why))
        document.add(
            "google_workflows_workflow",
            key(workflow.name),
            {
                "name": names.physical(plan, workflow.name, names.WORKFLOW),
                "region": "${var.region}",
                "service_account": ref(account, "id"),
                "source_contents": text,
                "call_log_level": "LOG_ERRORS_ONLY",
                # Runs that go on are lost with it, data is not.
                "deletion_protection": False,
                **({"depends_on": grants} if grants else {}),
            },
        )


def rules(view: View) -> Iterator[str]:
    """Yield each broken rule as ``address: problem``."""
    owners = {
        body["service_config"]["service_account_email"].removesuffix(".email}"): address
        for address, body in view.of("google_cloudfunctions2_function")
    }
    places = set()
    for address, body in view.of("google_workflows_workflow"):
        name = address.partition(".")[2]
        account = body["service_account"].removesuffix(".id}")
        if account != f"${{google_service_account._workflow__{name}":
            yield f"{address}: runs as {body['service_account']}, which is not its own"
        if account in owners:
            yield f"{address}: shares its service account with {owners[account]}"
        owners[account] = address
        member = f"{account}.member}}"
        may = {
            grant["service"]
            for _, grant in view.where("google_cloud_run_service_iam_member", "member", member)
        }
        calls = {
            f"${{google_cloudfunctions2_function.{function}.name}}"
            for function in called_in(body["source_contents"])
        }
        for service in sorted(calls - may):
            yield f"{address}: calls {service}, but may not"
        for service in sorted(may - calls):
            yield f"{address}: may call {service}, but does not"
        held = {
            grant["role"] for _, grant in view.where("google_project_iam_member", "member", member)
        }
        wanted = {"roles/logging.logWriter"}
        if _APART in body["source_contents"]:
            wanted.add("roles/workflows.invoker")
        if held != wanted:
            yield f"{address}: has {sorted(held)} on the project, not {sorted(wanted)}"
        if ".portafaas.invalid" in body["source_contents"]:
            yield f"{address}: calls a function that is not in the document"
        places.add(f"projects/${{var.project}}/locations/${{var.region}}/workflows/{body['name']}")
    for address, body in view.of("google_cloudfunctions2_function"):
        config = body["service_config"]
        told = {
            value
            for variable, value in config["environment_variables"].items()
            if variable.startswith("PORTAFAAS_WORKFLOW_")
        }
        for place in sorted(told - places):
            yield f"{address}: is told of {place}, which the document does not make"
        member = config["service_account_email"].replace(".email}", ".member}")
        grant = {"member": member, "role": "roles/workflows.invoker"}
        if bool(told) != view.has("google_project_iam_member", **grant):
            yield f"{address}: may start workflows that it is not told of, or the reverse"


def called_in(text: str) -> set[str]:
    """Return the keys of the functions whose addresses are in a source."""
    return set(re.findall(r"\$\{google_cloudfunctions2_function\.(\w+)\.service_config", text))


def callers(view: View) -> Mapping[str, set[str]]:
    """Return the accounts, as members, of the workflows that call a function, by its key."""
    out: dict[str, set[str]] = {}
    for _, body in view.of("google_workflows_workflow"):
        member = body["service_account"].replace(".id}", ".member}")
        for function in called_in(body["source_contents"]):
            out.setdefault(function, set()).add(member)
    return out
