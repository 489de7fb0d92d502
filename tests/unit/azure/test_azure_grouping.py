"""``targets: {azure: {apps: grouped}}``: who shares an app, and that nobody gets what is another's."""

from __future__ import annotations

import copy
import dataclasses
import json
import types
from collections.abc import Callable
from typing import Any

import pytest

from portafaas.errors import PortafaasError
from portafaas.plan import (
    Auth,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TopicTrigger,
)
from portafaas.plan.model import SecretPlan, Use
from portafaas_azure import grouping
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.grouping import app_of, apps_of, equal_in
from portafaas_azure.infrastructure import emit, size
from portafaas_azure.infrastructure.graph import Node, outputs, resolve
from portafaas_azure.infrastructure.verify import verify

GROUPED = {"apps": "grouped"}
SITE = "Microsoft.Web/sites"
EMPTY: dict[str, Any] = {
    "queues": (), "topics": (), "buckets": (), "tables": (), "secrets": (), "alerts": (),
}  # fmt: skip


def http(path: str, auth: Auth | None = None) -> HttpTrigger:
    return HttpTrigger(("GET",), path, auth)


def together(plan: BuildPlan) -> list[set[str]]:
    return [{function.name for function in app.functions} for app in apps_of(plan)]


def sites(document: Any) -> list[Node]:
    nodes, problems = resolve(document)
    assert problems == []
    return [node for node in nodes.values() if node.type == SITE]


def setting(site: Node, name: str) -> Any:
    found = {s["name"]: s["value"] for s in site.properties["siteConfig"]["appSettings"]}
    return found.get(name)


def of(plan: BuildPlan) -> Any:
    (document,) = emit(plan).documents.values()
    return document


