"""The addresses of the shop's pages."""

from django.urls import path
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from marketplace.storefront.views import accounts, catalogue, checkout, orders, papers, retries, returns

app_name = "storefront"

urlpatterns = [
    path("", catalogue.catalogue, name="catalogue"),
    path("shelves/<slug:slug>", catalogue.catalogue, name="shelf"),
    path("products/<str:sku>", catalogue.product, name="product"),
    path("products/<str:sku>/availability", catalogue.availability, name="availability"),
    path("buy", checkout.buy, name="buy"),
    path("checkout/<str:sku>", checkout.checkout, name="checkout"),
    path("orders", orders.my_orders, name="my-orders"),
    path("orders/<uuid:order_id>", orders.order, name="order"),
    path("orders/<uuid:order_id>/open/<str:key>", orders.open_mailed, name="open-mailed"),
    path("orders/<uuid:order_id>/progress", orders.progress, name="order-progress"),
    path("orders/<uuid:order_id>/pay", orders.pay, name="pay"),
    path("orders/<uuid:order_id>/confirmation", orders.confirmation, name="confirmation"),
    path("orders/<uuid:order_id>/look", orders.look, name="look"),
    path("orders/<uuid:order_id>/try-again", retries.try_again, name="try-again"),
    path("orders/<uuid:order_id>/cancel", orders.cancel, name="cancel"),
    path("orders/<uuid:order_id>/return", returns.ask, name="return"),
    path("orders/<uuid:order_id>/returns/<uuid:return_id>/withdraw", returns.withdraw, name="withdraw-return"),
    path("orders/<uuid:order_id>/invoice", papers.invoice, name="invoice"),
    path("orders/<uuid:order_id>/credit-notes/<str:number>", papers.credit_note, name="credit-note"),
    path("sign-in", accounts.SignIn.as_view(), name="sign-in"),
    path("sign-out", accounts.SignOut.as_view(), name="sign-out"),
    path("language", require_POST(set_language), name="set-language"),
    path("register", accounts.register, name="register"),
]
