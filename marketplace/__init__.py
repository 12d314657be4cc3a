"""A Django marketplace whose Buy Now is an orchestrated saga."""

from marketplace.celery import app as celery_app

__all__ = ["celery_app"]
