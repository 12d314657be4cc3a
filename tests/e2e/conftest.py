"""A running shop, and Debian's Chromium to walk through it."""

import os
import shutil

import pytest

from tests.running import RunningShop


@pytest.fixture(scope="session")
def running_shop(tmp_path_factory):
    """The whole system, as `make run` starts it; its bank takes a moment, as banks do. Afterwards its books agree."""
    settings = {"PAYMENT_LATENCY_MS": "300", "SAGA_RETRY_DELAY_SECONDS": "0.2", "PAYMENT_TIMEOUT_SECONDS": "2"}
    shop = RunningShop(tmp_path_factory.mktemp("e2e"), **settings)
    shop.start()
    yield shop
    found = shop.audit()
    assert shop.stop() == 0
    assert found == ""


@pytest.fixture(scope="session")
def base_url(running_shop):
    return running_shop.url


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """The browser that the machine has, not one that playwright would download."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": chromium, "args": [*sandbox, "--disable-gpu"]}
