from collections.abc import Iterator

import pytest

from marketplace.kernel import redis as kernel_redis


@pytest.fixture(autouse=True)
def _redis_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While Redis does not answer, nobody is counted; and here everybody is to be, on a busy machine too."""
    for name in ("CONNECT_TIMEOUT_SECONDS", "ANSWER_TIMEOUT_SECONDS"):
        monkeypatch.setattr(kernel_redis, name, 30.0)
    kernel_redis._connected.cache_clear()
    yield
    kernel_redis._connected.cache_clear()
