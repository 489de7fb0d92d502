"""A Starlette application that knows nothing of portafaas."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

background_runs: list[str] = []


class Connection:
    """Stands for a client that is opened once."""

    def __init__(self):
        self.uses = 0
        self.open = True


@asynccontextmanager
async def lifespan(app):
    connection = Connection()
    yield {"connection": connection}
    connection.open = False


async def echo(request: Request):
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "url": str(request.url),
            "path": request.scope["path"],
            "raw_path": request.scope["raw_path"].decode("latin-1"),
            "query": request.scope["query_string"].decode("latin-1"),
            "pairs": request.query_params.multi_items(),
            "cookies": request.cookies,
            "headers": sorted(
                [name, value]
                for name, value in request.headers.items()
                if name.startswith("x-") or name in ("content-type", "content-length", "cookie")
            ),
            "body": body.hex(),
        }
    )


async def client(request: Request):
    return PlainTextResponse(f"{request.url.scheme} {request.client.host}")


async def form(request: Request):
    fields = []
    async with request.form() as data:
        for name, value in data.multi_items():
            if isinstance(value, str):
                fields.append([name, value])
            else:
                content = await value.read()
                digest = hashlib.sha256(content).hexdigest()
                fields.append([name, value.filename, value.content_type, digest])
    return JSONResponse(fields)


async def cookies(request: Request):
    response = PlainTextResponse("set")
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "two; three", max_age=60, secure=True, samesite="strict")
    response.delete_cookie("c")
    return response


async def stream(request: Request):
    async def chunks():
        for number in range(5):
            yield f"part {number}\n"
            yield b""

    return StreamingResponse(chunks(), media_type="text/plain")


async def background(request: Request):
    return PlainTextResponse(
        "queued", background=BackgroundTask(background_runs.append, request.url.path)
    )


async def uses(request: Request):
    connection = request.state.connection
    connection.uses += 1
    return JSONResponse({"uses": connection.uses, "open": connection.open})


async def headers(request: Request):
    response = Response(b"\x00\xff", media_type="application/octet-stream")
    response.raw_headers.append((b"vary", b"accept"))
    response.raw_headers.append((b"vary", b"origin"))
    return response


async def broken(request: Request):
    raise LookupError("not there")


async def teapot(request: Request):
    raise HTTPException(418, "short and stout", headers={"x-spout": "yes"})


class Stamp(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-stamp"] = request.headers.get("x-request", "none")
        return response


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HERE = Path(__file__).parent

app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(Stamp), Middleware(GZipMiddleware, minimum_size=200)],
    routes=[
        Route("/", lambda request: PlainTextResponse("home"), methods=["GET"]),
        Route("/echo/{rest:path}", echo, methods=METHODS),
        Route("/client", client),
        Route("/form", form, methods=["POST"]),
        Route("/cookies", cookies),
        Route("/stream", stream),
        Route("/background", background),
        Route("/uses", uses),
        Route("/headers", headers),
        Route("/empty", lambda request: Response(status_code=204)),
        Route("/same", lambda request: Response(status_code=304, headers={"etag": '"1"'})),
        Route("/binary", lambda request: Response(bytes(range(256)) * 64)),
        Route("/redirect", lambda request: RedirectResponse("/?a=\u00e9", status_code=302)),
        Route("/file", lambda request: FileResponse(HERE / "text.txt", filename="n\u00e4me.txt")),
        Route("/slash/", lambda request: PlainTextResponse("slash")),
        Route("/broken", broken),
        Route("/teapot", teapot),
        Mount("/static", StaticFiles(directory=HERE)),
    ],
)
