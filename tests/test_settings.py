"""What the settings make of an environment, read as a process of ours reads it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace import settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "LANGUAGE_COOKIE_SECURE", "SECURE_HSTS_SECONDS",
    "SECURE_PROXY_SSL_HEADER",
)  # fmt: skip
TELL = f"""
import json
from marketplace import settings
print(json.dumps([getattr(settings, name, None) for name in {NAMES}]))
"""


def read(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", TELL],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"PUBLIC_URL": "http://127.0.0.1:8000"}, [False, False, False, 0, None]),
        ({"PUBLIC_URL": "https://shop.example"}, [True, True, True, 3600, None]),
        (
            {"PUBLIC_URL": "https://shop.example", "TRUSTED_PROXIES": "1", "HSTS_SECONDS": "60"},
            [True, True, True, 60, ["HTTP_X_FORWARDED_PROTO", "https"]],
        ),
    ],
    ids=["http", "https", "behind a proxy"],
)
def test_cookies_are_as_the_shop_is_served(environment, found):
    assert json.loads(read(**environment).stdout) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "shop.example"),
        ("METRICS_TOKEN", "short"),
        ("TRUSTED_PROXIES", "-1"),
        ("SAGA_LEASE_SECONDS", "nan"),
        ("RETURN_DAYS", "inf"),
    ],
)
def test_what_can_t_be_meant_is_refused(name, value):
    refused = read(**{name: value})
    assert refused.returncode == 1
    assert refused.stderr.startswith("The environment has a bad setting")
    assert name in refused.stderr


def test_operators_can_read_what_each_setting_does():
    told = (ROOT / "docs" / "operations.md").read_text()
    shown = re.findall(r"`([A-Z_]+)`", told)
    assert sorted(set(settings.env.dump()) - set(shown)) == []
