"""`python server.py`: run localstripe on a free port of the loopback interface, and print its address.

Its own way to start listens on all interfaces and keeps its books in a file in /tmp that anybody may have put there;
so it is started here, without either. It knows the API of some years ago: what Stripe's answers have gained since, and
we read, is worked out from what it knows; what our requests have gained since, it is not told.
"""

import socket

from aiohttp import web
from localstripe import resources
from localstripe.resources import Charge, PaymentIntent
from localstripe.server import app

_SINCE = ("automatic_payment_methods", "return_url")
_make = PaymentIntent._api_create.__func__


def _create(cls, **data):
    return _make(cls, **{name: value for name, value in data.items() if name not in _SINCE})


def _received(intent):
    return intent.amount if intent.status == "succeeded" else 0


def _capturable(intent):
    return intent.amount if intent.status == "requires_capture" else 0


resources.Store.dump_to_disk = lambda self: None
PaymentIntent._api_create = classmethod(_create)
PaymentIntent.amount_received = property(_received)
PaymentIntent.amount_capturable = property(_capturable)
Charge.disputed = False

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    web.run_app(app, sock=listener, print=None)
