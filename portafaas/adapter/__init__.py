"""The adapter contract: everything an adapter author imports."""

from portafaas.adapter.capability import Capability, Support
from portafaas.adapter.contract import (
    API_VERSION,
    Adapter,
    Deployment,
    Emitted,
    Infrastructure,
    Layout,
    Limits,
    Lowered,
    NativeRequest,
    Permission,
    Redelivery,
)
from portafaas.adapter.modular import ModularAdapter
from portafaas.adapter.stimulus import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    Outcome,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TopicStimulus,
)

__all__ = [
    "API_VERSION",
    "Adapter",
    "Capability",
    "ChangeStimulus",
    "DeliveryOutcome",
    "Deployment",
    "Emitted",
    "HttpOutcome",
    "HttpStimulus",
    "Infrastructure",
    "Layout",
    "Limits",
    "Lowered",
    "MessageStimulus",
    "ModularAdapter",
    "NativeRequest",
    "ObjectStimulus",
    "Outcome",
    "Permission",
    "QueueStimulus",
    "Redelivery",
    "ScheduleStimulus",
    "Stimulus",
    "Support",
    "TopicStimulus",
]
