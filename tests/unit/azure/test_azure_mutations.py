"""Mistakes that a generator could make, each of which the checks must find.

The checks are those of every build (``infrastructure.verify``) and Microsoft's models.
"""

from __future__ import annotations

import ast
import copy
import random
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from portafaas_azure.infrastructure import emit
from portafaas_azure.infrastructure.graph import reachable, resolve
from portafaas_azure.infrastructure.verify import verify

#: What nobody would miss: names and words for people.
HARMLESS = {
    ("Microsoft.Authorization/locks", ("name",)),
    ("Microsoft.Authorization/locks", ("properties", "notes")),
    ("Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions", ("properties", "roleName")),
    ("Microsoft.EventGrid/systemTopics/eventSubscriptions", ("name",)),
    ("Microsoft.Insights/metricAlerts", ("properties", "criteria", "allOf", 0, "name")),
    ("Microsoft.Insights/metricAlerts", ("properties", "description")),
    ("Microsoft.Insights/scheduledQueryRules", ("properties", "description")),
    *(
        ("Microsoft.Insights/actionGroups", ("properties", *words))
        for words in (
            ("groupShortName",),
            ("emailReceivers", 0, "name"),
            ("webhookReceivers", 0, "name"),
        )
    ),
}
Document = dict[str, Any]
Mutation = Callable[[Document], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(change: Mutation) -> Mutation:
    MUTATIONS[change.__name__] = change
    return change


def one(document: Document, kind: str, having: str = "") -> dict[str, Any]:
    """Return the first resource whose type ends in *kind* and whose text has *having*."""
    return next(
        r for r in document["resources"] if r["type"].endswith(kind) and having in str(r)
    )


def drop(document: Document, kind: str, having: str = "") -> None:
    document["resources"].remove(one(document, kind, having))


def site(document: Document, name: str) -> dict[str, Any]:
    return next(
        r for r in document["resources"]
        if r["type"] == "Microsoft.Web/sites" and f"shop-prod-{name}-{{0}}" in r["name"]
    )  # fmt: skip


def app_settings(document: Document, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = site(document, name)["properties"]["siteConfig"]["appSettings"]
    return found


def set_app(document: Document, name: str, setting: str, value: str) -> None:
    for found in app_settings(document, name):
        if found["name"] == setting:
            found["value"] = value
            return
    app_settings(document, name).append({"name": setting, "value": value})


def assignment(document: Document, role: str, having: str) -> dict[str, Any]:
    """Return the assignment of the role with the id *role* whose text has *having*."""
    return next(
        r for r in document["resources"]
        if r["type"].lower().endswith("roleassignments")
        and role in str(r["properties"]) and having in str(r)
    )  # fmt: skip


RECEIVER = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"
SENDER = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"


def scale(document: Document, name: str) -> dict[str, Any]:
    config = site(document, name)["properties"]["functionAppConfig"]
    found: dict[str, Any] = config["scaleAndConcurrency"]
    return found


# Outputs


@mutation
def an_address_is_missing(d: Document) -> None:
    d["outputs"]["addresses"]["value"].popitem()


@mutation
def an_address_of_another(d: Document) -> None:
    told = d["outputs"]["addresses"]["value"]
    first, second = list(told)[:2]
    told[first] = told[second]


@mutation
def an_address_of_nothing(d: Document) -> None:
    d["outputs"]["addresses"]["value"]["PORTAFAAS_QUEUE_NONE"] = "x"


@mutation
def addresses_forgotten(d: Document) -> None:
    del d["outputs"]["addresses"]


# Apps


@mutation
def runtime_name(d: Document) -> None:
    site(d, "web")["properties"]["functionAppConfig"]["runtime"]["name"] = "pythonn"


@mutation
def runtime_version(d: Document) -> None:
    site(d, "web")["properties"]["functionAppConfig"]["runtime"]["version"] = "3.8"


@mutation
def runtime_version_a_number(d: Document) -> None:
    site(d, "web")["properties"]["functionAppConfig"]["runtime"]["version"] = 3.12


@mutation
def memory_of_no_size(d: Document) -> None:
    scale(d, "web")["instanceMemoryMB"] = 1024


@mutation
def memory_of_another(d: Document) -> None:
    scale(d, "web")["instanceMemoryMB"] = 512


@mutation
def too_many_instances(d: Document) -> None:
    scale(d, "web")["maximumInstanceCount"] = 1001


@mutation
def queue_bound_exceeded(d: Document) -> None:
    scale(d, "work")["maximumInstanceCount"] = 9


@mutation
def http_concurrency_forgotten(d: Document) -> None:
    del scale(d, "web")["triggers"]


@mutation
def misspelt_property(d: Document) -> None:
    found = site(d, "web")["properties"]
    found["httpOnly"] = found.pop("httpsOnly")


@mutation
def wrong_type(d: Document) -> None:
    site(d, "web")["properties"]["httpsOnly"] = "yes"


@mutation
def site_of_another_kind(d: Document) -> None:
    site(d, "web")["kind"] = "functionapp"


@mutation
def plan_without_sku(d: Document) -> None:
    del one(d, "/serverfarms")["sku"]


@mutation
def plan_of_another_sku(d: Document) -> None:
    one(d, "/serverfarms")["sku"] = {"name": "Y1", "tier": "Dynamic"}


@mutation
def plan_shared(d: Document) -> None:
    farm = site(d, "signed")["properties"]["serverFarmId"]
    site(d, "web")["properties"]["serverFarmId"] = farm
    site(d, "web")["dependsOn"].append(farm)


@mutation
def forbidden_setting(d: Document) -> None:
    set_app(d, "web", "FUNCTIONS_WORKER_RUNTIME", "python")


@mutation
def setting_twice(d: Document) -> None:
    app_settings(d, "web").append({"name": "SIZES", "value": "[[1, 2]"})


@mutation
def text_read_as_expression(d: Document) -> None:
    set_app(d, "web", "SIZES", "[1, 2]")


@mutation
def every_function_in_one_app(d: Document) -> None:
    set_app(d, "web", "PORTAFAAS_FUNCTIONS", "")


@mutation
def host_setting_lost(d: Document) -> None:
    app_settings(d, "work")[:] = [
        found for found in app_settings(d, "work") if "maxConcurrentCalls" not in found["name"]
    ]


@mutation
def identity_of_another_app(d: Document) -> None:
    site(d, "web")["identity"] = site(d, "signed")["identity"]


@mutation
def no_identity(d: Document) -> None:
    del site(d, "web")["identity"]


@mutation
def package_fetched_as_another(d: Document) -> None:
    storage = site(d, "web")["properties"]["functionAppConfig"]["deployment"]["storage"]
    storage["authentication"] = {"type": "SystemAssignedIdentity"}


@mutation
def package_in_no_container(d: Document) -> None:
    storage = site(d, "web")["properties"]["functionAppConfig"]["deployment"]["storage"]
    storage["value"] = storage["value"].replace("{0}package", "{0}packages")


@mutation
def no_package(d: Document) -> None:
    drop(d, "/extensions", "shop-prod-web-")


@mutation
def connection_without_client(d: Document) -> None:
    app_settings(d, "work")[:] = [
        found for found in app_settings(d, "work") if found["name"] != "SERVICEBUS__clientId"
    ]


@mutation
def connection_of_another_name(d: Document) -> None:
    for found in app_settings(d, "work"):
        found["name"] = found["name"].replace("SERVICEBUS__", "ServiceBusConnection__")


@mutation
def connection_with_scheme(d: Document) -> None:
    for found in app_settings(d, "work"):
        if found["name"].endswith("fullyQualifiedNamespace"):
            found["value"] = found["value"].replace("'https://', ''", "'https://', 'sb://'")


@mutation
def feed_connection_lost(d: Document) -> None:
    app_settings(d, "on-row")[:] = [
        found for found in app_settings(d, "on-row") if not found["name"].startswith("COSMOS__")
    ]


@mutation
def address_of_another_resource(d: Document) -> None:
    for found in app_settings(d, "work"):
        if found["name"] == "PORTAFAAS_QUEUE_IN_ORDER":
            found["value"] = found["value"].replace("'in-order'", "'spare'")


@mutation
def address_of_what_is_not_used(d: Document) -> None:
    set_app(d, "web", "PORTAFAAS_QUEUE_JOBS", "https://example.com/jobs")


@mutation
def keys_forgotten(d: Document) -> None:
    app_settings(d, "orders-get")[:] = [
        found for found in app_settings(d, "orders-get") if found["name"] != "PORTAFAAS_HTTP_KEYS"
    ]
    del d["parameters"]["PORTAFAAS_HTTP_KEYS"]


@mutation
def sign_in_forgotten(d: Document) -> None:
    drop(d, "/config")


@mutation
def sign_in_allows_anybody(d: Document) -> None:
    rules = one(d, "/config")["properties"]["globalValidation"]
    rules["unauthenticatedClientAction"] = "AllowAnonymous"


@mutation
def sign_in_action_misspelt(d: Document) -> None:
    rules = one(d, "/config")["properties"]["globalValidation"]
    rules["unauthenticatedClientAction"] = "Return_401"


# Service Bus


@mutation
def lock_too_long(d: Document) -> None:
    one(d, "namespaces/queues", "/jobs")["properties"]["lockDuration"] = "PT6M"


@mutation
def lock_no_duration(d: Document) -> None:
    one(d, "namespaces/queues", "/jobs")["properties"]["lockDuration"] = "90s"


@mutation
def attempts_lost(d: Document) -> None:
    del one(d, "namespaces/queues", "/jobs")["properties"]["maxDeliveryCount"]


@mutation
def order_lost(d: Document) -> None:
    one(d, "namespaces/queues", "/in-order")["properties"]["requiresSession"] = False


@mutation
def retention_lost(d: Document) -> None:
    del one(d, "namespaces/queues", "/jobs")["properties"]["defaultMessageTimeToLive"]


@mutation
def dead_letters_to_nowhere(d: Document) -> None:
    one(d, "namespaces/queues", "/jobs")["properties"]["forwardDeadLetteredMessagesTo"] = "lost"


@mutation
def dead_letters_of_sessions_are_forwarded(d: Document) -> None:
    found = one(d, "namespaces/queues", "/in-order'")
    found["properties"]["forwardDeadLetteredMessagesTo"] = "in-order-dead"
    found["dependsOn"].append(
        "[resourceId('Microsoft.ServiceBus/namespaces/queues', variables('namespace'), "
        "'in-order-dead')]"
    )


@mutation
def dead_letters_stay_in_the_subscription(d: Document) -> None:
    del one(d, "/subscriptions", "on-gold")["properties"]["forwardDeadLetteredMessagesTo"]


@mutation
def dead_letters_expire(d: Document) -> None:
    one(d, "namespaces/queues", "/on-row-dead'")["properties"]["defaultMessageTimeToLive"] = "PT9S"


@mutation
def dead_letters_have_no_queue(d: Document) -> None:
    one(d, "namespaces/queues", "/in-order-dead'")["name"] = (
        "[format('{0}/elsewhere', variables('namespace'))]"
    )


@mutation
def dead_letters_may_not_be_sent(d: Document) -> None:
    d["resources"].remove(assignment(d, SENDER, "on-morning-dead"))


@mutation
def copies_may_overtake(d: Document) -> None:
    """A function of an ordered queue may send to it."""
    found = copy.deepcopy(assignment(d, SENDER, "'in-order-dead'"))
    text = str(found).replace("in-order-dead", "in-order")
    d["resources"].append(ast.literal_eval(text))


@mutation
def dead_letters_are_sent_elsewhere(d: Document) -> None:
    place = next(s for s in app_settings(d, "on-row") if s["name"] == "PORTAFAAS_DEAD_ON_ROW")
    place["value"] = place["value"].replace("on-row-dead", "on-part-dead")


@mutation
def copies_are_sent_nowhere(d: Document) -> None:
    settings = app_settings(d, "on-gold")
    settings.remove(next(s for s in settings if s["name"] == "PORTAFAAS_SOURCE_ON_GOLD"))


@mutation
def copies_reach_everybody(d: Document) -> None:
    found = one(d, "/rules", "on-log")["properties"]["sqlFilter"]
    found["sqlExpression"] = "1=1"


@mutation
def what_comes_again_is_counted_otherwise(d: Document) -> None:
    one(d, "namespaces/queues", "/on-row-again'")["properties"]["maxDeliveryCount"] = 9


@mutation
def dead_letter_queue_later(d: Document) -> None:
    queue = one(d, "namespaces/queues", "/jobs")
    queue["dependsOn"] = [need for need in queue["dependsOn"] if "'failed'" not in need]


@mutation
def queue_forgotten(d: Document) -> None:
    drop(d, "namespaces/queues", "/spare")


@mutation
def basic_namespace_with_topics(d: Document) -> None:
    one(d, "ServiceBus/namespaces")["sku"] = {"name": "Basic", "tier": "Basic"}


@mutation
def namespace_tier_unknown(d: Document) -> None:
    one(d, "ServiceBus/namespaces")["sku"]["tier"] = "Cheap"


@mutation
def namespace_with_keys(d: Document) -> None:
    one(d, "ServiceBus/namespaces")["properties"]["disableLocalAuth"] = False


@mutation
def filter_beside_the_default(d: Document) -> None:
    rule = one(d, "/rules")
    rule["name"] = rule["name"].replace("$Default", "filter")


@mutation
def filter_forgotten(d: Document) -> None:
    drop(d, "/rules")


@mutation
def filter_of_another_type(d: Document) -> None:
    one(d, "/rules")["properties"]["filterType"] = "SQL"


@mutation
def subscription_forgotten(d: Document) -> None:
    drop(d, "topics/subscriptions", "/on-log")


# Event Grid


@mutation
def system_topic_without_source(d: Document) -> None:
    del one(d, "systemTopics")["properties"]["source"]


@mutation
def system_topic_of_another_type(d: Document) -> None:
    one(d, "systemTopics")["properties"]["topicType"] = "Microsoft.Storage"


@mutation
def events_of_another_type(d: Document) -> None:
    found = one(d, "/eventSubscriptions")["properties"]["filter"]
    found["includedEventTypes"] = ["Microsoft.Storage.BlobUpdated"]


@mutation
def events_of_every_container(d: Document) -> None:
    one(d, "/eventSubscriptions")["properties"]["filter"]["subjectBeginsWith"] = "in/"


@mutation
def events_suffix_lost(d: Document) -> None:
    del one(d, "/eventSubscriptions", ".csv")["properties"]["filter"]["subjectEndsWith"]


@mutation
def events_to_a_function(d: Document) -> None:
    delivery = one(d, "/eventSubscriptions")["properties"]["deliveryWithResourceIdentity"]
    delivery["destination"]["endpointType"] = "AzureFunctions"


@mutation
def events_delivered_as_nobody(d: Document) -> None:
    found = one(d, "/eventSubscriptions")["properties"]
    found["destination"] = found.pop("deliveryWithResourceIdentity")["destination"]


@mutation
def events_as_cloud_events(d: Document) -> None:
    one(d, "/eventSubscriptions")["properties"]["eventDeliverySchema"] = "CloudEventSchemaV1_0"


@mutation
def events_before_they_may_be_sent(d: Document) -> None:
    d["resources"].remove(assignment(d, SENDER, "'shop-prod-objects'"))
    one(d, "/eventSubscriptions")["dependsOn"] = [
        need for need in one(d, "/eventSubscriptions")["dependsOn"] if "roleAssign" not in need
    ]


# Cosmos DB, blobs, secrets, logs


@mutation
def partition_key_without_slash(d: Document) -> None:
    key = one(d, "sqlDatabases/containers", "/parts")["properties"]["resource"]["partitionKey"]
    key["paths"] = ["id"]


@mutation
def partition_key_of_another(d: Document) -> None:
    key = one(d, "sqlDatabases/containers", "/orders")["properties"]["resource"]["partitionKey"]
    key["paths"] = ["/id"]


@mutation
def sort_key_forgotten(d: Document) -> None:
    del one(d, "sqlDatabases/containers", "/orders")["properties"]["resource"]["uniqueKeyPolicy"]


@mutation
def rows_that_never_expire(d: Document) -> None:
    del one(d, "sqlDatabases/containers", "/orders")["properties"]["resource"]["defaultTtl"]


@mutation
def rows_that_expire(d: Document) -> None:
    one(d, "sqlDatabases/containers", "/parts")["properties"]["resource"]["defaultTtl"] = 60


@mutation
def cosmos_consistency_weak(d: Document) -> None:
    policy = one(d, "databaseAccounts")["properties"]["consistencyPolicy"]
    policy["defaultConsistencyLevel"] = "Session"


@mutation
def container_of_another_id(d: Document) -> None:
    one(d, "sqlDatabases/containers", "/orders")["properties"]["resource"]["id"] = "order"


@mutation
def leases_forgotten(d: Document) -> None:
    leases = one(d, "sqlDatabases/containers", "/other-leases")
    leases["name"] = leases["name"].replace("other-leases", "leases-other")
    leases["properties"]["resource"]["id"] = "leases-other"


@mutation
def roles_at_the_same_time(d: Document) -> None:
    found = [r for r in d["resources"] if r["type"].endswith("/sqlRoleAssignments")][2]
    found["dependsOn"] = [need for need in found["dependsOn"] if "sqlRoleAssign" not in need]


@mutation
def cosmos_offer_forgotten(d: Document) -> None:
    del one(d, "databaseAccounts")["properties"]["databaseAccountOfferType"]


@mutation
def cosmos_consistency_unknown(d: Document) -> None:
    policy = one(d, "databaseAccounts")["properties"]["consistencyPolicy"]
    policy["defaultConsistencyLevel"] = "Sometimes"


@mutation
def public_container(d: Document) -> None:
    one(d, "blobServices/containers", "/files")["properties"]["publicAccess"] = "Blob"


@mutation
def account_with_keys(d: Document) -> None:
    one(d, "storageAccounts")["properties"]["allowSharedKeyAccess"] = True


@mutation
def account_sku_unknown(d: Document) -> None:
    one(d, "storageAccounts")["sku"] = {"name": "Standard"}


@mutation
def versions_not_kept(d: Document) -> None:
    services = one(d, "blobServices", "versionedBuckets")["properties"]
    services["isVersioningEnabled"] = False


@mutation
def shells_over_values(d: Document) -> None:
    d["parameters"]["secretShells"]["defaultValue"] = ["api-key"]


@mutation
def secret_in_the_template(d: Document) -> None:
    one(d, "vaults/secrets")["properties"]["value"] = "s3cr3t"


@mutation
def secret_parameter_with_default(d: Document) -> None:
    d["parameters"]["PORTAFAAS_HTTP_KEYS"]["defaultValue"] = "demo=00"


@mutation
def secret_parameter_in_the_open(d: Document) -> None:
    d["parameters"]["PORTAFAAS_HTTP_KEYS"]["type"] = "string"


@mutation
def vault_by_policies(d: Document) -> None:
    one(d, "KeyVault/vaults")["properties"]["enableRbacAuthorization"] = False


@mutation
def lock_forgotten(d: Document) -> None:
    drop(d, "/locks", "DocumentDB")


@mutation
def logs_for_a_week(d: Document) -> None:
    one(d, "/workspaces")["properties"]["retentionInDays"] = 7


# Logs, channels and alerts


def alert(document: Document, name: str) -> dict[str, Any]:
    """Return the alert whose physical name ends in *name*."""
    return next(r for r in document["resources"] if r["name"] == f"shop-prod-{name}")


def condition(document: Document, name: str) -> dict[str, Any]:
    found: dict[str, Any] = alert(document, name)["properties"]["criteria"]["allOf"][0]
    return found


def group_of(name: str) -> str:
    return f"[resourceId('Microsoft.Insights/actionGroups', 'shop-prod-{name}')]"


@mutation
def retention_of_the_default(d: Document) -> None:
    d["parameters"]["logRetentionDays"]["defaultValue"] = 30


@mutation
def retention_of_a_table_lost(d: Document) -> None:
    table = one(d, "workspaces/tables", "AppTraces")
    del table["properties"]["retentionInDays"]


@mutation
def rows_kept_elsewhere(d: Document) -> None:
    one(d, "workspaces/tables", "AppTraces")["properties"]["totalRetentionInDays"] = 730


@mutation
def table_of_traces_forgotten(d: Document) -> None:
    table = one(d, "workspaces/tables", "AppTraces")
    assert table == [r for r in d["resources"] if r["type"].endswith("/tables")][-1]
    d["resources"].remove(table)


@mutation
def instances_not_kept_ready(d: Document) -> None:
    del scale(d, "web")["alwaysReady"]


@mutation
def too_few_kept_ready(d: Document) -> None:
    scale(d, "work")["alwaysReady"][0]["instanceCount"] = 2


@mutation
def the_wrong_group_kept_ready(d: Document) -> None:
    scale(d, "work")["alwaysReady"][0]["name"] = "http"


@mutation
def a_function_kept_ready_that_asks_for_nothing(d: Document) -> None:
    scale(d, "orders-get")["alwaysReady"] = [{"name": "http", "instanceCount": 1}]


@mutation
def an_unknown_function_kept_ready(d: Document) -> None:
    scale(d, "web")["alwaysReady"].append({"name": "function:nobody", "instanceCount": 1})


@mutation
def kept_ready_by_name_and_not_as_a_group(d: Document) -> None:
    scale(d, "web")["alwaysReady"][0]["name"] = "function:web"


@mutation
def kept_ready_twice(d: Document) -> None:
    scale(d, "web")["alwaysReady"] = [{"name": "http", "instanceCount": 1}] * 2


@mutation
def max_instances_lost(d: Document) -> None:
    scale(d, "web")["maximumInstanceCount"] = 100


@mutation
def max_instances_lost_beside_a_queue_bound(d: Document) -> None:
    scale(d, "work")["maximumInstanceCount"] = 4


@mutation
def alert_forgotten(d: Document) -> None:
    d["resources"].remove(alert(d, "web-slow"))


@mutation
def channel_forgotten(d: Document) -> None:
    d["resources"].remove(alert(d, "on-call"))


@mutation
def channel_that_nobody_uses(d: Document) -> None:
    found = copy.deepcopy(alert(d, "on-call"))
    found["name"] = "shop-prod-nobody"
    d["resources"].append(found)


@mutation
def channel_short_name_too_long(d: Document) -> None:
    alert(d, "on-call")["properties"]["groupShortName"] = "on-call-and-more"


@mutation
def channel_without_email(d: Document) -> None:
    del alert(d, "on-call")["properties"]["emailReceivers"]


@mutation
def channel_of_another_address(d: Document) -> None:
    hook = alert(d, "on-call")["properties"]["webhookReceivers"][0]
    hook["serviceUri"] = "https://example.com/other"


@mutation
def channel_tells_everybody(d: Document) -> None:
    role = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
    alert(d, "on-call")["properties"]["armRoleReceivers"] = [
        {"name": "owners", "roleId": role, "useCommonAlertSchema": True}
    ]


@mutation
def channel_in_a_region(d: Document) -> None:
    alert(d, "on-call")["location"] = "[parameters('location')]"


@mutation
def channel_switched_off(d: Document) -> None:
    alert(d, "on-call")["properties"]["enabled"] = False


@mutation
def alert_switched_off(d: Document) -> None:
    alert(d, "web-errors")["properties"]["enabled"] = False


@mutation
def alert_tells_nobody(d: Document) -> None:
    alert(d, "web-errors")["properties"]["actions"] = {"actionGroups": []}


@mutation
def alert_tells_another(d: Document) -> None:
    found = alert(d, "web-errors")
    found["properties"]["actions"] = {"actionGroups": [group_of("a-channel-of-a-long-name")]}
    found["dependsOn"].append(group_of("a-channel-of-a-long-name"))


@mutation
def alert_on_dead_letters_tells_half(d: Document) -> None:
    alert(d, "failed-jobs")["properties"]["actions"].pop()


@mutation
def alert_on_the_component(d: Document) -> None:
    found = alert(d, "web-errors")
    component = "[resourceId('Microsoft.Insights/components', 'shop-prod')]"
    found["properties"]["scopes"] = [component]
    found["dependsOn"].append(component)


@mutation
def alert_asks_the_table_of_the_component(d: Document) -> None:
    found = condition(d, "web-errors")
    found["query"] = found["query"].replace("AppRequests", "requests")


@mutation
def alert_of_another_function(d: Document) -> None:
    found = condition(d, "web-errors")
    found["query"] = found["query"].replace("'web'", "'work'")


@mutation
def alert_of_every_function(d: Document) -> None:
    found = condition(d, "web-errors")
    found["query"] = found["query"].replace("| where OperationName == 'web' ", "")


@mutation
def alert_counts_successes(d: Document) -> None:
    found = condition(d, "web-errors")
    found["query"] = found["query"].replace("Success == false", "Success == true")


@mutation
def alert_forgets_answers_500(d: Document) -> None:
    found = condition(d, "web-errors")
    found["query"] = found["query"].replace(" or toint(ResultCode) >= 500", "")


def attempts(old: str, new: str) -> Mutation:
    """Return what changes the query of failed attempts."""

    def change(document: Document) -> None:
        found = condition(document, "work-errors")
        assert old in found["query"]
        found["query"] = found["query"].replace(old, new)

    return change


@mutation
def alert_forgets_crashes(d: Document) -> None:
    attempts("union logged", "take 0 | union logged")(d)


@mutation
def alert_forgets_what_is_logged(d: Document) -> None:
    attempts(" | union logged", "")(d)


@mutation
def alert_counts_twice_what_is_raised(d: Document) -> None:
    attempts(" | join kind=leftanti logged on Invocation", "")(d)


@mutation
def alert_counts_a_batch_as_one(d: Document) -> None:
    attempts(" * toint(extract('^pf_failed_attempts=([0-9]+) ', 1, Message))", "")(d)


@mutation
def alert_of_attempts_of_another_function(d: Document) -> None:
    attempts("('work')", "('web')")(d)


@mutation
def alert_of_attempts_by_requests(d: Document) -> None:
    found = condition(d, "work-errors")
    other = condition(d, "web-errors")["query"]
    found["query"] = other.replace("'web'", "'work'")


@mutation
def alert_of_another_percentile(d: Document) -> None:
    found = condition(d, "web-slow")
    found["query"] = found["query"].replace("95", "50")


@mutation
def alert_by_time_of_the_row(d: Document) -> None:
    found = condition(d, "web-slow")
    found["query"] = found["query"].replace("ingestion_time()", "TimeGenerated")


@mutation
def alert_of_another_window(d: Document) -> None:
    alert(d, "web-slow")["properties"]["windowSize"] = "PT5M"


@mutation
def alert_asks_for_another_window(d: Document) -> None:
    found = condition(d, "web-slow")
    found["query"] = found["query"].replace("15m", "5m")


@mutation
def alert_asks_seldom(d: Document) -> None:
    alert(d, "work-errors")["properties"]["evaluationFrequency"] = "PT15M"


@mutation
def alert_in_seconds(d: Document) -> None:
    condition(d, "web-slow")["threshold"] = 1.5


@mutation
def alert_threshold_lost(d: Document) -> None:
    del condition(d, "failed-jobs")["threshold"]


@mutation
def alert_threshold_of_another(d: Document) -> None:
    condition(d, "out-of-order")["threshold"] = 0


@mutation
def alert_at_or_above(d: Document) -> None:
    condition(d, "failed-jobs")["operator"] = "GreaterThanOrEqual"


@mutation
def alert_severity_unknown(d: Document) -> None:
    alert(d, "failed-jobs")["properties"]["severity"] = 7


@mutation
def alert_looks_at_no_frequency(d: Document) -> None:
    alert(d, "failed-jobs")["properties"]["evaluationFrequency"] = "PT7M"


@mutation
def alert_operator_unknown(d: Document) -> None:
    condition(d, "web-errors")["operator"] = "Above"


@mutation
def alert_of_the_average(d: Document) -> None:
    condition(d, "out-of-order")["timeAggregation"] = "Average"


@mutation
def alert_counts_rows_of_one(d: Document) -> None:
    condition(d, "web-errors")["timeAggregation"] = "Count"


@mutation
def alert_measures_another_column(d: Document) -> None:
    condition(d, "web-errors")["metricMeasureColumn"] = "ItemCount"


@mutation
def alert_only_when_it_goes_on(d: Document) -> None:
    condition(d, "web-errors")["failingPeriods"]["numberOfEvaluationPeriods"] = 2
    condition(d, "web-errors")["failingPeriods"]["minFailingPeriodsToAlert"] = 2


@mutation
def alert_metric_misspelt(d: Document) -> None:
    condition(d, "out-of-order")["metricName"] = "DeadLetterMessages"


@mutation
def alert_metric_of_another_namespace(d: Document) -> None:
    condition(d, "out-of-order")["metricNamespace"] = "Microsoft.ServiceBus/namespaces/queues"


@mutation
def alert_dimension_of_another_name(d: Document) -> None:
    condition(d, "out-of-order")["dimensions"][0]["name"] = "QueueName"


@mutation
def alert_of_every_entity(d: Document) -> None:
    del condition(d, "out-of-order")["dimensions"]


@mutation
def alert_on_the_queue_itself(d: Document) -> None:
    """Dead letters of this queue are forwarded: there are none in it."""
    found = condition(d, "failed-jobs")
    found["metricName"] = "DeadletteredMessages"
    found["dimensions"][0]["values"] = ["jobs"]


@mutation
def alert_on_another_queue(d: Document) -> None:
    condition(d, "lost-files")["dimensions"][0]["values"] = ["on-archive-objects"]


@mutation
def alert_on_the_subscription(d: Document) -> None:
    """The metric knows topics only."""
    condition(d, "lost-news")["dimensions"][0]["values"] = ["on-gold"]


@mutation
def alert_on_another_namespace(d: Document) -> None:
    other = "[resourceId('Microsoft.ServiceBus/namespaces', 'another')]"
    alert(d, "out-of-order")["properties"]["scopes"] = [other]


@mutation
def alert_with_dynamic_threshold(d: Document) -> None:
    condition(d, "out-of-order")["criterionType"] = "DynamicThresholdCriterion"


@mutation
def alert_says_nothing(d: Document) -> None:
    alert(d, "web-errors")["properties"]["description"] = "An alert"


@mutation
def alert_before_its_channel(d: Document) -> None:
    alert(d, "web-errors")["dependsOn"] = [
        need for need in alert(d, "web-errors")["dependsOn"] if "actionGroups" not in need
    ]


@mutation
def alert_text_read_as_expression(d: Document) -> None:
    alert(d, "web-errors")["properties"]["description"] = "[shop is down]"


# Grants


@mutation
def role_of_another_id(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")["properties"]
    found["roleDefinitionId"] = found["roleDefinitionId"].replace(RECEIVER, SENDER)


@mutation
def role_that_does_not_exist(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")["properties"]
    found["roleDefinitionId"] = found["roleDefinitionId"].replace("4f6d3b9b", "4f6d3b9c")


@mutation
def grant_forgotten(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")
    number = d["resources"].index(found)
    del d["resources"][number]
    deploy = one(d, "/extensions", "shop-prod-work-{0}")
    deploy["dependsOn"] = [need for need in deploy["dependsOn"] if RECEIVER not in need]


@mutation
def grant_on_the_namespace(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")
    name = "resourceId('Microsoft.ServiceBus/namespaces/queues', variables('namespace'), 'jobs')"
    text = str(found["name"])
    found["scope"] = "[format('Microsoft.ServiceBus/namespaces/{0}', variables('namespace'))]"
    found["name"] = text.replace(name, "resourceId('Microsoft.ServiceBus/namespaces', "
                                       "variables('namespace'))")  # fmt: skip
    drop_need(d, "shop-prod-work-{0}", RECEIVER)
    found["dependsOn"].append(
        "[resourceId('Microsoft.ServiceBus/namespaces', variables('namespace'))]"
    )


def drop_need(d: Document, having: str, need: str) -> None:
    deploy = one(d, "/extensions", having)
    deploy["dependsOn"] = [other for other in deploy["dependsOn"] if need not in other]


@mutation
def grant_on_the_group(d: Document) -> None:
    found = assignment(d, SENDER, "'shop-prod-fn-work'")
    del found["scope"]
    drop_need(d, "shop-prod-work-{0}", SENDER)


@mutation
def grant_to_another(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")
    for key in ("principalId",):
        found["properties"][key] = found["properties"][key].replace("fn-work", "fn-web")
    found["dependsOn"].append(
        "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'shop-prod-fn-web')]"
    )


@mutation
def grant_not_asked_for(d: Document) -> None:
    found = copy.deepcopy(assignment(d, SENDER, "'shop-prod-fn-work'"))
    found["name"] = found["name"].replace("in-order", "spare")
    found["scope"] = found["scope"].replace("in-order", "spare")
    found["dependsOn"] = [need.replace("in-order", "spare") for need in found["dependsOn"]]
    d["resources"].append(found)


@mutation
def grant_name_not_a_guid(d: Document) -> None:
    found = assignment(d, SENDER, "'shop-prod-objects'")
    found["name"] = "objects-may-send"


@mutation
def principal_of_another_property(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")["properties"]
    found["principalId"] = found["principalId"].replace(".principalId", ".clientId")


@mutation
def principal_type_forgotten(d: Document) -> None:
    del assignment(d, RECEIVER, "'shop-prod-fn-work'")["properties"]["principalType"]


@mutation
def leases_may_only_be_read(d: Document) -> None:
    found = assignment(d, "-000000000002", "'leases'")["properties"]
    found["roleDefinitionId"] = found["roleDefinitionId"].replace("000002", "000001")


@mutation
def table_grant_on_the_account(d: Document) -> None:
    found = assignment(d, "-000000000001", "'orders'")["properties"]
    found["scope"] = "[resourceId('Microsoft.DocumentDB/databaseAccounts', variables('cosmos'))]"


@mutation
def signer_forgotten(d: Document) -> None:
    found = [r for r in d["resources"] if "db58b8e5" in str(r)]
    assert found
    d["resources"].remove(found[0])


@mutation
def writer_may_query(d: Document) -> None:
    one(d, "/sqlRoleDefinitions", "upsert")["properties"]["permissions"][0]["dataActions"].append(
        "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery"
    )


# Structure


@mutation
def undefined_variable(d: Document) -> None:
    del d["variables"]["cosmos"]


@mutation
def unused_parameter(d: Document) -> None:
    d["parameters"]["colour"] = {"type": "string", "defaultValue": "red"}


@mutation
def need_of_what_is_not_there(d: Document) -> None:
    site(d, "web")["dependsOn"].append("[resourceId('Microsoft.Web/serverfarms', 'absent')]")


@mutation
def need_forgotten(d: Document) -> None:
    del one(d, "topics/subscriptions")["dependsOn"]


@mutation
def needs_in_a_circle(d: Document) -> None:
    one(d, "ServiceBus/namespaces")["dependsOn"] = [
        "[resourceId('Microsoft.ServiceBus/namespaces/queues', variables('namespace'), 'jobs')]"
    ]


@mutation
def bracket_forgotten(d: Document) -> None:
    found = one(d, "/workspaces")["properties"]
    found["retentionInDays"] = "[parameters('logRetentionDays']"


@mutation
def function_misspelt(d: Document) -> None:
    d["variables"]["unique"] = "[uniquestring2(resourceGroup().id)]"


@mutation
def resource_twice(d: Document) -> None:
    d["resources"].append(copy.deepcopy(one(d, "namespaces/queues", "/spare")))


@mutation
def version_of_long_ago(d: Document) -> None:
    site(d, "web")["apiVersion"] = "2018-11-01"


@mutation
def type_misspelt(d: Document) -> None:
    one(d, "namespaces/queues", "/spare")["type"] = "Microsoft.ServiceBus/namespaces/queue"


@mutation
def name_of_one_segment(d: Document) -> None:
    one(d, "namespaces/queues", "/spare")["name"] = "spare"


@mutation
def reference_in_a_name(d: Document) -> None:
    found = assignment(d, RECEIVER, "'shop-prod-fn-work'")
    found["name"] = f"[guid({found['properties']['principalId'][1:-1]})]"


@mutation
def name_too_long(d: Document) -> None:
    d["variables"]["namespace"] = "[format('{0}-{1}', 'n" + "x" * 40 + "', variables('unique'))]"


@mutation
def tags_forgotten(d: Document) -> None:
    del one(d, "/serverfarms")["tags"]


@mutation
def region_written_down(d: Document) -> None:
    del one(d, "ServiceBus/namespaces")["location"]


def found_by(
    service: types.ModuleType, arm_models: types.ModuleType, document: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return what the build's checks and what the models say about *document*."""
    nodes, _ = resolve(document)
    models = [m for node in nodes.values() for m in arm_models.check(node.type, node.body)]
    return verify(service.plan(), document), models


@pytest.fixture(scope="module")
def document(service: types.ModuleType) -> Document:
    return dict(emit(service.plan()).documents["shop.arm.json"])


def test_the_template_itself_is_clean(
    document: Document, service: types.ModuleType, arm_models: types.ModuleType
) -> None:
    assert found_by(service, arm_models, document) == ([], [])


@pytest.fixture(scope="module")
def findings(
    document: Document, service: types.ModuleType, arm_models: types.ModuleType
) -> dict[str, tuple[list[str], list[str]]]:
    found = {}
    for name, change in MUTATIONS.items():
        mutant = copy.deepcopy(document)
        change(mutant)
        assert mutant != document, name
        found[name] = found_by(service, arm_models, mutant)
    return found


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_is_found(
    name: str, findings: Mapping[str, tuple[list[str], list[str]]]
) -> None:
    own, models = findings[name]
    assert own or models


def test_how_many_each_check_finds(
    findings: Mapping[str, tuple[list[str], list[str]]],
) -> None:
    """The build's own checks find nearly all, without Microsoft's models."""
    own = sum(bool(found) for found, _ in findings.values())
    models = sum(bool(found) for _, found in findings.values())
    assert len(findings) >= 46
    assert own >= 0.95 * len(findings)
    assert models >= 10


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in *value*."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def otherwise(value: Any) -> Any:
    """Return *value* slightly changed, or nothing for what is only to be dropped."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if not isinstance(value, str):
        return None
    if value.startswith("[") and not value.startswith("[["):
        return value.replace("')", "x')", 1)
    return value.replace("]", "x]") if value.endswith("]") else value + "x"


def order(nodes: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return what each resource is made after."""
    return {name: reachable(nodes, name) for name in nodes}


def test_no_line_can_be_lost_or_changed_unnoticed(
    document: Document, service: types.ModuleType, arm_models: types.ModuleType
) -> None:
    """One change at a time: every kind of line dropped, and every value changed; a sample."""
    changes: dict[Any, tuple[int, tuple[Any, ...], bool]] = {}
    for index, resource in enumerate(document["resources"]):
        for path in places(resource):
            pattern = tuple("*" if "resourceId" in str(key) else key for key in path)
            for change in (False, True):
                changes.setdefault((resource["type"], pattern, change), (index, path, change))
    unnoticed = []
    for index, path, change in random.Random(7).sample(list(changes.values()), 160):
        mutant = copy.deepcopy(document)
        place = mutant["resources"][index]
        for key in path[:-1]:
            place = place[key]
        if change:
            value = otherwise(place[path[-1]])
            if value is None or value == place[path[-1]]:
                continue
            place[path[-1]] = value
        else:
            del place[path[-1]]
        kind = document["resources"][index]["type"]
        if (kind, path) not in HARMLESS and not verify(service.plan(), mutant):
            nodes, _ = resolve(mutant)
            if path[0] == "dependsOn" and order(nodes) == order(resolve(document)[0]):
                continue
            if not any(arm_models.check(node.type, node.body) for node in nodes.values()):
                unnoticed.append((kind, path, change))
    assert unnoticed == []
