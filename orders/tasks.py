"""The periodic work around orders."""

from celery import shared_task

from marketplace.kernel.clock import database_now
from orders import services


@shared_task(name="orders.tasks.expire_reservations", ignore_result=True)
def expire_reservations() -> int:
    """Deal with holds past their TTL; by Celery beat, every few seconds."""
    return services.expire_reservations(now=database_now())
