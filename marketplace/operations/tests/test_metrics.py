import re

import pytest
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from marketplace.operations import metrics, unfinished
from marketplace.operations.metrics import kept


@pytest.fixture(autouse=True)
def _fresh():
    kept.forget()
    yield
    kept.forget()


def scrape(client) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels (in the order of their names), read as Prometheus reads it."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    return {
        (
            sample.name.removeprefix("marketplace_"),
            *(sample.labels[label] for label in sorted(sample.labels)),
        ): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_operators_can_read_what_each_metric_is(db, settings):
    told = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    names = [family.name.removeprefix("marketplace_") for family in metrics.Shop().collect()]
    assert [name for name in names if not re.search(f"`{name}[`{{]", told)] == []


def test_what_prometheus_reads(client, shop):
    for token in ("tok_visa", "tok_flaky", "tok_declined", ""):
        shop.bought("laptop-1", token=token)
    shop.order("laptop-1")
    samples = scrape(client)
    assert samples["sagas_unfinished", "IN_PROGRESS"] == 3
    assert samples["sagas_unfinished", "STARTED"] == 1
    assert samples["sagas_due",] == 1
    assert samples["sagas_due_oldest_seconds",] >= 0
    assert samples["sagas_stuck",] == 0
    assert samples["recent_sagas", "COMPLETED"] == 2
    assert samples["recent_sagas", "COMPENSATED"] == 1
    assert samples["saga_completion_ratio",] == pytest.approx(2 / 3)
    assert samples["saga_compensation_ratio",] == pytest.approx(1 / 3)
    assert samples["saga_duration_p95_seconds",] >= samples["saga_duration_median_seconds",] > 0
    assert samples["step_attempts", "forward", "failed", "authorize_payment"] == 2
    assert samples["step_attempts", "forward", "done", "authorize_payment"] == 2
    assert samples["step_attempts", "forward", "refused", "authorize_payment"] == 1
    assert samples["step_failure_ratio", "forward", "authorize_payment"] == pytest.approx(2 / 5)
    assert samples["step_attempts", "compensating", "done", "reserve_inventory"] == 1
    assert samples["orders_open", "RESERVED"] == 1
    assert samples["orders_open", "CREATED"] == 1
    assert samples["stock_units_held",] == 1
    assert samples["stock_skus_sold_out",] == 0
    assert samples["outbox_unpublished",] > 20
    assert samples["outbox_oldest_seconds",] > 0


TOKEN = "canary-of-the-metrics"


@pytest.mark.parametrize(
    ("token", "sent", "status"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.7"}, 401),
        ("", {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 401),
        (TOKEN, {}, 401),
        (TOKEN, {"HTTP_AUTHORIZATION": "Bearer wrong"}, 401),
        (TOKEN, {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}", "REMOTE_ADDR": "192.0.2.7"}, 200),
    ],
)
@pytest.mark.usefixtures("transactional_db")
def test_only_whom_operations_let_may_read_them(client, settings, token, sent, status):
    settings.METRICS_TOKEN = token
    response = client.get("/metrics", **sent)
    assert response.status_code == status
    assert (b"marketplace_" in response.content) is (status == 200)
    assert response.headers.get("WWW-Authenticate") == (None if status == 200 else "Bearer")


def test_nothing_yet(client, transactional_db):
    samples = scrape(client)
    assert samples["sagas_stuck",] == 0
    assert ("saga_compensation_ratio",) not in samples
    assert ("saga_duration_p95_seconds",) not in samples


def test_every_metric_says_what_it_is(client, transactional_db):
    text = client.get("/metrics").content.decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 15
    assert all(family.documentation and family.name.startswith("marketplace_") for family in families)


def test_a_second_scrape_asks_the_database_for_nothing(
    client, transactional_db, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 600.0)
    with django_assert_num_queries(24):
        client.get("/metrics")
    with django_assert_num_queries(0):
        client.get("/metrics")


def test_an_answer_is_kept_for_some_seconds_only(client, transactional_db, monkeypatch):
    monkeypatch.setattr(metrics, "KEPT_SECONDS", 0.0)
    client.get("/metrics")
    calls = []
    monkeypatch.setattr(unfinished, "open_orders", lambda: calls.append(1) or {})
    client.get("/metrics")
    assert len(calls) == 1


def test_without_the_database(client, transactional_db, monkeypatch):
    def gone():
        raise OperationalError("gone")

    monkeypatch.setattr(unfinished, "live_sagas", gone)
    response = client.get("/metrics")
    assert (response.status_code, response.content) == (503, b"The database does not answer.\n")
    monkeypatch.undo()
    assert client.get("/metrics").status_code == 200
