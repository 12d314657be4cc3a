"""`manage.py buy`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from orders.models import Order

pytestmark = pytest.mark.django_db


def test_it_places_an_order(shop):
    shop.stocked("laptop-1", 1)
    out = StringIO()

    call_command("buy", "laptop-1", user="user-2", stdout=out)

    order = Order.objects.get()
    assert out.getvalue() == f"Order {order.number} ({order.id}) for 10.00 EUR\n"
    assert (order.user_id, order.payment_method) == ("user-2", "tok_visa")


@pytest.mark.parametrize("arguments", [["no-such-thing"], ["laptop-1", "--quantity", "0"]])
def test_what_can_not_be_bought_is_said_in_one_line(shop, arguments):
    shop.stocked("laptop-1", 1)
    with pytest.raises(CommandError):
        call_command("buy", *arguments)
    assert not Order.objects.exists()
