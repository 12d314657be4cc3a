from pathlib import Path

import pytest

from marketplace.sandbox.environment import BadOption, Webhooks
from payments.gateways.sandbox.options import read

ARGUMENTS = ["--listen", "127.0.0.1:9000", "--data", "folder"]


def test_reads_the_command_line_and_has_defaults():
    options = read(ARGUMENTS, {})
    assert (options.host, options.port, options.data) == ("127.0.0.1", 9000, Path("folder"))
    assert (options.api_key, options.failure_rate, options.latency_seconds) == ("sk_sandbox", 0, 0)


def test_reads_the_environment():
    environment = {"SANDBOX_API_KEY": "sk_1", "PAYMENT_FAILURE_RATE": "0.25", "PAYMENT_LATENCY_MS": "1500"}
    options = read(ARGUMENTS, environment)
    assert (options.api_key, options.failure_rate, options.latency_seconds) == ("sk_1", 0.25, 1.5)


def test_holds_a_lost_answer_for_longer_than_the_shop_waits():
    assert read(ARGUMENTS, {"PAYMENT_TIMEOUT_SECONDS": "30"}).lost_answer_seconds > 30


@pytest.mark.parametrize("address", ["9000", ":9000", "localhost", "localhost:", "localhost:x", "localhost:65536"])
def test_refuses_an_address_that_is_none(address):
    with pytest.raises(BadOption, match="HOST:PORT"):
        read(["--listen", address, "--data", "folder"], {})


def test_knows_addresses_of_ipv6():
    assert read(["--listen", "[::1]:9000", "--data", "folder"], {}).host == "::1"


@pytest.mark.parametrize("key", ["two words", "schlüssel", "line\nbreak"])
def test_refuses_an_api_key_that_no_header_can_carry(key):
    with pytest.raises(BadOption, match="SANDBOX_API_KEY"):
        read(ARGUMENTS, {"SANDBOX_API_KEY": key})


SECRET = "whsec_" + "A" * 32


def test_tells_where_it_is_told_to():
    assert read(ARGUMENTS, {}).webhooks is None
    options = read(ARGUMENTS, {"SANDBOX_WEBHOOK_URL": "http://shop/hooks", "SANDBOX_WEBHOOK_SECRET": SECRET})
    assert options.webhooks == Webhooks("http://shop/hooks", "", SECRET)
    assert (options.terms.tells, options.terms.tells_all) == (True, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANDBOX_WEBHOOK_URL", "shop/hooks"),
        ("SANDBOX_WEBHOOK_URL", "http://["),
        ("SANDBOX_WEBHOOK_SECRET", ""),
        ("SANDBOX_WEBHOOK_SECRET", "whsec_short"),
        ("SANDBOX_WEBHOOK_SECRET", "whsec_" + "é" * 40),
        ("SANDBOX_WEBHOOKS", "some"),
        ("SANDBOX_WEBHOOK_DUPLICATES", "2"),
        ("SANDBOX_WEBHOOK_DISORDER_SECONDS", "-1"),
        ("SANDBOX_DECISION_SECONDS", "nan"),
        ("SANDBOX_REVERSAL_SECONDS", "soon"),
        ("SANDBOX_AUTHORIZATION_SECONDS", "1e9"),
        ("SANDBOX_FORGETS_VOIDS", "1"),
        ("SANDBOX_BOOKS", "everyone"),
        ("SANDBOX_PUBLIC_URL", "localhost:9000"),
    ],
)
def test_refuses_what_makes_no_sense(name, value):
    good = {"SANDBOX_WEBHOOK_URL": "http://shop/hooks", "SANDBOX_WEBHOOK_SECRET": SECRET}
    with pytest.raises(BadOption, match=name):
        read(ARGUMENTS, {**good, name: value})
