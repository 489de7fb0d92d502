"""What a plan becomes in Google Cloud, who may do what there, and what a change changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.manifest.load import load_manifest
from portafaas.plan import (
    AlertPlan,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    SecretPlan,
    TablePlan,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas.plan.build import build_plan
from portafaas.testing import service
from portafaas_gcp import names
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.infrastructure import grammar
from portafaas_gcp.infrastructure.verify import verify

SHOP = Path(__file__).resolve().parents[3] / "examples" / "shop" / "portafaas.yaml"


def _shop(stage: str | None = None) -> BuildPlan:
    return build_plan(load_manifest(SHOP, stage), "gcp")


def _document(plan: BuildPlan) -> dict[str, Any]:
    [(name, made)] = ADAPTER.infrastructure(plan).documents.items()
    assert name == f"{plan.service}.tf.json"
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def test_the_plan_is_one_that_a_build_takes(everything: BuildPlan) -> None:
    assert ADAPTER.check(everything) == []


def test_one_of_each(document: dict[str, Any], everything: BuildPlan) -> None:
    resources = document["resource"]
    count = {kind.removeprefix("google_"): len(blocks) for kind, blocks in resources.items()}
    functions = len(everything.functions)
    assert count == {
        "artifact_registry_repository": 1,
        "artifact_registry_repository_iam_member": 1,
        "cloud_run_service_iam_member": functions,
        "cloud_scheduler_job": 1,
        "cloud_tasks_queue": 1,
        "cloud_tasks_queue_iam_member": 3,  # take-orders and files copy, listen sends
        "cloudfunctions2_function": functions,
        "eventarc_trigger": 5,  # upsert is two kinds of change, audit asks for three
        "firestore_database": 1,
        "firestore_field": 1,
        "firestore_index": 2,
        "logging_metric": 1,
        "logging_project_bucket_config": 1,
        "logging_project_sink": 1,
        "monitoring_alert_policy": 6,
        "monitoring_notification_channel": 4,  # of three channels, one of them twofold
        "project_iam_member": 6,  # the builder's 2, a table read, two written, two audits
        "pubsub_subscription": 13,
        "pubsub_subscription_iam_member": 5,
        "pubsub_topic": 12,
        "pubsub_topic_iam_member": 19,
        "secret_manager_secret": 1,
        "secret_manager_secret_iam_member": 2,
        "service_account": functions + 1,
        "service_account_iam_member": 5,
        "storage_bucket": 2,
        "storage_bucket_iam_member": 2,
        "storage_notification": 1,
    }
    assert list(resources) == sorted(resources)


def test_a_function(document: dict[str, Any]) -> None:
    echo = document["resource"]["google_cloudfunctions2_function"]["echo"]
    assert echo["name"] == "shop-test-echo" and echo["location"] == "${var.region}"
    assert echo["build_config"]["runtime"] == "python312"
    assert echo["build_config"]["entry_point"] == "echo"
    assert echo["build_config"]["source"]["storage_source"] == {
        "bucket": "${var.source_bucket}",
        "object": 'shop/${trimprefix(var.source_digest, "sha256:")}.zip',
    }
    assert echo["service_config"] == {
        "available_memory": "256Mi",
        "timeout_seconds": 12,
        "max_instance_request_concurrency": 8,
        "available_cpu": "1",
        "min_instance_count": 2,
        "max_instance_count": 7,
        "service_account_email": "${google_service_account.echo.email}",
        "ingress_settings": "ALLOW_ALL",
        "environment_variables": {
            "GOOGLE_CLOUD_PROJECT": "${var.project}", "TEMPLATE": "$${not} %%{this}",
            "THREADS": "8",
            "WORKERS": "1",
            "PORTAFAAS_TABLE_ITEMS": "projects/${var.project}/databases/"
            "${google_firestore_database.tables.name}/documents/items",
            "PORTAFAAS_BUCKET_UPLOADS": "${google_storage_bucket.uploads.name}",
        },
    }
    assert document["variable"]["region"]["default"] == "europe-west1"
    assert document["output"]["echo_url"]["value"] == (
        "${google_cloudfunctions2_function.echo.service_config[0].uri}"
    )


def test_digests_of_keys_are_a_parameter(document: dict[str, Any]) -> None:
    function = document["resource"]["google_cloudfunctions2_function"]["with_key"]
    environment = function["service_config"]["environment_variables"]
    assert environment["HTTP_KEYS"] == "${var.env_HTTP_KEYS}"
    assert document["variable"]["env_HTTP_KEYS"]["sensitive"] is True
    assert "default" not in document["variable"]["env_HTTP_KEYS"]


def test_queues(document: dict[str, Any]) -> None:
    subscriptions = document["resource"]["google_pubsub_subscription"]
    uri = "${google_cloudfunctions2_function.take_orders.service_config[0].uri}"
    assert subscriptions["queue__orders"] == {
        "name": "shop-test-orders",
        "topic": "${google_pubsub_topic.queue__orders.id}",
        "ack_deadline_seconds": 12,
        "expiration_policy": {"ttl": ""},
        "push_config": {
            "push_endpoint": uri,
            "oidc_token": {
                "service_account_email": "${google_service_account.take_orders.email}",
                "audience": uri,
            },
        },
        "message_retention_duration": "345600s",
        "retry_policy": {"minimum_backoff": "2.5s", "maximum_backoff": "90s"},
        "dead_letter_policy": {
            "dead_letter_topic": "${google_pubsub_topic.dead_letter__orders.id}",
            "max_delivery_attempts": 7,
        },
        "depends_on": ["google_cloud_run_service_iam_member.take_orders"],
        "lifecycle": {"prevent_destroy": True},
    }
    turns = subscriptions["queue__turns"]
    assert turns["enable_message_ordering"] is True
    assert turns["dead_letter_policy"]["dead_letter_topic"] == (
        "${google_pubsub_topic.queue__lost.id}"
    )
    # Nobody consumes it: what it gets waits.
    assert "push_config" not in subscriptions["queue__lost"]
    assert subscriptions["queue__lost"]["message_retention_duration"] == "1209600s"
    assert subscriptions["dead_letter__orders"]["message_retention_duration"] == "2678400s"


def test_dead_letters_and_copies(document: dict[str, Any]) -> None:
    resources = document["resource"]
    subscriptions = resources["google_pubsub_subscription"]
    for name in ("listen", "listen_all", "files", "rows", "audit", "nightly"):
        assert subscriptions[f"_dead__{name}"] == {
            "name": f"shop-test-{name.replace('_', '-')}-dead",
            "topic": f"${{google_pubsub_topic._dead__{name}.id}}",
            "message_retention_duration": "2678400s",
            "expiration_policy": {"ttl": ""},
            "lifecycle": {"prevent_destroy": True},
        }
        counted = name in ("listen", "listen_all", "files")
        assert ("dead_letter_policy" in subscriptions.get(name, {})) is counted
    # Five at least, for Pub/Sub; the bridge keeps to fewer.
    assert subscriptions["files"]["dead_letter_policy"]["max_delivery_attempts"] == 5

    def told(name: str) -> dict[str, str]:
        config = resources["google_cloudfunctions2_function"][name]["service_config"]
        words = ("DEAD", "SOURCE", "TASKS")
        return {
            key.removeprefix("PORTAFAAS_"): value
            for key, value in config["environment_variables"].items()
            if key.startswith(tuple(f"PORTAFAAS_{word}" for word in words))
        }

    tasks = "${google_cloud_tasks_queue.tasks.id}"
    assert told("take_orders") == {
        "DEAD_TAKE_ORDERS": "${google_pubsub_topic.dead_letter__orders.id}",
        "SOURCE_TAKE_ORDERS": "${google_pubsub_topic.queue__orders.id}",
        "TASKS": tasks,
        "TASKS_ACCOUNT": "${google_service_account.take_orders.email}",
    }
    assert told("take_in_turn") == {
        "DEAD_TAKE_IN_TURN": "${google_pubsub_topic.queue__lost.id}",
        "SOURCE_TAKE_IN_TURN": "ordered",
    }
    assert told("files")["SOURCE_FILES"] == "${google_pubsub_topic.files__objects.id}"
    assert told("rows") == {"DEAD_ROWS": "${google_pubsub_topic._dead__rows.id}"}
    assert told("echo") == {}
    assert resources["google_cloud_tasks_queue"] == {
        "tasks": {
            "name": "shop-test--tasks",
            "location": "${var.region}",
            "retry_config": {
                "max_attempts": -1,
                "min_backoff": "1s",
                "max_backoff": "60s",
                "max_doublings": 6,
            },
            "lifecycle": {"prevent_destroy": True},
        }
    }
    assert resources["google_service_account_iam_member"]["files"] == {
        "service_account_id": "${google_service_account.files.name}",
        "role": "roles/iam.serviceAccountUser",
        "member": "${google_service_account.files.member}",
    }


def test_one_grant_is_one_resource(everything: BuildPlan) -> None:
    """A function that sends to the queue that it consumes needs one grant for both."""
    functions = tuple(
        dataclasses.replace(function, uses=(Use("send", "queue", "orders"),))
        if function.name == "take-orders"
        else function
        for function in everything.functions
    )
    made = ADAPTER.infrastructure(dataclasses.replace(everything, functions=functions))
    members = made.documents["shop.tf.json"]["resource"]["google_pubsub_topic_iam_member"]
    own = "${google_service_account.take_orders.member}"
    found = [body["topic"] for body in members.values() if body["member"] == own]
    assert len(found) == len(set(found)) == 2
    whys = {p.why for p in made.permissions if p.scope == "${google_pubsub_topic.queue__orders.id}"}
    assert whys == {"$.functions.take-orders.trigger", "$.functions.take-orders.uses[0]"}


def test_no_queue_of_tasks_unless_it_is_needed() -> None:
    function = FunctionPlan("take", "m", "a", QueueTrigger("turns"))
    plan = BuildPlan(
        "bare", "", "3.12", "x86_64", (function,), queues=(QueuePlan("turns", ordered=True),)
    )
    assert not [kind for kind in _document(plan)["resource"] if "tasks" in kind]
    sender = FunctionPlan("send", "m", "a", HttpTrigger(("GET",), "/"),
                          uses=(Use("send", "queue", "jobs"),))  # fmt: skip
    plan = dataclasses.replace(plan, functions=(function, sender),
                               queues=(*plan.queues, QueuePlan("jobs")))  # fmt: skip
    made = _document(plan)["resource"]
    assert made["google_cloud_tasks_queue_iam_member"].keys() == {"send"}


def test_objects(document: dict[str, Any]) -> None:
    resources = document["resource"]
    assert resources["google_storage_notification"]["files"] == {
        "bucket": "${google_storage_bucket.uploads.name}",
        "topic": "${google_pubsub_topic.files__objects.id}",
        "payload_format": "JSON_API_V1",
        "event_types": ["OBJECT_FINALIZE", "OBJECT_DELETE"],
        "object_name_prefix": "in/",
        "depends_on": ["google_pubsub_topic_iam_member.files__objects"],
    }
    kept = resources["google_storage_bucket"]["kept"]
    assert kept["name"] == "${var.project}-shop-test-kept"
    assert kept["versioning"] == {"enabled": True}


def test_topics_tables_schedules(document: dict[str, Any]) -> None:
    resources = document["resource"]
    listen = resources["google_pubsub_subscription"]["listen"]
    assert listen["enable_message_ordering"] is True
    assert listen["filter"].startswith('(attributes."ce-type" = "a.b"')
    assert resources["google_eventarc_trigger"]["rows__created"]["matching_criteria"] == [
        {"attribute": "type", "value": "google.cloud.firestore.document.v1.created"},
        {"attribute": "database", "value": "${google_firestore_database.tables.name}"},
        {"attribute": "document", "value": "items/{id}", "operator": "match-path-pattern"},
    ]
    assert resources["google_firestore_field"]["items__ttl"]["field"] == "pfExpires"
    job = resources["google_cloud_scheduler_job"]["nightly"]
    assert (job["schedule"], job["time_zone"]) == ("30 2 * * 1-5", "Europe/Berlin")
    assert job["retry_config"] == {
        "retry_count": 5,
        "min_backoff_duration": "2.5s",
        "max_backoff_duration": "90s",
    }


def test_permissions_are_the_uses_and_the_trigger(everything: BuildPlan) -> None:
    made = ADAPTER.infrastructure(everything)
    found = {(p.function, p.grant, p.why) for p in made.permissions}
    wanted = {
        ("echo", "roles/datastore.viewer", "$.functions.echo.uses[0]"),
        ("echo", "roles/storage.objectViewer", "$.functions.echo.uses[1]"),
        ("answer", "roles/datastore.user", "$.functions.answer.uses[0]"),
        ("answer", "roles/datastore.user", "$.functions.answer.uses[1]"),
        ("who-calls", "roles/pubsub.publisher", "$.functions.who-calls.uses[0]"),
        ("who-calls", "roles/secretmanager.secretAccessor", "$.functions.who-calls.uses[1]"),
        ("take-orders", "roles/pubsub.publisher", "$.functions.take-orders.uses[0]"),
        ("take-orders", "roles/storage.legacyBucketWriter", "$.functions.take-orders.uses[1]"),
        ("listen", "roles/pubsub.publisher", "$.functions.listen.uses[0]"),
        ("listen", "roles/secretmanager.secretAccessor", "$.functions.listen.uses[1]"),
        ("rows", "roles/eventarc.eventReceiver", "$.functions.rows.trigger"),
        ("audit", "roles/eventarc.eventReceiver", "$.functions.audit.trigger"),
    }
    for name, why in (
        ("take-orders", "$.functions.take-orders.trigger"),
        ("files", "$.functions.files.trigger"),
        ("listen", "$.functions.listen.uses[0]"),
    ):
        wanted |= {
            (name, "roles/cloudtasks.enqueuer", why),
            (name, "roles/iam.serviceAccountUser", why),
            (name, "roles/pubsub.publisher", why),
        }
    wanted |= {
        (name, "roles/pubsub.publisher", f"$.functions.{name}.trigger")
        for name in ("listen", "listen-all", "rows", "audit", "nightly")
    }
    wanted |= {
        ("take-orders", "roles/pubsub.publisher", "$.queues.orders.dead-letter"),
        ("take-in-turn", "roles/pubsub.publisher", "$.queues.turns.dead-letter"),
    }
    wanted |= {
        (name, "roles/iam.serviceAccountTokenCreator", f"$.functions.{name}.uses[1]")
        for name in ("echo", "take-orders")
    }
    wanted |= {
        (function.name, "roles/run.invoker", f"$.functions.{function.name}.trigger")
        for function in everything.functions
        if function.kind != "http"
    }
    assert found == wanted
    notes = [(note.code, note.severity, note.path) for note in made.notes]
    assert notes == [
        ("PF3010", "note", path)
        for path in (
            "$.functions",
            "$.functions.echo.uses[0]",
            "$.functions.answer.uses[0]",
            "$.functions.answer.uses[1]",
            "$.functions.rows.trigger",
            "$.functions.audit.trigger",
        )
    ]


def test_every_grant_to_a_function_is_a_permission(
    document: dict[str, Any], everything: BuildPlan
) -> None:
    told = {(p.function, p.grant) for p in ADAPTER.infrastructure(everything).permissions}
    given = {
        (function.name, body["role"])
        for kind, blocks in document["resource"].items()
        if kind.endswith("_iam_member")
        for body in blocks.values()
        for function in everything.functions
        if body["member"] == f"${{google_service_account.{function.entry}.member}}"
    }
    assert given == told


def test_only_open_routes_are_open(document: dict[str, Any], everything: BuildPlan) -> None:
    members = {
        name: body["member"]
        for name, body in document["resource"]["google_cloud_run_service_iam_member"].items()
    }
    public = {f.entry for f in everything.functions if f.kind == "http"} - {"who_calls"}
    assert {name for name, member in members.items() if member == "allUsers"} == public
    assert members["who_calls"] == "${each.value}"
    assert document["variable"]["who_calls__invokers"]["default"] == []


def test_shop_and_conformance_service(tmp_path: Path) -> None:
    for plan in (
        _shop(),
        _shop("test"),
        build_plan(load_manifest(service.write(tmp_path, service.document("3.12"))), "gcp"),
    ):
        assert verify(_document(plan)) == []
    assert "shop-test-" in json.dumps(_document(_shop("test")))
    assert "shop-test-" not in json.dumps(_document(_shop()))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and path.count("/") < 3:
        out: dict[str, Any] = {}
        for name, item in value.items():
            out |= _flat(item, f"{path}/{name}")
        return out
    return {path: value}


@pytest.mark.parametrize(
    "trigger",
    [
        HttpTrigger(("GET",), "/new"),
        TopicTrigger("order-events"),
        ObjectTrigger("uploads"),
        ScheduleTrigger("0 1 * * *"),
    ],
)
def test_a_new_function_changes_only_its_own_blocks(trigger: Any) -> None:
    plan = _shop()
    new = FunctionPlan("brand-new", "shop.orders", "x", trigger, uses=(Use("read", "table", "stock"),))
    middle = (*plan.functions[:4], new, *plan.functions[4:])
    before = _flat(_document(plan))
    after = _flat(_document(dataclasses.replace(plan, functions=middle)))
    # The sink of logs that are kept for another time than the platform's names all functions.
    shared = "/resource/google_logging_project_sink/logs"
    assert after.pop(shared) != before.pop(shared)
    assert {path: value for path, value in after.items() if path in before} == before
    assert all("brand_new" in path for path in after.keys() - before.keys())
    # The order of what was there is the same, too.
    assert [path for path in after if path in before] == list(before)


def test_the_same_plan_gives_the_same_text(everything: BuildPlan) -> None:
    texts = {json.dumps(dict(ADAPTER.infrastructure(everything).documents)) for _ in range(2)}
    assert len(texts) == 1


def test_an_existing_database_is_left_alone(everything: BuildPlan) -> None:
    options = {"region": "europe-west1", "database": "(default)"}
    document = _document(dataclasses.replace(everything, options=options))
    assert "google_firestore_database" not in document["resource"]
    assert '"value": "(default)"' in json.dumps(document)
    assert "databases/(default)/documents/items" in json.dumps(document)


def test_a_service_of_nothing_but_resources() -> None:
    plan = BuildPlan("bare", "", "3.12", "x86_64", (), queues=(QueuePlan("jobs", dead_letter=True),))
    document = _document(plan)
    assert set(document["resource"]) == {"google_pubsub_topic", "google_pubsub_subscription"}


def test_names_are_cut_and_stay_apart() -> None:
    plan = BuildPlan("a" * 20, "stage", "3.12", "x86_64", ())
    one, two = (names.physical(plan, f"{'b' * 20}-{n}", names.ACCOUNT) for n in (1, 2))
    assert 6 <= len(one) <= 30 and 6 <= len(two) <= 30 and one != two
    assert one == names.physical(plan, f"{'b' * 20}-1", names.ACCOUNT)
    small = BuildPlan("a", "", "3.12", "x86_64", ())
    assert len(names.physical(small, "b", names.ACCOUNT)) >= 6
    assert names.physical(small, "b") == "a-b"


def test_long_names_fit(everything: BuildPlan) -> None:
    function = dataclasses.replace(everything.functions[0], name="b" * 28, uses=())
    plan = dataclasses.replace(
        everything,
        service="s" * 20,
        stage="",
        functions=(function,),
        queues=(QueuePlan("q" * 60),),
        topics=(TopicPlan("t" * 60),),
        buckets=(BucketPlan("b" * 60),),
        tables=(TablePlan("x" * 60),),
        secrets=(SecretPlan("s" * 60),),
        alerts=(AlertPlan("a" * 600, "oldest-message", "", "q" * 60, 1, 60, ("ops",)),),
    )
    assert ADAPTER.check(plan) == []
    assert verify(_document(plan)) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"topics": (TopicPlan("news"), TopicPlan("orders"))}, "$.topics.orders"),
        (
            {"topics": (TopicPlan("news"), TopicPlan("orders-dead-letter"))},
            "$.topics.orders-dead-letter",
        ),
        ({"topics": (TopicPlan("news"), TopicPlan("files-objects"))},
             "$.functions.files.trigger.object"),
        ({"queues": (QueuePlan("listen"),)}, "$.functions.listen"),
        ({"service": "google-shop", "functions": ()}, "$.name"),
        ({"buckets": (BucketPlan("my-google-files"),)}, "$.buckets.my-google-files"),
    ],
)
def test_what_could_not_be_made_is_refused(
    everything: BuildPlan, change: dict[str, Any], path: str
) -> None:
    keep = {"functions": tuple(f for f in everything.functions if f.kind in ("object", "topic"))}
    found = ADAPTER.check(dataclasses.replace(everything, **{**keep, **change}))
    assert path in [item.path for item in found]
    assert {(item.code, item.severity) for item in found} == {("PF3002", "error")}


def test_a_bucket_tells_ten_functions() -> None:
    functions = tuple(
        FunctionPlan(f"files-{n}", "app", "f", ObjectTrigger("uploads")) for n in range(11)
    )
    plan = BuildPlan("shop", "", "3.12", "x86_64", functions, buckets=(BucketPlan("uploads"),))
    [found] = ADAPTER.check(plan)
    assert found.path == "$.buckets.uploads" and "11 functions" in found.message
    assert ADAPTER.check(dataclasses.replace(plan, functions=functions[:10])) == []


def test_a_function_has_four_characters() -> None:
    function = FunctionPlan("b", "app", "f", HttpTrigger(("GET",), "/"))
    [found] = ADAPTER.check(BuildPlan("a", "", "3.12", "x86_64", (function,)))
    assert "under 4 characters" in found.message


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            grammar.filter_problem,
            (
                'attributes.a = "x"',
                'attributes:"a b"',
                'NOT attributes:a AND (hasPrefix(attributes."b", "c") OR attributes.d != "e\\"f")',
            ),
            (
                "",
                "attributes.a == 'x'",
                'a = "x"',
                "attributes.a = x",
                '(attributes.a = "x"',
                'attributes:a AND attributes:b OR attributes:c',
                'attributes.a = "x" attributes:b',
                f'attributes.a = "{"x" * 256}"',
            ),
        ),
        (
            grammar.cron_problem,
            ("* * * * *", "*/5 0-6 1,15 JAN-MAR MON-FRI", "0 3 * * 7"),
            ("0 3 * *", "60 * * * *", "* * 0 * *", "* * * * MON-FRY", "5-1 * * * *", "*/0 * * * *"),
        ),
        (grammar.zone_problem, ("Etc/UTC", "Europe/Berlin"), ("Berlin", "", "../x")),
    ],
)  # fmt: skip
def test_grammars(
    check: Callable[[str], str], good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    assert [text for text in good if check(text)] == []
    assert [text for text in bad if not check(text)] == []
