"""The shop's addresses, and the plain view beside them."""

from django.urls import path

from benchmarks.plain import PlainOrders
from marketplace.urls import handler400, handler403, handler404, handler500
from marketplace.urls import urlpatterns as _shop

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("plain/orders", PlainOrders.as_view()), *_shop]
