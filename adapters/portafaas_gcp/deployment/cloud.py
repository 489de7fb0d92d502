"""Calls of Google's REST APIs with the default credentials, and the settings they need.

Credentials are those of google.auth.default():
https://cloud.google.com/docs/authentication/application-default-credentials. Addresses of APIs can
be set as for gcloud, by CLOUDSDK_API_ENDPOINT_OVERRIDES_CONFIG and so on:
https://cloud.google.com/sdk/gcloud/reference/config/set#api_endpoint_overrides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import DeploymentError
from portafaas_gcp.deployment.failures import failure, refused

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: The API's name for gcloud, and its host.
HOSTS = {
    "cloudfunctions": "cloudfunctions.googleapis.com",
    "cloudtasks": "cloudtasks.googleapis.com",
    "config": "config.googleapis.com",
    "logging": "logging.googleapis.com",
    "monitoring": "monitoring.googleapis.com",
    "oauth2": "www.googleapis.com",
    "pubsub": "pubsub.googleapis.com",
    "secretmanager": "secretmanager.googleapis.com",
    "storage": "storage.googleapis.com",
    "workflowexecutions": "workflowexecutions.googleapis.com",
}
LOGIN = "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
#: Seconds for connecting, and for each read.
TIMEOUT = 60


class Cloud:
    """One project and region, and a session that signs what it sends. No I/O until it is used."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._session: Any = None
        self._project = ""
        #: Seconds between two looks at something that takes its time; grows to 5 times as much.
        self.poll = 2.0

    @property
    def region(self) -> str:
        """Region of everything that has one; PF8003 when none is set."""
        found = (
            self._options.get("region")
            or os.environ.get("CLOUDSDK_COMPUTE_REGION")
            or os.environ.get("GOOGLE_CLOUD_REGION")
        )
        if not found:
            raise failure(
                "PF8003",
                "no region is set:",
                "neither targets.gcp.region nor CLOUDSDK_COMPUTE_REGION says where to deploy",
                "say it in the manifest: targets: {gcp: {region: europe-west1}}",
            )
        return str(found)

    @property
    def project(self) -> str:
        """Id of the project, from the environment or the credentials; PF8003 when none says."""
        self.session()
        if not self._project:
            raise failure(
                "PF8003",
                "no project is set:",
                "neither GOOGLE_CLOUD_PROJECT nor the credentials name a project",
                "export GOOGLE_CLOUD_PROJECT=<id of the project>",
            )
        return self._project

    def session(self) -> Any:
        """Return the session; PF8001 without credentials, PF8004 without google-auth."""
        if self._session is None:
            try:
                import google.auth
                from google.auth.exceptions import DefaultCredentialsError
                from google.auth.transport.requests import AuthorizedSession
            except ImportError as exc:
                raise failure(
                    "PF8004",
                    "Google's client library is not installed:",
                    f"{exc.name or exc} is missing",
                    "pip install 'portafaas[gcp]'",
                ) from exc
            try:
                credentials, project = google.auth.default(scopes=[SCOPE])
            except DefaultCredentialsError as exc:
                text = str(exc).partition("\n")[0]
                raise failure("PF8001", "no credentials for Google Cloud:", text, LOGIN) from exc
            self._project = project or ""
            make: Any = AuthorizedSession
            self._session = make(credentials)
        return self._session

    def who(self) -> str:
        """Return the e-mail address of who deploys, after the credentials have proved good."""
        session = self.session()
        credentials = session.credentials
        if not credentials.valid:
            self._guarded("log in", lambda: credentials.refresh(session._auth_request))
        name = getattr(credentials, "service_account_email", None) or getattr(
            credentials, "account", None
        )
        if name and name != "default":
            return str(name)
        # A person's; without the scope for it, Google does not say whose.
        try:
            found = self.call("oauth2", "GET", "oauth2/v2/userinfo")
        except DeploymentError:
            return "unknown"
        return str(found.get("email") or found.get("id") or "unknown")

    def call(
        self,
        api: str,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        absent: bool = False,
    ) -> Any:
        """Return the JSON of a response; None for what is not there when *absent* is allowed."""
        response = self.send(api, method, path, query, json=body, absent=absent)
        if response is None:
            return None
        try:
            return response.json() if response.content else {}
        except ValueError as exc:
            text = f"the answer to {method} {path} is not JSON; is there a proxy in between?"
            raise failure("PF8012", "Google Cloud is out of reach:", text) from exc

    def send(
        self,
        api: str,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        absent: bool = False,
        **content: Any,
    ) -> Any:
        """Return the response to a call; GETs are repeated when Google has a moment's trouble."""
        url = path if "://" in path else f"{base(api)}{path}"
        what = f"{method} {path.partition('?')[0].rpartition('://')[2]}"
        session = self.session()

        def once() -> Any:
            return session.request(method, url, params=query, timeout=TIMEOUT, **content)

        response = self._guarded(what, once)
        for attempt in range(3):
            if method != "GET" or response.status_code not in (500, 502, 503, 504):
                break
            time.sleep(self.poll * 0.5 * 2**attempt)
            response = self._guarded(what, once)
        if response.status_code == 404 and absent:
            return None
        if response.status_code >= 400:
            raise refused(what, response.status_code, response.content, self._project)
        return response

    def fetch(self, url: str) -> bytes:
        """Return what a signed address holds; it is asked without credentials."""
        import requests

        response = self._guarded("fetch a result", lambda: requests.get(url, timeout=TIMEOUT))
        if response.status_code >= 400:
            raise refused("fetch a result", response.status_code, response.content, self._project)
        return bytes(response.content)

    def pages(
        self, api: str, path: str, field: str, query: Mapping[str, Any] | None = None
    ) -> Iterator[Any]:
        """Yield the items of all pages of a list."""
        token = ""
        while True:
            page = self.call(api, "GET", path, {**(query or {}), **_token(token)})
            yield from page.get(field) or ()
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _guarded(self, what: str, act: Any) -> Any:
        from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError

        try:
            return act()
        except RefreshError as exc:
            # What else the exception carries is the whole response.
            text = str(exc.args[0] if exc.args else exc)
            if exc.retryable:
                raise failure("PF8012", f"cannot {what}:", text, "try again later") from exc
            summary = "the credentials for Google Cloud are expired or refused:"
            raise failure("PF8002", summary, text, LOGIN) from exc
        except (TransportError, OSError) as exc:
            text = f"{type(exc).__name__}: {exc}"
            raise failure("PF8012", f"cannot {what}: Google Cloud is out of reach:", text,
                          "check the network, and proxies") from exc  # fmt: skip
        except GoogleAuthError as exc:
            summary = "the credentials for Google Cloud cannot be used:"
            raise failure("PF8001", summary, str(exc.args[0] if exc.args else exc), LOGIN) from exc


def base(api: str) -> str:
    """Return the address of an API, with a slash at the end."""
    given = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}", "")
    # gcloud's own for Cloud Storage has the path, the others have not.
    given = given.rstrip("/").removesuffix("/storage/v1")
    return f"{given or f'https://{HOSTS[api]}'}/"


def _token(token: str) -> dict[str, str]:
    return {"pageToken": token} if token else {}
