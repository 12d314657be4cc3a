"""Shipments, with what their carriers said; webhooks, and scans that are stuck; and how long parcels take."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from fulfillment import scanning
from fulfillment.carriers.base import Address
from fulfillment.errors import TooLateToCorrect
from fulfillment.inbox import processing
from fulfillment.models import CarrierCall, CarrierEvent, DeliveryRate, Scan, Shipment, ShipmentLine
from fulfillment.selectors import carrier_name
from fulfillment.states import ShipmentStatus
from marketplace.kernel.clock import database_now
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, ReadOnlyAdmin, age, order_link
from marketplace.operations.admin.inboxes import InboxAdmin
from orders import services as orders
from orders.numbers import typed

_ADDRESS = ("name", "line1", "line2", "postal_code", "city", "country")
_WHERE = "Where it goes"


def _is_open(shipment: Shipment) -> bool:
    """Whether it has no label yet, and is to get one."""
    return shipment.status in (ShipmentStatus.CREATED, ShipmentStatus.PACKED)


class _Told(TabularInline):
    """Rows that can only be looked at."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False


class _Lines(_Told):
    model = ShipmentLine
    verbose_name_plural = "what is in it"
    fields = ("sku", "name", "quantity")


class _Scans(_Told):
    model = Scan
    verbose_name_plural = "what the carrier says"
    fields = ("occurred_at", "kind", "place", "message")
    ordering = ("-occurred_at", "-id")


class _Calls(_Told):
    model = CarrierCall
    verbose_name_plural = "what the carrier was asked"
    fields = ("started_at", "operation", "number", "outcome", "code", "message", "idempotency_key")


