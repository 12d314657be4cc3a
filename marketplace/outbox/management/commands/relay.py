"""`manage.py relay`: publish the outbox."""

import signal
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from marketplace.kernel.starting import refuse_to_start
from marketplace.outbox.listeners import Listeners
from marketplace.outbox.relay import Relay
from marketplace.outbox.subscribers import Subscribers
from marketplace.outbox.transports import transport

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """Start one relay; any number of them share the work. SIGTERM and Ctrl-C stop it after the batch in hand."""

    help = "Hand events from the outbox to the event bus (EVENT_BUS_URL), to Celery tasks, and to whoever writes mails."

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until a signal says stop."""
        refuse_to_start()
        asked_to_stop: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: asked_to_stop.append(received))
        try:
            bus = transport(settings.EVENT_BUS_URL)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        relay = Relay([bus, Subscribers(), Listeners()], stop=lambda: bool(asked_to_stop))
        log.info("outbox_relay_started", relay=str(relay.id))
        relay.run()
        log.info("outbox_relay_stopped", relay=str(relay.id))
