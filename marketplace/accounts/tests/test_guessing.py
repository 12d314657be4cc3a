"""Guessing passwords: at the shop's door, at the admin's and at the API's, which count together."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from marketplace.accounts import guessing
from marketplace.kernel.limits import TooOften

pytestmark = pytest.mark.django_db

RIGHT = "correct horse"
DOORS = {"shop": "/sign-in", "admin": "/admin/login/"}
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def ada():
    return get_user_model().objects.create_superuser("ada", password=RIGHT)


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def browser(address=HERE):
    return Client(REMOTE_ADDR=address)


def knock(client, door, password="wrong", name="ada"):
    if door == "API":
        body = json.dumps({"username": name, "password": password})
        return client.post("/api/token", body, content_type="application/json")
    return client.post(DOORS[door], {"username": name, "password": password})


def guess(client, door="shop", times=10, name="ada"):
    for _ in range(times):
        assert knock(client, door, name=name).status_code in (200, 401)


@pytest.mark.parametrize("door", DOORS)
def test_whoever_guesses_is_told_to_wait_and_for_how_long(door):
    client = browser()
    guess(client, door)
    for password in ("wrong", RIGHT):
        refused = knock(client, door, password)
        assert refused.status_code == 429
        assert 1 <= int(refused["Retry-After"]) <= 600
        assert "Too many wrong passwords. Please try again in 10 minutes." in refused.content.decode()
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("door", DOORS)
def test_it_is_over_when_the_time_is(door, redis):
    client = browser()
    guess(client, door, times=10)
    assert knock(client, door, RIGHT).status_code == 429
    redis.flushdb()  # as the end of the time does
    assert knock(client, door, RIGHT).status_code == 302


def test_the_doors_count_together():
    guess(browser(), "shop", times=4)
    guess(browser(), "admin", times=3)
    guess(browser(), "API", times=3)
    assert [knock(browser(), door, RIGHT).status_code for door in ("shop", "admin", "API")] == [429] * 3


@pytest.mark.parametrize("name", ["ADA", " ada ", "\uff41\uff44\uff41"])
def test_however_the_name_is_written_it_is_one(name):
    guess(browser(), name=name)
    assert knock(browser(ELSEWHERE), "shop", RIGHT).status_code == 429


def test_the_right_password_is_not_counted():
    for _ in range(12):
        assert knock(browser(), "shop", RIGHT).status_code == 302
        assert knock(browser(), "admin", RIGHT).status_code == 302
        assert knock(browser(), "API", RIGHT).status_code == 200


@pytest.mark.parametrize("door", DOORS)
def test_who_has_signed_in_here_before_is_not_kept_out_by_who_guesses_elsewhere(door):
    mine = browser()
    assert knock(mine, door, RIGHT).status_code == 302
    mine.session.flush()
    guess(browser(ELSEWHERE))
    assert knock(browser(), door, RIGHT).status_code == 429
    assert knock(mine, door, RIGHT).status_code == 302


def test_a_known_browser_does_not_guess_without_end_either():
    mine = browser()
    knock(mine, "shop", RIGHT)
    mine.post("/sign-out")
    guess(mine)
    assert knock(mine, "shop", RIGHT).status_code == 429
    assert knock(browser(), "shop", RIGHT).status_code == 302  # what it guessed is its own


def test_a_browser_is_known_for_the_account_that_it_has_signed_in_to():
    get_user_model().objects.create_user("evangeline", password="of her own")
    client = browser()
    assert knock(client, "shop", "of her own", name="evangeline").status_code == 302
    cookie = client.cookies[guessing.COOKIE]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert "evangeline" not in cookie.value
    client.post("/sign-out")
    guess(browser(ELSEWHERE))
    assert knock(client, "shop").status_code == 429
    client.cookies[guessing.COOKIE] = cookie.value[:-1] + "~"
    assert knock(client, "shop", name="evangeline").status_code == 200  # taken for an unknown one


def test_one_address_tries_no_end_of_names():
    for number in range(100):
        guess(browser(), times=1, name=f"user-{number}")
    assert knock(browser(), "shop", RIGHT).status_code == 429
    assert knock(browser(ELSEWHERE), "shop", RIGHT).status_code == 302


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8::1", "2001:db8::2:3", True),  # a household has as many as it likes
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unknown", False),
    ],
)
def test_what_counts_as_one_address(rf, one, another, same):
    one, another = (guessing.address_of(rf.get("/", REMOTE_ADDR=address)) for address in (one, another))
    assert (one == another) is same


def test_behind_a_proxy_the_address_is_what_it_tells(rf, monkeypatch):
    monkeypatch.setattr("rest_framework.settings.api_settings.NUM_PROXIES", 1)
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": f"{ELSEWHERE}, {HERE}"})
    assert guessing.address_of(request) == HERE


def test_many_at_once_are_no_way_around():
    def one(_number):
        try:
            guessing.begin("ada", address=HERE)
        except TooOften:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(40))) == 10


def test_a_form_that_lacks_something_is_no_guess():
    for _ in range(12):
        assert knock(browser(), "shop", "").status_code == 200
    assert knock(browser(), "shop", RIGHT).status_code == 302


@pytest.mark.parametrize("door", DOORS)
def test_without_redis_people_come_in_and_nobody_is_counted(door, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # nobody is there
    guess(browser(), door, times=12)
    assert knock(browser(), door, RIGHT).status_code == 302


def test_it_is_said_in_german_too():
    client = browser()
    guess(client)
    refused = client.post(
        "/sign-in", {"username": "ada", "password": RIGHT}, headers={"Accept-Language": "de"}
    ).content.decode()
    assert "Zu viele falsche Passwörter. Bitte versuchen Sie es in 10 Minuten noch einmal." in refused
