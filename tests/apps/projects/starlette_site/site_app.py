"""A small site on Starlette: sessions, static files, compression, a mounted application."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
done: list[str] = []


async def home(request: Request):
    user = request.session.get("user", "nobody")
    return HTMLResponse(f"<h1>Hello {user}, gr\u00fc\u00dfe</h1>")


async def login(request: Request):
    form = await request.form()
    if form.get("password") != "open":
        raise HTTPException(403, "wrong password")
    request.session["user"] = form["user"]
    return RedirectResponse("/", status_code=303)


async def logout(request: Request):
    request.session.clear()
    return RedirectResponse(request.url_for("home"), status_code=303)


class Item(HTTPEndpoint):
    async def get(self, request: Request):
        return JSONResponse(
            {
                "item": request.path_params["number"],
                "query": request.query_params.multi_items(),
                "path": request.url.path,
            }
        )

    async def put(self, request: Request):
        return JSONResponse(await request.json(), headers={"x-stored": "yes"})


async def upload(request: Request):
    found = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                found.append([name, value])
            else:
                digest = hashlib.sha256(await value.read()).hexdigest()
                found.append([name, value.filename, value.content_type, digest])
    return JSONResponse(found)


async def raw(request: Request):
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse([size, digest.hexdigest()])


async def stream(request: Request):
    async def parts():
        for number in range(100):
            yield f"part {number}\n"

    return StreamingResponse(parts(), media_type="text/plain")


async def work(request: Request):
    async def later(name: str) -> None:
        done.append(name)

    tasks = BackgroundTasks([BackgroundTask(later, "one"), BackgroundTask(done.append, "two")])
    return PlainTextResponse("started", status_code=202, background=tasks)


async def finished(request: Request):
    return JSONResponse(done)


async def cookies(request: Request):
    response = JSONResponse({k: v for k, v in request.cookies.items() if k != "session"})
    response.set_cookie("theme", "dark", path="/", max_age=60)
    response.set_cookie("lang", "de", httponly=True, samesite="strict")
    response.delete_cookie("old")
    return response


async def broken(request: Request):
    raise LookupError("a bug")


async def not_found(request: Request, error: Exception):
    return JSONResponse({"nothing at": request.url.path}, status_code=404)


async def lookup_failed(request: Request, error: Exception):
    return PlainTextResponse(f"sorry: {type(error).__name__}", status_code=500)


api = Starlette(routes=[Route("/items/{number:int}", Item), Route("/raw", raw, methods=["POST"])])
app = Starlette(
    routes=[
        Route("/", home, name="home"),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/work", work, methods=["POST"]),
        Route("/finished", finished),
        Route("/cookies", cookies),
        Route("/broken", broken),
        Route("/empty", lambda request: Response(status_code=204)),
        Route("/slash/", lambda request: PlainTextResponse("slash")),
        Mount("/api", api),
        Mount("/static", StaticFiles(directory=HERE / "files", html=True)),
    ],
    middleware=[
        Middleware(SessionMiddleware, secret_key="for tests only", https_only=True),
        Middleware(GZipMiddleware, minimum_size=300),
    ],
    exception_handlers={404: not_found, LookupError: lookup_failed},
)
