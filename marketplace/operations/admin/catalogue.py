"""The catalogue, which people keep; and deliveries and counts, which go through the vault's services."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from inventory import services as inventory
from inventory.errors import InvalidQuantity, NotEnoughAvailable, StockMoved
from inventory.models import Category, Product
from marketplace.kernel.clock import database_now
from marketplace.kernel.money import InvalidAmount, Money, format_minor
from marketplace.operations import wording
from marketplace.operations.admin.base import amount, framed
from marketplace.operations.admin.sheets import SheetPages


@admin.register(Category)
class CategoryAdmin(ModelAdmin):
    """The shelves of the shop. One with products on it can't be deleted: the database says so."""

    list_display = ("name", "slug", "position")
    ordering = ("position", "slug")
    prepopulated_fields = {"slug": ("name",)}


class ProductForm(forms.ModelForm):  # type: ignore[type-arg]
    """A product, with its price as people write it."""

    price = forms.RegexField(
        r"^\s*[0-9]{1,9}(\.[0-9]+)?\s*$",
        max_length=20,
        error_messages={"invalid": "A price is a plain number below a thousand million, such as 1299.00."},
        help_text="With the currency's decimals, for example 1299.00. Orders already placed keep their price.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )

    class Meta:
        model = Product
        fields = (
            "sku",
            "name",
            "description",
            "category",
            "currency",
            "image",
            "weight_grams",
            "low_stock_at",
            "is_active",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.sku:
            self.initial["price"] = format_minor(self.instance.price_minor, self.instance.currency)

    def clean_currency(self) -> str:
        """Three capital letters."""
        currency: str = self.cleaned_data["currency"].upper()
        if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
            raise forms.ValidationError("A currency is three letters, such as EUR.")
        return currency

    def clean(self) -> dict[str, Any]:
        """Turn the price into whole minor units; nothing is rounded."""
        data = super().clean() or self.cleaned_data
        currency = data.get("currency") or self.instance.currency
        if data.get("price") and currency:
            try:
                self.instance.price_minor = Money.parse(data["price"].strip(), currency).minor
            except InvalidAmount as error:
                self.add_error("price", error.message)
        return data


class MoveForm(forms.Form):
    """So many units, and why. The reason goes into the ledger, for whoever wonders a year from now."""

    units = forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget)
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="For example “delivery 4711 of Nordhal” or “yearly count, one was broken”.",
    )


class ReceiveForm(MoveForm):
    """New units that came in."""

    units = forms.IntegerField(
        min_value=1, max_value=inventory.MOST_AT_ONCE, label="Units that came in", widget=UnfoldAdminIntegerFieldWidget
    )


