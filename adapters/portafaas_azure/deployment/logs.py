"""Log lines of functions, from the Log Analytics workspace.

https://learn.microsoft.com/azure/azure-monitor/logs/api/request-format,
https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import LogLine
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import label
from portafaas_azure.deployment.refusals import azure, refused

#: Lines arrive late and out of order: a follower asks for this much again, in seconds.
_OVERLAP = 600.0
#: Rows of one answer: a longer one is asked for again from its last time on.
_PAGE = 10_000

_QUERY = """union isfuzzy=true AppTraces, AppExceptions
| where TimeGenerated >= datetime({since})
| where AppRoleName in~ ({apps})
| extend Text = iff(Type == 'AppExceptions',
    strcat(ExceptionType, ': ', OuterMessage, iff(isempty(InnermostMessage)
      or InnermostMessage == OuterMessage, '', strcat('; ', InnermostMessage))), Message)
| project TimeGenerated, AppRoleName, Text, _ItemId
| order by TimeGenerated asc, _ItemId asc
| take {page}"""


class Logs:
    """The log of the apps *names* (app name -> function) in a workspace."""

    def __init__(self, account: Account, workspace: str, names: Mapping[str, str]) -> None:
        self.account = account
        self.workspace = workspace
        self.names = {app.lower(): function for app, function in names.items()}
        self._customer = ""

    def lines(self, since: float, follow: bool) -> Iterator[LogLine]:
        """Yield lines by time; with *follow* without an end, what arrives late when it arrives."""
        seen: set[tuple[str, ...]] = set()
        begin = since
        while self.names:
            rows = self._rows(begin)
            for row in rows:
                if row not in seen:
                    seen.add(row)
                    when, app, text, _ = row
                    yield LogLine(when, self.names.get(app.lower(), app), text.rstrip("\n"))
            if len(rows) == _PAGE and _seconds(rows[-1][0]) > begin:
                begin = _seconds(rows[-1][0])
                continue
            if not follow:
                return
            begin = max(since, time.time() - _OVERLAP)
            # What is older than the next answer reaches back cannot come again.
            seen = {row for row in seen if _seconds(row[0]) >= begin - 1}
            time.sleep(self.account.poll)

    def _rows(self, since: float) -> list[tuple[str, ...]]:
        found = self._query(
            _QUERY.format(
                since=_stamp(since), page=_PAGE,
                apps=", ".join(f"'{name}'" for name in sorted(self.names)),
            )
        )
        tables = found.get("tables") or ()
        if not tables:
            return []
        columns = [one["name"] for one in tables[0]["columns"]]
        order = [columns.index(n) for n in ("TimeGenerated", "AppRoleName", "Text", "_ItemId")]
        return [tuple(str(row[place] or "") for place in order) for row in tables[0]["rows"]]

    def _query(self, query: str) -> Mapping[str, Any]:
        own = self.account
        with azure("reading the logs"):
            if not self._customer:
                body = own.read(self.workspace) or {}
                self._customer = str((body.get("properties") or {}).get("customerId") or "")
            if not self._customer:
                raise refused("PF8010", f"the workspace {label(self.workspace)} is not there")
            url = f"{own.cloud.logs}/v1/workspaces/{self._customer}/query"
            answer = own.ask("POST", url, f"{own.cloud.logs}/.default", None, {"query": query})
            answer.raise_for_status()
            found: Mapping[str, Any] = answer.json()
        return found


def apps(managed: Sequence[Mapping[str, Any]], tagged: Mapping[str, str]) -> dict[str, str]:
    """Return function by app name; *tagged* is the tag ``function`` by id."""
    return {one["id"].rpartition("/")[2]: tagged[one["id"]] for one in managed
            if tagged.get(one["id"])}  # fmt: skip


def _stamp(seconds: float) -> str:
    found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: str) -> float:
    # Azure writes seven digits of a second, Python 3.10 reads three or six.
    head, _, fraction = text.rstrip("Z").partition(".")
    found = datetime.datetime.fromisoformat(f"{head}+00:00").timestamp()
    return found + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
