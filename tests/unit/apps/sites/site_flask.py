"""A Flask application that knows nothing of portafaas."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, url_for

app = Flask(__name__)
closed: list[str] = []
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@app.get("/")
def home():
    return "home"


@app.route("/echo/<path:rest>", methods=METHODS)
def echo(rest):
    return jsonify(
        method=request.method,
        url=request.url,
        rest=rest,
        info=request.environ["PATH_INFO"],
        query=request.environ["QUERY_STRING"],
        pairs=list(request.args.items(multi=True)),
        cookies=request.cookies.to_dict(),
        headers=sorted(
            [name.lower(), value]
            for name, value in request.headers.items()
            if name.lower().startswith("x-") or name.lower() in ("content-type", "cookie")
        ),
        body=request.get_data().hex(),
    )


@app.post("/form")
def form():
    fields = list(request.form.items(multi=True))
    for name, item in request.files.items(multi=True):
        fields.append(
            (name, item.filename, item.content_type, hashlib.sha256(item.read()).hexdigest())
        )
    return jsonify(fields)


@app.post("/json")
def json():
    return jsonify(request.get_json())


@app.get("/cookies")
def cookies():
    response = Response("set")
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "two; three", secure=True, samesite="Strict")
    return response


@app.get("/stream")
def stream():
    def chunks():
        try:
            for number in range(5):
                yield f"part {number}\n"
        finally:
            closed.append("stream")

    return Response(chunks(), mimetype="text/plain")


@app.get("/headers")
def headers():
    response = Response(b"\x00\xff", mimetype="application/octet-stream")
    response.headers.add("vary", "accept")
    response.headers.add("vary", "origin")
    return response


@app.get("/empty")
def empty():
    return "", 204


@app.get("/same")
def same():
    return "", 304, {"etag": '"1"'}


@app.get("/binary")
def binary():
    return Response(bytes(range(256)) * 64, mimetype="image/x-test")


@app.get("/redirect")
def away():
    return redirect(url_for("echo", rest="a b/\u00e9", q="1"))


@app.get("/external")
def external():
    return url_for("home", _external=True)


@app.get("/file")
def file():
    return send_file(Path(__file__).with_name("text.txt"), conditional=True)


@app.get("/slash/")
def slash():
    return "slash"


@app.get("/broken")
def broken():
    raise LookupError("not there")


@app.get("/teapot")
def teapot():
    abort(418)
