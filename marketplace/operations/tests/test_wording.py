from datetime import UTC, datetime, timedelta

import pytest

from marketplace.operations import wording
from marketplace.sagas.models import Result
from marketplace.sagas.models import Status as SagaStatus
from orders.models import Status as OrderStatus
from payments.states import AttemptOutcome, NewsStatus, PaymentStatus, RefundStatus, WebhookStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "60 min"), (7200, "2 h"), (86400 * 5, "5 d")],
)
def test_span(seconds, said):
    assert wording.span(seconds) == said
    assert wording.span(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "now"), (90, "2 min ago"), (-30, "in 30 s")])
def test_ago(seconds, said):
    assert wording.ago(NOW - timedelta(seconds=seconds), now=NOW) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"), [(None, "…"), (0, "0 ms"), (999, "999 ms"), (1250, "1.25 s"), (210_000, "3.5 min")]
)
def test_took(milliseconds, said):
    assert wording.took(milliseconds) == said


def test_every_status_has_a_colour():
    assert set(wording.COLOUR_OF_ORDER) == set(OrderStatus.values)
    assert set(wording.COLOUR_OF_SAGA) == set(SagaStatus.values)
    assert set(wording.COLOUR_OF_RESULT) == {
        *Result.values,
        *AttemptOutcome.values,
        "STARTED",
        "WAITING",
        "STANDING_BY",
    }
    assert set(wording.COLOUR_OF_PAYMENT) == {*PaymentStatus.values, *RefundStatus.values}
    assert set(wording.COLOUR_OF_NEWS) == set(NewsStatus.values)
    assert set(wording.COLOUR_OF_WEBHOOK) == set(WebhookStatus.values)
