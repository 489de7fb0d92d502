"""The example, deployed with the command line: an order from the request to the customer.

``portafaas deploy`` makes every resource on a local AWS, where the functions run in AWS's own
runtime client under their roles; an order goes through topic, queue and table; what the roles allow
is what the handlers' real calls need; ``destroy`` leaves nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.permissions import used_permissions

SHOP = Path(__file__).parents[2] / "examples" / "shop"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
KEY = {"x-api-key": "demo-key"}
SECRET = "the-key-of-the-bank"
ORDER = {"customer": "Ada", "lines": [{"sku": "tea", "count": 2}, {"sku": "cup"}]}
#: Allowed and never called: Lambda's documentation asks for it, and here nobody calls it.
UNCALLED = {"dynamodb:ListStreams"}
#: What functions that do not fail have no use for.
UNFAILING = {
    "shop-validate": {
        ("sqs:ChangeMessageVisibility", "shop-order-events-validate"),
        ("sqs:SendMessage", "shop-order-events-validate-dead"),
    },
    "shop-notify": {
        ("sqs:ChangeMessageVisibility", "shop-order-events-notify"),
        ("sqs:SendMessage", "shop-order-events-notify-dead"),
    },
}
#: One word of ``uses`` allows what belongs together; a handler need not make every call.
WORDS = (
    {"dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:Query",
     "dynamodb:Scan"},
    {"dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
)  # fmt: skip


@dataclass
class Shop:
    """The project, and the cloud it is deployed to."""

    root: Path
    cloud: Cloud
    environ: dict[str, str]

    def __call__(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "portafaas", *arguments],
            cwd=self.root, env=self.environ, capture_output=True, text=True, check=False, input=stdin,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--format", "json", status=status))

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        from portafaas_aws.runtime.rows import row_of

        items = self.cloud.client("dynamodb").scan(TableName=f"shop-{table}")["Items"]
        rows = [row_of(item) for item in items]
        return {row.get("id") or row["sku"]: row for row in rows}

    def said(self, function: str) -> list[dict[str, Any]]:
        """Return the records that a function has logged, as ``portafaas logs`` prints them."""
        lines = self("logs", function, *AT, "--since", "1h", "--format", "json").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        records = [json.loads(text) for text in texts if text.startswith("{")]
        # Metrics are records, too, and have no message.
        return [record for record in records if "message" in record]


AT = ("--target", "aws")


@pytest.fixture(scope="module")
def shop(
    aws_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory, share_builds: Callable[[Path], None]
) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("example") / "shop"
    shutil.copytree(SHOP, root, ignore=shutil.ignore_patterns("out", ".portafaas", "__pycache__"))
    share_builds(root)
    manifest = root / "portafaas.yaml"
    text = manifest.read_text().replace('python: "3.12"', f'python: "{PYTHON}"')
    # Changes are tried again in the time of this machine.
    manifest.write_text(text.replace("{attempts: 5}", "{attempts: 5, initial: 50ms, max: 50ms}"))
    digest = hashlib.sha256(b"demo-key").hexdigest()
    environ = {**os.environ, **aws_cloud.environment, "PORTAFAAS_HTTP_KEYS": f"demo={digest}"}
    yield Shop(root, aws_cloud, environ)


@pytest.fixture(scope="module")
def deployed(shop: Shop) -> Iterator[dict[str, Any]]:
    done = shop.json("deploy", *AT, "--yes")
    shop("secrets", "set", "payment-key", *AT, stdin=SECRET)
    yield done
    shop.json("destroy", *AT, "--yes", "--data")


def test_every_resource_is_there(shop: Shop, deployed: dict[str, Any]) -> None:
    (template,) = (shop.root / "out/aws").glob("*.template.json")
    wanted = json.loads(template.read_text())["Resources"]
    status = shop.json("status", *AT)
    assert status["health"] == "ready" and status["release"] == deployed["release"]
    assert {r["resource"]: r["type"] for r in status["resources"]} == {
        name: resource["Type"] for name, resource in wanted.items()
    }
    assert {r["state"] for r in status["resources"]} == {"CREATE_COMPLETE"}
    # The services themselves know them, too.
    functions = shop.cloud.client("lambda").list_functions()["Functions"]
    assert sum(f["FunctionName"].startswith("shop-") for f in functions) == 9
    assert shop.json("drift", *AT) == []
    assert deployed["permissions"] and all(line.startswith("+ ") for line in deployed["permissions"])
    assert [note["code"] for note in deployed["notes"]] == ["PF8011"]


def test_an_order_goes_all_the_way(shop: Shop, deployed: dict[str, Any]) -> None:
    cloud = shop.cloud
    base = shop.json("status", *AT)["outputs"]["create-order"].removesuffix("/orders")
    base = cloud.url(base)
    cloud.idle()
    cloud.forget()
    assert cloud.request("POST", "/orders", ORDER, base=base).status == 401
    answer = cloud.request(
        "POST", "/orders", ORDER, {**KEY, "idempotency-key": "1", "x-correlation-id": "order-one"},
        base=base,
    )  # fmt: skip
    assert answer.status == 201
    name = answer.json()["id"]
    cloud.idle()

    found = cloud.request("GET", f"/orders/{name}", None, KEY, base=base)
    assert found.status == 200 and found.json()["state"] == "paid"
    assert cloud.request("GET", "/orders/nothing", None, KEY, base=base).status == 404
    stock = shop.rows("stock")
    assert {key: row["change"] for key, row in stock.items()} == {
        f"tea/{name}": -2, f"cup/{name}": -1,
    }  # fmt: skip
    # All who had a part in it say so, with one correlation id and in one trace.
    records = {
        function: [r for r in shop.said(function) if name in r["message"]]
        for function in ("create-order", "validate", "charge", "notify")
    }
    assert all(records.values()), records
    every = [record for part in records.values() for record in part]
    assert {record["correlation_id"] for record in every} == {"order-one"}
    assert len({record["trace_id"] for record in every}) == 1

    # The same order once more is the same order.
    again = cloud.request(
        "POST", "/orders", ORDER, {**KEY, "idempotency-key": "1"}, base=base
    )  # fmt: skip
    cloud.idle()
    assert (again.status, again.json()["id"]) == (201, name)
    assert shop.rows("stock") == stock and list(shop.rows("orders")) == [name]

    # What nobody would pay for is refused, and taken from no stock.
    many = {"customer": "Bob", "lines": [{"sku": "pot", "count": 100}]}
    large = cloud.request("POST", "/orders", many, KEY, base=base).json()["id"]
    cloud.idle()
    assert shop.rows("orders")[large]["state"] == "refused"
    assert shop.rows("stock") == stock
    assert any("refused" in record["message"] for record in shop.said("notify"))


def test_everything_else_runs_too(shop: Shop, deployed: dict[str, Any]) -> None:
    cloud = shop.cloud
    sale = json.dumps({"id": "sale-1", **ORDER})
    queue = cloud.client("sqs").get_queue_url(QueueName="shop-sale-day.fifo")["QueueUrl"]
    cloud.client("sqs").send_message(
        QueueUrl=queue, MessageBody=sale, MessageGroupId="Ada", MessageDeduplicationId="1"
    )
    (bucket,) = [b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"] if b["Name"].startswith("shop-uploads")]
    cloud.client("s3").put_object(Bucket=bucket, Key="catalog/spring 26.csv", Body=b"sku,count\npot,20\n")
    cloud.fire("shop-daily-report", "2026-11-23T05:00:00Z")
    cloud.idle()
    assert shop.rows("orders")["sale-1"]["state"] == "paid"
    assert shop.rows("stock")["pot"]["change"] == 20
    (report,) = [r for r in shop.said("daily-report") if "report of" in r["message"]]
    assert report["orders"]["paid"] >= 1
    # An object that has gone since is no failure.
    late = shop("events", "generate", "import-catalog", *AT)
    cloud.client("lambda").invoke(FunctionName="shop-import-catalog", Payload=late)
    assert any("no longer there" in record["message"] for record in shop.said("import-catalog"))
    # What cannot be done is repeated, then kept where somebody finds it.
    broken = {"id": {"S": "broken"}, "state": {"S": "paid"}}
    cloud.client("dynamodb").put_item(TableName="shop-orders", Item=broken)
    cloud.client("s3").put_object(Bucket=bucket, Key="catalog/broken.csv", Body=b"a,b\n1,2\n")
    cloud.idle()
    cloud.fire("shop-daily-report", "2026-11-24T05:00:00Z")
    cloud.idle()
    cloud.client("dynamodb").delete_item(TableName="shop-orders", Key={"id": broken["id"]})
    for function in ("inventory", "import-catalog", "daily-report"):
        assert len(cloud.messages(f"shop-{function}-failed")) == 1, function
    payments = cloud.client("sqs").get_queue_url(QueueName="shop-payments")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=payments, MessageBody="no order")
    cloud.client("sqs").send_message(
        QueueUrl=queue, MessageBody="{}", MessageGroupId="Ada", MessageDeduplicationId="2"
    )
    cloud.idle()
    assert cloud.messages("shop-payments-dead") == ["no order"]
    assert cloud.messages("shop-sale-day-dead.fifo") == ["{}"]


def test_dead_letters_by_the_command_line(shop: Shop, deployed: dict[str, Any]) -> None:
    cloud = shop.cloud
    payments = cloud.client("sqs").get_queue_url(QueueName="shop-payments")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=payments, MessageBody="no order")
    cloud.idle()
    boxes = {box["name"]: box["count"] for box in shop.json("dlq", "list", *AT)}
    assert boxes == {
        "payments": 1, "sale-day": 0, "validate": 0, "notify": 0, "inventory": 0,
        "import-catalog": 0, "daily-report": 0,
    }  # fmt: skip
    (letter,) = shop.json("dlq", "list", "payments", *AT)
    assert (letter["reason"], letter["attempts"], letter["function"]) == ("attempts", 5, "charge")
    assert "no order" in shop("dlq", "show", "payments", letter["id"], *AT)
    # Nobody has mended anything: it is a letter again, once, and the same one.
    told = shop.json("dlq", "redrive", "payments", "--all", *AT)
    assert told == {"box": "payments", "moved": 1, "failed": []}
    cloud.idle()
    (again,) = shop.json("dlq", "list", "payments", *AT)
    assert (again["id"], again["body"]) == (letter["id"], letter["body"])
    assert again["time"] > letter["time"]
    shop("dlq", "purge", "payments", letter["id"], "--yes", *AT)
    assert cloud.messages("shop-payments-dead") == []


def test_the_secret_is_nowhere_but_in_its_store(shop: Shop, deployed: dict[str, Any]) -> None:
    assert shop.cloud.client("secretsmanager").get_secret_value(SecretId="shop-payment-key")["SecretString"] == SECRET
    written = [file.read_bytes() for file in shop.root.rglob("*") if file.is_file()]
    logged = shop("logs", *AT, "--since", "1h").encode()
    functions = json.dumps(shop.cloud.client("lambda").list_functions(), default=str).encode()
    told = json.dumps([shop.json("diff", *AT), shop.json("status", *AT), shop.json("history", *AT)]).encode()
    bucket = next(b["Name"] for b in shop.cloud.client("s3").list_buckets()["Buckets"] if "portafaas" in b["Name"])
    kept = shop.cloud.client("s3")
    stored = [kept.get_object(Bucket=bucket, Key=o["Key"])["Body"].read() for o in kept.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(stored) >= 3
    for text in [*written, logged, functions, told, *stored]:
        assert SECRET.encode() not in text


def test_roles_allow_what_handlers_do_and_no_more(shop: Shop, deployed: dict[str, Any]) -> None:
    """Of the calls that the tests above have really made, each under its function's role."""
    used = used_permissions(
        {name: calls for name, calls in shop.cloud.all_calls.items() if name.startswith("shop-")}
    )
    functions = [f"shop-{name}" for name in (
        "create-order", "get-order", "validate", "charge", "sale", "inventory", "notify",
        "import-catalog", "daily-report",
    )]  # fmt: skip
    assert set(functions) <= set(used)
    for name in functions:
        policy = shop.cloud.policy(name)
        assert [p for p in used[name] if not policy.allows(p)] == [], name
        left = policy.unused(used[name])
        called = {(g.action, g.resource) for g in policy.grants if g not in left}
        for action, resource in UNFAILING.get(name, ()):
            (grant,) = [g for g in left if g.action == action and g.resource.endswith(f":{resource}")]
            called.add((action, grant.resource))
            left.remove(grant)
        for grant in left:
            word = next((word for word in WORDS if grant.action in word), set())
            same = {(action, grant.resource) for action in word} & called
            assert same or grant.action in UNCALLED, f"{name} may {grant.action}, and never does"
        # And no resource is granted that was not really used.
        assert {grant.resource for grant in policy.grants} == {resource for _, resource in called}


