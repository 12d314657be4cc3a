"""The orders' addresses, below /api/."""

from django.urls import path

from orders.api import views

urlpatterns = [
    path("orders", views.OrderList.as_view(), name="api-orders"),
    path("orders/user/<str:user_id>", views.OrdersOfUser.as_view(), name="api-orders-of-user"),
    path("orders/<uuid:order_id>", views.OrderDetail.as_view(), name="api-order"),
    path("orders/<uuid:order_id>/pay", views.OrderPay.as_view(), name="api-order-pay"),
    path("orders/<uuid:order_id>/cancel", views.OrderCancel.as_view(), name="api-order-cancel"),
    path("orders/<uuid:order_id>/saga", views.OrderSaga.as_view(), name="api-order-saga"),
]
