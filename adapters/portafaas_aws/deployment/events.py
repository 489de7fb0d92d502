"""Follow a stack at work, nested ones too, and say why it failed in CloudFormation's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.deployment.contract import Progress, Report
from portafaas.errors import Diagnostic
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import of_resource, transient
from portafaas_aws.deployment.stack import STACK, Stack, describe

Event = Mapping[str, Any]

#: Reasons of what failed only because something else did.
_CASCADE = ("cancelled", "The following resource(s) failed")
#: Looks that may go wrong in a row before we give up; the engine goes on meanwhile.
_PATIENCE = 8


class Follower:
    """Reads the events of one operation on the stack *id*, from the making of this object on."""

    def __init__(self, cloud: Cloud, id: str, report: Report) -> None:
        self._cloud, self.id, self._report = cloud, id, report
        self._seen: set[str] = set()
        #: Stacks to read, with the path of their resources; nested ones join when heard of.
        self._stacks = {id: ""}
        #: When the operation began, by CloudFormation's clock.
        self._began: Any = None
        self.events: list[tuple[str, Event]] = []
        for page in self._pages(id):
            self._seen.update(event["EventId"] for event in page)
            # What happens later comes before these.
            break

    def _pages(self, id: str) -> Any:
        formation = self._cloud.client("cloudformation")
        for page in formation.get_paginator("describe_stack_events").paginate(StackName=id):
            yield page["StackEvents"]

    def look(self) -> None:
        """Report what has happened since the last look."""
        read: set[str] = set()
        while unread := [id for id in self._stacks if id not in read]:
            id = unread[0]
            read.add(id)
            path = self._stacks[id]
            fresh: list[Event] = []
            for page in self._pages(id):
                new = [event for event in page if event["EventId"] not in self._seen]
                if path:
                    new = [event for event in new if event["Timestamp"] >= self._began]
                fresh += new
                if len(new) < len(page):
                    break
            for event in reversed(fresh):
                self._take(path, event)

    def _take(self, path: str, event: Event) -> None:
        self._seen.add(event["EventId"])
        if self._began is None:
            self._began = event["Timestamp"]
        self.events.append((path, event))
        logical, physical = event["LogicalResourceId"], event.get("PhysicalResourceId") or ""
        if event["ResourceType"] == STACK and physical.startswith("arn:"):
            if physical == event["StackId"]:
                if path:
                    # A nested stack speaks of itself; its parent says the same.
                    return
            else:
                self._stacks.setdefault(physical, f"{path}{logical}/")
        self._report(
            Progress(
                f"{path}{logical}",
                event["ResourceType"],
                event["ResourceStatus"],
                event.get("ResourceStatusReason") or "",
            )
        )

    def wait(self) -> Stack:
        """Wait until the stack rests and return it.

        The network may fail for a while, and AWS may be asked too often: the engine goes on.
        """
        failures = 0
        for _ in self._cloud.pauses():
            try:
                # First the state: what happened before it is among the events then.
                stack = describe(self._cloud, self.id)
                self.look()
                failures = 0
            except Exception as exc:
                failures += 1
                if failures > _PATIENCE or not transient(exc):
                    raise
                continue
            if stack is None:
                return {"StackId": self.id, "StackStatus": "DELETE_COMPLETE"}
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                return stack
        raise AssertionError("pauses end never")

    def failures(self) -> list[Diagnostic]:
        """Return why it failed: what failed first, and not what that pulled along."""
        failed = [
            (path, event)
            for path, event in self.events
            if event["ResourceStatus"].endswith("_FAILED")
            and event.get("ResourceStatusReason")
            and not any(word in event["ResourceStatusReason"] for word in _CASCADE)
        ]
        # A nested stack failed because of what is in it.
        own = [(p, e) for p, e in failed if e["ResourceType"] != STACK] or failed
        found: list[Diagnostic] = []
        for path, event in own:
            diagnostic = of_resource(
                f"{path}{event['LogicalResourceId']}",
                event["ResourceType"],
                event["ResourceStatusReason"],
                self._cloud.hidden,
            )
            if diagnostic not in found:
                found.append(diagnostic)
        return found
