"""Questions about a document whose shape is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class View:
    """The resources of a document, found by an argument in the time of a look-up."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.resources: Mapping[str, Mapping[str, Any]] = document.get("resource", {})
        self._pushed: dict[str, tuple[str, Mapping[str, Any]]] | None = None
        self._by_argument: dict[tuple[str, str], dict[Any, list[tuple[str, Any]]]] = {}

    def of(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield the address and the body of each resource of a type."""
        for name, body in self.resources.get(kind, {}).items():
            yield f"{kind}.{name}", body

    def where(self, kind: str, argument: str, value: str) -> Sequence[tuple[str, Any]]:
        """Return the address and the body of each whose *argument*, a string, is *value*."""
        found = self._by_argument.get((kind, argument))
        if found is None:
            found = self._by_argument[kind, argument] = {}
            for address, body in self.of(kind):
                found.setdefault(body.get(argument), []).append((address, body))
        return found.get(value, ())

    def has(self, kind: str, **wanted: str) -> bool:
        """Return whether a block of *kind* has these arguments."""
        fewest = min((self.where(kind, *pair) for pair in wanted.items()), key=len)
        return any(
            all(body.get(name) == value for name, value in wanted.items()) for _, body in fewest
        )

    def pushed(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        """Return the address and the body of the subscription that pushes to each address."""
        if self._pushed is None:
            self._pushed = {
                body["push_config"]["push_endpoint"]: (address, body)
                for address, body in self.of("google_pubsub_subscription")
                if "push_config" in body
            }
        return self._pushed

    def function_at(self, uri: str) -> str:
        """Return the key of the function whose address *uri* is, or nothing."""
        head, tail = "${google_cloudfunctions2_function.", ".service_config[0].uri}"
        return uri.removeprefix(head).removesuffix(tail) if uri.endswith(tail) else ""

    def may_invoke(self, function: str, account: str) -> bool:
        """Return whether *account*, an expression for an email, may call the function."""
        return self.has(
            "google_cloud_run_service_iam_member",
            service=f"${{google_cloudfunctions2_function.{function}.name}}",
            location=f"${{google_cloudfunctions2_function.{function}.location}}",
            member=account.replace(".email}", ".member}"),
        )
