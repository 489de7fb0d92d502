"""A Terraform document in the making, and how its parts refer to one another.

Terraform's JSON syntax: https://developer.hashicorp.com/terraform/language/syntax/json. Only what
Terraform 1.5 knows, which is what Infrastructure Manager and OpenTofu run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.adapter import Emitted, Permission
from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan

Body = dict[str, Any]

#: Releases of the provider that know every argument used here.
PROVIDER = ">= 6.13.0, < 8.0.0"
#: What protects data from `destroy`: https://developer.hashicorp.com/terraform/language/meta-arguments/lifecycle
KEEP: Mapping[str, Any] = {"prevent_destroy": True}


class Document:
    """Collects resources by type and key, what they need from outside, and what they grant."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.resources: dict[str, dict[str, Body]] = {}
        self.data: dict[str, dict[str, Body]] = {}
        self.variables: dict[str, Body] = {}
        self.locals: dict[str, str] = {}
        self.outputs: dict[str, Body] = {}
        self.permissions: list[Permission] = []
        self.notes: list[Diagnostic] = []
        #: The lines of the manifest that ask for what is added, and the function whose it is.
        self.asked: tuple[str, ...] = ("platform",)
        self.owner = ""
        #: In order; a key, since there may be very many.
        self.emitted: dict[Emitted, None] = {}
        self._grants: dict[tuple[Any, ...], str] = {}

    def ask(self, *whys: str, function: str = "") -> None:
        """Say which lines of the manifest ask for what is added from here on, and whose it is."""
        self.asked, self.owner = whys, function

    def also(self, address: str) -> None:
        """Say that the present lines ask for the resource at *address*, too."""
        kind = address.partition(".")[0]
        for why in self.asked:
            self.emitted[Emitted(address, kind, why, self.owner)] = None

    def add(self, kind: str, key: str, body: Body) -> str:
        """Add a resource, and return its address: ``google_pubsub_topic.queue_jobs``."""
        of_kind = self.resources.setdefault(kind, {})
        assert key not in of_kind, f"{kind}.{key} twice"
        of_kind[key] = body
        self.also(f"{kind}.{key}")
        return f"{kind}.{key}"

    def grant(self, kind: str, key: str, body: Body) -> str:
        """Add a grant unless there is the same already, and return its address.

        Two resources for one grant would take it away with the first of them that goes.
        """
        same = (kind, *sorted(body.items()))
        address = self._grants.setdefault(same, f"{kind}.{key}")
        if address.partition(".")[2] in self.resources.get(kind, {}):
            self.also(address)
            return address
        return self.add(kind, key, body)

    def note(self, message: str, path: str) -> None:
        """Say that the platform cannot give something as narrowly as the manifest asks (PF3010)."""
        self.notes.append(Diagnostic("PF3010", message, path=path, severity="note"))

    def labels(self) -> dict[str, str]:
        """Return what the provider writes on everything with labels, which is not everything."""
        labels = {"service": self.plan.service, "managed-by": "portafaas"}
        if self.plan.stage:
            labels["stage"] = self.plan.stage
        return labels

    def value(self) -> Body:
        """Return the document: types in alphabetical order, resources in that of the manifest."""
        plan = self.plan
        out: Body = {
            "//": f"Made by portafaas for {plan.service}; edits are lost.",
            "terraform": {
                "required_version": ">= 1.5.0",
                "required_providers": {
                    "google": {"source": "hashicorp/google", "version": PROVIDER}
                },
            },
            "provider": {
                "google": {
                    "project": "${var.project}",
                    "region": "${var.region}",
                    "default_labels": self.labels(),
                }
            },
            "variable": self.variables,
        }
        for name, content in (("locals", self.locals), ("data", self.data)):
            if content:
                out[name] = content
        out["resource"] = {kind: self.resources[kind] for kind in sorted(self.resources)}
        if self.outputs:
            out["output"] = self.outputs
        return out


def key(*words: str) -> str:
    """Return the name of a block: words of the manifest as one identifier.

    Two underscores part them, so that no two lists of words give the same one.
    """
    return "__".join(word.replace("-", "_") for word in words)


def ref(address: str, attribute: str) -> str:
    """Return an expression for an attribute of another block."""
    return f"${{{address}.{attribute}}}"


def literal(text: str) -> str:
    """Return *text* so that Terraform takes it as it is, not as a template.

    https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences
    """
    return text.replace("${", "$${").replace("%{", "%%{")


def snake(content: Mapping[str, Any]) -> Body:
    """Return a flat part of a REST resource with the names that the provider gives its fields."""
    return {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): value
        for name, value in content.items()
    }
