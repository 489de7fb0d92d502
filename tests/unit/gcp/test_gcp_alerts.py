"""Alerts, channels, retention of logs and most instances in the Terraform document."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from typing import Any

import pytest

from portafaas.adapter.stimulus import (
    ChangeStimulus,
    MessageStimulus,
    QueueStimulus,
    Stimulus,
    TopicStimulus,
)
from portafaas.plan import (
    AlertPlan,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    FunctionPlan,
    HttpTrigger,
    Logs,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.infrastructure import emit


def _resources(plan: BuildPlan) -> dict[str, Any]:
    [document] = ADAPTER.infrastructure(plan).documents.values()
    return json.loads(json.dumps(document["resource"]))  # type: ignore[no-any-return]


def _condition(document: dict[str, Any], alert: str) -> Any:
    policy = document["resource"]["google_monitoring_alert_policy"][alert]
    return policy["conditions"][0]["condition_threshold"]


def test_a_whole_policy(document: dict[str, Any]) -> None:
    assert document["resource"]["google_monitoring_alert_policy"]["broken"] == {
        "display_name": "shop-test-broken",
        "combiner": "OR",
        "conditions": [
            {
                "display_name": "errors of echo",
                "condition_threshold": {
                    "filter": 'resource.type = "cloud_run_revision" AND '
                    "resource.labels.service_name = "
                    '"${google_cloudfunctions2_function.echo.name}" AND '
                    'metric.type = "run.googleapis.com/request_count" AND '
                    'metric.labels.response_code_class = "5xx"',
                    "comparison": "COMPARISON_GT",
                    "threshold_value": 3,
                    "duration": "0s",
                    "aggregations": [
                        {
                            "alignment_period": "300s",
                            "per_series_aligner": "ALIGN_SUM",
                            "cross_series_reducer": "REDUCE_SUM",
                        }
                    ],
                    "trigger": {"count": 1},
                },
            }
        ],
        "alert_strategy": {"auto_close": "1800s"},
        "notification_channels": [
            "${google_monitoring_notification_channel.ops__email.id}",
            "${google_monitoring_notification_channel.pager__webhook.id}",
        ],
        "documentation": {
            "content": "Somebody $$${should} look.\n\nService shop, stage test: alert broken.\n\n"
            "Look first at: `portafaas logs echo`",
            "mime_type": "text/markdown",
        },
        "user_labels": {"service": "shop", "managed-by": "portafaas", "stage": "test"},
    }


@pytest.mark.parametrize(
    ("alert", "metric", "of", "threshold", "window"),
    [
        ("slow", "run.googleapis.com/request_latencies",
         "google_cloudfunctions2_function.echo", 1500, "900s"),
        ("lost_orders", "pubsub.googleapis.com/subscription/num_undelivered_messages",
         "google_pubsub_subscription.dead_letter__orders", 0, "1800s"),
        ("lost_turns", "pubsub.googleapis.com/subscription/num_undelivered_messages",
         "google_pubsub_subscription.queue__lost", 5, "3600s"),
        ("waiting", "pubsub.googleapis.com/subscription/oldest_unacked_message_age",
         "google_pubsub_subscription.queue__orders", 600, "300s"),
    ],
)  # fmt: skip
def test_what_is_watched(
    document: dict[str, Any], alert: str, metric: str, of: str, threshold: float, window: str
) -> None:
    condition = _condition(document, alert)
    assert f'metric.type = "{metric}"' in condition["filter"]
    assert f'"${{{of}.name}}"' in condition["filter"]
    assert condition["threshold_value"] == threshold
    assert condition["aggregations"][0]["alignment_period"] == window


def test_attempts_are_counted_in_the_log(document: dict[str, Any]) -> None:
    [name] = document["resource"]["google_logging_metric"]
    assert name == "take_orders"
    policy = document["resource"]["google_monitoring_alert_policy"]["broken_orders"]
    [condition] = policy["conditions"]
    assert condition["condition_prometheus_query_language"] == {
        "query": 'sum(increase({"__name__"="logging.googleapis.com/user/'
        '${google_logging_metric.take_orders.name}","monitored_resource"="cloud_run_revision"}'
        "[60s])) > 0",
        "duration": "0s",
        "disable_metric_validation": True,
    }


def test_two_alerts_share_a_count(everything: BuildPlan) -> None:
    more = AlertPlan("often", "errors", "take-orders", "", 2.5, 3600, ("ops",))
    made = _resources(dataclasses.replace(everything, alerts=(*everything.alerts, more)))
    assert list(made["google_logging_metric"]) == ["take_orders"]
    [condition] = made["google_monitoring_alert_policy"]["often"]["conditions"]
    assert condition["condition_prometheus_query_language"]["query"].endswith("[3600s])) > 2.5")


def _counts(text: str, entry: dict[str, Any]) -> bool:
    """Evaluate a filter of Cloud Logging as far as ours go: a field that is missing fits nothing.

    https://cloud.google.com/logging/docs/view/logging-query-language
    """

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return str(entry.get("log") == found[1])
        value: Any = entry
        for part in found[2].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if found[3] == ">":
            return str(isinstance(value, int) and value > int(found[4]))
        return str(str(value) == found[4].strip('"'))

    terms = re.sub(r'log_id\("([^"]+)"\)|([\w.]+)(=|>)("[^"]*"|\w+)', one, text)
    terms = terms.replace("AND", "and").replace("OR", "or")
    assert re.fullmatch(r"(?:True|False|and|or|[ ()])+", terms), terms
    return bool(eval(terms))


_SERVICE = "${google_cloudfunctions2_function.%s.name}"
_STIMULI: dict[str, tuple[Stimulus, ...]] = {
    "take-orders": (
        QueueStimulus((MessageStimulus("m-1", b"fail"),)),
        QueueStimulus((MessageStimulus("m-1", b"good"),)),
    ),
    "take-many": (
        QueueStimulus((MessageStimulus("m-1", b"fail"),)),
        QueueStimulus((MessageStimulus("m-1", b"good"),)),
    ),
    "listen-all": (
        TopicStimulus(
            MessageStimulus("m-1", b'{"fail": true}', {"content-type": "application/json"})
        ),
        TopicStimulus(MessageStimulus("m-1", b"good")),
    ),
    "rows": (ChangeStimulus("insert", {"id": "fail"}, {"id": "fail"}),),
}


@pytest.mark.parametrize("name", _STIMULI)
def test_what_runs_write_is_counted_once(
    invoke: Any, plan: BuildPlan, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The core's own records, and the request of each run as Cloud Run would log it."""
    alert = AlertPlan("x", "errors", name, "", 0, 60, ("c",))
    watched = dataclasses.replace(
        plan,
        functions=(plan.function(name),),
        alerts=(alert,),
        channels=(ChannelPlan("c", "a@example.com"),),
    )
    [metric] = _resources(watched)["google_logging_metric"].values()
    seen = []
    for stimulus in _STIMULI[name]:
        capsys.readouterr()
        [request] = ADAPTER.encode(plan, plan.function(name), stimulus)
        answer = invoke(name, json.loads(json.dumps(request.payload)))
        where: dict[str, Any] = {"labels": {"service_name": _SERVICE % name.replace("-", "_")}}
        where |= {"type": "cloud_run_revision"}
        entries = [
            {"resource": where, "severity": record.pop("severity"), "jsonPayload": record}
            for record in map(json.loads, capsys.readouterr().err.splitlines())
        ]
        assert bool(entries) is (answer["status"] == 500)
        requests = "run.googleapis.com/requests"
        entries.append(
            {"resource": where, "log": requests, "httpRequest": {"status": answer["status"]}}
        )
        seen.append(sum(_counts(metric["filter"], entry) for entry in entries))
        other = {**where, "labels": {"service_name": "another"}}
        assert not any(_counts(metric["filter"], {**e, "resource": other}) for e in entries)
    assert seen == [1, 0][: len(seen)]


