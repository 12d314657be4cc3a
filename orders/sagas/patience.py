"""How long the sagas of orders try, and then what."""

from datetime import timedelta

from marketplace.sagas.definition import RetryPolicy

GATEWAY = RetryPolicy(
    spent="compensate", code="payment_timeout", message="The payment provider did not answer in time."
)
# Giving money back is tried for a day, with the same key all along: at first after seconds, later every half hour. Then
# a person has to decide; and at once where the gateway has said a final no.
GIVING_BACK = RetryPolicy(attempts=8, spent="park", lasting=timedelta(hours=24), pace=timedelta(minutes=30))
# A carrier that does not answer is asked for a label for three days; then a person has to decide.
CARRIER = RetryPolicy(attempts=8, spent="park", lasting=timedelta(days=3), pace=timedelta(minutes=30))
# What is written into our own books only waits for our own workers: it is done however late they come.
OURS = RetryPolicy(spent="park", lasting=timedelta(days=30))
# Nobody has packed it, or no scan has come: a person is told, and it goes on by itself once it is so.
WAREHOUSE = RetryPolicy(attempts=1, spent="park", redrive=timedelta(hours=1), redrives=1000)
LOST_PARCEL = RetryPolicy(attempts=1, spent="park", redrive=timedelta(hours=6), redrives=200)
