"""Refunds: the list, the story of one, and the form by which staff have money given back."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import InvalidAmount, Money, format_minor
from marketplace.operations import wording
from marketplace.operations.admin.base import StoryAdmin, age, amount, as_uuid, framed, order_link, order_number
from marketplace.operations.admin.decisions import ReasonForm
from marketplace.operations.story import PaymentPage
from marketplace.sagas.models import SagaInstance, Status
from orders import services
from orders.models import BEFORE_CONFIRMATION, Order
from orders.numbers import typed
from payments.models import Attempt, Refund
from payments.refunds import left_of
from payments.selectors import PaymentView, captured_payment
from payments.states import RefundStatus

ORDER_PAGE: Final = "admin:orders_order_change"


def may_refund(request: HttpRequest) -> bool:
    """Whether whoever asks may have money given back."""
    return request.user.has_perm(services.MAY_REFUND)


def is_offered(request: HttpRequest, order: Order) -> bool:
    """Whether the page of `order` has a button for a refund; the service has the last word."""
    if not may_refund(request) or order.status in BEFORE_CONFIRMATION:
        return False
    if order.status == "CONFIRMED" and order.reversal_id is not None:
        return False
    payment = captured_payment(order.pk)
    return payment is not None and payment.dispute != "OPEN" and left_of(payment) > 0


def parked_refunds(payments: Sequence[PaymentPage]) -> list[SagaInstance]:
    """The sagas of these payments' refunds that need a person; one query, none where there are no refunds."""
    ids = [refund.pk for payment in payments for refund in payment.refunds if refund.status != RefundStatus.DONE]
    return list(SagaInstance.objects.filter(subject_id__in=ids, status=Status.NEEDS_ATTENTION)) if ids else []


