"""The dashboard in headless Chromium, on the real server: every view, by keyboard, in both themes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portafaas.connection import reach
from portafaas.dev.logs import Console
from portafaas.dev.service import Dev
from tests.dev.browser import Line, axe, chromium
from tests.dev.kiosk import HOSTILE, Running, busy, running

#: Milliseconds that something may take on a busy machine.
LONG = 60_000
#: Address -> what its heading says, and a text that is there.
VIEWS = {
    "": ("Map", "Everything in the picture"),
    "#/invocations": ("Invocations", "POST /orders → 201"),
    "#/invocations?status=failed": ("Invocations", "dead letter"),
    "#/queues": ("Queues", "Inboxes"),
    "#/queues/queue%2Fpayments": ("payments", "failed every time"),
    "#/queues/function%2Ftell": ("tell", "Nothing waits."),
    "#/send": ("Send and invoke", "Choose a function, a queue or a topic"),
    "#/send?function=order": ("Send and invoke", "Nothing was sent yet."),
    "#/send?topic=news": ("Send and invoke", "Publish"),
    "#/schedules": ("Schedules", "Europe/Berlin"),
    "#/data": ("Tables and buckets", "papers"),
    "#/data/table/orders": ("orders", "hostile"),
    "#/data/table/orders?prefix=zzz": ("orders", "No rows begin so"),
    "#/data/bucket/papers": ("papers", "in/a1.txt"),
    "#/data/bucket/papers/in%2Fhostile.txt": ("in/hostile.txt", "<script>"),
    "#/workflows": ("Workflows", "for the signal handed-over"),
    "#/workflows/delivery": ("delivery", "Its steps"),
    "#/findings": ("Findings", "looked for again whenever a file changes"),
    "#/environment": ("Secrets and clock", "not set"),
    "#/invocations/none": ("Invocations", "there is no invocation 'none'"),
    "#/nowhere": ("Not found", "There is no such view."),
}
#: Views that are made of the parts of others.
LIKE_OTHERS = (
    "#/invocations?status=failed", "#/queues/function%2Ftell", "#/send", "#/send?topic=news",
    "#/data", "#/data/table/orders?prefix=zzz", "#/data/bucket/papers", "#/workflows",
    "#/invocations/none", "#/nowhere",
)  # fmt: skip
COLOURFUL = ("", "#/invocations", "#/queues/queue%2Fpayments", "#/send?function=order", "#/findings")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # After the browser: without one nothing needs to be started.
    with running(tmp_path_factory.mktemp("kiosk")) as found:
        busy(found)
        found.until(lambda: found.dev.findings_of)
        yield found


class Page:
    """A page of the dashboard that remembers what went wrong in it."""

    def __init__(self, context: Any, port: int) -> None:
        self.at = f"http://127.0.0.1:{port}/_portafaas/"
        self.wrong: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(LONG)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append("a dialog"))
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        # That the server refuses what is not there is no mistake of the page.
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.wrong.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.at, "data:")):
            self.wrong.append(f"asked for {request.url}")

    def go(self, place: str) -> Any:
        """Open a view, and return the page when the view is there."""
        self.page.goto(self.at + place)
        return self.ready()

    def ready(self) -> Any:
        there = "document.querySelector('main').dataset.at === location.hash"
        _until(self.page, lambda: self.page.evaluate(there))
        return self.page


@contextmanager
def opened(browser: Any, port: int, **options: Any) -> Iterator[Page]:
    """Give a page in a context of its own; nothing may have gone wrong in it at the end."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    try:
        page = Page(context, port)
        yield page
        assert page.wrong == []
    finally:
        context.close()


@pytest.fixture
def page(browser: Any, service: Running) -> Iterator[Page]:
    with opened(browser, service.dev.port) as found:
        yield found


