"""Addresses of the fulfillment API, below /api/."""

from django.urls import path

from fulfillment.api.views import Webhooks

urlpatterns = [
    path("fulfillment/webhooks/<str:carrier>", Webhooks.as_view(), name="api-carrier-webhooks"),
]