@pytest.mark.parametrize(
    ("status", "counted"),
    [(204, False), (400, True), (429, False), (500, False), (503, True), (504, True)],
)
def test_what_cloud_run_says_is_counted_where_the_core_says_nothing(
    document: dict[str, Any], status: int, counted: bool
) -> None:
    """Unreadable deliveries, crashes, requests beyond their time; none for want of an instance."""
    [metric] = document["resource"]["google_logging_metric"].values()
    entry = {
        "log": "run.googleapis.com/requests",
        "resource": {
            "type": "cloud_run_revision", "labels": {"service_name": _SERVICE % "take_orders"},
        },
        "httpRequest": {"status": status},
        "severity": "ERROR",
    }  # fmt: skip
    assert _counts(metric["filter"], entry) is counted
    assert not _counts(metric["filter"], {**entry, "log": "run.googleapis.com/stderr"})


def test_what_is_watched_for_dead_letters_keeps_them(document: dict[str, Any]) -> None:
    subscriptions = document["resource"]["google_pubsub_subscription"]
    for name in ("dead_letter__orders", "queue__lost"):
        assert "push_config" not in subscriptions[name]
        assert subscriptions[name]["expiration_policy"] == {"ttl": ""}


def test_channels(document: dict[str, Any]) -> None:
    channels = document["resource"]["google_monitoring_notification_channel"]
    assert {name: (body["type"], body["labels"]) for name, body in channels.items()} == {
        "ops__email": ("email", {"email_address": "ops@example.com"}),
        "pager__webhook": (
            "webhook_tokenauth", {"url": "https://hooks.example.com/?token=$${abc}"}),
        "both__email": ("email", {"email_address": "both@example.com"}),
        "both__webhook": ("webhook_tokenauth", {"url": "https://hooks.example.com/both"}),
    }  # fmt: skip


