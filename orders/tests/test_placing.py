import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.errors import UnknownProduct
from inventory.models import Category, Product
from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas.models import SagaInstance
from orders import services
from orders.errors import CurrencyMismatch, NothingToPay, OrderTooLarge, PriceChanged, SignInRequired
from orders.models import Order, OrderLine, TimelineEntry
from orders.services import NewOrder, OrderLineRequest

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf():
    return Category.objects.create(slug="home", name="Home")


@pytest.fixture(autouse=True)
def lamp(shelf):
    return product(shelf, "lamp")


def product(shelf, sku, price_minor=4900, currency="EUR", **more):
    return Product.objects.create(
        sku=sku, name=f"The {sku}", description="", category=shelf, price_minor=price_minor, currency=currency,
        image="", weight_grams=100, **more,
    )  # fmt: skip


def of(sku="lamp", quantity=1, *, user="ada", currency="", **line):
    lines = (OrderLineRequest(quantity=quantity, sku=sku, **line),)
    return NewOrder(lines=lines, user_id=user, currency=currency, payment_method="tok_visa")


def test_one_is_placed_like_many(shelf):
    product(shelf, "vase", 1500)
    now = database_now()
    wanted = [of("lamp", 2), of("vase", user="bob"), of("lamp", user="")]

    [alone] = [services.place(wanted[0], now=now)]
    together = services.place_many(wanted, now=now)

    views = [alone, *together]
    assert [view.total_minor for view in views] == [9800, 9800, 1500, 4900]
    assert [view.user_id for view in views] == ["ada", "ada", "bob", ""]
    numbers = [int(view.number.removeprefix("M-")) for view in views]
    assert numbers == list(range(numbers[0], numbers[0] + 4))  # in the order in which they came
    assert {view.id for view in views} == set(Order.objects.values_list("pk", flat=True))
    assert {view.saga_id for view in views} == set(SagaInstance.objects.values_list("pk", flat=True))
    for view in views:
        [line] = OrderLine.objects.filter(order_id=view.id)
        assert (line.sku, line.quantity, line.price_minor, line.position) == (
            view.items[0].sku, view.items[0].quantity, view.items[0].price_minor, 1,
        )  # fmt: skip
        [entry] = TimelineEntry.objects.filter(order_id=view.id)
        assert (entry.to_status, entry.who, entry.at) == ("CREATED", view.user_id or "guest", now)
        told = OutboxEvent.objects.filter(saga_id=view.saga_id).order_by("sequence")
        assert [(event.type, event.sequence) for event in told] == [("ORDER_CREATED", 1), ("SAGA_STARTED", 2)]


def test_a_refused_order_is_answered_by_its_refusal_and_the_others_are_placed(shelf, settings):
    settings.GUEST_CHECKOUT = False
    product(shelf, "dollar", currency="USD")
    product(shelf, "gone", is_active=False)
    product(shelf, "yacht", 10**11)
    product(shelf, "gift", 0)
    wanted = [
        of("lamp"), of("nothing"), of("gone"), of("lamp", price_minor=4800), of("dollar", currency="EUR"),
        of("yacht", 10), of("lamp", user=""), of("lamp", price_minor=4900),
        of("gift"),
    ]  # fmt: skip

    answers = services.place_many(wanted, now=database_now())

    refusals = {at: type(answer) for at, answer in enumerate(answers) if isinstance(answer, Exception)}
    assert refusals == {
        1: UnknownProduct, 2: UnknownProduct, 3: PriceChanged, 4: CurrencyMismatch, 5: OrderTooLarge, 6: SignInRequired,
        8: NothingToPay,
    }  # fmt: skip
    assert answers[3].data == {"sku": "lamp", "price": "49.00", "pointer": "/items/0/price"}
    assert {answers[0].id, answers[7].id} == set(Order.objects.values_list("pk", flat=True))
    assert SagaInstance.objects.count() == 2


def test_when_all_are_refused_nothing_is_written():
    with CaptureQueriesContext(
        connection,
    ) as said:
        services.place_many([of("nothing"), of("nowhere")], now=database_now())

    assert not [query["sql"] for query in said if query["sql"].startswith(("INSERT", "WITH"))]


def test_many_take_as_many_statements_as_one(django_assert_num_queries):
    now = database_now()
    with CaptureQueriesContext(connection) as one:
        services.place(of(), now=now)

    with django_assert_num_queries(len(one)):
        services.place_many([of() for _ in range(50)], now=now)


def test_a_price_that_changed_a_moment_ago_is_the_price(lamp):
    services.place(of(price_minor=4900), now=database_now())
    Product.objects.filter(pk=lamp.pk).update(price_minor=5000)

    with pytest.raises(PriceChanged):
        services.place(of(price_minor=4900), now=database_now())
    assert services.place(of(), now=database_now()).total_minor == 5000
