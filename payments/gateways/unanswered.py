"""What it means for a payment that its provider's SDK got no answer."""

import requests

from marketplace.kernel.connections import never_left
from payments.gateways.base import Outcome, Reply


def unanswered(error: BaseException | None) -> Reply:
    """Say what is known of a call that the `requests` library gave up with `error`: nobody knows what came of it."""
    if never_left(error):
        message = "The payment gateway could not be reached."
        return Reply(Outcome.UNKNOWN, code="gateway_unreachable", message=message, nothing_happened=True)
    if isinstance(error, requests.Timeout):
        return Reply(Outcome.UNKNOWN, code="gateway_timeout", message="The payment gateway did not answer in time.")
    return Reply(Outcome.UNKNOWN, code="connection_lost", message="The payment gateway's answer was lost.")
