"""A small Django project in one module: forms, signed-cookie sessions, CSRF, uploads, downloads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from django.conf import settings

HERE = Path(__file__).parent
settings.configure(
    ALLOWED_HOSTS=["*"],
    DEFAULT_CHARSET="utf-8",
    INSTALLED_APPS=["django.contrib.sessions", "django.contrib.messages"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MESSAGE_STORAGE="django.contrib.messages.storage.session.SessionStorage",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)

from django import forms  # noqa: E402
from django.contrib import messages  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template import Context, Engine  # noqa: E402
from django.urls import path, re_path, reverse  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.csrf import csrf_exempt, csrf_protect  # noqa: E402
from django.views.decorators.http import require_http_methods  # noqa: E402


class BookForm(forms.Form):
    title = forms.CharField(max_length=20)
    year = forms.IntegerField(min_value=1450)


def home(request):
    template = Engine().from_string("<p>{{ user }}</p>{% for m in notes %}<i>{{ m }}</i>{% endfor %}")
    notes = [str(item) for item in messages.get_messages(request)]
    user = request.session.get("user", "nobody <b>")
    return HttpResponse(template.render(Context({"user": user, "notes": notes})))


@csrf_exempt
def login(request):
    request.session["user"] = request.POST["user"]
    messages.info(request, "welcome")
    return HttpResponseRedirect(reverse("home"))


@csrf_exempt
def book(request):
    form = BookForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors.get_json_data()}, status=422)
    return JsonResponse(form.cleaned_data, status=201)


@csrf_protect
def guarded(request):
    return HttpResponse("passed")


@csrf_exempt
def upload(request):
    found = [[name, request.POST.getlist(name)] for name in request.POST]
    for name in request.FILES:
        for item in request.FILES.getlist(name):
            digest = hashlib.sha256(item.read()).hexdigest()
            found.append([name, item.name, item.content_type, digest])
    return JsonResponse(found, safe=False)


@csrf_exempt
def store(request):
    return JsonResponse({"got": json.loads(request.body), "type": request.content_type})


def cookies(request):
    response = JsonResponse({k: v for k, v in request.COOKIES.items() if k != "sessionid"})
    response.set_cookie("theme", "dark", max_age=60)
    response.delete_cookie("old")
    return response


class Shelf(View):
    def get(self, request, name):
        return JsonResponse({"shelf": name, "query": dict(request.GET.lists())})

    def head(self, request, name):
        return HttpResponse(headers={"X-Shelf": "there"})


def stream(request):
    return StreamingHttpResponse((f"part {n}\n" for n in range(100)), content_type="text/plain")


def download(request):
    return FileResponse((HERE / "files" / "logo.png").open("rb"), as_attachment=True)


def where(request):
    return JsonResponse({"uri": request.build_absolute_uri(), "secure": request.is_secure()})


@csrf_exempt
@require_http_methods(["PUT"])
def only_put(request):
    return HttpResponse(status=204)


async def later(request):
    return HttpResponse("from an async view")


def tagged(request):
    return HttpResponse("tagged", headers={"ETag": '"1"'})


def missing(request):
    raise Http404("no such book")


def broken(request):
    raise LookupError("a bug")


def on_error(request):
    return HttpResponse("sorry", status=500, content_type="text/plain")


handler500 = on_error
urlpatterns = [
    path("", home, name="home"),
    path("login/", login),
    path("books/", book),
    path("guarded/", guarded),
    path("upload/", upload),
    path("store/", store),
    path("cookies/", cookies),
    re_path(r"^shelves/(?P<name>.+)/$", Shelf.as_view()),
    path("stream/", stream),
    path("download/", download),
    path("where/", where),
    path("only-put/", only_put),
    path("later/", later),
    path("tagged/", tagged),
    path("missing/", missing),
    path("broken/", broken),
]

application = get_wsgi_application()
