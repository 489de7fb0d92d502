"""A new user's session, by commands, requests and the dashboard alone; real clock, real processes.

init -> dev -> curl -> break a handler -> see it in the dashboard -> fix it -> deliver again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.dev.browser import chromium
from tests.dev.project import until
from tests.dev.test_command import Running

MORE = """
  note:
    handler: handlers:note
    trigger: {http: {method: POST, path: /notes}}
    uses: [{send: notes}]
  keep:
    handler: handlers:keep
    trigger: {queue: {name: notes}}
    retry: {attempts: 2, backoff: fixed, initial: 1s, jitter: false}
    uses: [{write: kept}]
queues:
  notes: {dead-letter: true}
tables:
  kept: {key: id}
"""

HANDLERS = """

def note(request: Request, context: Context) -> dict[str, str]:
    return {"id": context.queues["notes"].send(request.json())}


def keep(message, context):
    context.tables["kept"].put({"id": message.id, "text": message.json()["text"].strip()})
"""


def test_a_new_users_session(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    made = subprocess.run(
        [sys.executable, "-m", "portafaas", "init", str(folder)], capture_output=True, text=True, check=True
    )
    assert made.stdout.splitlines()[-1].startswith("next: portafaas dev")
    dev = Running(folder)
    try:
        assert dev.call("/greetings/you") == {"greeting": "Hello, you!"}
        session(dev, folder)
        dev.process.terminate()
        assert dev.process.wait(60) == 143
    finally:
        dev.process.kill()
        dev.process.wait()


def session(dev: Running, folder: Path) -> None:
    source, manifest = folder / "handlers.py", folder / "portafaas.yaml"

    def saved(file: Path, text: str) -> None:
        before = dev.text().count(": reloaded in ")
        file.write_text(text)
        until(lambda: dev.text().count(": reloaded in ") > before)

    def noted(text: str) -> Any:
        return dev.call("/notes", f'{{"text": "{text}"}}'.encode())["id"]

    def kept() -> dict[str, str]:
        rows = [each["row"] for each in dev.call("/_portafaas/api/tables/kept")["rows"]]
        return {row["id"]: row["text"] for row in rows}

    # The project grows while it runs.
    saved(source, source.read_text() + HANDLERS)
    saved(manifest, manifest.read_text().rstrip() + MORE)

    first = noted("one")
    until(lambda: kept() == {first: "one"})

    good = source.read_text()
    saved(source, good.replace('["text"]', '["txet"]'))
    second = noted("two")
    letters = "/_portafaas/api/boxes/queue%2Fnotes/letters"
    until(lambda: dev.call(letters)["total"] == 1)

    with chromium() as browser:
        page = browser.new_page()
        page.goto(dev.url() + "/_portafaas/#/queues/queue%2Fnotes")
        page.wait_for_selector("h1:text('notes')")
        # The error and what the message was, so that one knows what to mend.
        page.get_by_text("failed every time").click()
        page.wait_for_selector("text=KeyError: 'txet'")
        page.wait_for_selector("text=two")

        saved(source, good)
        page.get_by_role("button", name="Deliver again").first.click()
        page.wait_for_selector("text=1 dead letter went back to notes.")
        page.close()

    until(lambda: kept() == {first: "one", second: "two"})
    assert dev.call(letters)["total"] == 0
