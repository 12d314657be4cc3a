"""Who may see an order."""

from marketplace.kernel.ids import new_id
from orders.access import client_secret, may_see

ORDER = new_id()


def allowed(*, owner="user-1", username="", is_staff=False, secret=""):
    return may_see(order_id=ORDER, owner=owner, username=username, is_staff=is_staff, secret=secret)


def test_the_buyer_staff_and_the_bearer_of_the_secret():
    assert allowed(username="user-1")
    assert allowed(username="boss", is_staff=True)
    assert allowed(secret=client_secret(ORDER))
    assert allowed(owner="", secret=client_secret(ORDER))


def test_nobody_else():
    assert not allowed()
    assert not allowed(username="user-2")
    assert not allowed(owner="", username="")  # a guest's order is not everybody's
    assert not allowed(secret=client_secret(new_id()))
    assert not allowed(secret="os_")


def test_the_secret_is_the_same_each_time_and_depends_on_the_key(settings):
    first = client_secret(ORDER)
    assert client_secret(ORDER) == first
    settings.SECRET_KEY = "another"
    assert client_secret(ORDER) != first
