"""Coming in, going out, becoming known."""

import pytest

from marketplace.accounts.models import User
from marketplace.storefront.tests.pages import Page, look

pytestmark = pytest.mark.django_db

NEW = {"username": "ada", "email": "", "password1": "analytical-engine", "password2": "analytical-engine"}


def test_sign_in_goes_back_to_where_one_came_from(guest, person):
    page = look(guest, "/sign-in?next=/products/laptop-1")
    assert page.one("sign-in")["href"] == "/sign-in"
    response = guest.post("/sign-in", {"username": "user-1", "password": "correct horse", "next": "/products/laptop-1"})
    assert response.headers["Location"] == "/products/laptop-1"
    assert look(guest, "/").text("signed-in-as") == "user-1"


def test_a_wrong_password_is_told_without_saying_what_was_wrong(guest, person):
    page = Page(guest.post("/sign-in", {"username": "user-1", "password": "battery staple"}))
    assert "correct username and password" in page.text("sign-in-error")
    assert not look(guest, "/").all("signed-in-as")


def test_signing_out_needs_a_press(buyer):
    assert buyer.get("/sign-out").status_code == 405
    assert buyer.post("/sign-out").headers["Location"] == "/"
    assert not look(buyer, "/").all("signed-in-as")


def test_a_new_account_is_signed_in(guest):
    response = guest.post("/register", NEW)
    assert response.headers["Location"] == "/"
    assert look(guest, "/").text("signed-in-as") == "ada"
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert user.check_password("analytical-engine")


@pytest.mark.parametrize(
    "changes",
    [{"username": "user-1"}, {"username": "USER 1!"}, {"password2": "other"}, {"password1": "123", "password2": "123"}],
)
def test_an_account_that_can_not_be(guest, person, changes):
    page = Page(guest.post("/register", {**NEW, **changes}))
    assert page.status == 400
    assert any(element.get("aria-invalid") == "true" for element in page.elements)
    assert User.objects.count() == 1


def test_nobody_makes_themselves_staff(guest):
    guest.post("/register", {**NEW, "is_staff": "on", "is_superuser": "on"})
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(guest, person, elsewhere):
    assert guest.post("/register", {**NEW, "next": elsewhere}).headers["Location"] == "/"
    guest.post("/sign-out")
    response = guest.post("/sign-in", {"username": "user-1", "password": "correct horse", "next": elsewhere})
    assert response.headers["Location"] == "/"
