import json
from datetime import UTC, datetime
from uuid import UUID

from cloudevents.core.formats.json import JSONFormat

from marketplace.outbox.envelope import StoredEvent, cloud_event

SAGA = UUID("01890000-0000-7000-8000-00000000000a")
EVENT = StoredEvent(
    position=7,
    event_id=UUID("01890000-0000-7000-8000-00000000000b"),
    topic="payment-events",
    type="PAYMENT_CAPTURED",
    saga_id=SAGA,
    sequence=5,
    subject_id=UUID("01890000-0000-7000-8000-00000000000c"),
    data={"amount": "12.50"},
    occurred_at=datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC),
)


def test_an_event_reads_as_the_design_says():
    assert cloud_event(EVENT) == {
        "specversion": "1.0",
        "id": "01890000-0000-7000-8000-00000000000b",
        "source": "/marketplace/payments",
        "type": "PAYMENT_CAPTURED",
        "subject": "01890000-0000-7000-8000-00000000000c",
        "time": "2026-01-01T12:00:00.250000Z",
        "datacontenttype": "application/json",
        "sagaid": str(SAGA),
        "partitionkey": str(SAGA),
        "sequence": 5,
        "traceparent": "00-0189000000007000800000000000000a-800000000000000b-01",
        "data": {"amount": "12.50"},
    }


def test_the_cloudevents_sdk_reads_it():
    read = JSONFormat().read(None, json.dumps(cloud_event(EVENT)))

    assert (read.get_type(), read.get_subject(), read.get_data()) == (EVENT.type, str(EVENT.subject_id), EVENT.data)
    assert read.get_time() == EVENT.occurred_at
    assert read.get_extension("sagaid") == str(SAGA)