class _AddressForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in its stubs only
    """Where a parcel goes, typed by a person."""

    class Meta:
        labels = {"line1": "street and number", "line2": "second line"}
        help_texts = {"country": "Two letters, such as DE."}

    def clean_country(self) -> str:
        """As carriers want it: in capitals."""
        country = str(self.cleaned_data["country"]).upper()
        if country and not (country.isascii() and country.isalpha() and len(country) == 2):
            raise ValidationError("Two letters, such as DE.")
        return country


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    """Parcels move by sagas, scans and the warehouse's own screens. Here, people correct an address that is refused."""

    form = _AddressForm
    list_display = ("planned", "order", "status_label", "to", "weight", "carried_by", "tracking", "expected")
    list_display_links = ("planned",)
    list_filter = ("status", "carrier", "label_refund")
    search_fields = ("number",)  # what is really looked for is in get_search_results
    search_help_text = "Order number, or tracking number: in full"
    ordering = ("-id",)
    inlines: ClassVar[Any] = (_Lines, _Scans, _Calls)
    fieldsets = (
        (None, {"fields": (("order", "status_label"), ("carried_by", "tracking"), ("weight", "expected"), "papers")}),
        (_WHERE, {"fields": (("name", "line1"), ("line2", "postal_code"), ("city", "country"))}),
        (
            "Warehouse",
            {
                "fields": (
                    ("packed_by", "packed_at"),
                    ("labelled_at", "delivered_at"),
                    ("cancelled_at", "refund_of_label"),
                )
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """All but the address, and that only as long as there is no label."""
        told: tuple[str, ...] = (
            "order",
            "status_label",
            "carried_by",
            "tracking",
            "weight",
            "expected",
            "papers",
            "packed_by",
            "packed_at",
        )
        told += ("labelled_at", "delivered_at", "cancelled_at", "refund_of_label")
        return told if self.has_change_permission(request, obj) else (*told, *_ADDRESS)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whoever has been given it may correct an address, until there is a label."""
        may = request.user.has_perm("fulfillment.change_shipment")
        return may and isinstance(obj, Shipment) and _is_open(obj)

    def save_model(self, request: HttpRequest, obj: Shipment, form: Any, change: bool) -> None:
        """Correct the address, through the service, which has a refused label asked for again."""
        to = Address(**{name: getattr(obj, name) for name in _ADDRESS})
        who = request.user.get_username()
        try:
            asked = orders.correct_address(obj.reference_id, to, who=who, now=database_now())
        except TooLateToCorrect as late:
            self.message_user(request, late.message, messages.ERROR)
            return
        if asked:
            self.message_user(request, "Its label was refused before, and is being asked for again.", messages.SUCCESS)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Say above the address what it lacks."""
        fieldsets = super().get_fieldsets(request, obj)
        lacks = wording.lacking(obj.address) if isinstance(obj, Shipment) and _is_open(obj) else ""
        if not lacks:
            return fieldsets
        todo = " Fill it in, and save." if self.has_change_permission(request, obj) else ""
        told = {"description": f"{lacks}: no carrier sells a label for it like that.{todo}"}
        return [(title, {**fields, **told} if title == _WHERE else fields) for title, fields in fieldsets]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Shipment]", search_term: str
    ) -> tuple["QuerySet[Shipment]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        number = typed(term)
        return queryset.filter(Q(number=number) | Q(tracking_number=term)), False

    @display(description="planned", ordering="id")
    def planned(self, shipment: Shipment) -> SafeString | str:
        """How long ago."""
        return age(shipment.created_at)

    @display(description="order")
    def order(self, shipment: Shipment) -> SafeString | str:
        """The order that is shipped."""
        return order_link(shipment.reference_id, shipment.number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_SHIPMENT))
    def status_label(self, shipment: Shipment) -> str:
        """The status in its colour."""
        return shipment.status

    @display(description="to")
    def to(self, shipment: Shipment) -> SafeString | str:
        """Where it goes, in short; or that this is not known."""
        known = f"{shipment.postal_code} {shipment.city} {shipment.country}".strip()
        lacks = wording.lacking(shipment.address) if _is_open(shipment) else ""
        return format_html('{} <span class="ops-danger-text">{}</span>', known, lacks) if lacks else known

    @display(description="weight", ordering="weight_grams")
    def weight(self, shipment: Shipment) -> str:
        """In kilograms."""
        return f"{shipment.weight_grams / 1000:.2f} kg"

    @display(description="carrier")
    def carried_by(self, shipment: Shipment) -> str:
        """Who, and by which service."""
        return f"{carrier_name(shipment.carrier)}, {shipment.service}"

    @display(description="tracking number")
    def tracking(self, shipment: Shipment) -> SafeString | str:
        """The number, with the carrier's page where it has one."""
        number, url = shipment.tracking_number, shipment.tracking_url
        if not number:
            return wording.NOTHING
        if not url.startswith(("https://", "http://")):
            return format_html('<code class="ops-code">{}</code>', number)
        return format_html('<a class="ops-link" href="{}" rel="noreferrer">{}</a>', url, number)

    @display(description="papers")
    def papers(self, shipment: Shipment) -> SafeString:
        """What is printed for it: the slip at any time, the label once it is bought and as long as it is good."""
        slip = reverse("api-shipment-packing-slip", args=[shipment.pk])
        link = format_html('<a class="ops-link" href="{}" target="_blank" rel="noopener">Packing slip</a>', slip)
        if not shipment.tracking_number or shipment.status == ShipmentStatus.CANCELLED:
            return link
        label = reverse("api-shipment-label", args=[shipment.pk])
        return format_html('{} · <a class="ops-link" href="{}" target="_blank" rel="noopener">Label</a>', link, label)

    @display(description="money for its label")
    def refund_of_label(self, shipment: Shipment) -> SafeString | str:
        """What became of it, where the label was given back."""
        said = wording.REFUND_OF_LABEL.get(shipment.label_refund)
        if said is None or shipment.label_refund_at is None:
            return wording.NOTHING
        told = format_html("{}, {}", said, age(shipment.label_refund_at))
        return (
            format_html('<span class="ops-danger-text">{}</span>', told)
            if shipment.label_refund == "REJECTED"
            else told
        )

    @display(description="expected", ordering="estimated_delivery")
    def expected(self, shipment: Shipment) -> str:
        """The day by which it is to be at the door."""
        return f"{shipment.estimated_delivery:%Y-%m-%d}"


@admin.register(CarrierEvent)
class CarrierEventAdmin(InboxAdmin):
    """What carriers told us."""

    replay_permission = "fulfillment.replay_carrierevent"
    look_again = staticmethod(processing.replay)
    found_by = ("event_id", "tracking_number")
    search_help_text = "Event id, or tracking number: in full"
    list_display = ("received", "carrier", "kind", "status_label", "came_of_it", "tries", "tracking_number")
    list_filter = ("status", "carrier")


@admin.register(Scan)
class StuckScanAdmin(EndlessAdmin):
    """Scans that could not be passed on: their orders have not heard of them. Those that were are with their parcel."""

    actions = ("hurry",)
    list_display = ("received", "order", "kind", "occurred_at", "tries", "trouble", "tell_again_at")
    list_display_links = None
    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Scan]":
        """Those that are stuck."""
        return scanning.stuck().select_related("shipment")

    def has_hurry_permission(self, request: HttpRequest) -> bool:
        """Who may have a carrier's word looked into again."""
        return request.user.has_perm(CarrierEventAdmin.replay_permission)

    @admin.action(description="Try it again now", permissions=["hurry"])
    def hurry(self, request: HttpRequest, queryset: "QuerySet[Scan]") -> None:
        """Have the selected scans passed on without waiting for the end of their pause."""
        count = scanning.hurry(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{count} to be passed on within seconds.", messages.SUCCESS)

    @display(description="received", ordering="id")
    def received(self, scan: Scan) -> SafeString | str:
        """How long ago."""
        return age(scan.received_at)

    @display(description="order")
    def order(self, scan: Scan) -> SafeString | str:
        """The order whose parcel it is about."""
        return order_link(scan.shipment.reference_id, scan.shipment.number)


@admin.register(DeliveryRate)
class DeliveryRateAdmin(ModelAdmin):
    """How long parcels take, by country and weight. While there is none, the usual ones count."""

    list_display = ("carrier", "service", "where", "up_to_grams", "days_min", "days_max", "is_active")
    list_filter = ("carrier", "is_active")
    ordering = ("carrier", "up_to_grams", "days_max")

    @display(description="countries")
    def where(self, rate: DeliveryRate) -> str:
        """Where it goes."""
        return ", ".join(rate.countries) or "everywhere else"
