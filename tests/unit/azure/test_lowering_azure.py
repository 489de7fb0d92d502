"""What the adapter writes: function_app.py, host.json, deployments, diagnostics."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from portafaas.adapter import Capability, Support
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    Retry,
    TopicTrigger,
)
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.broker import sql_filter
from portafaas_azure.host import instance_memory, timespan
from portafaas_azure.routes import route


def bindings(files: Mapping[str, bytes], tmp_path: Path, **environment: str) -> Any:
    """Import the generated module as the worker does and return the raw bindings it indexes."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules);"
        "import azure.functions; sdk = set(sys.modules); import function_app;"
        "found = function_app.app.get_functions();"
        "print(json.dumps([{f.get_function_name(): [json.loads(b) for b in f.get_raw_bindings()]"
        " for f in found}, sorted(set(sys.modules) - sdk - {'function_app'}),"
        " {f.get_function_name(): f.get_settings_dict('retry_policy') for f in found}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def files(plan: BuildPlan) -> Mapping[str, bytes]:
    return ADAPTER.lower(plan).files


def test_files(files: Mapping[str, bytes]) -> None:
    assert list(files) == ["function_app.py", "host.json"]
    ast.parse(files["function_app.py"], feature_version=(3, 10))
    host = json.loads(files["host.json"])
    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensions"]["serviceBus"]["maxConcurrentCalls"] == 2
    assert host["functionTimeout"] == "00:01:30"


def test_the_host_indexes_every_function(
    plan: BuildPlan, files: Mapping[str, bytes], tmp_path: Path
) -> None:
    found, loaded, retries = bindings(files, tmp_path)
    entries = [function.entry for function in plan.functions]
    for name in ("on_row", "on_part", "on_morning"):
        entries.insert(entries.index(name) + 1, f"{name}__again")
    assert list(found) == entries
    [again] = found["on_morning__again"]
    assert (again["type"], again["queueName"]) == ("serviceBusTrigger", "on-morning-again")
    # User modules and the bridges load with the first invocation.
    assert not [name for name in loaded if name.startswith(("portafaas", "azure_unit"))]
    assert found["web"] == [
        {"direction": "IN", "type": "httpTrigger", "name": "event", "authLevel": "ANONYMOUS",
         "route": "web/{*path}"},
        {"direction": "OUT", "type": "http", "name": "$return"},
    ]  # fmt: skip
    assert found["work"] == [
        {"direction": "IN", "type": "serviceBusTrigger", "name": "event", "dataType": "BINARY",
         "connection": "SERVICEBUS", "queueName": "jobs", "cardinality": "ONE",
         "isSessionsEnabled": False}
    ]  # fmt: skip
    assert found["work_ordered"][0]["isSessionsEnabled"] is True
    topic = found["on_gold"][0]
    assert (topic["topicName"], topic["subscriptionName"]) == ("news", "on-gold")
    assert found["on_file"][0]["queueName"] == "on-file-objects"
    table = found["on_row"][0]
    assert table["type"] == "cosmosDBTrigger"
    assert (table["databaseName"], table["containerName"]) == ("shop", "orders")
    assert table["maxItemsPerInvocation"] == 1
    # Without a retry policy the change feed goes on after a failure.
    assert retries["on_row"]["max_retry_count"] == "-1"
    assert found["on_morning"][0]["type"] == "timerTrigger"
    assert len(found["on_morning"][0]["schedule"].split()) == 6


def test_functions_of_one_path_share_the_methods(
    files: Mapping[str, bytes], tmp_path: Path
) -> None:
    found = bindings(files, tmp_path)[0]
    assert "methods" not in found["web_async"][0]
    assert found["orders_get"][0]["methods"] == ["GET"]
    # It answers the preflight requests, so it gets every method that is left.
    rest = ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    assert found["orders_put"][0]["methods"] == rest


