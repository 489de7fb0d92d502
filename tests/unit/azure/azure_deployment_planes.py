"""What is beside Resource Manager: tokens, deployment sites, a vault, a store of blobs, logs.

A plane answers ``(status, body, headers)``; ``body`` is bytes, text, or JSON values.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ARM = "https://management.azure.com"


def token(audience: str, **claims: Any) -> str:
    """Return an unsigned token."""
    now = int(time.time())
    times = {"iss": "https://sts.windows.net/tenant/", "iat": now, "nbf": now, "exp": now + 3600}
    parts = ({"alg": "none"}, {"aud": audience, **times, **claims})
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return f"{coded[0]}.{coded[1]}.none"


def audience(header: str) -> str:
    """Return whom a request's token is for."""
    try:
        part = header.removeprefix("Bearer ").split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["aud"])
    except (IndexError, ValueError, KeyError):
        return ""


def error(code: str, message: str = "", **more: Any) -> dict[str, Any]:
    """Return an error as Resource Manager writes it."""
    return {"error": {"code": code, "message": message or code, **more}}


class Planes:
    """The state and the answers of everything but Resource Manager."""

    def __init__(self) -> None:
        self.root = ""
        #: "" issues tokens; else (status, body) of what refuses.
        self.identity: Any = ""
        self.claims: dict[str, Any] = {"upn": "ada@example.com", "oid": "0000-ada"}
        # Deployment sites: what each app got, by app name.
        self.published: dict[str, list[bytes]] = {}
        #: Answers to the next publications of any app, before they work.
        self.refusals: list[tuple[int, str]] = []
        #: Final status and message of the deployments of an app.
        self.outcomes: dict[str, tuple[int, str]] = {}
        self.polls: dict[str, int] = {}
        # The vault.
        self.secrets: dict[str, list[dict[str, Any]]] = {}
        self.deleted: dict[str, list[dict[str, Any]]] = {}
        self.recovery = "Recoverable+ProtectedSubscription"
        self.vault_denied = False
        # The store.
        self.blobs: dict[str, bytes] = {}
        self.has_container = False
        self.blob_denials = 0
        # Logs: (time, app, text, id).
        self.rows: list[tuple[str, str, str, str]] = []
        self.queries: list[str] = []
        self.late: list[list[tuple[str, str, str, str]]] = []

    def issue(self, url: str, headers: Any) -> Any:
        """Answer as App Service's managed identity does."""
        if headers.get("X-IDENTITY-HEADER") != "header":
            return 401, {"statusCode": 401, "message": "no header"}, {}
        if self.identity:
            return *self.identity, {}
        resource = parse_qs(urlsplit(url).query)["resource"][0]
        made = {
            "access_token": token(resource, **self.claims), "resource": resource,
            "expires_on": str(int(time.time()) + 86400), "token_type": "Bearer",
        }  # fmt: skip
        return 200, made, {}

    def kudu(self, app: str, method: str, url: str, headers: Any, body: bytes) -> Any:
        """Answer as the deployment site of *app*."""
        if audience(headers.get("Authorization", "")) != ARM:
            return 401, "", {}
        path = urlsplit(url).path
        if method == "POST" and path == "/api/publish":
            wanted = ("application/zip", ["false"])
            asked = parse_qs(urlsplit(url).query).get("RemoteBuild")
            if (headers.get("Content-Type"), asked) != wanted:
                return 415, "Unsupported", {}
            if self.refusals:
                return *self.refusals.pop(0), {}
            self.published.setdefault(app, []).append(body)
            self.polls[app] = 0
            return 202, json.dumps(f"id-{len(self.published[app])}"), {}
        if path == f"/api/deployments/id-{len(self.published.get(app, ()))}":
            self.polls[app] += 1
            if self.polls[app] == 1:
                return 404, "", {}
            final, text = self.outcomes.get(app, (4, ""))
            status = 2 if self.polls[app] == 2 else final
            return 200, {"status": status, "status_text": text, "complete": status != 2}, {}
        if path.endswith("/log"):
            return 200, [{"message": "Starting"}, {"message": "the zip has no host.json"}], {}
        return 404, "", {}

    def vault(self, method: str, url: str, headers: Any, body: Any) -> Any:
        """Answer as Key Vault's data plane."""
        if audience(headers.get("Authorization", "")) != "https://vault.azure.net":
            return 401, error("Unauthorized"), {}
        if self.vault_denied:
            return 403, error("Forbidden", "Caller is not authorized"), {}
        parts = urlsplit(url).path.removeprefix("/vault/").split("/")
        where = {"secrets": self.secrets, "deletedsecrets": self.deleted}[parts[0]]
        if len(parts) == 1:
            names = sorted(where)
            skip = int(parse_qs(urlsplit(url).query).get("skip", ["0"])[0])
            page = [self._secret(name, where[name][-1]) for name in names[skip : skip + 1]]
            more = f"{self.root}/vault/secrets?api-version=7.4&skip={skip + 1}"
            return 200, {"value": page, "nextLink": more if skip + 1 < len(names) else None}, {}
        name = parts[1]
        if method == "PUT":
            if name in self.deleted:
                inner = {"code": "ObjectIsDeletedButRecoverable"}
                return 409, error("Conflict", "deleted but recoverable", innererror=inner), {}
            enabled = body.get("attributes", {}).get("enabled", True)
            self.put_secret(name, body["value"], enabled)
            return 200, self._secret(name, self.secrets[name][-1]), {}
        if name not in where:
            return 404, error("SecretNotFound", f"no secret {name}"), {}
        if method == "POST":  # recover
            self.secrets[name] = self.deleted.pop(name)
            return 200, self._secret(name, self.secrets[name][-1]), {}
        if method == "DELETE" and where is self.secrets:
            self.deleted[name] = self.secrets.pop(name)
            return 200, self._secret(name, self.deleted[name][-1]), {}
        if method == "DELETE":
            self.deleted.pop(name)
            return 204, b"", {}
        return 200, self._secret(name, where[name][-1]), {}

    def put_secret(self, name: str, value: str, enabled: bool) -> None:
        """Add a version."""
        made = {"value": value, "enabled": enabled, "updated": 1_700_000_000}
        self.secrets.setdefault(name, []).append(made)

    def _secret(self, name: str, version: dict[str, Any]) -> dict[str, Any]:
        attributes = {"enabled": version["enabled"], "updated": version["updated"],
                      "recoveryLevel": self.recovery}  # fmt: skip
        return {"id": f"https://v.vault.azure.net/secrets/{name}", "attributes": attributes}

    def blob(self, method: str, url: str, headers: Any, body: bytes) -> Any:
        """Answer as the container ``portafaas`` of a storage account."""
        if audience(headers.get("Authorization", "")).rstrip("/") != "https://storage.azure.com":
            return 401, "", {"x-ms-error-code": "NoAuthenticationInformation"}
        if self.blob_denials:
            self.blob_denials -= 1
            return 403, "", {"x-ms-error-code": "AuthorizationPermissionMismatch"}
        if not self.has_container:
            return 404, "", {"x-ms-error-code": "ContainerNotFound"}
        parts = urlsplit(url)
        key = unquote(parts.path).removeprefix("/blobs/portafaas").lstrip("/")
        facts = {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        if "comp=list" in parts.query:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            found = "".join(
                f"<Blob><Name>{escape(name)}</Name><Properties/></Blob>"
                for name in sorted(self.blobs) if name.startswith(prefix)
            )  # fmt: skip
            head = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>'
            end = "</Blobs><NextMarker/></EnumerationResults>"
            return 200, head + found + end, {"Content-Type": "application/xml"}
        if method == "PUT":
            self.blobs[key] = body
            return 201, b"", facts
        if key not in self.blobs:
            return 404, "", {"x-ms-error-code": "BlobNotFound"}
        if method == "DELETE":
            del self.blobs[key]
            return 202, b"", {}
        content = self.blobs[key]
        whole = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}",
                 "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}  # fmt: skip
        return 206, content, {**facts, **whole}

    def query(self, headers: Any, body: Any) -> Any:
        """Answer as Log Analytics."""
        if audience(headers.get("Authorization", "")) != self.root:
            return 401, error("InvalidTokenError"), {}
        self.queries.append(body["query"])
        if self.late:
            self.rows += self.late.pop(0)
        names = ["TimeGenerated", "AppRoleName", "Text", "_ItemId"]
        rows = [list(row) for row in sorted(self.rows) if f"'{row[1].lower()}'" in body["query"]]
        columns = [{"name": name, "type": "string"} for name in names]
        table = {"name": "PrimaryResult", "columns": columns, "rows": rows}
        return 200, {"tables": [table]}, {}


def certify(path: Path) -> str:
    """Write a certificate of 127.0.0.1 with its key; return the file's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    return str(path)


class Server:
    """One HTTP server; *answer* gets method, URL, headers and body. TLS with *certificate*."""

    def __init__(self, answer: Any, certificate: str = "") -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else the client's delayed ACK costs 40 ms an answer.
            wbufsize, disable_nagle_algorithm = -1, True

            def _do(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, body, headers = answer(
                    self.command, self.path, self.headers, self.rfile.read(size)
                )
                if isinstance(body, str):
                    body = body.encode()
                if not isinstance(body, bytes):
                    body, headers = json.dumps(body).encode(), {
                        "Content-Type": "application/json", **headers,
                    }  # fmt: skip
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