class RefundForm(ReasonForm):
    """How much, and why. `token` makes pressing twice the same as pressing once."""

    amount = forms.CharField(max_length=20, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}))
    token = forms.UUIDField(widget=forms.HiddenInput)
    field_order = ("amount", "reason", "token")

    def __init__(self, *args: Any, payment: PaymentView, left_minor: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._currency, self._left = payment.currency, left_minor
        most = format_minor(left_minor, payment.currency)
        self.fields["amount"].label = f"How much, in {payment.currency}?"
        self.fields["amount"].help_text = f"At most {most}, which is all that is left."
        self.fields["amount"].initial = most
        self.fields["token"].initial = new_id()

    def clean_amount(self) -> int:
        """Return it in minor units."""
        try:
            minor = Money.parse(self.cleaned_data["amount"].strip(), self._currency).minor
        except InvalidAmount as problem:
            sample = format_minor(self._left, self._currency)
            raise forms.ValidationError(f"Write an amount like {sample}: no sign, no thousands.") from problem
        if minor <= 0:
            raise forms.ValidationError("It must be more than nothing.")
        return minor


def refund_view(model_admin: StoryAdmin, request: HttpRequest, order_id: UUID) -> HttpResponseBase:
    """Show what was taken and given back of an order's money, and ask how much shall go back, and why; then do it."""
    if not may_refund(request):
        raise PermissionDenied
    order = Order.objects.filter(pk=order_id).first()
    payment = captured_payment(order_id)
    if order is None or payment is None:
        raise Http404
    left = left_of(payment)
    posted = request.POST if request.method == "POST" else None
    form = RefundForm(posted, payment=payment, left_minor=left)
    if form.is_valid() and _ask(request, order, form):
        return HttpResponseRedirect(reverse(ORDER_PAGE, args=[order.pk]))
    title = f"Refund of {order.number}"
    sums = {
        "Captured": payment.captured_minor,
        "Given back": payment.refunded_minor,
        "Taken back by the bank": payment.reversed_minor,
        "On its way": payment.captured_minor - payment.refunded_minor - payment.reversed_minor - left,
        "Left": left,
    }
    shown = {name: wording.money(minor, payment.currency) for name, minor in sums.items()}
    shown = {name: said for name, said in shown.items() if sums[name] or name in ("Captured", "Given back", "Left")}
    context = {"title": title, "original": title, "order": order, "payment": payment, "sums": shown, "form": form}
    return framed(model_admin, request, order, "operations/refund_form.html", context)


def _ask(request: HttpRequest, order: Order, form: RefundForm) -> bool:
    asked = form.cleaned_data
    try:
        refund = services.refund(
            order.pk,
            amount_minor=asked["amount"],
            reason=asked["reason"],
            actor=request.user.get_username(),
            key=f"form:{asked['token']}",
            now=database_now(),
        )
    except MarketplaceError as error:
        form.add_error(None, f"Nothing was done: {error.message}")
        return False
    said = wording.money(refund.amount_minor, refund.currency)
    messages.success(request, f"{said}: on record, and on its way to the buyer.")
    return True


@admin.register(Refund)
class RefundAdmin(StoryAdmin):
    """Read-only: money moves by sagas, and the books must say what the gateway says."""

    story_template = "operations/refund.html"
    list_display = ("asked", "order", "status_label", "sum", "source_label", "who", "why", "settled")
    list_display_links = ("asked",)
    list_filter = ("status", "source", "created_at")
    search_fields = ("gateway_reference",)  # what is really looked for is in get_search_results
    search_help_text = "Order number, the gateway's id of the refund, order or refund id: in full; or who asked for it"
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Refund]":
        """Add the order and its currency, for the page that is shown."""
        rows: QuerySet[Refund] = super().get_queryset(request)
        about = rows.select_related("payment").annotate(order_id=F("payment__reference_id"))
        return about.annotate(order_number=order_number("payment__reference_id"))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Refund]", search_term: str
    ) -> tuple["QuerySet[Refund]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(Q(pk=identity) | Q(payment_id=identity) | Q(payment__reference_id=identity)), False
        number = typed(term)
        ordered = Order.objects.filter(number=number).values("pk")
        wanted = Q(gateway_reference=term) | Q(actor=term) | Q(payment__reference_id__in=ordered)
        return queryset.filter(wanted), False

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The refund, every call that was made for it, and its saga."""
        assert isinstance(obj, Refund)  # noqa: S101 - for the type checker
        base = obj.idempotency_key
        first = base.rpartition(":")[0] if base.rpartition(":")[2].isdecimal() else base
        tried = Q(idempotency_key=first) | Q(idempotency_key__startswith=f"{first}:")
        attempts = Attempt.objects.filter(tried, payment_id=obj.payment_id, operation="REFUND").order_by("id")
        order = Order.objects.filter(pk=obj.payment.reference_id).first()
        return {
            "refund": obj,
            "order": order,
            "attempts": list(attempts),
            "saga": SagaInstance.objects.filter(subject_id=obj.pk).first(),
            "said": SAYS[RefundStatus(obj.status)],
            "source": obj.get_source_display(),
        }

    @display(description="asked", ordering="created_at")
    def asked(self, refund: Refund) -> SafeString | str:
        """How long ago."""
        return age(refund.created_at)

    @display(description="order")
    def order(self, refund: Any) -> SafeString | str:
        """The order whose money it is."""
        return order_link(refund.order_id, refund.order_number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_PAYMENT))
    def status_label(self, refund: Refund) -> str:
        """The status in its colour."""
        return refund.status

    @display(description="amount", ordering="amount_minor")
    def sum(self, refund: Refund) -> SafeString:
        """How much."""
        return amount(refund.amount_minor, refund.payment.currency)

    @display(description="by", ordering="source")
    def source_label(self, refund: Refund) -> str:
        """From where it came."""
        return wording.REFUNDED_BY[refund.source]

    @display(description="who")
    def who(self, refund: Refund) -> str:
        """Who wanted it, where that was a person."""
        return refund.actor or wording.NOTHING

    @display(description="reason")
    def why(self, refund: Refund) -> SafeString | str:
        """Why, the beginning of it."""
        if not refund.reason:
            return wording.NOTHING
        short = refund.reason if len(refund.reason) <= 60 else f"{refund.reason[:59]}…"
        return format_html('<span title="{}">{}</span>', refund.reason, short)

    @display(description="settled", ordering="settled_at")
    def settled(self, refund: Refund) -> SafeString | str:
        """How long ago it was done, or refused."""
        return age(refund.settled_at) if refund.settled_at else wording.NOTHING


SAYS: Final = {
    RefundStatus.PENDING: ("info", "On its way: the payment provider has not said yet that it is done."),
    RefundStatus.DONE: ("success", "The money is with the buyer, as the payment provider says."),
    RefundStatus.FAILED: ("danger", "The payment provider has refused: no money went back by this."),
}