def test_a_function_alone_in_its_app_answers_every_method_of_its_path(
    files: Mapping[str, bytes], tmp_path: Path
) -> None:
    """Nobody else on its host would answer 405, or a preflight request."""
    for entry in ("orders_get", "orders_put"):
        found = bindings(files, tmp_path, PORTAFAAS_FUNCTIONS=entry)[0]
        assert list(found) == [entry]
        assert "methods" not in found[entry][0]


def test_an_app_may_have_some_functions(files: Mapping[str, bytes], tmp_path: Path) -> None:
    found = bindings(files, tmp_path, PORTAFAAS_FUNCTIONS=" web-async, work ")[0]
    assert list(found) == ["web_async", "work"]


def test_an_app_of_unknown_functions_does_not_start(
    files: Mapping[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="PORTAFAAS_FUNCTIONS names no function: nothing"):
        bindings(files, tmp_path, PORTAFAAS_FUNCTIONS="work,nothing")


def test_deployments(plan: BuildPlan) -> None:
    lowered = ADAPTER.lower(plan)
    assert lowered == ADAPTER.lower(plan)
    by_name = {deployment.function: deployment for deployment in lowered.deployments}
    assert list(by_name) == [function.name for function in plan.functions]
    json.dumps([dict(deployment.binding) for deployment in lowered.deployments])
    work = by_name["work-ordered"]
    assert (work.entry, work.memory, work.timeout) == ("work_ordered", 512, 6)
    assert work.environment["PORTAFAAS_FUNCTIONS"] == "work_ordered"
    assert work.environment["AzureFunctionsJobHost__functionTimeout"] == "00:00:06"
    assert (
        work.environment["AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls"] == "1"
    )
    assert work.binding["queue"]["requiresSession"] is True
    assert work.binding["queue"]["maxDeliveryCount"] == 2_147_483_647
    assert by_name["on-file"].binding["eventSubscription"]["filter"] == {
        "includedEventTypes": ["Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"],
        "subjectBeginsWith": "/blobServices/default/containers/files/blobs/in/",
        "isSubjectCaseSensitive": True,
        "subjectEndsWith": ".csv",
    }
    assert "authentication" in by_name["private"].binding


def test_a_declared_retry_reaches_the_timer(plan: BuildPlan, tmp_path: Path) -> None:
    function = dataclasses.replace(
        plan.function("on-morning"), retry=Retry(3, "fixed", 2.0, declared=True)
    )
    files = ADAPTER.lower(dataclasses.replace(plan, functions=(function,))).files
    retries = bindings(files, tmp_path)[2]
    assert retries["on_morning"]["max_retry_count"] == "2"
    assert retries["on_morning"]["delay_interval"] == "00:00:02"


def test_options(plan: BuildPlan, tmp_path: Path) -> None:
    options = {"serviceBusConnection": "BUS", "cosmosConnection": "DB", "cosmosDatabase": "main"}
    schema = ADAPTER.options_schema()
    for part in ("service", "function"):
        jsonschema.Draft202012Validator.check_schema(schema[part])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"other": 1}, schema[part])
    jsonschema.validate(options, schema["service"])
    jsonschema.validate({"leaseContainer": "l"}, schema["function"])
    row = dataclasses.replace(plan.function("on-row"), options={"leaseContainer": "l"})
    some = dataclasses.replace(plan, options=options, functions=(row, plan.function("work")))
    found = bindings(ADAPTER.lower(some).files, tmp_path)[0]
    assert found["work"][0]["connection"] == "BUS"
    table = found["on_row"][0]
    assert (table["connection"], table["databaseName"]) == ("DB", "main")
    assert table["leaseContainerName"] == "l"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", "/"), ("/a/{id}", "a/{id}"), ("/f/{rest*}", "f/{*rest}"), ("/{all*}", "{*all}")],
)
def test_route(path: str, expected: str) -> None:
    assert route(path) == expected


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "00:00:01"), (3725, "01:02:05")])
def test_timespan(seconds: float, text: str) -> None:
    assert timespan(seconds) == text


