import json

import pytest
from django.contrib.auth import get_user_model
from django.http import JsonResponse
from django.urls import include, path
from rest_framework.authtoken.models import Token
from rest_framework.decorators import api_view

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@api_view(["GET"])
def whoami(request):
    return JsonResponse({"username": request.user.get_username()})


urlpatterns = [path("api/", include("marketplace.accounts.urls")), path("api/whoami", whoami)]


@pytest.fixture(autouse=True)
def ada():
    return get_user_model().objects.create_user("ada", password="correct horse")


def ask(client, **headers):
    return lambda **body: client.post("/api/token", json.dumps(body), content_type="application/json", headers=headers)


def test_a_password_is_traded_for_a_token_that_works(client):
    response = ask(client)(username="ada", password="correct horse")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    token = response.json()["token"]
    me = client.get("/api/whoami", headers={"Authorization": f"Token {token}"})
    assert me.json() == {"username": "ada"}


def test_whoever_tries_password_after_password_is_told_to_wait(client):
    for _ in range(10):
        assert ask(client)(username="ada", password="wrong").status_code == 401
    response = ask(client)(username="Ada", password="correct horse")
    assert response.status_code == 429
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["code"], problem["retryable"]) == ("throttled", True)
    assert 1 <= int(response["Retry-After"]) <= 600
    assert ask(client)(username="eve", password="wrong").status_code == 401
    assert ask(client)(username="\ud800", password="wrong").status_code == 400


def test_asking_again_gives_the_same_token(client):
    tokens = {ask(client)(username="ada", password="correct horse").json()["token"] for _ in range(3)}

    assert tokens == {Token.objects.get().key}


def test_a_stale_token_is_not_in_the_way(client):
    response = ask(client, Authorization="Token 0123")(username="ada", password="correct horse")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("username", "password"),
    [("ada", "wrong"), ("nobody", "correct horse"), ("ADA", "correct horse"), ("ada", " correct horse")],
)
def test_wrong_credentials_are_401_and_do_not_tell_which(client, username, password):
    response = ask(client)(username=username, password=password)

    body = response.json()
    assert (response.status_code, body["code"], body["detail"]) == (
        401,
        "wrong_credentials",
        "The user name or the password is wrong.",
    )
    assert response["WWW-Authenticate"] == "Token"
    assert response["Content-Type"] == "application/problem+json"
    assert not Token.objects.exists()


def test_an_account_that_was_closed_gets_none(client, ada):
    ada.is_active = False
    ada.save()

    assert ask(client)(username="ada", password="correct horse").status_code == 401


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [("/password", "required"), ("/username", "required")]),
        ({"username": "", "password": ""}, [("/password", "blank"), ("/username", "blank")]),
        ({"username": "ada", "password": "x", "admin": True}, [("/admin", "unknown_field")]),
        ({"username": ["ada"], "password": {}}, [("/password", "invalid"), ("/username", "invalid")]),
        ({"username": "a\x00", "password": "x"}, [("/username", "null_characters_not_allowed")]),
    ],
)
def test_what_is_wrong_with_the_body_is_said(client, body, errors):
    response = ask(client)(**body)

    assert response.status_code == 400
    assert sorted((error["pointer"], error["code"]) for error in response.json()["errors"]) == errors


def test_it_is_posted(client):
    assert client.get("/api/token").status_code == 405
