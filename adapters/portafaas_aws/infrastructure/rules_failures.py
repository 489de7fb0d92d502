"""Rules of ``verify`` about what functions do with what they failed at.

The bridge has a message come again by hiding it in the queue it came from, and sends what it gives
up to the dead letters: it must be told of both, and may do no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_aws.infrastructure.view import View


def _settled(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::Lambda::Function"):
        own = str(facts.get("Handler")).rpartition(".")[2].upper()
        sources = [
            view.target(mapping["EventSourceArn"])
            for mapping in view.leading("AWS::Lambda::EventSourceMapping", "FunctionName").get(
                logical, ()
            )
        ]
        wanted: dict[str, str | None] = {}
        for source in sources:
            queue = view.facts(source, "AWS::SQS::Queue")
            if queue is not None:
                wanted[f"PORTAFAAS_SOURCE_{own}"] = source
                if "RedrivePolicy" in queue:
                    dead = view.target(queue["RedrivePolicy"].get("deadLetterTargetArn"))
                    wanted[f"PORTAFAAS_DEAD_{own}"] = dead
            else:
                wanted[f"PORTAFAAS_DEAD_{own}"] = _destination(view, logical)
        variables = facts.get("Environment", {}).get("Variables", {})
        told = {
            name: view.target(value) if isinstance(value, Mapping) and "Ref" in value else None
            for name, value in variables.items()
            if re.match("PORTAFAAS_(SOURCE|DEAD)_", name)
        }
        for name in sorted({*wanted, *told}):
            if told.get(name) != wanted.get(name):
                yield f"{logical}: {name} is {told.get(name)} and not {wanted.get(name)}"
        yield from _allowed(view, logical, wanted)


def _allowed(view: View, logical: str, wanted: Mapping[str, str | None]) -> Iterator[str]:
    """The role may hide messages of the source and send to the dead letters, and only there."""
    role = view.role_of(logical)
    for action, part in (
        ("sqs:ChangeMessageVisibility", "SOURCE"), ("sqs:SendMessage", "DEAD")
    ):  # fmt: skip
        places = {place for name, place in wanted.items() if f"_{part}_" in name}
        statements = [s for s in view.statements(role) if action in s["Action"]]
        allowed = {
            view.target(statement["Resource"])
            for statement in statements
            # Other sending is what the manifest grants.
            if not str(statement.get("Sid")).startswith("Send")
        }
        if allowed != places:
            names = [sorted(map(str, each)) for each in (allowed, places)]
            yield f"{logical} may {action} on {names[0]}, not {names[1]}"


def _destination(view: View, function: str) -> str | None:
    for facts in view.leading("AWS::Lambda::EventSourceMapping", "FunctionName").get(function, ()):
        config: Mapping[str, Any] = facts.get("DestinationConfig", {})
        return view.target(config.get("OnFailure", {}).get("Destination"))
    return None


def _kept(view: View) -> Iterator[str]:
    """What the template puts between a source and a function gives nothing up for lost."""
    inboxes = {view.target(f.get("Endpoint")) for _, f in view.of("AWS::SNS::Subscription")}
    inboxes |= {view.target(f["Target"]["Arn"]) for _, f in view.of("AWS::Scheduler::Schedule")}
    for _, facts in view.of("AWS::S3::Bucket"):
        entries = facts.get("NotificationConfiguration", {}).get("QueueConfigurations", ())
        inboxes |= {view.target(entry["Queue"]) for entry in entries}
    for inbox in sorted(inbox for inbox in inboxes if inbox):
        queue = view.facts(inbox, "AWS::SQS::Queue")
        if queue is not None and "RedrivePolicy" not in queue:
            yield f"{inbox}: what fails is lost"


RULES = (_settled, _kept)
