"""Addresses for machines that watch this one."""

from django.urls import path

from marketplace.operations.health import live, ready
from marketplace.operations.metrics import metrics

urlpatterns = [
    path("health/live", live, name="health-live"),
    path("health/ready", ready, name="health-ready"),
    path("metrics", metrics, name="metrics"),
]
