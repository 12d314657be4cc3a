import pytest

from marketplace.kernel.limits import Limit, TooOften

TWICE = Limit("of a test", 2, 60)


def test_so_many_and_no_more_of_each(redis):
    assert [TWICE.spend("ada"), TWICE.spend("ada"), TWICE.spend("bob")] == [0, 0, 0]
    assert 1 <= TWICE.spend("ada") <= 60
    with pytest.raises(TooOften) as refused:
        TWICE.check("ada")
    assert 1 <= refused.value.data["retry_after"] <= 60
    assert Limit("of another", 2, 60).spend("ada") == 0
    assert not [key for key in redis.scan_iter() if b"ada" in key]


def test_it_begins_anew_when_its_time_is_over(redis):
    for _ in range(3):
        TWICE.spend("ada")
    [key] = redis.scan_iter("limit:*")
    assert 0 < redis.ttl(key) <= 60
    redis.delete(key)  # as its end does
    assert TWICE.spend("ada") == 0


def test_without_redis_nobody_is_turned_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # nobody is there
    assert [TWICE.spend("ada") for _ in range(5)] == [0] * 5