def test_another_alert_changes_only_its_own_block(everything: BuildPlan) -> None:
    before = _resources(everything)
    new = AlertPlan("new", "oldest-message", "", "lost", 60.5, 60, ("ops",))
    alerts = (*everything.alerts[:2], new, *everything.alerts[2:])
    after = _resources(dataclasses.replace(everything, alerts=alerts))
    assert after["google_monitoring_alert_policy"].pop("new")["conditions"][0][
        "condition_threshold"]["threshold_value"] == 60.5  # fmt: skip
    assert after == before and list(after) == list(before)


@pytest.mark.parametrize(
    "trigger",
    [
        TopicTrigger("news"),
        ObjectTrigger("files"),
        TableTrigger("rows"),
        ScheduleTrigger("* * * * *"),
    ],
)
def test_dead_letters_of_functions(trigger: Any) -> None:
    plan = BuildPlan(
        "shop", "", "3.12", "x86_64", (FunctionPlan("do-it", "m", "a", trigger),),
        topics=(TopicPlan("news"),), buckets=(BucketPlan("files"),), tables=(TablePlan("rows"),),
        channels=(ChannelPlan("ops", "ops@example.com"),),
        alerts=(AlertPlan("lost", "dead-letters", "do-it", "", 0, 60, ("ops",)),),
    )  # fmt: skip
    assert ADAPTER.check(plan) == []
    [condition] = _resources(plan)["google_monitoring_alert_policy"]["lost"]["conditions"]
    assert (
        '"${google_pubsub_subscription._dead__do_it.name}"'
        in (condition["condition_threshold"]["filter"])
    )


def test_limits_of_alerts(everything: BuildPlan) -> None:
    channels = tuple(
        ChannelPlan(f"c-{n}", "a@example.com", "https://example.com" if n < 8 else "")
        for n in range(9)
    )
    names = tuple(channel.name for channel in channels)
    for notify, count in ((names, 17), (names[:8], 16), ((*names[:8], *names[:8]), 16)):
        alert = AlertPlan("all", "errors", "echo", "", 0, 60, notify)
        plan = dataclasses.replace(everything, channels=channels, alerts=(alert,))
        found = [(d.code, d.path) for d in ADAPTER.check(plan)]
        assert found == ([("PF3002", "$.alerts.all.notify")] if count > 16 else [])
        if not found:
            policy = _resources(plan)["google_monitoring_alert_policy"]["all"]
            assert len(policy["notification_channels"]) == count
    alert = dataclasses.replace(everything.alerts[0], description="x" * 8200)
    [found_] = ADAPTER.check(dataclasses.replace(everything, alerts=(alert,)))
    assert found_.path == "$.alerts.broken.description"


@pytest.mark.parametrize("days", [30, 60, 545])
def test_logs_of_another_retention_have_a_bucket(everything: BuildPlan, days: int) -> None:
    made = _resources(dataclasses.replace(everything, logs=Logs(days)))
    if days == 30:
        assert not [kind for kind in made if "logging_project" in kind]
        return
    assert made["google_logging_project_bucket_config"]["logs"]["retention_days"] == days
    sink = made["google_logging_project_sink"]["logs"]
    assert sink["destination"] == (
        "logging.googleapis.com/${google_logging_project_bucket_config.logs.id}"
    )
    for function in everything.functions:
        assert f'"shop-test-{function.name}"' in sink["filter"]


@pytest.mark.parametrize(
    ("function", "queue", "most"), [(0, 0, 0), (5, 0, 5), (0, 8, 4), (3, 8, 3), (9, 8, 4)]
)
def test_the_smaller_of_two_limits(function: int, queue: int, most: int) -> None:
    item = FunctionPlan(
        "take", "m", "a", QueueTrigger("jobs"), concurrency=2, max_instances=function
    )
    queues = (QueuePlan("jobs", max_concurrency=queue),)
    made = _resources(BuildPlan("shop", "", "3.12", "x86_64", (item,), queues=queues))
    config = made["google_cloudfunctions2_function"]["take"]["service_config"]
    assert config.get("max_instance_count", 0) == most


