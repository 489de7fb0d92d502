"""The app of workflows: what is registered, who shares it, what it may do, what is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
import types
from collections.abc import Callable
from typing import Any

import pytest

from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan, HttpTrigger, TaskTrigger
from portafaas.plan.model import Use, WorkflowPlan
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.flows import CONTROL, DEFINITION
from portafaas_azure.grouping import apps_of
from portafaas_azure.infrastructure import emit
from portafaas_azure.infrastructure.graph import Node, outputs, resolve
from portafaas_azure.infrastructure.verify import verify
from portafaas_azure.limits_flows import MAX_STEPS, steps
from portafaas_azure.requirements import requirements

TASK = {"kind": "task", "function": "charge", "next": None}
FLOW = {"start": "pay", "steps": {"pay": TASK}}
QUEUES = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
TABLES = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
ENVIRONMENT = {"LEVEL": "1"}


def made(service: types.ModuleType, **more: Any) -> BuildPlan:
    function = service.function
    functions = (
        function("shop", HttpTrigger(("GET",), "/"), Use("start", "workflow", "fulfil")),
        function(
            "charge", TaskTrigger(), Use("send", "queue", "jobs"), memory=256, timeout=10,
            concurrency=2, max_instances=20, environment=ENVIRONMENT, min_instances=1,
        ),
        function(
            "pack-all", TaskTrigger(), Use("read", "table", "orders"),
            Use("start", "workflow", "again"), memory=3000, timeout=90, concurrency=3,
            max_instances=40,
        ),
    )  # fmt: skip
    given = {
        "functions": functions, "alerts": (),
        "workflows": (WorkflowPlan("fulfil", FLOW), WorkflowPlan("again", FLOW)),
    } | more  # fmt: skip
    plan: BuildPlan = service.plan(**given)
    return plan


def document_of(plan: BuildPlan) -> dict[str, Any]:
    assert [p for p in ADAPTER.check(plan) if p.severity == "error"] == []
    (document,) = emit(plan).documents.values()
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def nodes_of(document: dict[str, Any]) -> dict[str, Node]:
    found, problems = resolve(document)
    assert problems == []
    return found


def site(nodes: dict[str, Node], name: str) -> Node:
    every = [node for node in nodes.values() if node.type == "Microsoft.Web/sites"]
    entries = {"workflows": "charge,pack_all"}.get(name, name)
    return next(one for one in every if settings(one)["PORTAFAAS_FUNCTIONS"] == entries)


def settings(node: Node) -> dict[str, str]:
    return {one["name"]: one["value"] for one in node.properties["siteConfig"]["appSettings"]}


@pytest.mark.parametrize("options", [{}, {"apps": "grouped"}])
def test_tasks_share_an_app_that_has_what_any_needs(
    service: types.ModuleType, arm_models: types.ModuleType, options: Any
) -> None:
    plan = made(service, options=options)
    assert [app.entries for app in apps_of(plan)] == ["shop", "charge,pack_all"]
    document = document_of(plan)
    nodes = nodes_of(document)
    assert [m for n in nodes.values() for m in arm_models.check(n.type, n.body)] == []
    app = site(nodes, "workflows")
    scale = app.properties["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["instanceMemoryMB"] == 4096
    assert scale["maximumInstanceCount"] == 20
    assert scale["alwaysReady"] == [{"name": "durable", "instanceCount": 1}]
    found = settings(app)
    assert found["LEVEL"] == "1"
    assert found["AzureFunctionsJobHost__functionTimeout"] == "00:02:30"
    host = "AzureFunctionsJobHost__extensions__durableTask__maxConcurrentActivityFunctions"
    assert found[host] == "5"
    assert "PORTAFAAS_QUEUE_JOBS" in found and "PORTAFAAS_TABLE_ORDERS" in found
    url = f"https://{app.name}.azurewebsites.net/portafaas/workflows/fulfil#api://text"
    assert settings(site(nodes, "shop"))["PORTAFAAS_WORKFLOW_FULFIL"] == url
    assert found["PORTAFAAS_WORKFLOW_AGAIN"] == "/portafaas/workflows/again#api://text"
    # Who may start what, by the identity that the platform names.
    starters = dict(rule.split("=") for rule in found["PORTAFAAS_STARTERS"].split(";"))
    assert sorted(starters.values()) == ["again", "fulfil"]
    sign_in = nodes[f"{app.id}/config/authsettingsV2"].properties["globalValidation"]
    assert sign_in["unauthenticatedClientAction"] == "AllowAnonymous"
    # Runs are kept in the app's own account.
    account = found["AzureWebJobsStorage__blobServiceUri"].split("//")[1].split(".")[0]
    for kind in ("queue", "table"):
        uri = f"https://{account}.{kind}.core.windows.net/"
        assert found[f"AzureWebJobsStorage__{kind}ServiceUri"] == uri
    roles = [
        (role, node.scope) for role in (QUEUES, TABLES) for node in nodes.values()
        if role in str(node.properties.get("roleDefinitionId"))
    ]  # fmt: skip
    assert [scope.rpartition("/")[2] for _, scope in roles] == [account, account]
    assert outputs(document)["urls"]["value"].keys() == {"shop"}
    # That one may do what another asks for is said.
    (note,) = [p for p in emit(plan).notes if p.code == "PF3010"]
    assert "'charge', 'pack-all'" in note.message and note.severity == "note"


def test_nobody_asks_who_calls_where_nobody_starts_runs(service: types.ModuleType) -> None:
    plan = made(service)
    functions = tuple(dataclasses.replace(f, uses=()) for f in plan.functions)
    plan = dataclasses.replace(plan, functions=functions)
    document = document_of(plan)
    assert "authClientId" not in document["parameters"]
    app = site(nodes_of(document), "workflows")
    assert "PORTAFAAS_STARTERS" not in settings(app)
    text = ADAPTER.lower(plan).files["function_app.py"].decode()
    assert CONTROL not in text and "fulfil__workflow" in text


def test_the_module_registers_workflows_only_in_their_app(
    service: types.ModuleType, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    func = pytest.importorskip("azure.functions")
    plan = made(service)
    text = ADAPTER.lower(plan).files["function_app.py"].decode()
    for chosen, wanted in {
        "shop": {"shop"},
        "charge,pack_all": {
            "charge", "pack_all", "fulfil__workflow", "again__workflow", CONTROL, DEFINITION,
        },
    }.items():  # fmt: skip
        monkeypatch.setenv("PORTAFAAS_FUNCTIONS", chosen)
        space: dict[str, Any] = {"__name__": "function_app"}
        exec(compile(text, "function_app.py", "exec"), space)
        assert isinstance(space["app"], func.FunctionApp)
        found = {one.get_function_name(): one for one in space["app"].get_functions()}
        assert set(found) == wanted
    kinds = {name: one.get_trigger().type for name, one in found.items()}
    assert kinds["charge"] == "activityTrigger"
    assert kinds["again__workflow"] == "orchestrationTrigger"


def test_the_module_is_the_same_whatever_the_seed_of_hashes(service: types.ModuleType) -> None:
    names = [f"t{number}" for number in range(9)]  # 9! orders of a set
    plan = made(service, functions=tuple(service.function(n, TaskTrigger()) for n in names))
    text = ADAPTER.lower(plan).files["function_app.py"].decode()
    assert "', '".join(names) in text


def test_the_sdk_is_packaged_with_workflows_only(service: types.ModuleType) -> None:
    durable = "azure-functions-durable>=1.7,<2"
    assert durable in requirements(made(service))
    assert durable not in requirements(service.plan())
    host = json.loads(ADAPTER.lower(service.plan()).files["host.json"])
    assert "durableTask" not in host["extensions"]


MUTATIONS: dict[str, Callable[[dict[str, Any]], None]] = {}


def mutation(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    MUTATIONS[change.__name__] = change
    return change


def app_of(document: dict[str, Any], name: str = "workflows") -> dict[str, Any]:
    return next(
        one for one in document["resources"]
        if one["type"] == "Microsoft.Web/sites" and f"-{name}-" in one["name"]
    )  # fmt: skip


def setting_of(document: dict[str, Any], name: str, app: str = "workflows") -> dict[str, str]:
    listed = app_of(document, app)["properties"]["siteConfig"]["appSettings"]
    found: dict[str, str] = next(one for one in listed if one["name"] == name)
    return found


def drop_role(document: dict[str, Any], role: str) -> None:
    found = next(
        one for one in document["resources"]
        if role in str(one.get("properties", {}).get("roleDefinitionId"))
    )  # fmt: skip
    document["resources"].remove(found)


@mutation
def no_role_on_queues(document: dict[str, Any]) -> None:
    drop_role(document, QUEUES)


@mutation
def no_role_on_tables(document: dict[str, Any]) -> None:
    drop_role(document, TABLES)


@mutation
def another_accounts_tables(document: dict[str, Any]) -> None:
    found = setting_of(document, "AzureWebJobsStorage__tableServiceUri")
    found["value"] = "https://other.table.core.windows.net/"


@mutation
def anybody_starts(document: dict[str, Any]) -> None:
    setting_of(document, "PORTAFAAS_STARTERS")["value"] = "everybody=fulfil,again"


@mutation
def one_starts_more(document: dict[str, Any]) -> None:
    found = setting_of(document, "PORTAFAAS_STARTERS")
    found["value"] = found["value"].replace("=fulfil", "=fulfil,again")


@mutation
def a_wrong_address(document: dict[str, Any]) -> None:
    found = setting_of(document, "PORTAFAAS_WORKFLOW_FULFIL", "shop")
    found["value"] = found["value"].replace("workflows/{1}", "other/{1}")


@mutation
def nobody_signs_in(document: dict[str, Any]) -> None:
    found = next(one for one in document["resources"] if one["type"].endswith("sites/config"))
    document["resources"].remove(found)


@mutation
def everybody_must_sign_in(document: dict[str, Any]) -> None:
    found = next(one for one in document["resources"] if one["type"].endswith("sites/config"))
    found["properties"]["globalValidation"]["requireAuthentication"] = True


@mutation
def none_ready(document: dict[str, Any]) -> None:
    del app_of(document)["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]


@mutation
def too_little_memory(document: dict[str, Any]) -> None:
    config = app_of(document)["properties"]["functionAppConfig"]
    config["scaleAndConcurrency"]["instanceMemoryMB"] = 512


@mutation
def another_owner(document: dict[str, Any]) -> None:
    app_of(document)["tags"]["app"] = "others"


@mutation
def a_task_is_missing(document: dict[str, Any]) -> None:
    setting_of(document, "PORTAFAAS_FUNCTIONS")["value"] = "charge"


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checks_find_a_mistake(service: types.ModuleType, name: str) -> None:
    plan = made(service)
    document = document_of(plan)
    assert verify(plan, copy.deepcopy(document)) == []
    MUTATIONS[name](document)
    assert verify(plan, document) != []


def refused(plan: BuildPlan) -> list[tuple[str, str]]:
    return [(p.path or "", p.message) for p in ADAPTER.check(plan) if p.code == "PF3002"]


def test_what_shares_an_app_must_agree(service: types.ModuleType) -> None:
    plan = made(service)
    shop, charge, pack = plan.functions
    other = dataclasses.replace(pack, environment={"LEVEL": "2"})
    ((path, message),) = refused(dataclasses.replace(plan, functions=(shop, charge, other)))
    assert path == "$.functions.pack-all.environment.LEVEL" and "'charge'" in message
    taken = dataclasses.replace(charge, environment={"PORTAFAAS_TABLE_ORDERS": "x"})
    ((path, message),) = refused(dataclasses.replace(plan, functions=(shop, taken, pack)))
    assert path.startswith("$.functions.charge.environment") and "'orders'" in message
    named = dataclasses.replace(shop, name="workflows")
    ((path, _),) = refused(dataclasses.replace(plan, functions=(named, charge, pack)))
    assert path == "$.functions.workflows"
    ((path, message),) = refused(dataclasses.replace(plan, functions=(dataclasses.replace(
        shop, uses=()),), workflows=plan.workflows[:1]))  # fmt: skip
    assert path == "$.workflows.fulfil" and "no function with a task trigger" in message
    clash = dataclasses.replace(shop, name="Fulfil--workflow")
    ((path, message),) = refused(dataclasses.replace(plan, functions=(clash, charge, pack)))
    assert "one name on Azure" in message


def test_a_run_is_no_longer_than_can_be_replayed(service: types.ModuleType) -> None:
    loop = {"kind": "loop", "most": 100, "machine": FLOW, "while": {}, "next": None}
    inner = {"start": "l", "steps": {"l": loop}}
    each = {"kind": "map", "items": "$", "most": 100, "machine": inner, "next": None}
    machine = {"start": "m", "steps": {"m": each, "w": {"kind": "wait", "signal": "go"}}}
    assert steps(machine) == 10_001 == MAX_STEPS + 1
    plan = made(service, workflows=(WorkflowPlan("long", machine),))
    plan = dataclasses.replace(
        plan, functions=tuple(dataclasses.replace(f, uses=()) for f in plan.functions)
    )
    ((path, message),) = refused(plan)
    assert path == "$.workflows.long.steps" and "10001 calls and waits" in message


def test_the_engine_finds_the_app_of_the_workflows(
    service: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas_azure.deployment.azureengine import AzureEngine
    from portafaas_azure.deployment.stack import Stack
    from portafaas_azure.deployment.workflows import AzureWorkflows

    group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites"
    listed = {"properties": {"resources": [{"id": f"{group}/{n}"} for n in ("shop", "flows")]}}
    engine = AzureEngine(made(service), {"AZURE_SUBSCRIPTION_ID": "s"})
    monkeypatch.setattr(Stack, "get", lambda stack: listed)

    def read(site: str, api: str = "") -> dict[str, Any]:
        flows = site.endswith("flows")
        return {
            "tags": {"app": "workflows"} if flows else {"function": "shop"},
            "properties": {"defaultHostName": f"{site.rpartition('/')[2]}.azurewebsites.net"},
        }

    monkeypatch.setattr(engine.account, "read", read)
    found = engine.workflows()
    assert isinstance(found, AzureWorkflows)
    assert found.site == f"{group}/flows"
    assert found.url == "https://flows.azurewebsites.net/runtime/webhooks/durabletask"
    # The app makes its key when it first starts.
    monkeypatch.setattr(engine.account, "send", lambda *words, **more: {"systemKeys": {}})
    monkeypatch.setattr(type(engine.account), "cloud", types.SimpleNamespace(arm="https://arm"))
    with pytest.raises(DeploymentError, match="no key of Durable Functions yet"):
        found.start("fulfil", {})
    listed["properties"]["resources"].pop()
    with pytest.raises(DeploymentError) as raised:
        engine.workflows()
    assert raised.value.diagnostics[0].code == "PF8010"
