"""The back ends of the suite: what stands in for a platform, behind the platform's real SDK.

Another part of the suite takes a back end by the fixture ``backend``, starts what it needs with a
``cached_property`` like those below, adds variables to ``environment`` and module globals to
``state``, and makes its resources with a method that returns an address.

Where an emulator is not like its platform:

- moto: see the tests that name it.
- Cosmos DB (npm ``@vercel/cosmosdb-server``): ``cosmos.cjs`` repairs what a test needs. No item
  expires by itself, there are no consistency levels, strings are ordered by UTF-16, and roles are
  not looked at.
- Azurite: takes any token, and not the version in which the SDK signs URLs.
- Firestore's emulator: needs no indexes and deletes nothing that has expired.
- gcp-storage-emulator: ``gcs`` repairs what a test needs. Types of content lose their parameters.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import threading
import time
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.behaviour import emulators

_numbers = itertools.count(1)


def fresh(kind: str) -> str:
    """Return a name that no test has used."""
    return f"{kind}{next(_numbers)}x{os.getpid()}"


class Backend:
    """What is common to all; ``close`` stops what was started."""

    target = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: list[Any] = []

    def environment(self) -> dict[str, str]:
        """Return variables that lead the driver here."""
        return {}

    def state(self) -> list[tuple[Any, str, Any]]:
        """Return (module, global, value): the clients that tests of this back end share."""
        return []

    def messaging(self) -> tuple[dict[str, str], list[tuple[Any, str, Any]]]:
        """Start the broker; return what ``environment`` and ``state`` would say of it."""
        return {}, []

    def serve(self, words: list[str], port: int, host: str = "127.0.0.1") -> emulators.Server:
        """Start a server that ends with the back end."""
        server = emulators.Server(words, port, self.folder, host)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop what was started."""
        for server in reversed(self._servers):
            server.close()

    def table(self, key: str = "id", sort: str = "", ttl: str = "") -> str:
        """Make an empty table and return its address."""
        raise NotImplementedError

    def bucket(self) -> str:
        """Make an empty bucket and return its address."""
        raise NotImplementedError


class Local(Backend):
    """SQLite, as on a developer's machine."""

    target = "local"

    def table(self, key: str = "id", sort: str = "", ttl: str = "") -> str:
        return str(self.folder / "table" / fresh("t"))

    def bucket(self) -> str:
        return str(self.folder / "bucket" / fresh("b"))


@cache
def _one_write_at_a_time() -> None:
    """Have moto check a condition and write as one, as DynamoDB does: its threads race."""
    from moto.dynamodb.models import DynamoDBBackend

    guard = threading.RLock()

    def guarded(write: Any) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            with guard:
                return write(*given, **more)

        return call

    for name in ("put_item", "update_item", "delete_item", "transact_write_items"):
        setattr(DynamoDBBackend, name, guarded(getattr(DynamoDBBackend, name)))


class Aws(Backend):
    """moto, behind boto3."""

    target = "aws"
    region = "eu-west-1"

    @cached_property
    def endpoint(self) -> str:
        """Address of the server."""
        from logging import WARNING, getLogger

        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

        getLogger("werkzeug").setLevel(WARNING)
        _one_write_at_a_time()
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self._servers.append(_Closing(server.stop))
        host, port = server.get_host_and_port()
        return f"http://{host}:{port}"

    @cached_property
    def clients(self) -> dict[str, Any]:
        """The driver's clients, by service."""
        return {}

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def state(self) -> list[tuple[Any, str, Any]]:
        from portafaas_aws.runtime import calls

        return [(calls, "_clients", self.clients)]

    def table(self, key: str = "id", sort: str = "", ttl: str = "") -> str:
        from portafaas_aws.runtime.calls import client

        name = fresh("table")
        keys = [each for each in (key, sort) if each]
        client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": kind}
                for k, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
        return name

    def bucket(self) -> str:
        from portafaas_aws.runtime.calls import client

        name = fresh("bucket")
        client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.region}
        )
        return name


