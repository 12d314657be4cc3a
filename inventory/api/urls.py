"""The catalogue's addresses, below /api/."""

from django.urls import path

from inventory.api.views import ProductDetail, ProductList

urlpatterns = [
    path("products", ProductList.as_view(), name="api-products"),
    path("products/<str:sku>", ProductDetail.as_view(), name="api-product"),
]