def test_it_works_from_360_pixels_up_in_both_themes(browser: Any, service: Running) -> None:
    """Each view is there, axe finds nothing, and nothing but pictures and tables scrolls sideways.

    axe is what takes the time: in the dark it looks at the colours alone, of views that have most.
    """
    run = service.get("runs")["runs"][0]["run"]
    call = service.get("invocations?function=order")["invocations"][-1]["id"]
    views = {
        **VIEWS,
        f"#/invocations/{call}": ("order", "What it sent and wrote"),
        f"#/send?function=order&of={call}": ("Send and invoke", "as it was"),
        f"#/workflows/delivery/{run}": ("Run of delivery", "It waits for the signal"),
    }
    for theme, width in (("light", 1280), ("dark", 360)):
        with opened(
            browser, service.dev.port, color_scheme=theme, viewport={"width": width, "height": 800}
        ) as page:
            for place, (heading, text) in views.items():
                here = page.go(place)
                assert heading in here.inner_text("main h1"), place
                assert text in here.inner_text("main"), place
                assert heading in here.title() or place.endswith("none"), place
                wide = here.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (place, theme, wide)
                if theme == "light" and place not in LIKE_OTHERS:
                    assert axe(here) == [], (place, theme)
                elif theme == "dark" and place in COLOURFUL:
                    assert axe(here, "color-contrast") == [], (place, theme)


def test_colours_follow_the_system_and_the_button(browser: Any, service: Running) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, service.dev.port, color_scheme="dark") as page:
        here = page.go("#/queues")
        dark = here.evaluate(ground)
        here.get_by_role("button", name="Light theme").click()
        light = here.evaluate(ground)
        assert dark != light
        here.reload()
        page.ready()
        assert here.evaluate(ground) == light
        assert axe(here) == []
        here.get_by_role("button", name="Dark theme").click()
        assert here.evaluate(ground) == dark
        here.emulate_media(color_scheme="light")
        # Back to what the system says, it follows the system again.
        assert here.evaluate(ground) == light


def test_a_journey_by_keyboard_alone(page: Page, service: Running) -> None:
    """From the skip link to a dead letter, which is delivered again; a dialog that is left."""
    here = page.go("")
    keys = here.keyboard

    def focused(text: str, most: int = 150) -> None:
        for _ in range(most):
            keys.press("Tab")
            said = here.evaluate(
                "(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()"
            )
            # Behind the last one the focus is the window's, and then the first one's.
            seen = here.evaluate("document.activeElement.matches(':focus-visible, body')")
            assert seen, f"the focus cannot be seen at {said!r}"
            if said.startswith(text) and here.evaluate("document.activeElement !== document.body"):
                return
        raise AssertionError(f"{text!r} is not reached")

    focused("Skip to the content")
    keys.press("Enter")
    assert here.evaluate("document.activeElement.id") == "main"
    here.evaluate("document.activeElement.blur()")
    focused("Queues")
    keys.press("Enter")
    here.wait_for_selector("h1:text('Queues')")
    # Who follows a link is at the heading of what it led to.
    _until(here, lambda: here.evaluate("document.activeElement.tagName === 'H1'"))
    focused("payments")
    keys.press("Enter")
    here.wait_for_selector("h1:text('payments')")
    _until(here, lambda: here.evaluate("document.activeElement.tagName === 'H1'"))
    focused("Remove all")
    keys.press("Enter")
    here.wait_for_selector("dialog[open]")
    assert here.evaluate("document.activeElement.innerText") == "Cancel"
    assert axe(here) == []
    keys.press("Escape")
    here.wait_for_selector("dialog", state="detached")
    assert here.evaluate("document.activeElement.innerText") == "Remove all"
    assert service.get("boxes/queue%2Fpayments/letters")["total"] == 1
    focused("failed every time")
    keys.press("Enter")
    here.wait_for_selector("details.entry[open]")
    focused("Deliver again")
    keys.press("Enter")
    here.wait_for_selector("text=1 dead letter went back to payments.")
    service.until(lambda: service.get("boxes")[0]["later"] == 1)
    here.wait_for_selector("main :text('None. What a function cannot process')")
    # It fails once more.
    service.post("clock", {"seconds": 61})
    service.until(lambda: service.get("boxes/queue%2Fpayments/letters")["total"] == 1)
    here.wait_for_selector("main :text('failed every time')")


def test_letters_are_chosen_one_by_one_and_removed_when_that_is_agreed(
    page: Page, service: Running
) -> None:
    for number in range(2):
        service.post("queues/payments/send", {"body": {"order": f"c{number}", "text": "x"}})
    service.until(lambda: service.get("boxes")[0]["later"] == 2)
    service.post("clock", {"seconds": 61})
    service.until(lambda: service.get("boxes/queue%2Fpayments/letters")["total"] == 3)
    here = page.go("#/queues/queue%2Fpayments")
    boxes = here.get_by_role("checkbox")
    assert boxes.count() == 3
    boxes.nth(1).check()
    boxes.nth(2).check()
    here.get_by_role("button", name="Remove 2").click()
    here.get_by_role("dialog").get_by_role("button", name="Remove").click()
    here.wait_for_selector("text=2 dead letters removed.")
    service.until(lambda: service.get("boxes/queue%2Fpayments/letters")["total"] == 1)
    _until(here, lambda: here.evaluate("document.querySelectorAll('.letter').length === 1"))


