"""Google Cloud on 127.0.0.1, as far as a deployment needs it.

Every request is held against Google's discovery documents; what does not fit is in ``problems``.
Deployments are run by a runner of ``gcp_deployment_runners``: Terraform itself, where it is
installed.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import zipfile
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.unit.gcp.gcp_deployment_discovery import problems
from tests.unit.gcp.gcp_deployment_runners import Listed
from tests.unit.gcp.gcp_deployment_storage import Answer, Storage, refuse, say

PROJECT = "project-1"
EMAIL = "ada@project-1.iam.gserviceaccount.com"
TOKEN = "token-of-ada"
BUSY = {"CREATING", "UPDATING", "DELETING"}


class Google:
    """The state of all services."""

    def __init__(self, runner: Any = None) -> None:
        self.runner: Any = runner or Listed()
        self.storage = Storage()
        self.problems: list[str] = []
        #: (verb, path) of each call.
        self.calls: list[tuple[str, str]] = []
        self.deployments: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, list[dict[str, Any]]] = {}
        self.previews: dict[str, dict[str, Any]] = {}
        self.plans: dict[str, Any] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.locks: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.entries: list[dict[str, Any]] = []
        self.filters: list[str] = []
        #: Cleared: what is begun waits. Set at first.
        self.go = threading.Event()
        self.go.set()
        #: (verb, pattern of paths) to what is answered in place.
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.token = TOKEN
        #: What the metadata server and the token endpoint say.
        self.token_answer: Answer | None = None
        self.email = EMAIL
        #: Told of secrets that are made, for Terraform's cloud.
        self.cloud: Path | None = None
        #: The reasons of the next preview.
        self.preview_failure: dict[str, Any] | None = None
        self.failing_build: dict[str, Any] | None = None
        self._clock = 0
        self._threads: list[threading.Thread] = []

    def now(self) -> str:
        self._clock += 1
        return f"2026-11-23T10:{self._clock // 60:02}:{self._clock % 60:02}Z"

    # What is not of one API.

    def route(self, verb: str, path: str, query: dict[str, str], headers: Any, body: bytes,
              root: str) -> Answer:  # fmt: skip
        if not path or path.startswith("computeMetadata/"):
            return self._metadata(path)
        if path == "token":
            return self.token_answer or say(200, {"access_token": self.token, "expires_in": 3600})
        if path.startswith("signed/"):
            if "Authorization" in headers:
                self.problems.append("a signed address is asked with credentials")
            plan = self.plans.get(path.removeprefix("signed/"))
            return say(404) if plan is None else say(200, plan)
        api, _, rest = path.partition("/")
        if api not in ("config", "logging", "secretmanager", "oauth2"):
            api, rest = "storage", path
        elif api == "oauth2":
            rest = path
        if headers.get("Authorization") != f"Bearer {self.token}":
            return refuse(401, "UNAUTHENTICATED", "Request had invalid credentials.")
        self.calls.append((verb, rest))
        for (wanted, pattern), told in self.answers.items():
            if verb == wanted and re.fullmatch(pattern, rest) and told:
                return told.pop(0)
        value = None
        if api != "storage" or headers.get("Content-Type") == "application/json":
            value = json.loads(body) if body and "uploadType" not in query else None
        # The XML API, and the rest of an upload in parts, are not in the document.
        if api != "storage" or (
            rest.startswith(("storage/", "upload/")) and "upload_id" not in query
        ):
            self.problems += problems(api, verb, rest, query, value)
        if api == "storage":
            return self.storage.handle(verb, rest, query, headers, body, root)
        found: Answer = getattr(self, f"_{api}")(verb, unquote(rest), query, value, root)
        return found

    def _metadata(self, path: str) -> Answer:
        flavor = {"Metadata-Flavor": "Google", "Content-Type": "text/plain"}
        if path.endswith("/project/project-id"):
            return 200, flavor, PROJECT.encode()
        if path.endswith("/token"):
            told = self.token_answer
            if told is not None:
                return told[0], {**flavor, **told[1]}, told[2]
            value = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
            return say(200, value, **{**flavor, "Content-Type": "application/json"})
        if "/service-accounts/" in path:
            value = {"email": self.email, "scopes": ["cloud-platform"], "aliases": ["default"]}
            return say(200, value, **{**flavor, "Content-Type": "application/json"})
        return 200, flavor, b"computeMetadata/"

    def _oauth2(self, verb: str, path: str, query: Any, body: Any, root: str) -> Answer:
        return say(200, {"id": "1", "email": "ada@example.com"})

    # Infrastructure Manager.

    def _config(self, verb: str, path: str, query: dict[str, str], body: Any, root: str) -> Answer:
        name = path.removeprefix("v1/")
        name, _, action = name.partition(":")
        parent, _, kind = name.rpartition("/")
        if kind == "deployments" and verb == "POST":
            return self._put(f"{name}/{query['deploymentId']}", body, new=True)
        if kind == "previews" and verb == "POST":
            return self._preview(name, body)
        if kind == "revisions":
            found = [r for n, r in self.revisions.items() if n.startswith(f"{parent}/")]
            return say(200, {"revisions": found})
        if kind == "resources":
            return self._page("resources", self.resources.get(parent, []), query)
        if action == "export":
            token = name.rpartition("/")[2]
            return say(200, {"result": {"jsonSignedUri": f"{root}signed/{token}"}})
        if action == "exportLock":
            lock = self.locks.get(name)
            return say(200, lock) if lock else refuse(404, "NOT_FOUND", "not locked")
        if "/operations/" in name:
            return say(200, self.operations[name])
        if "/previews/" in name:
            if verb == "DELETE":
                self.previews.pop(name)
                return say(200, self._operation("delete", name, None))
            return say(200, self.previews[name])
        if "/revisions/" in name:
            return say(200, self.revisions[name])
        if verb == "PATCH":
            return self._put(name, {**body, "mask": query["updateMask"].split(",")}, new=False)
        if name not in self.deployments:
            return refuse(404, "NOT_FOUND", f"Resource '{name}' was not found")
        if verb == "DELETE":
            return self._delete(name, query)
        return say(200, self.deployments[name])

    def _page(self, field: str, items: list[Any], query: dict[str, str]) -> Answer:
        start = int(query.get("pageToken", "0"))
        page: dict[str, Any] = {field: items[start : start + 2]}
        if start + 2 < len(items):
            page["nextPageToken"] = str(start + 2)
        return say(200, page)

    def _put(self, name: str, body: dict[str, Any], new: bool) -> Answer:
        there = self.deployments.get(name)
        if new and there is not None:
            return refuse(409, "ALREADY_EXISTS", f"Resource '{name}' already exists")
        if there is None and not new:
            return refuse(404, "NOT_FOUND", f"Resource '{name}' was not found")
        if there is not None and there["state"] in BUSY:
            return refuse(409, "ABORTED", f"Resource '{name}' is being updated by another operation")
        mask = body.pop("mask", list(body))
        deployment = self.deployments.setdefault(name, {"name": name, "lockState": "UNLOCKED"})
        deployment.update({key: body[key] for key in mask})
        deployment["state"] = "CREATING" if new else "UPDATING"
        for key in ("errorCode", "stateDetail", "tfErrors"):
            deployment.pop(key, None)
        if not deployment["serviceAccount"].startswith(f"projects/{PROJECT}/serviceAccounts/"):
            self.problems.append("the service account is not a path")
        operation = self._operation("update", name, "deploymentMetadata")

        def work() -> None:
            blueprint = deployment["terraformBlueprint"]
            if self.failing_build:
                deployment.update(self.failing_build, state="FAILED")
                return
            number = len([n for n in self.revisions if n.startswith(f"{name}/")])
            revision = f"{name}/revisions/r-{number}"
            operation["metadata"]["deploymentMetadata"]["step"] = "RUNNING_TF_APPLY"
            ran = self.runner.apply(self._files(blueprint), self._inputs(blueprint))
            self.revisions[revision] = {
                "name": revision, "createTime": self.now(), "terraformBlueprint": blueprint,
                "state": "FAILED" if ran["errors"] else "APPLIED", "tfErrors": ran["errors"],
                "applyResults": {"outputs": ran["outputs"]},
                **({"errorCode": "APPLY_BUILD_RUN_FAILED"} if ran["errors"] else {}),
            }  # fmt: skip
            self.resources[revision] = [
                {"name": f"{revision}/resources/{i}", "state": state,
                 "terraformInfo": {"address": address, "type": kind}}
                for i, (address, kind, state) in enumerate(ran["resources"])
            ]  # fmt: skip
            deployment["latestRevision"] = revision
            deployment["state"] = "FAILED" if ran["errors"] else "ACTIVE"
            if ran["errors"]:
                deployment["errorCode"] = "REVISION_FAILED"

        self._begin(operation, work)
        return say(200, operation)

    def _delete(self, name: str, query: dict[str, str]) -> Answer:
        deployment = self.deployments[name]
        if query.get("force") != "true":
            return refuse(400, "FAILED_PRECONDITION", "the deployment has revisions")
        if deployment["state"] in BUSY:
            return refuse(409, "ABORTED", f"Resource '{name}' is being updated by another operation")
        deployment["state"] = "DELETING"
        operation = self._operation("delete", name, "deploymentMetadata")

        def work() -> None:
            ran = {"errors": []} if query.get("deletePolicy") == "ABANDON" else self.runner.destroy()
            if ran["errors"]:
                deployment.update(state="FAILED", errorCode="DELETE_BUILD_RUN_FAILED",
                                  tfErrors=ran["errors"])  # fmt: skip
                return
            del self.deployments[name]
            for mapping in (self.revisions, self.resources):
                for key in [key for key in mapping if key.startswith(f"{name}/")]:
                    del mapping[key]

        self._begin(operation, work)
        return say(200, operation)

    def _preview(self, parent: str, body: Any) -> Answer:
        name = f"{parent}/preview-{len(self.operations)}"
        if body["deployment"] not in self.deployments:
            return refuse(404, "NOT_FOUND", "no such deployment")
        preview = self.previews[name] = {**body, "name": name, "state": "CREATING"}
        operation = self._operation("create", name, "previewMetadata")

        def work() -> None:
            if self.preview_failure:
                preview.update(self.preview_failure, state="FAILED")
                return
            plan = self.runner.plan(self._files(body["terraformBlueprint"]),
                                    self._inputs(body["terraformBlueprint"]))  # fmt: skip
            self.plans[name.rpartition("/")[2]] = plan
            preview["state"] = "SUCCEEDED"

        self._begin(operation, work)
        return say(200, operation)

    def _operation(self, verb: str, target: str, metadata: str | None) -> dict[str, Any]:
        name = f"projects/{PROJECT}/locations/europe-west1/operations/{len(self.operations)}"
        about: dict[str, Any] = {"target": target, "verb": verb}
        if metadata:
            about[metadata] = {"step": "PREPARING_STORAGE_BUCKET"}
        self.operations[name] = {"name": name, "metadata": about, "done": metadata is None}
        return self.operations[name]

    def _begin(self, operation: dict[str, Any], work: Any) -> None:
        def run() -> None:
            self.go.wait(30)
            try:
                work()
            except Exception as exc:  # a fault of the server is one of the test's
                self.problems.append(f"{type(exc).__name__}: {exc}")
                operation["error"] = {"code": 13, "message": str(exc)}
            operation["done"] = True

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        self.go.set()
        for thread in self._threads:
            thread.join()

    def _files(self, blueprint: Any) -> dict[str, Any]:
        bucket, _, name = blueprint["gcsSource"].removeprefix("gs://").partition("/")
        with zipfile.ZipFile(io.BytesIO(self.storage.objects[bucket, name][1])) as archive:
            files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
        # https://cloud.google.com/infrastructure-manager/docs/terraform: no backend.
        assert not any("backend" in value.get("terraform", {}) for value in files.values())
        return files

    def _inputs(self, blueprint: Any) -> dict[str, Any]:
        return {n: v["inputValue"] for n, v in blueprint.get("inputValues", {}).items()}

    # Secret Manager.

    def _secretmanager(
        self, verb: str, path: str, query: dict[str, str], body: Any, root: str
    ) -> Answer:
        name, _, action = path.removeprefix("v1/").partition(":")
        if name.endswith("/secrets"):
            key = f"{name}/{query['secretId']}"
            if key in self.secrets:
                return refuse(409, "ALREADY_EXISTS", f"Secret [{key}] already exists.")
            self.secrets[key] = {"name": key, **body, "versions": []}
            self._tell(query["secretId"], body)
            return say(200, self._shown(key))
        secret, _, version = name.partition("/versions")
        if secret not in self.secrets:
            return refuse(404, "NOT_FOUND", f"Secret [{secret}] not found.")
        versions = self.secrets[secret]["versions"]
        if action == "addVersion":
            value = base64.b64decode(body["payload"]["data"], validate=True)
            number = f"{secret}/versions/{len(versions) + 1}"
            versions.append({"name": number, "createTime": self.now(), "state": "ENABLED",
                             "value": value})  # fmt: skip
            return say(200, {k: v for k, v in versions[-1].items() if k != "value"})
        if action in ("disable", "destroy"):
            item = versions[int(version[1:]) - 1]
            item["state"] = {"disable": "DISABLED", "destroy": "DESTROYED"}[action]
            if action == "destroy":
                item["value"] = b""
            return say(200, {})
        if name.endswith("/versions"):
            shown = [{k: v for k, v in item.items() if k != "value"} for item in versions]
            return self._page("versions", shown, query)
        if verb == "DELETE":
            del self.secrets[secret]
            return say(200, {})
        return say(200, self._shown(secret))

    def _shown(self, key: str) -> dict[str, Any]:
        return {k: v for k, v in self.secrets[key].items() if k != "versions"}

    def _tell(self, name: str, body: Any) -> None:
        if self.cloud is not None:
            file = self.cloud / "google_secret_manager_secret" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(self.made_secret(name)))

    def made_secret(self, name: str) -> Any:
        raise NotImplementedError

    # Cloud Logging.

    def _logging(self, verb: str, path: str, query: Any, body: Any, root: str) -> Answer:
        self.filters.append(body["filter"])
        since = re.search(r'timestamp>="([^"]+)"', body["filter"])
        assert since is not None
        least = datetime.fromisoformat(since[1])
        found = [
            e for e in self.entries
            if datetime.fromisoformat(e["timestamp"]).astimezone(UTC) >= least
        ]  # fmt: skip
        start = int(body.get("pageToken", "0"))
        page: dict[str, Any] = {"entries": found[start : start + 2]} if found else {}
        if start + 2 < len(found):
            page["nextPageToken"] = str(start + 2)
        return say(200, page)


class Server(ThreadingHTTPServer):
    """Serves a :class:`Google`."""

    daemon_threads = True

    def __init__(self, google: Google) -> None:
        self.google = google
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = f"http://127.0.0.1:{self.server_port}/"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead everything here."""
        host = self.root.removeprefix("http://").rstrip("/")
        names = {"CONFIG": "config", "LOGGING": "logging", "SECRETMANAGER": "secretmanager"}
        return {
            **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{n}": f"{self.root}{p}/" for n, p in names.items()},
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self.root}storage/v1/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_OAUTH2": self.root,
            "GCE_METADATA_HOST": host,
            "GCE_METADATA_IP": host,
        }

    def stop(self) -> None:
        self.google.join()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else half of an answer waits for the other to be acknowledged.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def _handle(self) -> None:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        google = self.server.google
        try:
            status, headers, content = google.route(
                self.command, split.path.lstrip("/"), dict(parse_qsl(split.query)), self.headers,
                body, self.server.root,
            )  # fmt: skip
        except Exception as exc:
            google.problems.append(f"{self.command} {self.path}: {type(exc).__name__}: {exc}")
            status, headers, content = say(400, {"error": {"message": "the test's server"}})
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
