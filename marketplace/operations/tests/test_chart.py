from datetime import UTC, datetime, timedelta

import pytest

from marketplace.operations import chart
from marketplace.operations.selectors import Hour

FIRST = datetime(2026, 3, 1, tzinfo=UTC)


def hours(*totals: int) -> list[Hour]:
    return [Hour(FIRST + timedelta(hours=at), confirmed=total) for at, total in enumerate(totals)]


def test_bars_stand_on_the_ground_and_reach_as_high_as_their_count():
    drawn = chart.draw(hours(0, 5, 10))
    tall = drawn.ground - drawn.top
    assert [[(s.y, s.height) for s in bar.segments] for bar in drawn.bars] == [
        [],
        [(drawn.ground - tall / 2, tall / 2)],
        [(drawn.top, tall)],
    ]
    assert [line.count for line in drawn.lines] == [0, 5, 10]


def test_segments_are_stacked_without_a_gap():
    [bar] = chart.draw([Hour(FIRST, confirmed=4, failed=3, cancelled=2, open=1)]).bars
    assert [segment.kind for segment in bar.segments] == ["confirmed", "open", "cancelled", "failed"]
    for below, above in zip(bar.segments, bar.segments[1:], strict=False):
        assert above.y + above.height == pytest.approx(below.y, abs=0.2)
    assert bar.words == "00:00 to 00:59 UTC: 10 orders (4 confirmed, 1 open, 2 cancelled, 3 failed)"


@pytest.mark.parametrize(("most", "top"), [(0, 2), (1, 2), (3, 4), (5, 10), (11, 20), (21, 40), (41, 100), (999, 1000)])
def test_the_scale_ends_at_a_round_number(most, top):
    assert chart.draw(hours(most)).lines[-1].count == top


def test_bars_stay_within_the_picture():
    drawn = chart.draw(hours(*range(24)))
    assert drawn.bars[0].x >= drawn.left
    assert drawn.bars[-1].x + drawn.bars[-1].width <= drawn.width