def test_what_happens_appears_by_itself_and_focus_stays(page: Page, service: Running) -> None:
    here = page.go("#/invocations")
    here.wait_for_selector("button.live:text('Live')")
    first = here.locator("tbody .row-link").first
    first.focus()
    where = here.evaluate("document.activeElement.href")
    service.order("seen-live")
    _until(here, lambda: here.evaluate("href => document.querySelector('tbody .row-link').href !== href", where))
    assert here.evaluate("document.activeElement.href") == where
    # Paused, it keeps still; then it catches up.
    here.get_by_role("button", name="Live").click()
    still = here.locator("tbody .row-link").first.get_attribute("href")
    service.order("unseen")
    service.dev.activity.flush()
    here.wait_for_timeout(1200)
    assert here.locator("tbody .row-link").first.get_attribute("href") == still
    here.get_by_role("button", name="Paused").click()
    _until(here, lambda: here.evaluate("href => document.querySelector('tbody .row-link').getAttribute('href') !== href", still))


def test_the_map_shows_what_is_where_now(page: Page, service: Running) -> None:
    here = page.go("")
    here.wait_for_selector(".canvas svg .node")
    queue = here.locator("a[aria-label^='queue payments']")
    assert "1 dead letter" in queue.get_attribute("aria-label")
    assert queue.locator(".live-pill text").inner_html().startswith("1 dead letter")
    calls = service.get("numbers")["nodes"]["function:order"]["calls"]
    service.order("mapped")
    here.wait_for_selector(f"a[aria-label='function order: {calls + 1} calls']")
    wide = here.locator(".canvas svg").bounding_box()["width"]
    here.get_by_role("button", name="Larger").click()
    assert here.locator(".canvas svg").bounding_box()["width"] > wide
    queue.focus()
    here.keyboard.press("Enter")
    here.wait_for_selector("h1:text('payments')")


def test_an_event_is_edited_and_sent(page: Page, service: Running) -> None:
    here = page.go("#/send?function=order")
    area = here.get_by_label("The event, in neutral form")
    area.fill("{")
    assert "Not JSON" in here.inner_text("#event-problem")
    assert area.get_attribute("aria-invalid") == "true"
    here.get_by_role("button", name="Invoke").click()
    assert here.evaluate("document.activeElement.id") == "event"
    area.fill('{"http": {"method": "POST", "path": "/orders", "body": {"id": "typed"}}}')
    area.press("Control+Enter")
    here.wait_for_selector("text=HTTP 201")
    here.wait_for_selector("section table .row-link:text('order')")
    # What was typed stays while the rest follows what happens.
    assert '"typed"' in area.input_value()
    area.fill('{"queue": {}}')
    here.get_by_role("button", name="Invoke").click()
    here.wait_for_selector("text=this is no neutral event for the function")
    here.get_by_label("To").select_option("topic/news")
    here.get_by_role("button", name="Publish").click()
    here.wait_for_selector("text=It has the id")
    here.wait_for_selector("section table .row-link:text('tell')")
    here.locator("section table .row-link:text('tell')").first.click()
    here.wait_for_selector("h2:text('Trace')")
    assert "told id" in here.inner_text("main")


def test_an_invocation_has_a_timeline_over_functions(page: Page, service: Running) -> None:
    call = service.get("invocations?function=order")["invocations"][-1]["id"]
    here = page.go(f"#/invocations/{call}")
    names = here.locator(".waterfall li .wf-name a").all_inner_texts()
    assert names[0] == "order" and {"tell", "pay"} <= set(names)
    assert here.locator(".waterfall li[aria-current=true]").count() == 1
    for bar, track in zip(
        here.locator(".waterfall li .wf-bar").all(),
        here.locator(".waterfall li .wf-track").all(), strict=True,
    ):  # fmt: skip
        inner, outer = bar.bounding_box(), track.bounding_box()
        assert inner["x"] >= outer["x"] - 1
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 4
    assert "order a1" in here.inner_text(".logs") and "cents=450" in here.inner_text(".logs")
    here.get_by_role("link", name="Edit and invoke again").click()
    here.wait_for_selector("textarea")
    assert '"a1"' in here.locator("textarea").input_value()


