import json
import subprocess
import sys
from io import StringIO

from django.core.management import call_command

from marketplace.operations.tests.auditor.breaking import sql


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("audit", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_clean_in_words(shop):
    shop.bought("laptop-1")
    code, text = run("--skip-gateway")
    assert code == 0
    assert "  ok       Stock adds up: levels = ledger = reservations.\n" in text
    assert "  skipped  Our payments match the gateway's own list.\n" in text
    assert "Looked at 1 SKUs, 1 orders, 2 sagas, 1 payments, " in text
    assert text.endswith("Everything is proven.\n")


def test_broken_in_words(shop):
    order = shop.bought("laptop-1")
    sql("UPDATE payments_payment SET status = 'AUTHORIZED', captured_minor = 0")
    code, text = run("--skip-gateway")
    assert code == 1
    assert "  BROKEN   No order is confirmed without captured money.\n" in text
    assert f"           - order {order.number} ({order.id}): found CONFIRMED with 0.00 EUR captured" in text
    assert text.endswith("1 finding: see above.\n")


def test_broken_as_json(shop):
    order = shop.bought("laptop-1")
    sql("UPDATE payments_payment SET status = 'AUTHORIZED', captured_minor = 0")
    code, text = run("--json", "--skip-gateway")
    assert code == 1
    report = json.loads(text)
    assert report["clean"] is False
    assert report["lookedAt"]["orders"] == 1
    [broken] = [one for one in report["invariants"] if one["verdict"] == "broken"]
    assert broken == {
        "code": "confirmed_order_is_paid",
        "sentence": "No order is confirmed without captured money.",
        "verdict": "broken",
        "findings": [
            {
                "subject": f"order {order.number} ({order.id})",
                "found": "CONFIRMED with 0.00 EUR captured",
                "expected": "1299.00 EUR captured",
            }
        ],
    }


def test_a_gateway_that_does_not_answer_is_no_proof(transactional_db, settings, nobody_listens):
    settings.SANDBOX_GATEWAY_URL = nobody_listens
    code, text = run()
    assert code == 1
    assert "  UNKNOWN  Our payments match the gateway's own list.\n" in text


def test_the_exit_code_of_the_process_is_what_a_cron_job_goes_by(shop, process_environment):
    shop.bought("laptop-1")
    sql("UPDATE inventory_stock SET available = available + 1, on_hand = on_hand + 1")
    command = [sys.executable, "manage.py", "audit", "--json", "--skip-gateway"]
    done = subprocess.run(command, check=False, env=process_environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert json.loads(done.stdout)["clean"] is False
