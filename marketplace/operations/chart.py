"""The chart of orders per hour: geometry for an SVG, so that it needs no script and prints well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from marketplace.operations.selectors import Hour

WIDTH: Final = 960
HEIGHT: Final = 220
_TOP: Final = 12
_BOTTOM: Final = 24  # for the hours
_LEFT: Final = 36  # for the counts
KINDS: Final = ("confirmed", "open", "cancelled", "failed")  # from the ground up


@dataclass(frozen=True, slots=True)
class Segment:
    """One coloured part of a bar."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour. `words` says its numbers."""

    x: float
    width: float
    label: str
    words: str
    segments: tuple[Segment, ...]

    @property
    def middle(self) -> float:
        """Where its label stands."""
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line, at so many orders."""

    y: float
    count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """All that the template draws."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    top: int = _TOP
    ground: int = HEIGHT - _BOTTOM


def draw(hours: Sequence[Hour]) -> Chart:
    """Lay out the bars of `hours`, the oldest one left."""
    most = _round_up(max((hour.total for hour in hours), default=0))
    ground, tall = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    step = (WIDTH - _LEFT) / max(len(hours), 1)
    bars = tuple(_bar(hour, _LEFT + at * step, step, ground, tall / most) for at, hour in enumerate(hours))
    lines = tuple(Line(ground - tall * part / 2, most * part // 2) for part in (0, 1, 2))
    return Chart(bars, lines)


def _bar(hour: Hour, left: float, step: float, ground: float, scale: float) -> Bar:
    segments, y = [], ground
    for kind in KINDS:
        height = getattr(hour, kind) * scale
        if height:
            y -= height
            segments.append(Segment(kind, round(y, 1), round(height, 1)))
    parts = ", ".join(f"{getattr(hour, kind)} {kind}" for kind in KINDS)
    total = f"{'about ' * hour.about}{hour.total} order{'s' * (hour.total != 1)}"
    words = f"{hour.start:%H:00} to {hour.start:%H:59} UTC: {total} ({parts})"
    return Bar(round(left + step * 0.1, 1), round(step * 0.8, 1), f"{hour.start:%H}", words, tuple(segments))


def _round_up(count: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100, 200 …, so that the line in the middle is at a whole number too."""
    power = 1
    while True:
        for digit in (2, 4, 10):
            if digit * power >= count:
                return digit * power
        power *= 10