def test_an_update_a_roll_forward_and_a_way_back(shop: Shop, deployed: dict[str, Any]) -> None:
    manifest = shop.root / "portafaas.yaml"
    text = manifest.read_text()
    before = shop.json("status", *AT)["release"]
    try:
        manifest.write_text(text.replace("value: 100000", "value: 1"))
        diff = shop.json("diff", *AT, "--exit-code", status=3)
        assert diff["permissions"] == []
        assert {c["type"] for c in diff["changes"]} == {"AWS::Lambda::Function"}
        after = shop.json("deploy", *AT, "--yes")["release"]
        base = shop.cloud.url(shop.json("status", *AT)["outputs"]["create-order"].removesuffix("/orders"))
        name = shop.cloud.request("POST", "/orders", ORDER, KEY, base=base).json()["id"]
        shop.cloud.idle()
        assert shop.rows("orders")[name]["state"] == "refused"

        shop.json("rollback", *AT, "--yes")
        assert shop.json("status", *AT)["release"] == before
        name = shop.cloud.request("POST", "/orders", ORDER, KEY, base=base).json()["id"]
        shop.cloud.idle()
        assert shop.rows("orders")[name]["state"] == "paid"
        assert [(r["action"], r["outcome"]) for r in shop.json("history", *AT)][:2] == [
            ("rollback", "succeeded"), ("deploy", "succeeded"),
        ]  # fmt: skip
        # Forward again, to the release of a minute ago.
        shop.json("rollback", after[7:19], *AT, "--yes")
        assert shop.json("status", *AT)["release"] == after
    finally:
        manifest.write_text(text)
        shop.json("deploy", *AT, "--yes")


