"""Why a webhook is not taken in. `payments.gateways.base` has `NotGenuine` and `NotUnderstood`."""

from marketplace.kernel.errors import NotFound, Refusal


class UnknownGateway(NotFound):
    """There is no such payment gateway here."""

    code = "unknown_gateway"


class UnknownEvent(NotFound):
    """There is no such webhook here."""

    code = "unknown_webhook"


class WebhookTooLarge(Refusal):
    """This webhook is larger than any that a gateway sends."""

    code = "webhook_too_large"
