"""How the API writes a product, and what it takes as filters."""

from collections.abc import Sequence
from typing import Any

from django.http import QueryDict
from django.templatetags.static import static
from rest_framework import serializers

from inventory.models import SKU_PATTERN
from inventory.selectors import ProductView
from marketplace.kernel.money import format_minor


class ProductSerializer(serializers.Serializer[ProductView]):
    """A product with its live availability. Amounts are strings with the currency's decimals."""

    id = serializers.UUIDField(read_only=True)
    sku = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    category = serializers.CharField(read_only=True)
    price = serializers.SerializerMethodField(help_text='for example "1299.00"')
    currency = serializers.CharField(read_only=True, help_text="ISO 4217")
    available = serializers.IntegerField(read_only=True, help_text="units that can be ordered right now")
    image = serializers.SerializerMethodField(help_text="the picture's address; empty when there is none")

    def get_price(self, product: ProductView) -> str:
        return format_minor(product.price_minor, product.currency)

    def get_image(self, product: ProductView) -> str:
        if not product.image:
            return ""
        address: str = self.context["request"].build_absolute_uri(static(product.image))
        return address


class ProductPageSerializer(serializers.Serializer[Any]):
    """One page of products. `next` and `previous` are addresses, null where there is nothing more."""

    results = ProductSerializer(many=True, read_only=True)
    next = serializers.URLField(read_only=True, allow_null=True)
    previous = serializers.URLField(read_only=True, allow_null=True)


class ProductFilters(serializers.Serializer[None]):
    """The query parameters of the list. Those it doesn't know are ignored."""

    category = serializers.CharField(required=False, max_length=64, help_text="a category's slug, such as `audio`")
    search = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="words that the name, description or category must have",
    )
    sku = serializers.ListField(
        child=serializers.RegexField(SKU_PATTERN),
        required=False,
        max_length=100,
        help_text="only these SKUs; give the parameter once for each",
    )
    limit = serializers.IntegerField(required=False, help_text="products a page: 1 to 100, 20 unless asked")
    cursor = serializers.CharField(required=False, help_text="where to go on, from `next` or `previous`")

    @classmethod
    def read(cls, query: QueryDict) -> dict[str, Any]:
        """Return the arguments for the selector; raises `ValidationError`."""
        filters = cls(data=query, partial=True)  # partial: a list that isn't there is none, rather than empty
        filters.is_valid(raise_exception=True)
        chosen = filters.validated_data
        skus: Sequence[str] | None = chosen.get("sku")
        return {"category": chosen.get("category"), "search": chosen.get("search"), "skus": skus}