def test_destroy_leaves_nothing(shop: Shop, deployed: dict[str, Any]) -> None:
    cloud = shop.cloud
    cloud.idle()
    kept = shop.json("destroy", *AT, "--yes")["kept"]
    assert {item["type"] for item in kept} == {
        "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret",
    }  # fmt: skip
    assert shop.rows("orders"), "data stays"
    assert shop.json("status", *AT, status=1)["health"] == "absent"
    # It comes back with the data it had.
    assert shop.json("deploy", *AT, "--yes")["status"]["health"] == "ready"
    assert shop.rows("orders")
    shop.json("destroy", *AT, "--yes", "--data")
    left = {
        "functions": [f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]],
        "roles": [r["RoleName"] for r in cloud.client("iam").list_roles()["Roles"]],
        "queues": cloud.client("sqs").list_queues().get("QueueUrls", []),
        "topics": [t["TopicArn"] for t in cloud.client("sns").list_topics()["Topics"]],
        "tables": cloud.client("dynamodb").list_tables()["TableNames"],
        "buckets": [b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"]],
        "secrets": [s["Name"] for s in cloud.client("secretsmanager").list_secrets()["SecretList"]],
        "schedules": [s["Name"] for s in cloud.client("scheduler").list_schedules()["Schedules"]],
        "logs": [g["logGroupName"] for g in cloud.client("logs").describe_log_groups()["logGroups"]],
        "alarms": [a["AlarmName"] for a in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "apis": [a["Name"] for a in cloud.client("apigatewayv2").get_apis()["Items"]],
        "mappings": [m["EventSourceArn"] for m in cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]],
        "stacks": [s["StackName"] for s in cloud.client("cloudformation").describe_stacks()["Stacks"]],
    }  # fmt: skip
    ours = {kind: [name for name in names if "shop" in name] for kind, names in left.items()}
    assert {kind: names for kind, names in ours.items() if names} == {}
    # For the fixture's own removal.
    shop.json("deploy", *AT, "--yes")
