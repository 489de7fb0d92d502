"""Applications built with their dependencies, and the same requests to each way of running them."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import HttpStimulus
from portafaas.adapter.neutral import outcome_to_json
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter

TARGETS = ("aws", "azure", "gcp")
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PROJECTS = Path(__file__).with_name("projects")


@dataclass(frozen=True)
class App:
    """One application: what the manifest says of it and what it is made of."""

    project: str
    handler: str
    interface: str
    requires: tuple[str, ...]


APPS = {
    "fastapi": App("fastapi_shop", "shop:app", "asgi", ("fastapi", "python-multipart")),
    "starlette": App(
        "starlette_site", "site_app:app", "asgi", ("starlette", "python-multipart", "itsdangerous")
    ),
    "flask": App("flask_notes", "notes:create_app", "wsgi", ("flask",)),
    "django": App("django_library", "library:application", "wsgi", ("django",)),
}

PAGE = "<!doctype html><title>page</title><p>gr\u00fc\u00dfe</p>\n" * 20
LOGO = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 20


def _project(app: App, folder: Path) -> Path:
    shutil.copytree(PROJECTS / app.project, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "files").mkdir()
    (folder / "files" / "page.html").write_text(PAGE, encoding="utf-8")
    (folder / "files" / "logo.png").write_bytes(LOGO)
    # Those that the local runner finds, so that both run the same.
    pins = "".join(f"{name}=={version(name)}\n" for name in app.requires)
    (folder / "requirements.txt").write_text(pins, encoding="utf-8")
    manifest = folder / "portafaas.yaml"
    content = {
        "portafaas": 1,
        "name": "app",
        "python": PYTHON,
        "dependencies": {"file": "requirements.txt"},
        "sources": {"include": ["files/**"]},
        "functions": {
            "web": {
                "handler": app.handler,
                "interface": app.interface,
                "trigger": {"http": {"method": "ANY", "path": "/{path*}"}},
                "timeout": "20s",
                "memory": 512,
            }
        },
    }
    manifest.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return manifest


Send = Callable[[HttpStimulus], dict[str, Any]]


class Running:
    """Each application on every target and locally; built and started on first use."""

    def __init__(self, stack: ExitStack, folder: Callable[[str], Path]) -> None:
        self._stack = stack
        self._folder = folder
        self._found: dict[str, Mapping[str, Send]] = {}

    def __call__(self, name: str) -> Mapping[str, Send]:
        if name not in self._found:
            self._found[name] = self._start(name)
        return self._found[name]

    def _start(self, name: str) -> Mapping[str, Send]:
        manifest = _project(APPS[name], self._folder(name) / "project")
        plan = build_plan(load_manifest(manifest))
        local = self._stack.enter_context(LocalRunner(plan, manifest.parent, {}))
        found: dict[str, Send] = {"local": lambda sent: local.deliver(plan.function("web"), sent)}
        for built in build(manifest, TARGETS):
            found[built.target] = self._package(built, manifest)
        return found

    def _package(self, built: Any, manifest: Path) -> Send:
        plan = build_plan(load_manifest(manifest), built.target)
        runner = self._stack.enter_context(
            PackageRunner(
                get_adapter(built.target), plan, built.package, built.deployment,
                self._folder(built.target) / "package",
            )
        )  # fmt: skip

        def send(sent: HttpStimulus) -> dict[str, Any]:
            delivery = runner.deliver(plan.function("web"), sent)
            outcome: dict[str, Any] = json.loads(json.dumps(outcome_to_json(delivery.outcome)))
            return outcome

        return send


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(stack, lambda name: tmp_path_factory.mktemp(f"app-{name}"))


# Signed values hold the time they were signed at.
_SIGNED = re.compile(r"^((?:session|sessionid|signed)=[^.:;]*)[.:][^;]*")


def _cookie(text: str) -> list[str]:
    # Azure's host writes attributes in an order and a spelling of its own; they mean the same.
    pair, *attributes = _SIGNED.sub(r"\1", text).split(";")
    attributes = [attribute.strip().lower() for attribute in attributes]
    kept = [a for a in attributes if not a.startswith("expires=") or "1970" in a]
    return [pair, *sorted(kept)]


def _stable(outcome: dict[str, Any]) -> dict[str, Any]:
    cookies = [_cookie(text) for text in outcome["cookies"]]
    # Files have the package's time, not that of the project's; the date is now.
    headers = {k: v for k, v in outcome["headers"].items() if k not in ("last-modified", "date")}
    if "last-modified" in outcome["headers"]:
        headers.pop("etag", None)
    if "allow" in headers:
        headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
    return {**outcome, "headers": headers, "cookies": cookies}


@pytest.fixture(scope="session")
def talk() -> Callable[[Send, Sequence[HttpStimulus]], list[dict[str, Any]]]:
    """Return a function that sends requests in order, as a browser that keeps its cookies."""

    def all_of(send: Send, requests: Sequence[HttpStimulus]) -> list[dict[str, Any]]:
        jar: dict[str, str] = {}
        answers = []
        for request in requests:
            headers = request.headers
            own = [value for name, value in headers if name == "cookie"]
            kept = [f"{name}={value}" for name, value in jar.items()]
            if own or kept:
                rest = tuple(pair for pair in headers if pair[0] != "cookie")
                headers = (*rest, ("cookie", "; ".join([*own, *kept])))
            outcome = send(
                HttpStimulus(request.method, request.path, request.query, headers, request.body)
            )
            for cookie in outcome["cookies"]:
                name, _, value = cookie.partition(";")[0].partition("=")
                if name in ("session", "sessionid"):
                    jar[name] = value
            answers.append(_stable(outcome))
        return answers

    return all_of
