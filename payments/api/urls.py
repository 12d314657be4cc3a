"""The payments' addresses, below /api/."""

from django.urls import path

from payments.api import views

urlpatterns = [
    path("payments/webhooks/<str:gateway>", views.Webhooks.as_view(), name="api-payment-webhooks"),
]
