"""A running shop, and Debian's Chromium to walk through it."""

import os
import shutil

import pytest
from playwright.sync_api import expect

from tests.running import RunningShop, eventually

expect.set_options(timeout=60_000)  # milliseconds: the machine may be busy


@pytest.fixture(scope="session")
def _running_shop(tmp_path_factory):
    """The whole system, as `make run` starts it; its bank takes a moment, as banks do. Afterwards its books agree."""
    settings = {
        "PAYMENT_LATENCY_MS": "300",
        "PAYMENT_TIMEOUT_SECONDS": "2",
        "SAGA_RETRY_ATTEMPTS": "20",  # a machine that stands still for some seconds is no reason to give up
        "SAGA_RETRY_DELAY_SECONDS": "0.2",
    }
    shop = RunningShop(tmp_path_factory.mktemp("e2e"), **settings)
    shop.start()
    yield shop
    found = shop.audit()
    assert shop.stop() == 0
    assert found == ""


@pytest.fixture
def running_shop(_running_shop):
    """That shop, when it has come to rest: nothing that a test before this one began is still on its way."""
    eventually(_running_shop.rests)
    return _running_shop


@pytest.fixture(scope="session")
def base_url(_running_shop):
    return _running_shop.url


@pytest.fixture
def context(context):
    context.set_default_timeout(60_000)
    return context


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """The browser that the machine has, not one that playwright would download."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": chromium, "args": [*sandbox, "--disable-gpu"]}