@pytest.mark.parametrize(("memory", "size"), [(128, 512), (512, 512), (513, 2048), (4096, 4096)])
def test_instance_memory(memory: int, size: int) -> None:
    assert instance_memory(memory) == size


def test_sql_filter() -> None:
    assert sql_filter(()) == ""
    assert sql_filter((("tier", ("gold", "o'r")),)) == (
        "(user.\"cloudEvents:tier\" IN ('gold', 'o''r') OR "
        "user.\"cloudEvents_tier\" IN ('gold', 'o''r') OR user.\"tier\" IN ('gold', 'o''r')) "
        "OR sys.ContentType LIKE 'application/cloudevents+json%'"
    )
    # A message without CloudEvents attributes has a type all the same: the bridge decides.
    assert 'NOT EXISTS(user."cloudEvents:type")' in sql_filter((("type", ("a",)),))
    # Service Bus takes 1024 characters; the bridge filters anyway.
    assert sql_filter((("tier", tuple(f"value-{n}" for n in range(100))),)) == ""


def test_every_capability_has_a_position() -> None:
    assert set(ADAPTER.capabilities) == set(Capability)
    unsupported = {c for c, s in ADAPTER.capabilities.items() if s is Support.UNSUPPORTED}
    assert unsupported == {
        Capability.TABLE_INSERT,
        Capability.TABLE_DELETE,
        Capability.TABLE_OLD_IMAGE,
        Capability.ALERT_OLDEST_MESSAGE,
        Capability.ARCHITECTURE_ARM,
    }


def _web(**more: Any) -> FunctionPlan:
    return FunctionPlan(**{"name": "f", "module": "m", "attribute": "a",
                           "trigger": HttpTrigger((), "/f"), **more})  # fmt: skip


LIMITS = {
    "memory": (_web(memory=4097), "$.functions.f.memory"),
    "timeout": (_web(timeout=231), "$.functions.f.timeout"),
    "concurrency": (_web(concurrency=1001), "$.functions.f.concurrency"),
    "name": (_web(name="host"), "$.functions.host"),
    "long name": (_web(name="f" * 129), "$.functions." + "f" * 129),
    "path": (_web(trigger=HttpTrigger((), "/admin/x")), "$.functions.f.trigger.http.path"),
    "body": (
        _web(trigger=HttpTrigger((), "/f", max_body=100_000_001)),
        "$.functions.f.trigger.http.max-body",
    ),
    "subscription": (_web(name="f" * 51, trigger=TopicTrigger("t")), "$.functions." + "f" * 51),
    "container": (_web(trigger=ObjectTrigger("No_Good")), "$.buckets.No_Good"),
}


@pytest.mark.parametrize(("function", "path"), LIMITS.values(), ids=LIMITS.keys())
def test_limits(function: FunctionPlan, path: str) -> None:
    buckets = tuple(BucketPlan(t.bucket) for t in [function.trigger] if isinstance(t, ObjectTrigger))
    plan = BuildPlan("s", "dev", "3.11", "x86_64", (function,), buckets=buckets)
    found = ADAPTER.check(plan)
    assert [(d.code, d.path) for d in found] == [("PF3002", path)]
    assert str(found[0].hint).startswith("https://")


def test_limits_all_at_once() -> None:
    functions = (_web(memory=9999, timeout=999), _web(name="F", timeout=999))
    plan = BuildPlan(
        "s", "dev", "3.11", "x86_64", functions, queues=(QueuePlan("q" * 261),)
    )
    assert len(ADAPTER.check(plan)) == 5


def test_within_limits(plan: BuildPlan) -> None:
    assert list(ADAPTER.check(plan)) == []
    edge = _web(memory=4096, timeout=230, trigger=HttpTrigger((), "/f", Auth("iam")))
    assert list(ADAPTER.check(BuildPlan("s", "dev", "3.11", "x86_64", (edge,)))) == []
