"""What a saga is about: an order, or a refund, return or case of one. One query where there are only orders."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models import CharField, F, OuterRef, Subquery, UUIDField
from django.db.models.functions import Coalesce

from orders.models import MoneyCase, Order, Return
from payments.models import Refund


def orders_about(subject_ids: Iterable[UUID]) -> dict[UUID, Order]:
    """Return the order behind each of these subjects of sagas; those without one are left out."""
    wanted = set(subject_ids)
    found: dict[UUID, Order] = Order.objects.in_bulk(list(wanted))
    rest = wanted - set(found)
    if rest:
        part_of = dict(Refund.objects.filter(pk__in=rest).values_list("id", "payment__reference_id"))
        part_of |= dict(Return.objects.filter(pk__in=rest).values_list("id", "order_id"))
        part_of |= dict(MoneyCase.objects.filter(pk__in=rest).values_list("id", "order_id"))
        orders = Order.objects.in_bulk(list(part_of.values()))
        found |= {part: orders[order] for part, order in part_of.items() if order in orders}
    return found


def order_behind(column: str) -> Coalesce:
    """Annotate rows with the id of the order behind the subject in their `column`."""
    refunded = Refund.objects.filter(pk=OuterRef(column)).values("payment__reference_id")[:1]
    returned = Return.objects.filter(pk=OuterRef(column)).values("order_id")[:1]
    case = MoneyCase.objects.filter(pk=OuterRef(column)).values("order_id")[:1]
    return Coalesce(Subquery(refunded), Subquery(returned), Subquery(case), F(column), output_field=UUIDField())


def parts_of(order_ids: Iterable[UUID]) -> list[UUID]:
    """The subjects of sagas that belong to these orders: their refunds, returns and cases. Three queries."""
    wanted = list(order_ids)
    refunds = Refund.objects.filter(payment__reference_id__in=wanted).values_list("pk", flat=True)
    returns = Return.objects.filter(order__in=wanted).values_list("pk", flat=True)
    return [*refunds, *returns, *MoneyCase.objects.filter(order__in=wanted).values_list("pk", flat=True)]


def number_behind(annotation: str) -> Subquery:
    """Annotate rows with the number of the order in their annotation `annotation`."""
    return Subquery(Order.objects.filter(pk=OuterRef(annotation)).values("number")[:1], output_field=CharField())
