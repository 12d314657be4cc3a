"""What is done for the accounts from time to time."""

from importlib import import_module

from celery import shared_task
from django.conf import settings


@shared_task(name="marketplace.accounts.tasks.forget_sessions", ignore_result=True)
def forget_sessions() -> None:
    """Delete the sessions that have expired: every visitor has one, and nobody reads them any more."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
