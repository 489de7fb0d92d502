"""What the blocks of a Terraform document refer to, and what their values come to.

Knows the expressions that portafaas writes, not all of Terraform's: references, indices, and calls
of functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_REFERENCE = re.compile(
    r"\b(?:(data)\.)?([a-z]\w*)\.(\w+)((?:\.[a-z]\w*|\[\d+\])*)",
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: What references come to where a value is looked at; each fits what the attribute is.
_EXAMPLES = {
    "email": "account@project-1.iam.gserviceaccount.com",
    "email_address": "service-1@gs-project-accounts.iam.gserviceaccount.com",
    "member": "serviceAccount:account@project-1.iam.gserviceaccount.com",
    "uri": "https://function-abc-ew.a.run.app",
    "number": "123456789012",
    "google_service_account.id": "projects/p/serviceAccounts/a@b",
    "google_artifact_registry_repository.id": "projects/p/locations/l/repositories/r",
    "google_logging_project_bucket_config.id": "projects/p/locations/l/buckets/b",
    "google_monitoring_notification_channel.id": "projects/p/notificationChannels/1",
    "google_pubsub_topic.id": "projects/p/topics/t",
}


def texts(value: Any) -> Iterator[str]:
    """Yield all strings in *value*, keys of mappings, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts(name)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def split(text: str) -> list[tuple[bool, str]]:
    """Return the parts of a template: (is an expression, its text).

    Raises ValueError for a template that does not end, or is of a kind that portafaas never writes.
    """
    if "${" not in text and "%{" not in text:
        return [(False, text)]
    parts: list[tuple[bool, str]] = []
    plain, at = "", 0
    while at < len(text):
        if text.startswith(("$${", "%%{"), at):
            plain, at = plain + text[at + 1 : at + 3], at + 3
        elif text.startswith("%{", at):
            raise ValueError(f"a directive in {text!r}")
        elif text.startswith("${", at):
            end = _end(text, at + 2)
            parts += [(False, plain), (True, text[at + 2 : end])]
            plain, at = "", end + 1
        else:
            plain, at = plain + text[at], at + 1
    return [*parts, (False, plain)]


def _end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == '"':
            found = _STRING.match(text, at)
            if found is None:
                break
            at = found.end()
            continue
        if text[at] in "([{":
            depth += 1
        elif text[at] == "}" and depth == 0:
            return at
        elif text[at] in ")]}":
            depth -= 1
        at += 1
    raise ValueError(f"a template in {text!r} does not end")


def references(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (``data`` or nothing, type, key, attributes) of each reference in a template."""
    if "${" not in text and "%{" not in text:
        return
    for is_expression, part in split(text):
        if is_expression:
            for found in _REFERENCE.finditer(_STRING.sub('""', part)):
                yield found[1] or "", found[2], found[3], found[4]


def example(text: str, variables: Mapping[str, str]) -> str:
    """Return what a template might come to, to be held against a pattern."""
    out = ""
    for is_expression, part in split(text):
        if not is_expression:
            out += part
            continue
        found = _REFERENCE.fullmatch(part)
        if found is None:
            out += "value"
        elif found[2] in ("var", "local", "each"):
            out += variables.get(found[3], "value")
        else:
            attribute = re.split(r"\W+", found[4])[-1]
            by_type = _EXAMPLES.get(f"{found[2]}.{attribute}")
            out += by_type or _EXAMPLES.get(attribute, "value")
    return out


def addresses(value: Any) -> set[str]:
    """Return the addresses of all resources that *value* refers to."""
    out: set[str] = set()
    for text in texts(value):
        for data, kind, name, _ in references(text):
            if not data and kind.startswith("google_"):
                out.add(f"{kind}.{name}")
    return out


def cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return the addresses of one circle, or nothing."""
    done: set[str] = set()

    def visit(address: str, path: list[str]) -> list[str]:
        if address in path:
            return [*path[path.index(address) :], address]
        if address in done:
            return []
        for other in sorted(edges.get(address, ())):
            if found := visit(other, [*path, address]):
                return found
        done.add(address)
        return []

    for address in edges:
        if found := visit(address, []):
            return found
    return []