def test_a_run_goes_on_before_the_eyes(page: Page, service: Running) -> None:
    here = page.go("#/workflows/delivery?start=1")
    here.get_by_label("Its input, JSON").fill('{"id": 7}')
    here.get_by_role("button", name="Start").click()
    here.wait_for_selector("text=the input does not fit its schema")
    here.get_by_label("Its input, JSON").fill('{"id": "w1"}')
    here.get_by_role("button", name="Start").click()
    here.wait_for_selector("text=It waits for the signal")
    assert "waiting" in here.locator(".canvas .node.wait").text_content()
    here.get_by_label("What the signal carries, JSON").fill('{"to": "Ada"}')
    here.get_by_role("button", name="Signal").click()
    here.wait_for_selector("dd .state:text('succeeded')")
    assert '"Ada"' in here.inner_text("main")
    run = here.url
    here.get_by_role("link", name="logs of wrap").click()
    here.wait_for_selector("h2:text('Logs')")
    here.get_by_role("link", name="delivery", exact=True).click()
    _until(here, lambda: here.url == run)
    here.get_by_role("button", name="Run again").click()
    here.wait_for_selector("text=It waits for the signal")
    here.get_by_role("button", name="Cancel the run").click()
    here.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    here.wait_for_selector("dd .state:text('canceled')")


def test_schedules_fire_and_the_clock_goes_forward(page: Page, service: Running) -> None:
    here = page.go("#/schedules")
    here.get_by_role("button", name="Fire now").click()
    here.wait_for_selector("text=nightly fires, for")
    here.wait_for_selector("article .state:text('ok')")
    here.goto(f"{page.at}#/environment")
    before = service.get("clock")["now"]
    here.get_by_role("button", name="+ 1 minute").click()
    service.until(lambda: service.get("clock")["now"] == pytest.approx(before + 60, abs=0.01))
    here.wait_for_selector("text=1 min further")
    assert "s3cr3t-v4lue" not in here.content()


def test_nothing_that_handlers_say_becomes_markup(page: Page, service: Running) -> None:
    context = reach(service.dev.plan, service.dev.root)
    context.tables["orders"].put({"id": HOSTILE.replace("\0", ""), HOSTILE: HOSTILE, "__proto__": 1})
    context.buckets["papers"].write("in/<img src=x onerror=alert(1)>", HOSTILE.encode())
    service.post("queues/payments/send", {"body": {"order": "h", "text": HOSTILE},
                                          "attributes": {"b": "</dd><script>"}})  # fmt: skip
    service.until(lambda: service.get("invocations?function=pay&limit=1")["invocations"])
    call = service.get("invocations?status=failed&limit=1")["invocations"][0]["id"]
    for place in ("", "#/invocations", f"#/invocations/{call}", "#/queues/queue%2Fpayments",
                  "#/data/table/orders", "#/data/bucket/papers",
                  "#/data/bucket/papers/in%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
                  "#/data/bucket/papers/in%2Fhostile.txt",
                  "#/<script>alert(1)</script>", "#/data/table/<img src=x>",
                  "#/send?function=<img src=x>", "#/invocations?function=<img src=x>"):  # fmt: skip
        here = page.go(place)
        here.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        assert here.locator("main :is(script, img, iframe, object, embed, b[onclick])").count() == 0
        assert "owned" not in here.title()
        text = here.inner_text("main")
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text), place
    assert "\\x1b[31m" in page.go("#/queues/queue%2Fpayments").inner_text("main")
    # Markup cannot even be tried: the policy has the browser refuse it.
    tried = "document.querySelector('main').innerHTML = '<b>x</b>'"
    assert page.page.evaluate(
        f"() => {{ try {{ {tried}; return 'done' }} catch (e) {{ return e.name }} }}"
    ) == "TypeError"
    page.wrong = [text for text in page.wrong if "TrustedHTML" not in text]


