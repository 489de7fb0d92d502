"""A small application on Flask: blueprint, session, flashes, templates, uploads, downloads."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    flash,
    get_flashed_messages,
    jsonify,
    make_response,
    redirect,
    render_template_string,
    request,
    send_file,
    send_from_directory,
    session,
    stream_with_context,
    url_for,
)
from werkzeug.exceptions import HTTPException

HERE = Path(__file__).parent
notes: dict[int, str] = {}
api = Blueprint("api", __name__, url_prefix="/api")


@api.route("/notes", methods=["GET", "POST"])
def collection():
    if request.method == "GET":
        return jsonify(notes)
    content = request.get_json()
    if not isinstance(content, dict) or "text" not in content:
        abort(422, "a note needs a text")
    number = len(notes) + 1
    notes[number] = content["text"]
    return jsonify(id=number), 201, {"Location": url_for("api.note", number=number)}


@api.route("/notes/<int:number>", methods=["GET", "DELETE"])
def note(number: int):
    if number not in notes:
        abort(404)
    if request.method == "DELETE":
        del notes[number]
        return "", 204
    return jsonify(text=notes[number])


@api.errorhandler(HTTPException)
def as_json(error: HTTPException):
    return jsonify(error=error.name, why=error.description), error.code


def create_app() -> Flask:
    app = Flask(__name__, static_folder="files", static_url_path="/static")
    app.config.update(SECRET_KEY="for tests only", SESSION_COOKIE_SECURE=True)
    app.register_blueprint(api)

    @app.get("/")
    def home():
        return render_template_string(
            "<p>{{ user }}</p>{% for m in messages %}<i>{{ m }}</i>{% endfor %}",
            user=session.get("user", "nobody <b>"),
            messages=get_flashed_messages(),
        )

    @app.post("/login")
    def login():
        session["user"] = request.form["user"]
        flash("welcome")
        return redirect(url_for("home"))

    @app.post("/upload")
    def upload():
        found = [[k, v] for k, v in request.form.items(multi=True)]
        for name, item in request.files.items(multi=True):
            digest = hashlib.sha256(item.read()).hexdigest()
            found.append([name, item.filename, item.mimetype, digest])
        return jsonify(found)

    @app.get("/stream")
    def stream():
        def parts():
            for number in range(100):
                yield f"{request.args['word']} {number}\n"

        return Response(stream_with_context(parts()), mimetype="text/plain")

    @app.get("/download")
    def download():
        content = io.BytesIO(bytes(range(256)) * 10)
        return send_file(content, "application/x-notes", True, "n\u00f6tes.bin")

    @app.get("/page")
    def page():
        return send_from_directory(HERE / "files", "page.html")

    @app.get("/cookies")
    def cookies():
        @after_this_request
        def late(response: Response) -> Response:
            response.headers["X-Late"] = "yes"
            return response

        response = make_response(jsonify({k: v for k, v in request.cookies.items() if k != "session"}))
        response.set_cookie("theme", "dark", max_age=60)
        response.set_cookie("lang", "de", httponly=True, samesite="Lax")
        response.delete_cookie("old")
        return response

    @app.get("/where")
    def where():
        return jsonify(
            url=request.base_url,
            path=request.path,
            args=request.args.to_dict(flat=False),
            secure=request.is_secure,
            agent=str(request.user_agent),
        )

    @app.get("/slash/")
    def slash():
        return "slash"

    @app.get("/broken")
    def broken():
        return 1 / 0

    @app.get("/unhandled")
    def unhandled():
        raise KeyError("gone")

    @app.errorhandler(ZeroDivisionError)
    def divided(error: ZeroDivisionError):
        return "not by zero", 500

    @app.errorhandler(404)
    def missing(error: HTTPException):
        return render_template_string("nothing at {{ path }}", path=request.path), 404

    return app
