"""The orders' addresses, below /api/."""

from django.urls import path

from orders.api import papers, returns, views, warehouse

urlpatterns = [
    path("fulfillment/to-pack", warehouse.ToPack.as_view(), name="api-to-pack"),
    path("fulfillment/packed", warehouse.Packed.as_view(), name="api-packed"),
    path("fulfillment/cant-ship", warehouse.CannotShip.as_view(), name="api-cant-ship"),
    path("orders", views.OrderList.as_view(), name="api-orders"),
    path("orders/user/<str:user_id>", views.OrdersOfUser.as_view(), name="api-orders-of-user"),
    path("orders/<uuid:order_id>", views.OrderDetail.as_view(), name="api-order"),
    path("orders/<uuid:order_id>/pay", views.OrderPay.as_view(), name="api-order-pay"),
    path("orders/<uuid:order_id>/cancel", views.OrderCancel.as_view(), name="api-order-cancel"),
    path("orders/<uuid:order_id>/invoice", papers.OrderInvoice.as_view(), name="api-order-invoice"),
    path("orders/<uuid:order_id>/credit-notes", papers.OrderCreditNotes.as_view(), name="api-order-credit-notes"),
    path(
        "orders/<uuid:order_id>/credit-notes/<str:number>",
        papers.OrderCreditNote.as_view(),
        name="api-order-credit-note",
    ),
    path("orders/<uuid:order_id>/refunds", views.OrderRefunds.as_view(), name="api-order-refunds"),
    path("orders/<uuid:order_id>/returns", returns.OrderReturns.as_view(), name="api-order-returns"),
    path(
        "orders/<uuid:order_id>/returns/<uuid:return_id>/withdraw",
        returns.OrderReturnWithdraw.as_view(),
        name="api-order-return-withdraw",
    ),
    path("orders/<uuid:order_id>/saga", views.OrderSaga.as_view(), name="api-order-saga"),
]
