"""Log lines of functions, from Cloud Logging.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from portafaas.deployment.contract import LogLine
from portafaas_gcp.deployment.cloud import Cloud

#: Seconds by which an entry may come later than one with a later time.
LATE = 30.0
_PAGE = 1000


def lines(
    cloud: Cloud, services: Mapping[str, str], since: float, follow: bool
) -> Iterator[LogLine]:
    """Yield lines of *services*, which gives functions by the names of their services.

    The same entry is in several log buckets; with *follow* it is also found again and again, as
    entries may come late. Each is yielded once.
    """
    seen: dict[str, float] = {}
    while services:
        began = time.time()
        for entry in _entries(cloud, services, since):
            key = f"{entry.get('timestamp', '')} {entry.get('insertId', '')}"
            if key not in seen:
                seen[key] = began
                labels = entry.get("resource", {}).get("labels", {})
                function = services.get(labels.get("service_name", ""), "")
                yield LogLine(str(entry.get("timestamp", "")), function, _text(entry))
        if not follow:
            return
        since = max(since, began - LATE)
        seen = {key: when for key, when in seen.items() if when > began - 10 * LATE}
        time.sleep(cloud.poll)


def _entries(cloud: Cloud, services: Mapping[str, str], since: float) -> Iterator[Any]:
    named = " OR ".join(json.dumps(name) for name in services)
    moment = datetime.fromtimestamp(since, UTC).isoformat().replace("+00:00", "Z")
    body = {
        "resourceNames": [f"projects/{cloud.project}"],
        "filter": 'resource.type="cloud_run_revision" AND '
        f"resource.labels.service_name=({named}) AND "
        f'resource.labels.location="{cloud.region}" AND timestamp>="{moment}" AND '
        # The platform's own list of requests, which the function did not write.
        f'NOT logName="projects/{cloud.project}/logs/run.googleapis.com%2Frequests"',
        "orderBy": "timestamp asc",
        "pageSize": _PAGE,
    }
    while True:
        page = cloud.call("logging", "POST", "v2/entries:list", body=body)
        yield from page.get("entries") or ()
        if not page.get("nextPageToken"):
            return
        body["pageToken"] = page["nextPageToken"]


def _text(entry: Any) -> str:
    if "textPayload" in entry:
        return str(entry["textPayload"]).rstrip("\n")
    # A line of JSON that is written to standard output arrives parsed.
    return json.dumps(entry.get("jsonPayload") or entry.get("protoPayload") or {}, sort_keys=True)
