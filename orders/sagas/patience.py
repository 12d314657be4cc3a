"""How long the sagas of orders try, and then what."""

from marketplace.sagas.definition import RetryPolicy

GATEWAY = RetryPolicy(
    spent="compensate", code="payment_timeout", message="The payment provider did not answer in time."
)