class CountForm(MoveForm):
    """All units that are in the house, and what the books said when the count began."""

    units = forms.IntegerField(
        min_value=0,
        max_value=inventory.MOST_AT_ONCE,
        label="Units counted",
        help_text="All that are in the house: also those that are held for orders.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    believed = forms.IntegerField(widget=forms.HiddenInput)


class AdjustForm(MoveForm):
    """A correction, up or down."""

    units = forms.IntegerField(
        min_value=-inventory.MOST_AT_ONCE,
        max_value=inventory.MOST_AT_ONCE,
        label="Units found (3) or lost (-3)",
        help_text="Only what is available can be taken away, not what is held for orders.",
        widget=UnfoldAdminIntegerFieldWidget,
    )


@admin.register(Product)
class ProductAdmin(SheetPages, ModelAdmin):
    """Products are taken off the shop, not deleted: orders and the ledger name them by their SKU."""

    form = ProductForm
    list_display = ("name", "sku", "category", "price", "available", "held", "is_active")
    list_filter = ("is_active", "category")
    list_select_related = ("category", "stock")
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("sku", "name")
    ordering = ("category__position", "name")
    readonly_fields = ("created_at",)
    actions = None
    actions_list = ("export_sheet", "import_sheet")
    actions_detail = ("receive", "count", "adjust", "levels")
    fieldsets = (
        (None, {"fields": ("sku", "name", "description", "category", "is_active")}),
        ("Price", {"fields": ("price", "currency")}),
        ("More", {"fields": ("image", "weight_grams", "low_stock_at", "created_at")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """The SKU and the currency are fixed once the product is made."""
        return (*self.readonly_fields, "sku", "currency") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_move_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change stock may receive and adjust."""
        return request.user.has_perm("inventory.change_stock")

    @display(description="price", ordering="price_minor")
    def price(self, product: Product) -> SafeString:
        """The price with its currency; for who may change it, the form has a field of this name instead."""
        return amount(product.price_minor, product.currency)

    @display(description="available", ordering="stock__available")
    def available(self, product: Product) -> int:
        """Units that can be ordered now."""
        return product.stock.available if hasattr(product, "stock") else 0

    @display(description="held", ordering="stock__reserved")
    def held(self, product: Product) -> int:
        """Units held for orders under way."""
        return product.stock.reserved if hasattr(product, "stock") else 0

    @action(description="Receive units", permissions=["move"], url_path="receive", icon="add_box")
    def receive(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Take in a delivery."""
        return self._move(request, object_id, "Receive units", ReceiveForm)

    @action(description="Count", permissions=["move"], url_path="count", icon="fact_check")
    def count(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Say how many there are."""
        return self._move(request, object_id, "Count", CountForm)

    @action(description="Adjust stock", permissions=["move"], url_path="adjust", icon="exposure")
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Correct the stock by what was found or lost."""
        return self._move(request, object_id, "Adjust stock", AdjustForm)

    @action(description="Stock and ledger", permissions=["view"], url_path="levels", icon="inventory_2")
    def levels(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Go to the stock page of this product."""
        product = self._product(request, object_id)
        if not hasattr(product, "stock"):
            messages.info(request, f"Nothing of {product.sku} has come in yet, so it has no stock page.")
            return HttpResponseRedirect(reverse("admin:inventory_product_change", args=[product.pk]))
        return HttpResponseRedirect(reverse("admin:inventory_stock_change", args=[product.sku]))

    def _product(self, request: HttpRequest, object_id: str) -> Product:
        product: Product | None = self.get_object(request, object_id)
        if product is None:
            raise Http404
        return product

    def _move(self, request: HttpRequest, object_id: str, title: str, form_class: type[MoveForm]) -> HttpResponseBase:
        product = self._product(request, object_id)
        on_hand = product.stock.on_hand if hasattr(product, "stock") else 0
        form = form_class(request.POST if request.method == "POST" else None, initial={"believed": on_hand})
        if form.is_valid() and self._moved(request, product, form):
            return HttpResponseRedirect(reverse("admin:inventory_stock_change", args=[product.sku]))
        context = {"title": title, "product": product, "form": form}
        context |= {"on_hand": on_hand, "available": self.available(product), "held": self.held(product)}
        return framed(self, request, product, "operations/move.html", context)

    def _moved(self, request: HttpRequest, product: Product, form: MoveForm) -> bool:
        """Call the vault; what it refuses goes onto the form."""
        units, reason = form.cleaned_data["units"], form.cleaned_data["reason"]
        who = {"actor": request.user.get_username(), "reason": reason, "now": database_now()}
        try:
            if isinstance(form, ReceiveForm):
                inventory.receive(sku=product.sku, quantity=units, **who)
                said = f"{wording.units(units)} of {product.sku} came in."
            elif isinstance(form, CountForm):
                delta = inventory.count(sku=product.sku, counted=units, believed=form.cleaned_data["believed"], **who)
                said = f"The stock of {product.sku} was corrected by {delta:+d}." if delta else "The books were right."
            else:
                inventory.adjust(sku=product.sku, delta=units, **who)
                said = f"The stock of {product.sku} was corrected by {units:+d}."
        except (InvalidQuantity, StockMoved) as error:
            form.add_error("units", error.message)
        except NotEnoughAvailable as error:
            form.add_error("units", f"{error.message} There are {error.data['available']}.")
        else:
            messages.success(request, said)
            self.log_change(request, product, f"{said} {reason}")
            return True
        return False