def test_settings_arrive_and_count(everything: BuildPlan) -> None:
    config = '{"greeting":"${hello} %{you}"}'
    given = {"PORTAFAAS_CONFIG": config, "PORTAFAAS_LOG_LEVEL": "debug"}
    uses = (Use("read", "secret", "token"), Use("read", "table", "items"))
    function = dataclasses.replace(everything.function("later"), environment=given, uses=uses)
    plan = dataclasses.replace(everything, functions=(function,), queues=(), alerts=())
    made = _resources(plan)["google_cloudfunctions2_function"]["later"]["service_config"]
    assert made["environment_variables"] == {
        "GOOGLE_CLOUD_PROJECT": "${var.project}",
        "PORTAFAAS_CONFIG": '{"greeting":"$${hello} %%{you}"}',
        "PORTAFAAS_LOG_LEVEL": "debug",
        "THREADS": "1",
        "WORKERS": "1",
        "PORTAFAAS_SECRET_TOKEN": "${google_secret_manager_secret.token.id}",
        "PORTAFAAS_TABLE_ITEMS": "projects/${var.project}/databases/"
        "${google_firestore_database.tables.name}/documents/items",
    }
    # The names and addresses of what it uses count, too, with the longest id of a project.
    told = (
        f"PORTAFAAS_SECRET_TOKENprojects/{'p' * 30}/secrets/shop-test-token"
        f"PORTAFAAS_TABLE_ITEMSprojects/{'p' * 30}/databases/shop-test-tables/documents/items"
        f"THREADS1WORKERS1GOOGLE_CLOUD_PROJECT{'p' * 30}"
    )
    for room, size in ((0, 32_768), (1, 32_769)):
        filler = {"A": "x" * (32_768 - len(told) - 1 + room)}
        full = dataclasses.replace(function, environment=filler)
        found = ADAPTER.check(dataclasses.replace(plan, functions=(full,)))
        assert [f"has {size} bytes" in item.message for item in found] == [True] * room


def test_many_functions_need_more_accounts(everything: BuildPlan) -> None:
    assert ADAPTER.check(_many(99)) == []
    [found] = ADAPTER.check(_many(100))
    assert (found.severity, found.path) == ("warning", "$.functions")
    assert "101 service accounts" in found.message


def _many(count: int) -> BuildPlan:
    triggers: Any = (
        lambda n: HttpTrigger(("GET",), f"/{n}"),
        lambda n: QueueTrigger(f"queue-{n}"),
        lambda n: TopicTrigger("news"),
        lambda n: ScheduleTrigger("0 * * * *"),
        lambda n: TableTrigger("rows"),
    )
    functions = tuple(
        FunctionPlan(
            f"function-{n:03}", "m", "a", triggers[n % 5](n),
            uses=(Use("publish", "topic", "news"), Use("read", "table", "rows")),
        )
        for n in range(count)
    )  # fmt: skip
    return BuildPlan(
        "warehouse", "staging", "3.12", "x86_64", functions,
        queues=tuple(QueuePlan(f"queue-{n}", dead_letter=True) for n in range(1, count, 5)),
        topics=(TopicPlan("news"),), tables=(TablePlan("rows"),), logs=Logs(60),
        channels=(ChannelPlan("ops", "ops@example.com"),),
        alerts=tuple(
            AlertPlan(f"a-{f.name}", "errors", f.name, "", 0, 300, ("ops",)) for f in functions
        ),
    )  # fmt: skip


def _calls(plan: BuildPlan) -> int:
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        emit(plan)
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_the_functions_only() -> None:
    emit(_many(5))
    few, many = _calls(_many(50)), _calls(_many(200))
    assert many < 4.2 * few


def test_sinks_of_very_many_functions() -> None:
    plan = _many(400)
    made = _resources(plan)
    sinks = made["google_logging_project_sink"]
    assert list(sinks) == ["logs", "logs__2"]
    assert len({body["name"] for body in sinks.values()}) == 2
    assert all(len(body["filter"]) <= 20_000 for body in sinks.values())
    named = [name for body in sinks.values() for name in body["filter"].split('"')[3::2]]
    assert named == [f"warehouse-staging-{function.name}" for function in plan.functions]
