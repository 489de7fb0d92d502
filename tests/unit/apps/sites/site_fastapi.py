"""A FastAPI application that knows nothing of portafaas."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import (
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel

sent: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.orders = {}
    yield
    app.state.orders = None


app = FastAPI(title="Shop", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["*"], max_age=60
)


class Order(BaseModel):
    id: int
    items: list[str]
    note: str | None = None


def orders(request: Request) -> dict[int, Order]:
    return request.app.state.orders


Orders = Annotated[dict[int, Order], Depends(orders)]


@app.get("/")
def home():
    return {"service": "shop"}


@app.post("/orders", status_code=201)
async def create(order: Order, known: Orders, response: Response, tasks: BackgroundTasks):
    if order.id in known:
        raise HTTPException(409, detail="exists already")
    known[order.id] = order
    response.headers["location"] = f"/orders/{order.id}"
    response.set_cookie("last", str(order.id))
    response.set_cookie("seen", "yes", httponly=True)
    tasks.add_task(sent.append, f"order {order.id}")
    return order


@app.get("/orders/{order_id}")
async def read(order_id: int, known: Orders):
    if order_id not in known:
        raise HTTPException(404, detail="no such order")
    return known[order_id]


@app.delete("/orders/{order_id}", status_code=204)
async def remove(order_id: int, known: Orders):
    known.pop(order_id, None)


@app.get("/search")
def search(
    tag: Annotated[list[str], Query()],
    q: str = "",
    limit: Annotated[int, Query(le=10)] = 5,
    x_trace: Annotated[str | None, Header()] = None,
    last: Annotated[str | None, Cookie()] = None,
):
    return {"q": q, "tag": tag, "limit": limit, "trace": x_trace, "last": last}


@app.post("/upload")
async def upload(
    title: Annotated[str, Form()], files: Annotated[list[UploadFile], File()]
):
    return {
        "title": title,
        "files": [
            (item.filename, item.content_type, hashlib.sha256(await item.read()).hexdigest())
            for item in files
        ],
    }


@app.get("/files/{path:path}")
def files(path: str):
    return path


@app.get("/export")
def export():
    return StreamingResponse((f"{n},{n * n}\n" for n in range(1000)), media_type="text/csv")


@app.get("/old", include_in_schema=False)
def old():
    return RedirectResponse("/new")


@app.get("/broken")
def broken():
    raise RuntimeError("broken")
