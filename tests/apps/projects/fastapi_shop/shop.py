"""A small shop on FastAPI."""

from __future__ import annotations

import csv
import hashlib
import io
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fastapi import (
    APIRouter,
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
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

HERE = Path(__file__).parent


class OutOfStock(Exception):
    def __init__(self, sku: str) -> None:
        self.sku = sku


class Line(BaseModel):
    sku: str = Field(pattern=r"^[a-z]+-\d+$")
    count: int = Field(gt=0, le=100)


class Order(BaseModel):
    customer: str = Field(min_length=1)
    lines: list[Line]
    voucher: str | None = None


class Placed(Order):
    id: int
    total: Decimal


class Shop:
    def __init__(self) -> None:
        self.orders: dict[int, Placed] = {}
        self.mails: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.shop = Shop()
    yield
    app.state.shop = None


app = FastAPI(title="Shop", version="1.2.3", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://shop.example"],
    allow_methods=["GET", "POST"],
    allow_credentials=True,
)


def shop(request: Request) -> Shop:
    return request.app.state.shop


TheShop = Annotated[Shop, Depends(shop)]
bearer = HTTPBearer()


@app.exception_handler(OutOfStock)
async def out_of_stock(request: Request, error: OutOfStock):
    return JSONResponse({"error": "out of stock", "sku": error.sku}, 409, {"retry-after": "60"})


@app.middleware("http")
async def trace(request: Request, call_next):
    response = await call_next(request)
    response.headers["x-trace"] = request.headers.get("x-trace", "none")
    return response


orders = APIRouter(prefix="/orders", tags=["orders"])


@orders.post("", status_code=201, response_model=Placed)
async def place(
    order: Order, shop: TheShop, response: Response, tasks: BackgroundTasks, request: Request
):
    for line in order.lines:
        if line.sku == "none-0":
            raise OutOfStock(line.sku)
    total = sum((Decimal("9.99") * line.count for line in order.lines), Decimal())
    placed = Placed(id=len(shop.orders) + 1, total=total, **order.model_dump())
    shop.orders[placed.id] = placed
    response.headers["location"] = str(request.url_for("read", number=placed.id).path)
    response.set_cookie("last-order", str(placed.id), max_age=3600, httponly=True)
    response.set_cookie("customer", "known", secure=True, samesite="strict")
    tasks.add_task(shop.mails.append, f"confirmed {placed.id}")
    return placed


@orders.get("/{number}", name="read")
def read(number: int, shop: TheShop, last_order: Annotated[str | None, Cookie(alias="last-order")] = None):
    if number not in shop.orders:
        raise HTTPException(404, detail={"missing": number, "last": last_order})
    return shop.orders[number]


@orders.delete("/{number}", status_code=204)
def cancel(number: int, shop: TheShop):
    shop.orders.pop(number, None)


app.include_router(orders)


@app.get("/mails")
async def mails(shop: TheShop):
    return shop.mails


@app.get("/search")
def search(
    tag: Annotated[list[str], Query()],
    limit: Annotated[int, Query(ge=1, le=10)] = 5,
    accept_language: Annotated[str | None, Header()] = None,
):
    return {"tag": tag, "limit": limit, "language": accept_language}


@app.post("/upload")
async def upload(title: Annotated[str, Form()], files: Annotated[list[UploadFile], File()]):
    seen = []
    for item in files:
        content = await item.read()
        seen.append([item.filename, item.content_type, hashlib.sha256(content).hexdigest()])
    return {"title": title, "files": seen}


@app.get("/export.csv")
def export():
    def rows():
        for number in range(200):
            buffer = io.StringIO()
            csv.writer(buffer).writerow([number, f"gr\u00fc\u00dfe {number}"])
            yield buffer.getvalue()

    headers = {"content-disposition": 'attachment; filename="export.csv"'}
    return StreamingResponse(rows(), media_type="text/csv", headers=headers)


@app.get("/logo.png")
def logo():
    return FileResponse(HERE / "files" / "logo.png")


@app.get("/old")
def old():
    return RedirectResponse("/search?tag=new")


@app.get("/account", dependencies=[Depends(bearer)])
def account():
    return {"account": True}


@app.get("/broken")
def broken():
    raise RuntimeError("a bug")


@app.get("/files/{path:path}")
def files(path: str):
    return {"path": path}
