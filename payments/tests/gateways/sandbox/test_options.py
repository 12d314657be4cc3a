from pathlib import Path

import pytest

from payments.gateways.sandbox.options import BadOption, read

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
