"""The front door: API Gateway's HTTP APIs, and function URLs, on 127.0.0.1.

In the server's process only.
"""

from __future__ import annotations

import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends

from tests.aws_cloud.functions import Functions
from tests.aws_cloud.http_events import Answer, Request, message, payload, reply, route
from tests.aws_cloud.patches import admits
from tests.aws_cloud.world import ACCOUNT, World

#: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_BODY = 10 * 1024 * 1024


class Gateway:
    """A server for each API and each function URL, begun when somebody asks for its address."""

    def __init__(self, world: World, functions: Functions) -> None:
        self._world = world
        self._functions = functions
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._guard = threading.Lock()

    def api_url(self, name: str | None) -> str:
        """Return the address of the HTTP API with that name, id or endpoint, or of the only one."""
        found = [
            (region, api)
            for region, backend in apigatewayv2_backends[ACCOUNT].items()
            for api in backend.apis.values()
            if name in (None, api.name, api.api_id, api.api_endpoint)
        ]
        if len(found) != 1:
            raise KeyError(f"{len(found)} APIs are called {name!r}")
        region, api = found[0]
        return self._serve(f"api {region} {api.api_id}", _Api(self, region, api.api_id))

    def function_url(self, name: str) -> str:
        """Return the address of the function's URL; *name* may be the URL that AWS would give it."""
        for region, backend in lambda_backends[ACCOUNT].items():
            for function in backend.list_functions():
                found = function.url_config
                if found is not None and name in (function.function_name, found.url):
                    own = function.function_name
                    return self._serve(f"url {region} {own}", _Url(self, region, own))
        raise KeyError(f"no function {name!r} with a URL")

    def _serve(self, id: str, front: _Front) -> str:
        with self._guard:
            server = self._servers.get(id)
            if server is None:
                server = self._servers[id] = ThreadingHTTPServer(
                    ("127.0.0.1", 0), _handler(front)
                )
                server.daemon_threads = True
                threading.Thread(target=server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{server.server_address[1]}"

    def call(self, function: Any, event: dict[str, Any], reason: str) -> tuple[bool, Any]:
        """Invoke *function* and wait for its answer."""
        return self._functions.invoke(function, event, reason)

    def busy(self, what: str) -> Any:
        """Keep the world from being idle while a request is served."""
        return self._world.busy(what)

    def close(self) -> None:
        """Serve no more."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


class _Front:
    def __init__(self, gateway: Gateway, region: str) -> None:
        self.gateway = gateway
        self.region = region

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def invoke(self, function: Any, request: Request, scope: dict[str, Any], path: str) -> Answer:
        event = payload(request, scope, path)
        ok, value = self.gateway.call(function, event, f"{request.method} {path}")
        if not ok:
            return self.failed
        return reply(value) or self.failed

    failed = message(500, "Internal Server Error")


class _Api(_Front):
    def __init__(self, gateway: Gateway, region: str, id: str) -> None:
        super().__init__(gateway, region)
        self.id = id

    def answer(self, request: Request) -> Answer:
        api = apigatewayv2_backends[ACCOUNT][self.region].apis.get(self.id)
        if api is None or "$default" not in api.stages:
            return message(404, "Not Found")
        if len(request.body) > _BODY:
            return message(413, "Request Entity Too Large")
        path = unquote(request.raw_path)
        found = route(
            {r.route_key: r for r in api.routes.values()}, request.method, path
        )
        if found is None:
            return message(404, "Not Found")
        chosen, parameters = found
        if chosen.authorization_type == "AWS_IAM" and not request.signed:
            return message(403, "Forbidden")
        integration = api.integrations[chosen.target.rpartition("/")[2]]
        if (integration.integration_type, integration.payload_format_version) != ("AWS_PROXY", "2.0"):
            raise NotImplementedError(integration.integration_type)
        arn = integration.integration_uri.partition("/functions/")[2].removesuffix("/invocations")
        function = lambda_backends[ACCOUNT][self.region].get_function(arn or integration.integration_uri)
        # The source of a route's call: region, API, stage, method and path of the route's key.
        way = chosen.route_key.replace(" ", "", 1) if " " in chosen.route_key else f"/{chosen.route_key}"
        verb, _, rest = chosen.route_key.partition(" ")
        if verb == "ANY":
            way = f"*{rest}"
        source = f"arn:aws:execute-api:{self.region}:{ACCOUNT}:{self.id}/$default/{way}"
        if not admits(function, "apigateway.amazonaws.com", source):
            return self.failed
        scope = {
            "domainName": f"{self.id}.execute-api.{self.region}.amazonaws.com",
            "apiId": self.id,
            "routeKey": chosen.route_key,
            **_identity(request, chosen.authorization_type),
        }
        if parameters:
            scope["pathParameters"] = parameters
        return self.invoke(function, request, scope, path)


class _Url(_Front):
    failed = (502, [("content-type", "application/json")], b"Internal Server Error")

    def __init__(self, gateway: Gateway, region: str, name: str) -> None:
        super().__init__(gateway, region)
        self.name = name

    def answer(self, request: Request) -> Answer:
        function: Any = lambda_backends[ACCOUNT][self.region].get_function(self.name)
        kind = function.url_config.config["AuthType"]
        if kind == "AWS_IAM" and not request.signed:
            return message(403, "Forbidden")
        domain = function.url_config.url.partition("//")[2].rstrip("/")
        scope = {
            "domainName": domain,
            "apiId": domain.partition(".")[0],
            "routeKey": "$default",
            **_identity(request, kind),
        }
        return self.invoke(function, request, scope, request.raw_path)


def _identity(request: Request, kind: str | None) -> dict[str, Any]:
    if kind != "AWS_IAM":
        return {}
    caller = {
        "accessKey": request.signed,
        "accountId": ACCOUNT,
        "callerId": request.signed,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{ACCOUNT}:user/{request.signed}",
        "userId": request.signed,
    }
    return {"authorizer": {"iam": caller}}


def _handler(front: _Front) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one piece: two would cost a delayed acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
                return
            if not self.parse_request():
                return
            with front.gateway.busy(f"{self.command} {self.path}"):
                self._respond()

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = Request(self.command, self.path, self.headers.items(), body)
            try:
                status, headers, content = front.answer(request)
            except Exception as exc:
                traceback.print_exc(file=sys.stderr)
                status, headers, content = message(500, f"the local AWS failed: {exc!r}")
            self.send_response_only(status)
            dropped = ("content-length", "connection", "transfer-encoding")
            for name, value in headers:
                if name not in dropped:
                    self.send_header(name, value)
            bare = status in (204, 304) or status < 200
            if not bare:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD" and not bare:
                self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
