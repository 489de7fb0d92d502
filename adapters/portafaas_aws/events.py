"""Neutral stimuli as the events that AWS sends."""

from __future__ import annotations

from typing import assert_never

from portafaas.adapter import (
    ChangeStimulus,
    HttpStimulus,
    NativeRequest,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskStimulus,
    TopicStimulus,
)
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas_aws.events_records import (
    change_event,
    object_event,
    queue_events,
    schedule_event,
    topic_event,
)


def encode(
    plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
) -> tuple[NativeRequest, ...]:
    """Return the Lambda events for *stimulus*; a queue's messages in batches."""
    match stimulus:
        case HttpStimulus():
            from portafaas_aws.events_http import http_event

            return (NativeRequest(http_event(plan, function, stimulus)),)
        case QueueStimulus():
            return queue_events(plan, function, stimulus)
        case TopicStimulus():
            return (NativeRequest(topic_event(plan, function, stimulus.message)),)
        case ObjectStimulus():
            return (NativeRequest(object_event(plan, function, stimulus)),)
        case ChangeStimulus():
            return (NativeRequest(change_event(plan, function, stimulus)),)
        case ScheduleStimulus():
            return (NativeRequest(schedule_event(plan, function, stimulus)),)
        case TaskStimulus():
            names = ("input", "workflow", "run", "step", "attempt", "key")
            return (NativeRequest({name: getattr(stimulus, name) for name in names}),)
        case _:
            assert_never(stimulus)
