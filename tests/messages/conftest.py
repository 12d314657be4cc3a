"""The relay, and somebody who takes mails."""

import pytest

from marketplace.kernel.mailservers import mail_server
from marketplace.outbox.listeners import Listeners
from marketplace.outbox.relay import Relay
from orders.messages import sending
from tests.postman import Postman

BERLIN = {"name": "Ada Lovelace", "line1": "Street 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def relay(db):
    """Publish what is unpublished to our listeners, and to nobody else; returns when nothing is left."""

    def publish():
        relay = Relay([Listeners()], stop=lambda: False)
        try:
            while relay.turn():
                pass
        finally:
            relay.close()

    return publish


@pytest.fixture
def postman(settings):
    """A mail server of the test's own; retries don't wait."""
    postman = Postman()
    postman.start()
    settings.MAIL_TIMEOUT_SECONDS = 30.0
    settings.MAIL_SERVER = mail_server(postman.url, timeout_seconds=settings.MAIL_TIMEOUT_SECONDS)
    settings.MAIL_RETRY_SECONDS = 0.0
    yield postman
    postman.stop()


@pytest.fixture
def send(relay):
    """Relay what was told, and send what is due, until nothing is."""

    def until_nothing_is_due():
        relay()
        while (batch := sending.send_due()).count and batch.reachable:
            pass

    return until_nothing_is_due
