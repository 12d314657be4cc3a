from uuid import RFC_4122

from marketplace.kernel.ids import new_id


def test_an_id_is_a_version_7_uuid_of_this_millisecond(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)

    identifier = new_id()

    assert identifier.version == 7
    assert identifier.variant == RFC_4122
    assert identifier.int >> 80 == 1_700_000_000_123


def test_ids_of_later_milliseconds_sort_after_earlier_ones(monkeypatch):
    ids = []
    for millisecond in range(50):
        monkeypatch.setattr("time.time_ns", lambda now=millisecond: now * 1_000_000)
        ids.append(new_id())

    assert ids == sorted(ids)


def test_ids_of_one_millisecond_differ(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 0)

    assert len({new_id() for _ in range(10_000)}) == 10_000
