"""Firestore's emulator, and Eventarc: a table's changes become the events that it would post.

What of the delivery is documented: https://cloud.google.com/eventarc/docs/run/route-trigger-cloud-firestore,
https://cloud.google.com/eventarc/docs/retry-events. What is not as there: what has changed is known
from a listener, which does not see a row that was there for some milliseconds only; what failed
comes again after a second, not after ten.
"""

from __future__ import annotations

import base64
import os
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.runtime.rows import OWN
from portafaas.runtime.text import percent_encode
from tests.behaviour.emulators import Server
from tests.gcp_cloud.emulator import free_port, jar

#: Seconds after which an event that failed is delivered again.
AGAIN = 1.0
_HEADER = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def place() -> tuple[str, str]:
    """Return the path of the emulator's jar and "", or "" and why there is none."""
    return jar("cloud-firestore-emulator/cloud-firestore-emulator.jar")


class Firestore:
    """A running emulator; ``host`` is what FIRESTORE_EMULATOR_HOST takes."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
        words = ["java", "-XX:TieredStopAtLevel=1", "-cp", place()[0], main]
        self._server = Server([*words, "--host=127.0.0.1", f"--port={port}"], port, folder)

    def close(self) -> None:
        """End it, and all that is in it."""
        self._server.close()


class Eventarc:
    """The events of one table's created and updated rows, each until somebody has taken it."""

    def __init__(self, firestore: Firestore, project: str, database: str, table: str) -> None:
        from google.cloud.firestore import Client

        os.environ["FIRESTORE_EMULATOR_HOST"] = firestore.host
        self._project, self._database = project, database
        self._client = Client(project=project, database=database)
        self._lock = threading.Lock()
        #: When it is due, the document's fields, and the request.
        self._due: list[tuple[float, dict[str, Any], dict[str, Any]]] = []
        self._taken = 0
        self._rows = self._client.collection(table)
        self._watch = self._rows.on_snapshot(self._seen)

    def _seen(self, documents: Any, changes: Any, moment: Any) -> None:
        made = []
        for change in changes:
            word = {"ADDED": "created", "MODIFIED": "updated"}.get(change.type.name)
            if word:
                fields = change.document.to_dict()
                made.append((time.monotonic(), fields, self._request(word, change.document)))
        with self._lock:
            self._due += made

    def _request(self, word: str, snapshot: Any) -> dict[str, Any]:
        """Return the POST of one event, its data as Google's own classes write it."""
        from google.cloud.firestore_v1._helpers import encode_dict
        from google.cloud.firestore_v1.types import Document
        from google.events.cloud import firestore_v1 as events

        path = snapshot.reference.path
        parent = f"projects/{self._project}/databases/{self._database}"
        document = Document(
            name=f"{parent}/documents/{path}",
            fields=encode_dict(snapshot.to_dict()),
            create_time=snapshot.create_time,
            update_time=snapshot.update_time,
        )
        # The message of the event has the fields of Firestore's own.
        image = events.Document.deserialize(Document.serialize(document))
        data = events.DocumentEventData(value=image)
        if word == "updated":
            # What was there before the listener does not say, and nobody here looks at it.
            data.old_value = image
        values: Mapping[str, str] = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "type": f"google.cloud.firestore.document.v1.{word}",
            "source": f"//firestore.googleapis.com/{parent}",
            "subject": f"documents/{path}",
            "time": snapshot.update_time.rfc3339(),
            "dataschema": "https://github.com/googleapis/google-cloudevents/blob/main/proto/"
            "google/events/cloud/firestore/v1/data.proto",
            "database": self._database,
            "document": path,
            "location": "eur3",
            "namespace": "(default)",
            "project": self._project,
        }
        headers = [[f"ce-{name}", percent_encode(text, _HEADER)] for name, text in values.items()]
        return {
            "method": "POST",
            "path": "/",
            "headers": [["content-type", "application/protobuf"], *headers],
            "body": base64.b64encode(events.DocumentEventData.serialize(data)).decode(),
        }

    @property
    def pending(self) -> int:
        """How many events are due, wait for their time, or are being delivered.

        When there are none, rows are looked for that wait to be sent, and which the listener has
        not told of: on a busy machine it lags behind, or its stream ends. Their events come then.
        """
        with self._lock:
            if count := len(self._due) + self._taken:
                return count
        made = []
        for row in self._rows.stream():
            fields = row.to_dict() or {}
            if any(str(value).startswith(OWN) for value in fields.values()):
                made.append((time.monotonic(), fields, self._request("created", row)))
        with self._lock:
            self._due += made
            return len(self._due) + self._taken

    def take(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the fields and the request of an event that is due; ``settle`` has to follow."""
        now = time.monotonic()
        with self._lock:
            for place, (moment, fields, request) in enumerate(self._due):
                if moment <= now:
                    del self._due[place]
                    self._taken += 1
                    return fields, request
        return None

    def settle(self, fields: dict[str, Any], request: dict[str, Any], done: bool) -> None:
        """Be done with an event, or have it delivered again."""
        with self._lock:
            self._taken -= 1
            if not done:
                self._due.append((time.monotonic() + AGAIN, fields, request))

    def close(self) -> None:
        """Listen no more."""
        self._watch.unsubscribe()
        self._client.close()