READ = Use("read", "table", "orders")
SAME: dict[str, Any] = {
    "one": http("/1"), "two": http("/2"), "tokens": http("/3", Auth("jwt", issuer="i")),
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(service: types.ModuleType) -> BuildPlan:
    """Functions that may share, and others that differ from them in one thing each."""
    make = service.function
    web = tuple(make(name, trigger) for name, trigger in SAME.items())
    made: BuildPlan = service.plan(
        options=GROUPED,
        alerts=(),
        functions=(
            web[0],
            make("reads", http("/r"), READ),
            web[1],
            make("reads-too", http("/rt"), READ, READ),
            make("writes", http("/w"), Use("write", "table", "orders")),
            make("reads-parts", http("/p"), Use("read", "table", "parts")),
            make("large", http("/l"), memory=600),
            make("slow", http("/s"), timeout=31),
            make("parallel", http("/c"), concurrency=2),
            make("few", http("/f"), max_instances=3),
            make("ready", http("/g"), min_instances=1),
            make("set", http("/e"), environment={"A": "1"}),
            make("set-otherwise", http("/e2"), environment={"A": "2"}),
            make("signed-in", http("/i", Auth("iam"))),
            make("keyed", http("/k", Auth("key", "PORTAFAAS_HTTP_KEYS"))),
            make("keyed-otherwise", http("/k2", Auth("key", "OTHER_KEYS"))),
            web[2],
            make("nightly", ScheduleTrigger("0 1 * * *")),
            make("weekly", ScheduleTrigger("0 2 * * 1")),
            make("on-row", TableTrigger("orders")),
            make("on-row-again", TableTrigger("orders")),
            make("on-part", TableTrigger("parts")),
            make("on-row-elsewhere", TableTrigger("orders"), options={"leaseContainer": "more"}),
            make("work", QueueTrigger("jobs")),
            make("on-news", TopicTrigger("news")),
            make("on-news-too", TopicTrigger("news")),
        ),
    )
    return made


def test_who_shares_an_app(mixed: BuildPlan) -> None:
    shared = [names for names in together(mixed) if len(names) > 1]
    assert shared == [
        set(SAME), {"reads", "reads-too"}, {"nightly", "weekly"}, {"on-row", "on-row-again"},
    ]  # fmt: skip
    assert sum(len(names) for names in together(mixed)) == len(mixed.functions)


def test_without_the_option_nobody_does(mixed: BuildPlan) -> None:
    for options in ({}, {"apps": "per-function"}):
        alone = dataclasses.replace(mixed, options=options)
        assert together(alone) == [{function.name} for function in mixed.functions]
        assert [app.name for app in apps_of(alone)] == [f.name for f in mixed.functions]


def test_an_app_indexes_its_own_functions(mixed: BuildPlan) -> None:
    found = sites(of(mixed))
    assert len(found) == len(apps_of(mixed))
    assert "one,two,tokens" in [setting(site, "PORTAFAAS_FUNCTIONS") for site in found]
    deployments = {made.function: made for made in ADAPTER.lower(mixed).deployments}
    for app in apps_of(mixed):
        environments = [deployments[f.name].environment for f in app.functions]
        assert all(one == environments[0] for one in environments)
        assert environments[0]["PORTAFAAS_FUNCTIONS"] == app.entries


def test_each_http_function_has_its_address(mixed: BuildPlan) -> None:
    document = of(mixed)
    urls = outputs(document)["urls"]["value"]
    assert set(urls) == {f.name for f in mixed.functions if f.kind == "http"}
    assert urls["one"] == urls["two"] == urls["tokens"] != urls["reads"]
    hosts = {f"https://{site.name}.azurewebsites.net": site for site in sites(document)}
    for name, url in urls.items():
        entries = setting(hosts[url], "PORTAFAAS_FUNCTIONS").split(",")
        assert name.replace("-", "_") in entries


def test_one_identity_holds_what_each_of_the_app_asks_for(mixed: BuildPlan) -> None:
    found = emit(mixed)
    nodes, _ = resolve(of(mixed))
    app = app_of(mixed, mixed.function("reads"))
    held = [n for n in nodes.values() if f"app-{app.name}" in str(n.properties.get("principalId"))]
    # Its storage, the telemetry, the table.
    assert len(held) == 3
    for name in ("reads", "reads-too"):
        own = {(p.grant, p.scope) for p in found.permissions if p.function == name}
        assert len(own) == 3
        assert {p.why for p in found.permissions if p.function == name} >= {
            f"$.functions.{name}.uses[0].read"
        }
    scopes = [
        {(p.grant, p.scope) for p in found.permissions if p.function == name}
        for name in ("reads", "reads-too")
    ]
    assert scopes[0] == scopes[1]


def test_who_joins_or_leaves_renames_nobody(mixed: BuildPlan, service: types.ModuleType) -> None:
    def names(plan: BuildPlan) -> dict[str, str]:
        return {function.name: app.name for app in apps_of(plan) for function in app.functions}

    before = names(mixed)
    more = (service.function("first", http("/0")), *mixed.functions)
    after = names(dataclasses.replace(mixed, functions=more))
    assert after == {**before, "first": before["one"]}
    fewer = tuple(f for f in mixed.functions if f.name not in ("one", "reads"))
    assert names(dataclasses.replace(mixed, functions=fewer)).items() <= before.items()
    turned = names(dataclasses.replace(mixed, functions=mixed.functions[::-1]))
    assert turned == before


def test_another_value_of_a_setting_of_the_service_renames_nobody(mixed: BuildPlan) -> None:
    def names(config: str, level: str) -> list[str]:
        ours = {"PORTAFAAS_CONFIG": config, "PORTAFAAS_LOG_LEVEL": level}
        functions = tuple(
            dataclasses.replace(f, environment={**f.environment, **ours}) for f in mixed.functions
        )
        plan = dataclasses.replace(mixed, functions=functions)
        emit(plan)
        return [app.name for app in apps_of(plan)]

    assert names('{"a":1}', "info") == names('{"a":2}', "debug")


def test_what_has_its_own_source_is_called_the_same_in_both_modes(mixed: BuildPlan) -> None:
    alone = of(dataclasses.replace(mixed, options={}))
    for name in ("work", "on-news"):
        assert app_of(mixed, mixed.function(name)).name == name
        entry = name.replace("-", "_")
        (site,) = [s for s in sites(of(mixed)) if setting(s, "PORTAFAAS_FUNCTIONS") == entry]
        assert site.name in {other.name for other in sites(alone)}


def test_a_new_member_changes_only_what_names_the_members(
    mixed: BuildPlan, service: types.ModuleType
) -> None:
    before = of(mixed)
    more = (*mixed.functions, service.function("three", http("/3")))
    after = of(dataclasses.replace(mixed, functions=more))
    changed = [
        (old, new)
        for old, new in zip(before["resources"], after["resources"], strict=True)
        if old != new
    ]
    ((old, new),) = changed
    assert json.dumps(old).replace("one,two,tokens", "one,two,tokens,three") == json.dumps(new)


@pytest.mark.parametrize("count", [100, 300])
def test_a_hundred_functions_are_one_app(service: types.ModuleType, count: int) -> None:
    functions = tuple(service.function(f"f{n}", http(f"/{n}")) for n in range(count))
    alone = service.plan(functions=functions, **EMPTY)
    refused = ADAPTER.infrastructure(alone)
    assert refused.documents == {}
    (problem,) = refused.notes
    assert (problem.code, problem.severity) == ("PF3002", "error")
    assert "apps: grouped" in (problem.hint or "")
    grouped = service.plan(functions=functions, options=GROUPED, **EMPTY)
    assert size(grouped) < 30
    document = of(grouped)
    assert len(document["outputs"]) == 1
    assert len(document["outputs"]["urls"]["value"]) == count


def test_more_addresses_than_a_template_has_outputs(service: types.ModuleType) -> None:
    functions = tuple(service.function(f"f{n}", http(f"/{n}")) for n in range(80))
    document = of(service.plan(functions=functions, **EMPTY))
    assert len(document["outputs"]["urls"]["value"]) == 80


def test_what_cannot_be_grouped_further_is_to_be_divided(service: types.ModuleType) -> None:
    functions = tuple(
        service.function(f"f{n}", http(f"/{n}"), Use("read", "secret", f"s{n}"))
        for n in range(100)
    )
    secrets = tuple(SecretPlan(f"s{n}") for n in range(100))
    plan = service.plan(
        functions=functions, options=GROUPED, **{**EMPTY, "secrets": secrets}
    )
    (problem,) = ADAPTER.infrastructure(plan).notes
    assert "divide the service" in (problem.hint or "")


def test_shapes(mixed: BuildPlan, arm_models: types.ModuleType) -> None:
    nodes, _ = resolve(of(mixed))
    assert [m for node in nodes.values() for m in arm_models.check(node.type, node.body)] == []


def test_deployed_twice(mixed: BuildPlan, fake_arm: types.ModuleType) -> None:
    made: dict[str, Any] = {}
    given = {"authClientId": "22222222-2222-2222-2222-222222222222"}
    document = of(mixed)
    fake_arm.deploy(document, given, made)
    before = dict(made)
    fake_arm.deploy(document, given, made)
    assert made == before


def test_the_option_is_known(service: types.ModuleType) -> None:
    import jsonschema

    schema = ADAPTER.options_schema()["service"]
    jsonschema.validate({"apps": "grouped"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"apps": "one"}, schema)


# Mistakes


def site_of(document: Any, entry: str) -> Any:
    return next(
        r for r in document["resources"]
        if r["type"] == SITE and f"'{entry}'" in str([
            name for s in r["properties"]["siteConfig"]["appSettings"]
            if s["name"] == "PORTAFAAS_FUNCTIONS" for name in s["value"].split(",")
        ])
    )  # fmt: skip


def put(document: Any, entry: str, entries: str) -> None:
    for one in site_of(document, entry)["properties"]["siteConfig"]["appSettings"]:
        if one["name"] == "PORTAFAAS_FUNCTIONS":
            one["value"] = entries


def joins_those_with_more(document: Any) -> None:
    put(document, "one", "one,tokens")
    put(document, "reads", "reads,reads_too,two")


def runs_everywhere(document: Any) -> None:
    put(document, "one", "")


def runs_twice(document: Any) -> None:
    put(document, "slow", "slow,two")


def is_left_out(document: Any) -> None:
    put(document, "one", "one,tokens")


def is_no_function(document: Any) -> None:
    put(document, "one", "one,two,tokens,four")


def shares_with_the_slow(document: Any) -> None:
    put(document, "one", "one,tokens")
    put(document, "slow", "slow,two")


def shares_a_variable(document: Any) -> None:
    put(document, "one", "one,tokens")
    put(document, "set", "set,two")


def shares_with_those_who_sign_in(document: Any) -> None:
    put(document, "one", "one,tokens")
    put(document, "signed_in", "signed_in,two")


def shares_the_keys(document: Any) -> None:
    put(document, "one", "one,tokens")
    put(document, "keyed", "keyed,two")


def is_said_to_be_elsewhere(document: Any) -> None:
    urls = document["outputs"]["urls"]["value"]
    urls["reads"] = urls["one"]


def is_reached_nowhere(document: Any) -> None:
    del document["outputs"]["urls"]["value"]["two"]


def is_granted_more(document: Any) -> None:
    """A member's grant becomes that of another group."""
    found = next(
        r for r in document["resources"]
        if r["type"].endswith("/sqlRoleAssignments") and "'orders'" in str(r["properties"]["scope"])
    )  # fmt: skip
    more = copy.deepcopy(found)
    more["name"] = more["name"].replace("'orders'", "'parts'")
    more["properties"]["scope"] = more["properties"]["scope"].replace("'orders'", "'parts'")
    more["dependsOn"] = [
        *(need.replace("'orders'", "'parts'") for need in more["dependsOn"]),
        *(need for need in more["dependsOn"] if "'orders'" in need),
    ]
    document["resources"].append(more)


def is_nobodys(document: Any) -> None:
    del site_of(document, "one")["tags"]["app"]


@pytest.mark.parametrize(
    "change",
    [
        joins_those_with_more, runs_everywhere, runs_twice, is_left_out, is_no_function,
        shares_with_the_slow, shares_a_variable, shares_with_those_who_sign_in, shares_the_keys,
        is_said_to_be_elsewhere, is_reached_nowhere, is_granted_more, is_nobodys,
    ],
)  # fmt: skip
def test_a_mistake_is_found(mixed: BuildPlan, change: Callable[[Any], None]) -> None:
    document = copy.deepcopy(of(mixed))
    assert verify(mixed, document) == []
    change(document)
    assert verify(mixed, document)


@pytest.mark.parametrize(
    "word", sorted(equal_in(FunctionPlan("f", "m", "a", http("/"), min_instances=1)))
)
def test_a_grouping_that_forgets_something_builds_nothing(
    mixed: BuildPlan, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The check of every build does not take the grouping's word for it."""

    before = len(apps_of(mixed))

    def forgetful(function: FunctionPlan) -> dict[str, Any]:
        found = equal_in(function)
        found.pop(word, None)
        return found

    monkeypatch.setattr(grouping, "equal_in", forgetful)
    assert len(apps_of(mixed)) < before
    with pytest.raises(PortafaasError, match="breaks its own rules"):
        emit(mixed)
