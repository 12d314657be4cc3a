"""The accounts' addresses, below `/api/`."""

from django.urls import path

from marketplace.accounts.api import TokenView

urlpatterns = [path("token", TokenView.as_view(), name="token")]
