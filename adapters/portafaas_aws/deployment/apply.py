"""Preview and apply: what CloudFormation would do, and doing it."""

from __future__ import annotations

from typing import Any

from portafaas.deployment.contract import Change, Preview, Report
from portafaas.deployment.release import Release
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.record import dataclass
from portafaas_aws.deployment import adopt, changes, documents
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.events import Follower
from portafaas_aws.deployment.faults import code_of, fail, of_resource, text_of
from portafaas_aws.deployment.stack import (
    HUSKS,
    STACK,
    Stack,
    current,
    mend,
    stack_name,
    touchable,
)

_DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
_LOST = frozenset({
    "ChangeSetNotFound", "ChangeSetNotFoundException", "InvalidChangeSetStatus",
    "InvalidChangeSetStatusException",
})  # fmt: skip
_LEFT = {
    "ROLLBACK_COMPLETE": (
        "CloudFormation has removed what it had made; mend what failed and deploy again"
    ),
    "UPDATE_ROLLBACK_COMPLETE": "what ran before runs again; mend what failed and deploy again",
    "IMPORT_ROLLBACK_COMPLETE": "what ran before runs again; mend what failed and deploy again",
    "DELETE_COMPLETE": "somebody has removed the stack meanwhile; deploy again",
}


@dataclass(frozen=True, slots=True)
class Token:
    """What :func:`apply` needs of a preview: the change set, "" when there is none."""

    change_set: str
    release: str
    empty: bool = False


def preview(cloud: Cloud, release: Release) -> Preview:
    """Return what the release would change; a first one is read from the templates.

    A change set of a stack that is not there yet would leave an empty stack behind.
    """
    stack = current(cloud)
    touchable(cloud, stack)
    live = stack if stack and stack["StackStatus"] not in HUSKS else None
    values = documents.parameters(cloud, release, live)
    taken = adopt.find(cloud, release, live)
    back = {entry.logical for entry in taken}
    if live is None:
        return Preview(
            tuple(_first(release, back)), True, (), Token("", release.digest)
        )
    url = documents.upload(cloud, release)
    changes.discard(cloud, live["StackId"])
    more: dict[str, Any] = {}
    if taken and cloud.has("cloudformation", "CreateChangeSet", "DisableValidation"):
        # It would find that names are taken, which they are until the import.
        more["DisableValidation"] = True
    id, _ = changes.create(cloud, release, "UPDATE", url, values, **more)
    found = changes.wait(cloud, id)
    if found is None:
        changes.remove(cloud, id)
        return Preview((), False, (), Token("", release.digest, empty=True))
    read = changes.read(cloud, release, live, found)
    return Preview(
        tuple(_taken_back(change) if change.resource in back else change for change in read),
        False,
        (),
        Token(id, release.digest),
    )


def _first(release: Release, back: set[str]) -> list[Change]:
    found = [
        Change("add", path + logical, facts["Type"], "", changes.access(facts["Type"]))
        for path, document in documents.parts(release)
        for logical, facts in document["Resources"].items()
        if facts["Type"] != STACK
    ]
    found.sort(key=lambda change: (change.resource, change.type))
    return [_taken_back(change) if change.resource in back else change for change in found]


def _taken_back(change: Change) -> Change:
    return Change(
        "change", change.resource, change.type, "taken back with its data", change.security
    )


def apply(cloud: Cloud, release: Release, preview: Preview, report: Report) -> None:
    """Make it so. Raises DeploymentError with what failed and what is left."""
    token = preview.token
    if isinstance(token, Token) and token.release == release.digest and token.empty:
        return
    stack = current(cloud)
    touchable(cloud, stack)
    if stack and stack["StackStatus"] in HUSKS:
        _clear(cloud, stack, report)
        stack = None
    values = documents.parameters(cloud, release, stack)
    taken = adopt.find(cloud, release, stack)
    if taken:
        id, owner = _made(cloud, lambda: adopt.prepare(cloud, release, stack, taken), not stack)
        stack = _run(cloud, id, owner, report)
        token = None
    if stack is None:
        url = documents.upload(cloud, release)
        id, owner = _made(
            cloud, lambda: changes.create(cloud, release, "CREATE", url, values), True
        )
        _run(cloud, id, owner, report)
        return
    id = token.change_set if isinstance(token, Token) and token.release == release.digest else ""
    if not id:
        url = documents.upload(cloud, release)
        id, _ = changes.create(cloud, release, "UPDATE", url, values)
        if changes.wait(cloud, id) is None:
            changes.remove(cloud, id)
            return
    _run(cloud, id, str(stack["StackId"]), report)


def _made(cloud: Cloud, make: Any, new: bool) -> tuple[str, str]:
    """Return the change set that *make* makes, when it is ready; leave no empty stack behind."""
    try:
        id, stack = make()
    except Exception as exc:
        if code_of(exc) == "AlreadyExistsException" or "already exists" in text_of(exc):
            raise _overtaken(cloud) from None
        raise
    try:
        found = changes.wait(cloud, id)
        if found is None:
            raise DeploymentError(
                "nothing was changed:", [Diagnostic("PF8007", "the change set is empty")]
            )
    except BaseException:
        formation = cloud.client("cloudformation")
        if new:
            formation.delete_stack(StackName=stack)
        else:
            changes.remove(cloud, id)
        raise
    return id, stack


def _overtaken(cloud: Cloud) -> DeploymentError:
    return fail(
        "nothing was changed:",
        "PF8005",
        f"another deployment of stack {stack_name(cloud.plan)} came in between",
        "deploy again, which shows what is to change now",
    )


def _clear(cloud: Cloud, stack: Stack, report: Report) -> None:
    """Remove a stack that never came up."""
    follower = Follower(cloud, str(stack["StackId"]), report)
    cloud.client("cloudformation").delete_stack(StackName=stack["StackId"])
    left = follower.wait()
    if left["StackStatus"] != "DELETE_COMPLETE":
        raise failed(cloud, follower, left)


def _run(cloud: Cloud, id: str, stack: str, report: Report) -> Stack:
    follower = Follower(cloud, stack, report)
    try:
        cloud.client("cloudformation").execute_change_set(ChangeSetName=id)
    except Exception as exc:
        if code_of(exc) in _LOST:
            raise _overtaken(cloud) from None
        raise
    left = follower.wait()
    if left["StackStatus"] not in _DONE:
        raise failed(cloud, follower, left)
    return left


def failed(cloud: Cloud, follower: Follower, stack: Stack) -> DeploymentError:
    """Return what went wrong, and what is left."""
    state = stack["StackStatus"]
    left = _LEFT.get(state, "")
    command = mend(cloud, state)
    if command:
        left = f"it must be mended first: {command}"
    reasons = follower.failures() or [
        of_resource(
            stack_name(cloud.plan), STACK, stack.get("StackStatusReason") or state, cloud.hidden
        )
    ]
    return DeploymentError(f"stack {stack_name(cloud.plan)} is in {state}: {left}", reasons)