def test_huge_bodies_are_shown_in_part(page: Page, service: Running) -> None:
    context = reach(service.dev.plan, service.dev.root)
    context.buckets["papers"].write("out/huge.json", b'{"a": "' + b"x" * 5_000_000 + b'"}')
    service.post("queues/idle/send", {"body": {"text": "y" * 200_000}})
    here = page.go("#/data/bucket/papers/out%2Fhuge.json")
    assert "The first part of 5.0 MB" in here.inner_text("main")
    here = page.go("#/queues/queue%2Fidle")
    here.wait_for_selector("details.entry")
    assert len(here.content()) < 400_000
    assert here.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_broken_connection_is_told_and_heals(browser: Any, service: Running) -> None:
    line = Line(service.dev.port)
    with opened(browser, line.port) as page:
        here = page.go("#/invocations")
        here.wait_for_selector("button.live:text('Live')")
        line.cut()
        here.wait_for_selector("[role=alert] :text('The connection to portafaas dev is lost.')")
        assert here.inner_text("button.live") == "No connection"
        # What was there stays to be read.
        assert here.locator("tbody .row-link").count() > 0
        assert axe(here) == []
        here.goto(f"{page.at}#/queues")
        here.wait_for_selector("text=The server does not answer")
        service.order("while-away")
        line.mend()
        here.get_by_role("button", name="Try now").click()
        here.wait_for_selector("text=Connected again.")
        here.wait_for_selector("a:text('payments')")
        assert here.locator(".offline-note").count() == 0
        page.wrong = [text for text in page.wrong if "net::ERR" not in text]
    line.cut()


def test_motion_is_reduced_for_who_asks(browser: Any, service: Running) -> None:
    with opened(browser, service.dev.port, reduced_motion="reduce") as page:
        here = page.go("")
        here.wait_for_selector(".canvas svg .node")
        service.order("still")
        here.wait_for_selector(".node.flash")
        assert here.evaluate("document.getAnimations().length") == 0


def test_the_menu_of_small_screens(browser: Any, service: Running) -> None:
    with opened(browser, service.dev.port, viewport={"width": 360, "height": 740}) as page:
        here = page.go("#/queues")
        button = here.get_by_role("button", name="Views")
        assert not here.get_by_role("navigation").is_visible()
        button.focus()
        here.keyboard.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        assert here.evaluate("document.activeElement.innerText.trim()").startswith("Map")
        here.keyboard.press("Escape")
        assert here.evaluate("document.activeElement.innerText.trim()") == "Views"
        assert button.get_attribute("aria-expanded") == "false"
        here.keyboard.press("Enter")
        here.get_by_role("link", name="Schedules").click()
        here.wait_for_selector("h1:text('Schedules')")
        assert not here.get_by_role("navigation").is_visible()


EMPTY = """\
portafaas: 1
name: empty
python: "3.12"
functions:
  only: {handler: "only:only", trigger: {http: {path: /}}}
"""


def _until(page: Any, check: Callable[[], bool]) -> None:
    for _ in range(600):
        if check():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come")


def test_empty_views_say_what_to_do_and_reloads_are_told(browser: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "portafaas.yaml"
    manifest.write_text(EMPTY)
    (tmp_path / "only.py").write_text("def only(request, context):\n    return {}\n")
    dev = Dev(manifest, port=0, reload=False, findings=False, console=Console(io.StringIO()))
    with dev, opened(browser, dev.port) as page:
        for place, text in {
            "#/invocations": "Nothing has been called yet",
            "#/queues": "Nothing is delivered here",
            "#/schedules": "Nothing runs by the clock",
            "#/data": "Nothing is kept here",
            "#/workflows": "There are no workflows",
            "#/findings": "They are being looked for",
            "#/environment": "The manifest declares none.",
        }.items():
            here = page.go(place)
            assert text in here.inner_text("main"), place
            assert axe(here) == [], place
        assert "portafaas dev --clock virtual" in here.inner_text("main")
        here = page.go("")
        here.wait_for_selector("button.live:text('Live')")
        manifest.write_text(f"{EMPTY}queues: {{jobs: {{}}}}\n")
        assert dev.reload()
        here.wait_for_selector("text=The new code runs.")
        here.wait_for_selector(".canvas a[aria-label^='queue jobs']")
        manifest.write_text(f"{EMPTY}queues: 7\n")
        assert not dev.reload()
        here.wait_for_selector("text=The files as they are now cannot run")
        here.goto(f"{page.at}#/findings")
        here.wait_for_selector("main .card code:text('PF10')")
        _until(here, lambda: "1" in here.inner_text("#nav a[href='#/findings']"))
