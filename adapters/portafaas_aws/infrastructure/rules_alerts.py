"""Rules of ``verify`` about alarms, what they look at and whom they tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.plan import AlertPlan, BuildPlan, ChannelPlan
from portafaas_aws.infrastructure.view import View

_ALARM, _FILTER = "AWS::CloudWatch::Alarm", "AWS::Logs::MetricFilter"
_TOPIC, _SUBSCRIPTION = "AWS::SNS::Topic", "AWS::SNS::Subscription"
_PERIODS = (60, 300, 900, 1800, 3600)
#: (namespace, metric) -> type and name of the dimension, statistic.
#: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_METRICS: Mapping[tuple[str, str], tuple[str, str, str]] = {
    ("AWS/Lambda", "Errors"): ("AWS::Lambda::Function", "FunctionName", "Sum"),
    ("AWS/Lambda", "Duration"): ("AWS::Lambda::Function", "FunctionName", "p95"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("AWS::SQS::Queue", "QueueName", "Maximum"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("AWS::SQS::Queue", "QueueName", "Maximum"),
}
_WATCHES: Mapping[str, tuple[str, str]] = {
    "errors": ("AWS/Lambda", "Errors"),
    "latency-p95": ("AWS/Lambda", "Duration"),
    "dead-letters": ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    "oldest-message": ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
}
#: The texts of ``portafaas.runtime`` that say a handler of requests failed.
_FAILED = (
    "handler failed*", "handler exceeded its timeout*", "application failed after its response*",
)  # fmt: skip

Series = tuple[tuple[str, str], str | None, Any, Any]


def _alarms(view: View) -> Iterator[str]:
    told: set[str | None] = set()
    for logical, facts in view.of(_ALARM):
        wanted = {
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
        }
        for key, value in wanted.items():
            if facts.get(key) != value:
                yield f"{logical}: {key} is {facts.get(key)!r} and not {value!r}"
        if facts.get("ActionsEnabled", True) is not True or facts.get("DatapointsToAlarm", 1) != 1:
            yield f"{logical} is switched off"
        if not isinstance(facts.get("Threshold"), int | float) or facts["Threshold"] < 0:
            yield f"{logical}: the threshold is {facts.get('Threshold')!r}"
        if not 0 < len(str(facts.get("AlarmDescription", ""))) <= 1024:
            yield f"{logical}: a description has 1 to 1024 characters"
        actions = facts.get("AlarmActions", ())
        if not 1 <= len(actions) <= 5:
            yield f"{logical} tells {len(actions)}; CloudWatch takes 1 to 5"
        for action in actions:
            topic = view.facts(view.target(action), _TOPIC)
            if topic is None or "Ref" not in action or topic.get("FifoTopic"):
                yield f"{logical} tells no topic of the template"
            told.add(view.target(action))
        yield from _metrics(view, logical, facts)
    for logical, facts in view.of(_SUBSCRIPTION):
        if facts.get("Protocol") == "sqs":
            continue
        protocol, address = facts.get("Protocol"), str(facts.get("Endpoint"))
        if (protocol, "@" in address) != ("email", True) and (
            protocol != "https" or not address.startswith("https://")
        ):
            yield f"{logical}: {protocol} does not reach {address}"
        if view.target(facts.get("TopicArn")) not in told:
            yield f"{logical}: no alarm tells {view.target(facts.get('TopicArn'))}"
    reached = {view.target(facts.get("TopicArn")) for _, facts in view.of(_SUBSCRIPTION)}
    for topic_id in told - reached:
        yield f"{topic_id} tells nobody of its alarms"


def _metrics(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    found = list(series(view, facts))
    if not found:
        yield f"{logical} looks at nothing"
    if len({period for _, _, _, period in found}) != 1:
        yield f"{logical} adds up different periods"
    for name, subject, statistic, period in found:
        if period not in _PERIODS:
            yield f"{logical}: CloudWatch has no period of {period!r} s for this"
        if name[0] == "portafaas":
            if statistic != "Sum":
                yield f"{logical}: a count is summed up, not {statistic!r}"
            continue
        type, _, wanted = _METRICS.get(name, ("", "", ""))
        if not type or view.facts(subject, type) is None:
            yield f"{logical}: {name[0]} has no metric {name[1]} of {subject}"
        if statistic != wanted:
            yield f"{logical}: the statistic is {statistic!r} and not {wanted!r}"
    if "Metrics" in facts:
        yield from _sum(view, logical, facts)


def _sum(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """A sum is of what Lambda counts and of what the same function answers."""
    entries = facts["Metrics"]
    shown = [entry for entry in entries if entry.get("ReturnData") is not False]
    parts = [entry["Id"] for entry in entries if "MetricStat" in entry]
    ids = [str(entry.get("Id")) for entry in entries]
    if not all(re.fullmatch(r"[a-z]\w*", each) for each in ids) or len({*ids}) != len(ids):
        yield f"{logical}: the metrics are called {ids}"
    if len(shown) != 1 or shown[0].get("Expression") != f"SUM([{', '.join(parts)}])":
        yield f"{logical} is not about the sum of its metrics"
    names = {name: subject for name, subject, _, _ in series(view, facts)}
    function = names.get(("AWS/Lambda", "Errors"))
    runs = view.facts(function, "AWS::Lambda::Function") or {}
    own = [metric for space, metric in names if space == "portafaas"]
    counts = [
        change
        for count in view.leading(_FILTER, "LogGroupName").get(
            view.target(runs.get("LoggingConfig", {}).get("LogGroup")), ()
        )
        for change in count["MetricTransformations"]
    ]
    if len(names) != 2 or own != [change["MetricName"] for change in counts]:
        yield f"{logical}: nothing counts what {function} answers"
    if "MetricName" in facts or "Period" in facts or "Statistic" in facts:
        yield f"{logical} looks at a metric beside its sum"


def series(view: View, facts: Mapping[str, Any]) -> Iterator[Series]:
    """Yield (namespace, name), subject, statistic and period of each metric of an alarm."""
    entries = [
        entry["MetricStat"] for entry in facts.get("Metrics", ()) if "MetricStat" in entry
    ]
    if "MetricName" in facts:
        plain, percentile = facts.get("Statistic"), facts.get("ExtendedStatistic")
        # Each property takes only its own kind.
        stat = percentile if plain is None else f"{plain} of {percentile}" if percentile else plain
        if (plain or "").startswith("p"):
            stat = f"Statistic {plain}"
        entries.append({"Metric": facts, "Stat": stat, "Period": facts.get("Period")})
    for entry in entries:
        metric = entry["Metric"]
        name = (metric.get("Namespace"), metric["MetricName"])
        subject = None
        _, wanted, _ = _METRICS.get(name, ("", "", ""))
        dimensions = metric.get("Dimensions", ())
        if len(dimensions) == 1 and dimensions[0]["Name"] == wanted:
            value = dimensions[0]["Value"]
            way = {"FunctionName": "Ref", "QueueName": "Fn::GetAtt"}[wanted]
            if way in value and (way == "Ref" or value[way][1] == wanted):
                subject = view.target(value)
        yield name, subject, entry.get("Stat"), entry.get("Period")


def _failures(view: View) -> Iterator[str]:
    used = {
        name[1]
        for _, facts in view.of(_ALARM)
        for name, _, _, _ in series(view, facts)
        if name[0] == "portafaas"
    }
    for logical, facts in view.of(_FILTER):
        if view.facts(view.target(facts.get("LogGroupName")), "AWS::Logs::LogGroup") is None:
            yield f"{logical} reads no log of the template"
        (change,) = facts["MetricTransformations"]
        if change["MetricName"] not in used or change.get("MetricNamespace") != "portafaas":
            yield f"{logical}: no alarm looks at what it counts"
        texts = " || ".join(f'$.message = "{text}"' for text in _FAILED)
        value, which = "1", f"({texts})"
        if view.target(facts.get("LogGroupName")) in view.once(_delivered):
            # Of a batch several may have failed; the record says how many.
            value, which = "$.pf_failed_attempts", "$.pf_failed_attempts > 0"
        if change.get("MetricValue") != value or change.get("DefaultValue") != 0:
            yield f"{logical} does not count"
        if facts.get("FilterPattern") != f'{{ $.severity = "ERROR" && {which} }}':
            yield f"{logical} does not find the records of failures"


def _delivered(view: View) -> set[str | None]:
    """Return the logs of functions that are not called but delivered to."""
    return {
        view.target(runs.get("LoggingConfig", {}).get("LogGroup"))
        for name, runs in view.of("AWS::Lambda::Function")
        if view.leading("AWS::Lambda::EventSourceMapping", "FunctionName").get(name)
    }


def tells(view: View, plan: BuildPlan) -> Iterator[str]:
    """Yield where alarms and channels differ from the alerts of *plan*."""
    alarms = {facts.get("AlarmName"): (name, facts) for name, facts in view.of(_ALARM)}
    prefix = "-".join(part for part in (plan.service, plan.stage) if part)
    if len(alarms) != len(plan.alerts):
        yield f"{len(alarms)} of {len(plan.alerts)} alarms"
    for alert in plan.alerts:
        logical, facts = alarms.get(f"{prefix}-{alert.name}", ("", {}))
        if not logical:
            yield f"there is no alarm for {alert.name}"
            continue
        yield from _asked(view, plan, alert, logical, facts)
    used = [c for c in plan.channels if any(c.name in alert.notify for alert in plan.alerts)]
    for channel in used:
        yield from _channel(view, f"{prefix}-alerts-{channel.name}", channel)
    addresses = sum(bool(channel.email) + bool(channel.webhook) for channel in used)
    found = sum(facts.get("Protocol") != "sqs" for _, facts in view.of(_SUBSCRIPTION))
    if found != addresses:
        yield f"{found} of {addresses} addresses of channels"


def _channel(view: View, name: str, channel: ChannelPlan) -> Iterator[str]:
    for logical, facts in view.of(_TOPIC):
        if facts.get("TopicName") == name:
            told = {
                (each.get("Protocol"), each.get("Endpoint"))
                for _, each in view.of(_SUBSCRIPTION)
                if view.target(each.get("TopicArn")) == logical
            }
            wanted = {("email", channel.email), ("https", channel.webhook)}
            if told != {way for way in wanted if way[1]}:
                yield f"{logical} does not tell those of the channel {channel.name}"
            return
    yield f"there is no topic for the channel {channel.name}"


def _asked(
    view: View, plan: BuildPlan, alert: AlertPlan, logical: str, facts: Mapping[str, Any]
) -> Iterator[str]:
    found = list(series(view, facts))
    names = {name for name, _, _, _ in found}
    wanted = {_WATCHES[alert.metric]}
    if alert.metric == "errors":
        # Functions answer what failed, and Lambda counts a success. Which of the counts it is, the
        # rule of sums says.
        wanted |= {name for name in names if name[0] == "portafaas"} or {("portafaas", "")}
    if names != wanted:
        yield f"{logical} looks at {sorted(names)}"
    for name, subject, _, period in found:
        if period != alert.window:
            yield f"{logical}: the period is {period!r} and not {alert.window}"
        if name[0] != "portafaas" and subject not in _subjects(view, plan, alert):
            yield f"{logical} is about {subject}"
    scale = 1000 if alert.metric == "latency-p95" else 1
    if abs(facts["Threshold"] - alert.threshold * scale) > 1e-6 * scale:
        yield f"{logical}: the threshold is {facts['Threshold']}"
    told = [
        (view.facts(view.target(action), _TOPIC) or {}).get("TopicName")
        for action in facts.get("AlarmActions", ())
    ]
    prefix = "-".join(part for part in (plan.service, plan.stage) if part)
    if told != [f"{prefix}-alerts-{channel}" for channel in alert.notify]:
        yield f"{logical} tells {told}"
    text = str(facts.get("AlarmDescription"))
    words = [f"service {plan.service}", alert.metric, alert.function or alert.queue]
    words += [f"stage {plan.stage}"] if plan.stage else []
    words += [f"portafaas logs {alert.function}"] if alert.function else []
    if not all(word in text for word in words) or not text.startswith(alert.description[:100]):
        yield f"{logical}: the description does not say what it is about"


def _subjects(view: View, plan: BuildPlan, alert: AlertPlan) -> list[str | None]:
    """Return the function, the queue, or where dead letters are: found by what leads there."""
    if alert.metric in ("errors", "latency-p95"):
        return list(view.once(_entries).get(plan.function(alert.function).entry, ()))
    if alert.metric == "oldest-message" or alert.queue:
        from portafaas_aws.names import queue_name

        called = queue_name(plan, alert.queue, plan.queue(alert.queue).ordered)
        queues = view.once(_queues).get(called, [])
        if alert.metric == "oldest-message":
            return [name for name, _ in queues]
        return [_redrive(view, facts) for _, facts in queues]
    (function,) = view.once(_entries).get(plan.function(alert.function).entry, [])
    found = []
    for facts in view.leading("AWS::Lambda::EventSourceMapping", "FunctionName").get(function, ()):
        kept = facts.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        source = view.facts(view.target(facts.get("EventSourceArn")), "AWS::SQS::Queue")
        found.append(_redrive(view, source) if source else view.target(kept))
    return found


def _entries(view: View) -> Mapping[str, list[str]]:
    """Return the functions by what comes after the last point of their handlers."""
    found: dict[str, list[str]] = {}
    for name, facts in view.of("AWS::Lambda::Function"):
        _, point, entry = str(facts.get("Handler")).rpartition(".")
        if point:
            found.setdefault(entry, []).append(name)
    return found


def _queues(view: View) -> Mapping[Any, list[tuple[str, Mapping[str, Any]]]]:
    found: dict[Any, list[tuple[str, Mapping[str, Any]]]] = {}
    for name, facts in view.of("AWS::SQS::Queue"):
        found.setdefault(facts.get("QueueName"), []).append((name, facts))
    return found


def _redrive(view: View, queue: Mapping[str, Any]) -> str | None:
    return view.target(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn"))


RULES = (_alarms, _failures)