class Azure(Backend):
    """Cosmos DB of npm behind azure-cosmos, Azurite behind azure-storage-blob."""

    target = "azure"

    @cached_property
    def tokens(self) -> dict[str, Any]:
        """Tokens of the identity, which nobody looks at."""
        from portafaas_azure.runtime.identity import Token

        now = int(time.time())
        facts = {
            "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/t/",
            "nbf": now - 60, "iat": now - 60, "exp": now + 36000, "oid": "o", "tid": "t",
        }  # fmt: skip
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, facts)]
        text = ".".join(
            base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"s"]
        )
        token = Token(text, now + 36000)
        audiences = (
            "https://storage.azure.com", "https://localhost", "https://servicebus.azure.net/"
        )  # fmt: skip
        return dict.fromkeys(audiences, token)

    @cached_property
    def _service_bus(self) -> Any:
        import pytest

        pytest.importorskip("proton")
        from azure.servicebus._pyamqp.client import AMQPClient

        from tests.behaviour.messaging import ServiceBus

        # Its thread, which sleeps for seconds, is waited for when a link is closed.
        client: Any = AMQPClient
        before = client._keep_alive
        client._keep_alive = lambda self: None
        made = ServiceBus()
        self._servers += [_Closing(lambda: setattr(client, "_keep_alive", before)), made]
        return made

    def messaging(self) -> tuple[dict[str, str], list[tuple[Any, str, Any]]]:
        from portafaas_azure.runtime import sender

        assert self.bus is not None
        patience = {"retry_total": 1, "retry_backoff_factor": 0.05, "retry_backoff_max": 1}
        return {}, [(sender, "PATIENCE", patience)]

    @property
    def bus(self) -> Any:
        """The Service Bus namespace."""
        return self._service_bus.peer

    @property
    def worker(self) -> Any:
        """The loop of the functions' worker."""
        return self._service_bus.loop

    @cached_property
    def cosmos(self) -> str:
        """Address of the account, with database ``shop``."""
        import shutil

        command = Path(emulators.npm("cosmosdb-server")).resolve()
        home = next(each for each in command.parents if (each / "package.json").exists())
        fixes = Path(__file__).with_name("cosmos.cjs")
        port = emulators.free_port()
        node = str(shutil.which("node"))
        self.serve([node, str(fixes), str(home), "-p", str(port)], port, "localhost")
        from azure.cosmos import CosmosClient

        from portafaas_azure.runtime.identity import credential

        endpoint = f"https://localhost:{port}"
        client = CosmosClient(endpoint, credential())
        client.create_database("shop")
        self._servers.append(_Closing(lambda: client.__exit__(None, None, None)))
        self.account = client
        self._servers.append(_Closing(self._close_clients))
        return endpoint

    @cached_property
    def certificate(self) -> str:
        """Path of the storage's key and certificate."""
        return emulators.certificate(self.folder / "tls.pem")

    @cached_property
    def storage(self) -> str:
        """Address of the storage account, which takes tokens through TLS only."""
        running = emulators.azurite(self.folder, self.certificate)
        address = running.__enter__()
        self._servers.append(_Closing(lambda: running.__exit__(None, None, None)))
        return address

    @cached_property
    def clients(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The driver's clients and tables of Cosmos DB, and its containers."""
        return {}, {}, {}

    def _close_clients(self) -> None:
        for client in self.clients[0].values():
            client.__exit__(None, None, None)
        for container in self.clients[2].values():
            container.close()

    def environment(self) -> dict[str, str]:
        return {"REQUESTS_CA_BUNDLE": self.certificate}

    def state(self) -> list[tuple[Any, str, Any]]:
        from portafaas_azure.runtime import blobs, identity, rows

        return [
            (identity, "_tokens", self.tokens),
            (rows, "_clients", self.clients[0]),
            (rows, "_tables", self.clients[1]),
            (blobs, "_containers", self.clients[2]),
            (blobs, "_keys", {}),
        ]

    def table(self, key: str = "id", sort: str = "", ttl: str = "") -> str:
        from azure.cosmos import PartitionKey

        endpoint, name = self.cosmos, fresh("table")
        unique = {"uniqueKeys": [{"paths": [f"/{sort}"]}]} if sort else None
        self.account.get_database_client("shop").create_container(
            name, PartitionKey(f"/{key}"), unique_key_policy=unique
        )
        return f"{endpoint}/dbs/shop/colls/{name}"

    def bucket(self) -> str:
        from portafaas_azure.runtime import blobs

        address = f"{self.storage}/{fresh('bucket')}"
        blobs.container(address).create_container()
        return address


class Gcp(Backend):
    """Firestore's emulator and gcp-storage-emulator, behind Google's SDKs."""

    target = "gcp"

    @cached_property
    def firestore(self) -> str:
        """Host and port of Firestore."""
        place = emulators.jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")
        port = emulators.free_port()
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        self.serve(["java", "-cp", place, main, "--host=127.0.0.1", f"--port={port}"], port)
        return f"127.0.0.1:{port}"

    @cached_property
    def storage(self) -> Any:
        """The storage's server."""
        import pytest

        server = pytest.importorskip("gcp_storage_emulator.server")
        from tests.behaviour.gcs import repaired

        before = server.HANDLERS
        server.HANDLERS = repaired(before)
        self._servers.append(_Closing(lambda: setattr(server, "HANDLERS", before)))
        port = emulators.free_port()
        made = server.create_server("127.0.0.1", port, in_memory=True)
        made.start()
        self._servers.append(_Closing(made.stop))
        self.storage_address = f"http://127.0.0.1:{port}"
        return made

    @cached_property
    def pubsub(self) -> Any:
        """Pub/Sub's emulator."""
        import pytest

        from tests.gcp_cloud.emulator import PubSub, jar

        path, why = jar()
        if not path:
            pytest.skip(why)
        made = PubSub(path, self.folder)
        self._servers.append(_Closing(made.stop))
        return made

    @cached_property
    def tasks(self) -> Any:
        """Cloud Tasks and the metadata server; what is refused is in ``forbidden``."""
        from tests.gcp_cloud.peers import Peers

        self.forbidden: set[str] = set()
        made = Peers(lambda account, role, on: role not in self.forbidden, lambda name: None, 1.0)
        self._servers.append(_Closing(made.stop))
        return made

    def messaging(self) -> tuple[dict[str, str], list[tuple[Any, str, Any]]]:
        from portafaas_gcp.runtime import publisher, rest

        account = "taker@portafaas.iam.gserviceaccount.com"
        self.tasks.tasks.clear()
        return {
            "PUBSUB_EMULATOR_HOST": self.pubsub.host,
            "GCE_METADATA_HOST": f"{self.tasks.host}/of/{account}",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://{self.tasks.host}/",
            "PORTAFAAS_TASKS": "projects/portafaas/locations/europe-west1/queues/shop--tasks",
            "PORTAFAAS_TASKS_ACCOUNT": account,
        }, [(publisher, "_client", self.publisher), (rest, "_token", None)]

    @cached_property
    def publisher(self) -> Any:
        """The driver's own client of Pub/Sub, made where the emulator is known."""
        from unittest import mock

        from portafaas_gcp.runtime import publisher

        with mock.patch.dict(os.environ, {"PUBSUB_EMULATOR_HOST": self.pubsub.host}), mock.patch(
            "portafaas_gcp.runtime.publisher._client", None
        ):
            made = publisher.client()
        self._servers.append(_Closing(made.transport.close))
        return made

    @cached_property
    def clients(self) -> dict[tuple[str, str], Any]:
        """The driver's clients of Firestore."""
        found: dict[tuple[str, str], Any] = {}
        self._servers.append(_Closing(lambda: [client.close() for client in found.values()]))
        return found

    def environment(self) -> dict[str, str]:
        found = {}
        if "firestore" in self.__dict__:
            found["FIRESTORE_EMULATOR_HOST"] = self.firestore
        if "storage" in self.__dict__:
            found["STORAGE_EMULATOR_HOST"] = self.storage_address
        return found

    def state(self) -> list[tuple[Any, str, Any]]:
        from portafaas_gcp.runtime import blobs, rows

        return [(rows, "_clients", self.clients), (blobs, "_client", None)]

    def table(self, key: str = "id", sort: str = "", ttl: str = "") -> str:
        os.environ["FIRESTORE_EMULATOR_HOST"] = self.firestore
        return f"projects/portafaas/databases/shop-tables/documents/{fresh('table')}"

    def bucket(self) -> str:
        from google.cloud.storage import Client

        assert self.storage is not None
        os.environ["STORAGE_EMULATOR_HOST"] = self.storage_address
        name = fresh("bucket")
        Client(project="portafaas").create_bucket(name)
        return name


class _Closing:
    """Something to close."""

    def __init__(self, close: Any) -> None:
        self.close = close


#: By the name that tests are run with.
BACKENDS: dict[str, type[Backend]] = {
    "local": Local, "aws": Aws, "azure": Azure, "gcp": Gcp
}  # fmt: skip
