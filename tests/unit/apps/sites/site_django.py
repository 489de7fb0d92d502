"""A Django project in one module, with both of its applications."""

from __future__ import annotations

import hashlib

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEFAULT_CHARSET="utf-8",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for these tests only",
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    USE_TZ=True,
)

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    Http404,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path, re_path  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402


def home(request):
    return HttpResponse("home", content_type="text/plain")


def echo(request, rest):
    return JsonResponse(
        {
            "method": request.method,
            "uri": request.build_absolute_uri(),
            "rest": rest,
            "pairs": [[name, request.GET.getlist(name)] for name in request.GET],
            "cookies": request.COOKIES,
            "type": request.content_type,
            "trace": request.headers.get("x-trace"),
            "secure": request.is_secure(),
            "body": request.body.hex(),
        }
    )


async def later(request):
    return HttpResponse("from an async view")


@require_POST
def form(request):
    fields = [[name, request.POST.getlist(name)] for name in request.POST]
    for name in request.FILES:
        for item in request.FILES.getlist(name):
            fields.append([name, item.name, hashlib.sha256(item.read()).hexdigest()])
    return JsonResponse(fields, safe=False)


def cookies(request):
    response = HttpResponse("set")
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "two", secure=True, samesite="Strict")
    return response


def stream(request):
    return StreamingHttpResponse(iter([b"one ", b"two ", b"three"]), content_type="text/plain")


def stream_async(request):
    async def chunks():
        for word in (b"one ", b"two ", b"three"):
            yield word

    return StreamingHttpResponse(chunks(), content_type="text/plain")


def binary(request):
    return HttpResponse(bytes(range(256)), content_type="application/octet-stream")


def tagged(request):
    response = HttpResponse("tagged")
    response["ETag"] = '"1"'
    return response


def missing(request):
    raise Http404("no")


def broken(request):
    raise LookupError("not there")


urlpatterns = [
    path("", home),
    re_path(r"^echo/(?P<rest>.*)$", echo),
    path("later/", later),
    path("form/", form),
    path("cookies/", cookies),
    path("stream/", stream),
    path("stream-async/", stream_async),
    path("binary/", binary),
    path("tagged/", tagged),
    path("empty/", lambda request: HttpResponse(status=204)),
    path("redirect/", lambda request: HttpResponseRedirect("/?q=\u00e9")),
    path("missing/", missing),
    path("broken/", broken),
]

asgi_application = get_asgi_application()
wsgi_application = get_wsgi_application()
