"""A small site with one address that does something once."""

from functools import partial

from django.urls import path
from rest_framework.views import APIView

from marketplace.idempotency import http
from marketplace.idempotency.services import run_once
from marketplace.idempotency.tests.conftest import NOON, work


class Things(APIView):
    def post(self, request):
        return http.respond(
            request, route="POST /api/things", once=partial(run_once, now=NOON, work=work, present=with_secret)
        )


def with_secret(body):
    return {**body, "clientSecret": "s"}


urlpatterns = [path("api/things", Things.as_view())]
