"""GET /api/products and GET /api/products/{sku}. Reading the catalogue needs no sign-in."""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inventory import selectors
from inventory.api.serializers import ProductFilters, ProductPageSerializer, ProductSerializer
from inventory.selectors import ProductView
from marketplace.kernel.pagination import page


class ProductList(APIView):
    """The catalogue, page by page."""

    @extend_schema(
        operation_id="listProducts",
        summary="List products",
        tags=["products"],
        parameters=[ProductFilters],
        responses=ProductPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """What is for sale, with live availability, in the order of the SKUs."""
        filters = ProductFilters.read(request.query_params)

        def show(products: Sequence[ProductView]) -> Sequence[Any]:
            return [ProductSerializer(product, context={"request": request}).data for product in products]

        return page(request, read=partial(selectors.product_window, **filters), key=attrgetter("sku"), show=show)


class ProductDetail(APIView):
    """One product."""

    @extend_schema(operation_id="getProduct", summary="Get one product", tags=["products"], responses=ProductSerializer)
    def get(self, request: Request, sku: str) -> Response:
        """The product with this SKU, with live availability."""
        product = selectors.product_by_sku(sku)
        return Response(ProductSerializer(product, context={"request": request}).data)
