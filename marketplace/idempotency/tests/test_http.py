import json

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from marketplace.idempotency.models import IdempotencyRecord
from marketplace.idempotency.tests.conftest import things

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("marketplace.idempotency.tests.site")]

LONG = "0123456789abcdef"


@pytest.fixture
def ada():
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def post(client, body=None, key=None):
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/things", json.dumps(body or {}), content_type="application/json", headers=headers)


def test_a_replay_is_the_same_to_the_byte_and_says_so(client):
    first, second = post(client, {"a": 1}, LONG), post(client, {"a": 1}, LONG)

    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert things() == 1


def test_the_key_may_be_in_the_header_or_in_the_body_or_in_both(client):
    assert post(client, {"a": 1}, LONG).status_code == 201
    assert post(client, {"a": 1, "requestId": LONG})["Idempotency-Replayed"] == "true"
    assert post(client, {"a": 1, "requestId": LONG}, LONG)["Idempotency-Replayed"] == "true"
    assert things() == 1


@pytest.mark.parametrize(
    ("body", "key", "code"),
    [
        ({}, None, "idempotency_key_missing"),
        ({"requestId": None}, None, "idempotency_key_missing"),
        ([], None, "idempotency_key_missing"),
        ({}, "", "idempotency_key_malformed"),
        ({"requestId": ""}, None, "idempotency_key_malformed"),
        ({"requestId": 12345678901234567890}, None, "idempotency_key_malformed"),
        ({"requestId": [LONG]}, None, "idempotency_key_malformed"),
        ({"requestId": "x" * 256}, None, "idempotency_key_malformed"),
        ({"requestId": f" {LONG}"}, None, "idempotency_key_malformed"),
        ({"requestId": f"{LONG}\n"}, None, "idempotency_key_malformed"),
        ({"requestId": f"{LONG}é"}, None, "idempotency_key_malformed"),
        ({"requestId": f"{LONG}\x00"}, None, "idempotency_key_malformed"),
        ({"requestId": f"{LONG}-2"}, LONG, "idempotency_key_malformed"),
    ],
)
def test_a_key_that_is_missing_or_malformed_is_a_400_and_nothing_is_done(ada, body, key, code):
    response = post(ada, body, key)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert things() == 0


@pytest.mark.parametrize("key", ["a", "a b", "!", "~" * 255, '"quoted"'])
def test_printable_ascii_is_a_key(ada, key):
    assert post(ada, {}, key).status_code == 201
    assert post(ada, {"requestId": key})["Idempotency-Replayed"] == "true"


def test_a_guest_s_key_must_be_hard_to_guess(client, ada):
    refused = post(client, {}, LONG[:15])

    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_malformed")
    assert post(client, {}, LONG).status_code == 201
    assert post(ada, {}, LONG[:15]).status_code == 201


def test_a_guest_is_known_by_the_key_alone(client):
    first = post(client, {}, LONG)

    assert post(Client(), {}, LONG).content == first.content
    assert things() == 1


def test_a_made_up_session_is_none(client):
    first = post(client, {}, LONG)
    stranger = Client()
    stranger.cookies["sessionid"] = "0123456789abcdefghijklmnopqrstuv"

    assert post(stranger, {}, LONG).content == first.content
    assert post(stranger, {}, "short").status_code == 400


def test_users_and_visits_do_not_share_keys(client, ada):
    bob = Client()
    bob.force_login(get_user_model().objects.create_user("bob"))
    visitor = Client()
    visitor.session.save()  # a first visit that has something to remember
    session = visitor.session
    session["basket"] = ["laptop-1"]
    session.save()
    visitor.cookies["sessionid"] = session.session_key

    bodies = {post(who, {}, LONG).content for who in (client, ada, bob, visitor)}

    assert len(bodies) == 4
    assert things() == 4


def test_another_body_is_422(client):
    post(client, {"a": 1}, LONG)

    response = post(client, {"a": 2}, LONG)

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert things() == 1


def test_in_flight_is_409_and_says_when_to_come_back(client, redis):
    post(client, {}, LONG)
    [name] = redis.keys()
    redis.flushdb()
    redis.set(name, "at work")
    IdempotencyRecord.objects.all().delete()

    response = post(client, {}, LONG)

    assert (response.status_code, response.json()["code"]) == (409, "idempotency_in_progress")
    assert response["Retry-After"] == "1"
    assert response.json()["retryable"] is True
    assert things() == 1
