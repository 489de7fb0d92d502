"""What the blocks of a Terraform document refer to, and what their values come to.

Knows the expressions that portafaas writes, not all of Terraform's: references, indices, and calls
of functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_REFERENCE = re.compile(
    r"\b(?:(data)\.)?([a-z]\w*)\.(\w+)((?:\.[a-z]\w*|\[\d+\])*)",
)
_OPENING = re.compile(r"\$\$\{|%%\{|%\{|\$\{")
_BRACKET = re.compile(r'["(\[{)\]}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: What references come to where a value is looked at; each fits what the attribute is.
_EXAMPLES = {
    "email": "account@project-1.iam.gserviceaccount.com",
    "email_address": "service-1@gs-project-accounts.iam.gserviceaccount.com",
    "member": "serviceAccount:account@project-1.iam.gserviceaccount.com",
    "uri": "https://function-abc-ew.a.run.app",
    "number": "123456789012",
    "google_service_account.id": "projects/p/serviceAccounts/a@b",
    "google_service_account.name": "projects/p/serviceAccounts/a@b",
    "google_artifact_registry_repository.id": "projects/p/locations/l/repositories/r",
    "google_logging_project_bucket_config.id": "projects/p/locations/l/buckets/b",
    "google_monitoring_notification_channel.id": "projects/p/notificationChannels/1",
    "google_cloud_tasks_queue.id": "projects/p/locations/l/queues/q",
    "google_pubsub_topic.id": "projects/p/topics/t",
}


def texts(value: Any) -> list[str]:
    """Return all strings in *value* that hold a template, keys of mappings, too."""
    out: list[str] = []
    _collect(value, out)
    return out


def _collect(value: Any, out: list[str]) -> None:
    if isinstance(value, str):
        if "{" in value:
            out.append(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            if "{" in name:
                out.append(name)
            _collect(item, out)
    elif isinstance(value, list):
        for item in value:
            _collect(item, out)


@lru_cache(maxsize=8192)
def split(text: str) -> tuple[tuple[bool, str], ...]:
    """Return the parts of a template: (is an expression, its text).

    Raises ValueError for a template that does not end, or is of a kind that portafaas never writes.
    """
    parts: list[tuple[bool, str]] = []
    plain, at = "", 0
    while found := _OPENING.search(text, at):
        plain += text[at : found.start()]
        match found[0]:
            case "%{":
                raise ValueError(f"a directive in {text!r}")
            case "${":
                end = _end(text, found.end())
                parts += [(False, plain), (True, text[found.end() : end])]
                plain, at = "", end + 1
            case escaped:
                plain, at = plain + escaped[1:], found.end()
    return (*parts, (False, plain + text[at:]))


def _end(text: str, at: int) -> int:
    depth = 0
    while found := _BRACKET.search(text, at):
        if found[0] == '"':
            string = _STRING.match(text, found.start())
            if string is None:
                break
            at = string.end()
            continue
        at = found.end()
        if found[0] in "([{":
            depth += 1
        elif found[0] == "}" and depth == 0:
            return found.start()
        else:
            depth -= 1
    raise ValueError(f"a template in {text!r} does not end")


@lru_cache(maxsize=8192)
def references(text: str) -> tuple[tuple[str, str, str, str], ...]:
    """Return (``data`` or nothing, type, key, attributes) of each reference in a template."""
    return tuple(
        (found[1] or "", found[2], found[3], found[4])
        for is_expression, part in split(text)
        if is_expression
        for found in _REFERENCE.finditer(_STRING.sub('""', part))
    )


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


def cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """Return the addresses of one circle, or nothing."""
    done: set[str] = set()
    path: dict[str, None] = {}

    def visit(address: str) -> list[str]:
        if address in path:
            way = list(path)
            return [*way[way.index(address) :], address]
        if address in done:
            return []
        path[address] = None
        for other in sorted(edges.get(address, ())):
            if found := visit(other):
                return found
        del path[address]
        done.add(address)
        return []

    for address in edges:
        if found := visit(address):
            return found
    return []
