"""A small service with something of everything, run by ``portafaas dev``'s own server."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from portafaas.dev.logs import Console
from portafaas.dev.service import Dev

MANIFEST = """\
portafaas: 1
name: kiosk
python: "3.12"
functions:
  order:
    handler: kiosk:order
    trigger: {http: {method: POST, path: /orders}}
    uses: [{send: payments}, {publish: news}, {write: orders}, {write: papers}]
    emits: [kiosk.ordered]
  fetch: {handler: "kiosk:fetch", trigger: {http: {path: "/orders/{id}"}}, uses: [{read: orders}]}
  pay:
    handler: kiosk:pay
    trigger: {queue: {name: payments}}
    retry: {attempts: 2, backoff: fixed, initial: 60s, jitter: false}
    uses: [{read: till-key}]
  tell: {handler: "kiosk:tell", trigger: {topic: {name: news, filter: {type: [kiosk.ordered]}}}}
  file: {handler: "kiosk:note", trigger: {object: {bucket: papers, prefix: in/}}}
  watch: {handler: "kiosk:note", trigger: {table: {name: orders}}}
  nightly: {handler: "kiosk:note", trigger: {schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}}}
  wrap: {handler: "kiosk:wrap", trigger: {task: {}}}
queues:
  payments: {dead-letter: true, schema: {type: object, properties: {order: {type: string, examples: [A-1]}}}}
  idle: {}
topics: {news: {}}
events:
  kiosk.ordered: {schema: {type: object, required: [id], properties: {id: {type: string}, cents: {type: integer, minimum: 5}}}}
tables: {orders: {key: id}}
buckets: {papers: {}}
secrets: {till-key: {}, spare-key: {}}
workflows:
  delivery:
    input: {type: object, required: [id], properties: {id: {type: string}}}
    steps:
      wrap: {task: wrap, result: $.wrapped}
      ask: {wait: {signal: handed-over, timeout: 2d}, result: $.answer}
      done: {succeed: true}
"""
#: What tries to become markup, or to hide itself.
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\x1b[31m\x00\u202eevil"
HANDLERS = '''\
from portafaas.runtime import Response


def order(request, context):
    order = request.json()
    context.logger.info("order %s", order["id"], extra={"cents": 450})
    context.tables["orders"].put({**order, "lines": [{"sku": "tea"}]})
    context.buckets["papers"].write("in/" + order["id"] + ".txt", order.get("text", "hello").encode(),
                                    content_type="text/plain")
    context.queues["payments"].send({"order": order["id"], "text": order.get("text", "")})
    context.topics["news"].publish({"id": order["id"]}, type="kiosk.ordered", subject=order["id"])
    return Response.json(order, 201)


def fetch(request, context):
    found = context.tables["orders"].get(request.path_params["id"])
    if found is None:
        raise RuntimeError("no such order: " + request.path_params["id"])
    return found


def pay(message, context):
    body = message.json()
    if body.get("text"):
        raise ValueError("cannot pay " + body["text"])
    context.logger.warning("paid %s", body.get("order"))


def tell(event, context):
    print("told", event.subject)


def note(event, context):
    context.logger.info("noted %s", event.id)


def wrap(task, context):
    return {"paper": "brown"}
'''
NIGHTS = json.dumps({"schedule": {"time": "2026-11-23T02:00:00.000Z"}})


class Running:
    """The service, and a client of its API."""

    def __init__(self, dev: Dev) -> None:
        self.dev = dev

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of a request below ``/_portafaas/``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.dev.port, timeout=60)
        sent = {} if body is None else {"content-type": "application/json"}
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, f"/_portafaas/{path}", data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def get(self, path: str, status: int = 200) -> Any:
        """Return what ``api/<path>`` answers."""
        got, _, body = self.ask("GET", f"api/{path}")
        assert got == status, (path, got, body[:500])
        return json.loads(body)

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        """Have ``api/<path>`` do something."""
        got, _, answer = self.ask("POST", f"api/{path}", body)
        assert got == status, (path, got, answer[:500])
        return json.loads(answer)

    def until(self, what: Callable[[], Any], seconds: float = 60) -> Any:
        """Return the first true value of *what*."""
        end = monotonic() + seconds
        while not (found := what()):
            assert monotonic() < end, "it did not come"
            sleep(0.05)
        return found

    def order(self, id: str, text: str = "") -> Any:
        """Have an order placed by way of the API; return what came of it."""
        http = {"method": "POST", "path": "/orders", "headers": {"content-type": "application/json"},
                "body": {"id": id, **({"text": text} if text else {})}}  # fmt: skip
        return self.post("functions/order/invoke", {"event": {"http": http}})


@contextmanager
def running(root: Path) -> Iterator[Running]:
    """Run the service in *root*, with a clock that stands still."""
    (root / "portafaas.yaml").write_text(MANIFEST)
    (root / "kiosk.py").write_text(HANDLERS)
    (root / "events").mkdir()
    (root / "events" / "nightly.json").write_text(NIGHTS)
    secret = root / ".portafaas" / "secrets" / "-" / "till-key"
    secret.parent.mkdir(parents=True)
    secret.write_text("s3cr3t-v4lue")
    console = Console(io.StringIO())
    with Dev(
        root / "portafaas.yaml", port=0, clock="virtual", reload=False, console=console
    ) as dev:
        yield Running(dev)


def busy(service: Running) -> None:
    """Have some of everything happen: orders, dead letters, a run that waits."""
    service.order("a1")
    service.order("hostile", HOSTILE)
    service.post("workflows/delivery/start", {"input": {"id": "a1"}})
    service.until(lambda: service.get("boxes/queue%2Fpayments/messages")["messages"])
    service.until(lambda: [r for r in service.get("runs")["runs"] if r["waiting"]])
    # The second attempt of the payment that fails.
    service.post("clock", {"seconds": 61})
    service.until(lambda: service.get("boxes/queue%2Fpayments/letters")["total"])
    service.dev.activity.flush()
