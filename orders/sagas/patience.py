"""How long the sagas of orders try, and then what."""

from datetime import timedelta

from marketplace.sagas.definition import RetryPolicy

GATEWAY = RetryPolicy(
    spent="compensate", code="payment_timeout", message="The payment provider did not answer in time."
)
# Money that could not be given back is tried again for a day, and all the while a person can see it and decide.
GIVING_BACK = RetryPolicy(attempts=8, spent="park", redrive=timedelta(hours=1), redrives=24)
