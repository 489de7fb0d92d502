"""What an adapter offers so that its packages can be deployed.

An :class:`Engine` stands for one service and stage on one platform. It keeps nothing on this
machine: what is deployed is known to the platform's engine (a stack, a deployment stack, a
revision), what was deployed when and by whom lies beside the packages in the platform's own object
store (:class:`Blobs`).

Every method that talks to the platform raises :class:`portafaas.errors.DeploymentError` with the
engine's own reason in its diagnostics (PF80xx, see ``docs/diagnostics.md``), and nothing else, but
for bugs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from portafaas.errors import DeploymentError, Diagnostic
from portafaas.record import dataclass, field

if TYPE_CHECKING:
    from portafaas.deployment.dead_letters import DeadLetters
    from portafaas.deployment.release import Release
    from portafaas.deployment.workflows import Workflows

Action = Literal["add", "change", "replace", "remove", "keep"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who deploys, by the platform's word: ``arn:aws:…:user/ada``, an e-mail address.

    ``place`` is where to: account and region, subscription and resource group, project and region.
    """

    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing the engine would do. ``keep``: leaves our care, but is not deleted.

    ``resource`` is the name in the document, ``type`` the platform's, ``detail`` what about it
    (names of properties; never values, which may be secret). ``security`` marks identities,
    policies, permissions and what else decides who may do what.
    """

    action: Action
    resource: str
    type: str
    detail: str = ""
    security: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a release would change. ``token`` is the engine's own: a change set, a plan file."""

    changes: tuple[Change, ...]
    #: True when nothing of the service and stage is there yet.
    first: bool = False
    #: What the engine noticed that does not stop it.
    notes: tuple[Diagnostic, ...] = ()
    token: Any = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A resource's state while the engine works; ``state`` in the engine's words."""

    resource: str
    type: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """What the platform says is there. ``state`` is the engine's word (``UPDATE_COMPLETE``).

    ``health`` is ``ready``, ``busy`` (a deployment is under way), ``failed`` (see ``reason`` and
    ``resume``, the command that goes on), or ``absent``. ``package`` is the digest of the package
    that runs; ``outputs`` are addresses: ``{"create-order": "https://…/orders"}``.
    """

    health: Literal["ready", "busy", "failed", "absent"]
    state: str = ""
    reason: str = ""
    resume: str = ""
    package: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    #: (name in the document, type, state in the engine's words) of each resource.
    resources: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """A resource that is not as it was deployed: edited by hand, or removed.

    ``detail`` names the properties with what is expected and found, unless that may be secret.
    """

    resource: str
    type: str
    kind: Literal["changed", "removed"]
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that outlives the service: data, protected from ``destroy``."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a function's log. ``time`` is RFC 3339 in UTC; ``text`` as written."""

    time: str
    function: str
    text: str


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """A declared secret: its name in the manifest and on the platform, never its value.

    ``changed`` is the RFC 3339 time of the newest value, "" when it has none.
    """

    name: str
    physical: str
    changed: str = ""


Report = Callable[[Progress], None]


class Blobs(ABC):
    """The private objects of all stages of one account, region or project.

    Keys are ``/``-separated and chosen by the core; the store is private, encrypted, and not part
    of what ``destroy`` removes.
    """

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Return the object's content, None when there is none (or no store)."""

    @abstractmethod
    def write(self, key: str, content: bytes | Path) -> None:
        """Write an object whole, replacing what was there."""

    @abstractmethod
    def names(self, prefix: str) -> Sequence[str]:
        """Return the keys that begin with *prefix*, sorted; none when there is no store."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""


class Secrets(ABC):
    """The secrets a manifest declares, on the platform. Values are kept nowhere else."""

    @abstractmethod
    def set(self, name: str, value: bytes) -> None:
        """Give the declared secret *name* a new value; makes the secret if it is not there yet."""

    @abstractmethod
    def list(self) -> Sequence[SecretFacts]:
        """Return the facts of each declared secret, in the manifest's order."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove the secret's values (and the secret itself where nothing else owns it)."""


class Engine(ABC):
    """One service and stage on one platform. Made by ``Adapter.engine(plan)``, without I/O.

    ``reverts`` is False where deploying the release that is deployed leaves drift as it is.
    """

    reverts = True

    @abstractmethod
    def caller(self) -> Caller:
        """Return who deploys, and where to: the first call, which proves the credentials.

        Raises PF8001 (no credentials), PF8002 (expired or refused), PF8003 (a setting such as the
        region is missing), PF8004 (the platform's client library is not installed).
        """

    @abstractmethod
    def blobs(self, create: bool = False) -> Blobs:
        """Return the store of packages and records; with *create* it is made if it is missing."""

    @abstractmethod
    def preview(self, release: Release) -> Preview:
        """Return what :meth:`apply` would do, by the engine's own reckoning; changes nothing.

        Raises PF8005 while another deployment is under way, PF8006 when the last one left a state
        that must be mended first, with the command that does.
        """

    @abstractmethod
    def apply(self, release: Release, preview: Preview, report: Report) -> Status:
        """Make it so, and return the status afterwards; *report* hears of each resource.

        The package lies in :meth:`blobs` under ``release.package_key``. Raises PF8007 (the engine
        failed: its own reason for each resource, and what state that left), PF8005, PF8008 (a name
        is taken by something that is not ours), PF8009 (a quota).

        After KeyboardInterrupt the engine goes on or stops as it does; the next call tells.
        """

    @abstractmethod
    def status(self) -> Status:
        """Return what is there now; ``absent`` when nothing is."""

    @abstractmethod
    def drift(self) -> Sequence[Drift]:
        """Return what is not as it was deployed. Raises PF8010 when nothing is deployed."""

    @abstractmethod
    def destroy(self, data: bool, report: Report) -> Sequence[Kept]:
        """Remove the service; queues, buckets, tables and secrets only with *data*.

        Returns what was kept. Raises PF8010 when nothing is deployed, PF8007 when it failed.
        """

    @abstractmethod
    def logs(self, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
        """Yield log lines of *functions* from *since* (seconds since 1970) on, by time.

        With *follow* it does not end.
        """

    @abstractmethod
    def secrets(self) -> Secrets:
        """Return the secrets of the service and stage."""

    def whereabouts(self) -> Mapping[str, str]:
        """Return where the declared resources are, for the target's driver in a script.

        From the variables of functions (``PORTAFAAS_QUEUE_PAYMENTS``) to their values. Raises
        PF8010 when nothing is deployed, PF8016 for an engine that cannot tell.
        """
        raise DeploymentError(
            "the resources cannot be reached from here:",
            [Diagnostic("PF8016", "this target's engine does not say where they are")],
        )

    def dead_letters(self) -> DeadLetters:
        """Return the dead letters of the service and stage.

        An engine that knows none raises PF8016.
        """
        raise DeploymentError(
            "dead letters cannot be looked at:",
            [Diagnostic("PF8016", "this target's engine does not know dead letters")],
        )

    def workflows(self) -> Workflows:
        """Return the workflows of the service and stage.

        An engine that knows none raises PF8016.
        """
        raise DeploymentError(
            "workflows cannot be operated:",
            [Diagnostic("PF8016", "this target's engine does not know workflows")],
        )
