"""What takes the spans of a vendor's runtime."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request

from portafaas.local.collector import Collector


def _post(url: str, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_spans_of_invocations_are_taken_and_nothing_else() -> None:
    def span(**attributes: str) -> dict[str, object]:
        pairs = [{"key": name, "value": {"stringValue": text}} for name, text in attributes.items()]
        return {
            "traceId": "t", "spanId": "s", "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "3000000000", "attributes": [*pairs, {"key": "n", "value": {}}],
        }  # fmt: skip

    ours = span(**{"faas.invocation_id": "i", "portafaas.correlation_id": "c"})
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span(db="x"), ours]}]}]}
    with contextlib.closing(Collector()) as collector:
        assert _post(collector.url, json.dumps(document).encode()) == 200
        # Protobuf, which other exporters send.
        assert _post(collector.url, b"\x0a\x02\x08\x01") == 415
        assert _post(collector.url, b'["resourceSpans"]') == 415
        (one,) = collector.taken(5)
        assert (one["start"], one["end"], one["invocation_id"]) == (1.0, 3.0, "i")
        assert (one["correlation_id"], one["failed"], one["error"]) == ("c", False, "")
        assert collector.taken(0) == []
        # What ended before somebody wanted it came too late.
        assert _post(collector.url, json.dumps(document).encode()) == 200
        assert collector.taken(0, since=3.5) == collector.taken(0) == []
