from io import StringIO

import pytest
from django.core.management import call_command
from rest_framework.authtoken.models import Token

from inventory.models import Category, LedgerEntry, Product, Stock
from marketplace.accounts.models import User
from marketplace.operations import demo

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("seed_demo", *arguments, stdout=out)
    return out.getvalue()


def everything() -> list[object]:
    tables = (Category, Product, Stock, LedgerEntry, User, Token)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_a_stocked_shop_and_four_logins():
    text = run()
    assert Product.objects.count() >= 24
    assert Product.objects.filter(sku="laptop-1", is_active=True).exists()
    assert Stock.objects.filter(available=0).exists()
    users = {user.username: user for user in User.objects.all()}
    assert set(users) == {"user-1", "user-2", "staff", "warehouse"}
    assert all(user.check_password("marketplace") for user in users.values())
    assert {user.email for user in users.values()} == {
        "user-1@example.com",
        "user-2@example.com",
        "warehouse@example.com",
        "staff@example.com",
    }
    assert {name for name, user in users.items() if user.is_staff} == {"staff", "warehouse"}
    assert {name for name, user in users.items() if user.is_superuser} == {"staff"}
    assert users["warehouse"].has_perm("fulfillment.pack_shipment")
    assert not users["warehouse"].has_perm("orders.view_order")
    assert text.count("password marketplace") == 4
    assert "not open to the world" in text
    assert Token.objects.count() == 0


def test_run_again_changes_nothing_not_even_what_people_changed():
    run()
    Product.objects.filter(sku="laptop-1").update(name="Ours", price_minor=1)
    user = User.objects.get(username="user-1")
    user.set_password("another")
    user.save()
    before = everything()
    text = run()
    assert everything() == before
    assert "was there already" in text
    assert "password marketplace" not in text


def test_a_missing_login_is_made_again():
    run()
    User.objects.filter(username="user-2").delete()
    assert [(login.username, login.is_new) for login in demo.make_logins()] == [
        ("user-1", False),
        ("user-2", True),
        ("staff", False),
        ("warehouse", False),
    ]


def test_tokens_on_request_stay_the_same():
    first, second = run("--tokens"), run("--tokens")
    for token in Token.objects.all():
        assert f"Authorization: Token {token.key}" in first
        assert token.key in second
    assert Token.objects.count() == 4


def test_a_password_is_hashed_once_for_all_and_never_again(monkeypatch):
    hashed = []
    hash_it = demo.make_password
    monkeypatch.setattr(demo, "make_password", lambda word: hashed.append(word) or hash_it(word))
    run()
    run()
    assert hashed == ["marketplace"]
