"""Large orders wait for somebody: a signed link asks, a page takes the answer."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

from portafaas.runtime import (
    BadToken,
    Context,
    HttpHandler,
    NotFound,
    NotWaiting,
    Request,
    Response,
    Task,
    TaskHandler,
)
from saga.steps import send

#: Seconds that a link is good for: as long as the workflow waits.
TWO_DAYS = 2 * 24 * 3600
#: Whoever has the link decides: it stays out of caches, other sites' logs and frames.
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
}


class Ask(TaskHandler):
    """Mail the approver a link. It needs no grant: a signature is all that makes it good."""

    def handle(self, task: Task, context: Context) -> None:
        order, cents = task.input["order"], task.input["cents"]
        question = {
            "run": task.run,
            "order": order,
            "customer": task.input["customer"],
            "cents": cents,
        }
        context.tables["questions"].put(question)
        key = context.secrets["link-key"].get()
        page = f"{context.config['public-url']}/approvals"
        link = task.signal_url(page, "approved", key=key, expires=TWO_DAYS)
        send(context, order, "question", "approver", f"Order {order} over {cents} cents: {link}")


class Approve(HttpHandler):
    """GET /approvals shows what is asked, POST decides: programs that read mails open links."""

    def handle(self, request: Request, context: Context) -> Response:
        workflow = context.workflows["fulfil"]
        key = context.secrets["link-key"].get()
        token = request.query.get("token", "")
        try:
            asked = workflow.opened(token, key=key)
            if request.method != "POST":
                return question(context, asked.run)
            form = parse_qs(request.text)
            yes = form.get("answer") == ["yes"]
            if not yes and form.get("answer") != ["no"]:
                return page(400, "Approve it, or turn it down.")
            workflow.signal_by(token, {"yes": yes, "by": form.get("by", [""])[0][:100]}, key=key)
        except BadToken as error:
            context.logger.warning("a link to approve was %s", error.reason)
            if error.reason == "expired":
                return page(410, "This link has expired.")
            return page(403, "This link is not good.")
        except (NotWaiting, NotFound):
            return page(409, "The order does not wait for an answer, or not yet.")
        context.logger.info("run %s was %s", asked.run, "approved" if yes else "turned down")
        return page(200, "The order goes out." if yes else "The order is undone.")


def question(context: Context, run: str) -> Response:
    """Return the page with the question."""
    asked = context.tables["questions"].get(run)
    if asked is None:
        return page(404, "This order is not known.")
    what = f"Order {asked['order']} of {asked['customer']} over {asked['cents'] / 100:.2f}."
    form = (
        '<form method="post"><label>Your name <input name="by" maxlength="100" required></label> '
        '<button name="answer" value="yes">Approve</button> '
        '<button name="answer" value="no">Turn down</button></form>'
    )
    return page(200, what, form)


def page(status: int, text: str, form: str = "") -> Response:
    """Return a page; *text* is text, *form* is HTML."""
    html = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Approval</title>'
        f"<p>{escape(text)}</p>{form}</html>\n"
    )
    return Response(html, status, HEADERS)
