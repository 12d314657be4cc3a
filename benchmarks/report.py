"""The figures, as a table for people and as JSON for the next run to be compared with."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. `note` says why there is none where `value` is None. Each `group` has a table of its own."""

    name: str
    value: float | None
    unit: str
    note: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise about `measure`: at `least`, or at `most`, so many times the figure `against`; without one, so much.

    With neither it is none: the two are only set beside each other.
    """

    measure: str
    against: str = ""
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool | None:
        """Whether `value` keeps it; None where nothing is promised."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def judge(self, value: float) -> str:
        """What is to be said of `value`."""
        if self.holds(value) is None:
            return "for comparison"
        wanted = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{wanted}: {'met' if self.holds(value) else 'MISSED'}"


BARS = (
    Bar("drained, 1,000 SKUs", "limit: set-based SQL", least=0.15),
    Bar("drained, 1,000 SKUs", "peer: DBOS", least=30.0),
    Bar("drained, one hot SKU", "drained, 1,000 SKUs", least=0.9),
    Bar("drained, one hot SKU", "limit: one row a commit, 32 clients", least=1.0),
    Bar("drained, one hot SKU", "limit: one row a commit, 1 client"),  # which is as fast as the disk flushes
    Bar("drained, 30 % declined", "drained, 1,000 SKUs", least=0.8),
    Bar("POST /api/orders", "peer: plain DRF and ORM", least=2.0),
    Bar("HTTP in to CONFIRMED", "peer: plain DRF and ORM", least=1.2),
    Bar("backlog, highest of the second half", "backlog, highest of the first half", most=1.5),
    Bar("POST to CONFIRMED, p50", "peer: DBOS by a queue, p50", most=0.5),
    Bar("POST to CONFIRMED, p99", "peer: DBOS by a queue, p99", most=0.5),
    Bar("POST to CONFIRMED, p50", "peer: DBOS in place, p50"),  # where no other process has to hear of it
    Bar("POST to CONFIRMED, p99", "peer: DBOS in place, p99"),
    Bar("200 ms a call: drained", "200 ms a call: what the calls allow", least=0.9),
    Bar("200 ms a call: held meanwhile", most=0.0),
    Bar("idle: processor", most=2.0),
    Bar("idle: most frequent query", most=1.0),
    Bar("memory, after the orders", most=600.0),
)


def percentiles(name: str, seconds: Sequence[float]) -> list[Figure]:
    """Return the median and the 99th percentile, in milliseconds; what was over before it was watched took none."""
    hundredths = quantiles([max(0.0, one) for one in seconds], n=100, method="inclusive")
    return [
        Figure(f"{name}, p50", 1000 * hundredths[49], "ms", f"{len(seconds)} orders"),
        Figure(f"{name}, p99", 1000 * hundredths[98], "ms"),
    ]


def summary(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """Group the rounds' figures by name, in the order in which they first came."""
    found: dict[str, list[Figure]] = {}
    for figure in figures:
        found.setdefault(figure.name, []).append(figure)
    return found


def table(figures: Iterable[Figure]) -> str:
    """Write the figures (median, and the range where there are several rounds), then what they are to each other."""
    rounds = summary(figures)
    lines: list[str] = []
    for group in dict.fromkeys(of[0].group for of in rounds.values()):
        lines += ["", group] if group else []
        lines += [_line(name, of) for name, of in rounds.items() if of[0].group == group]
    ratios = [(bar, _ratios(bar, rounds)) for bar in BARS]
    compared = [_compared(bar, found) for bar, found in ratios if found]
    return "\n".join([*lines, *([""] if compared else []), *compared])


def write(figures: Iterable[Figure], *, settings: Mapping[str, object]) -> Path:
    """Write everything as JSON; return where."""
    rounds = summary(figures)
    now = datetime.now(UTC)
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "settings": dict(settings),
        "figures": [
            {"name": name, "unit": of[0].unit, "values": [figure.value for figure in of], "note": of[0].note}
            for name, of in rounds.items()
        ],
        "ratios": [
            {**asdict(bar), "values": found, "met": bar.holds(median(found))}
            for bar in BARS
            if (found := _ratios(bar, rounds))
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def _values(figures: Iterable[Figure]) -> list[float]:
    return [figure.value for figure in figures if figure.value is not None]


def _line(name: str, figures: list[Figure]) -> str:
    values = _values(figures)
    if not values:
        return f"{name:<36} {'-':>9}             {figures[0].note}"
    spread = f"   ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    note = f"   {figures[0].note}" if figures[0].note else ""
    return f"{name:<36} {_number(median(values)):>9} {figures[0].unit}{spread}{note}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratios(bar: Bar, rounds: Mapping[str, list[Figure]]) -> list[float]:
    """The ratio within each round: a machine's speed drifts from one to the next."""
    if not bar.against:
        return _values(rounds.get(bar.measure, ()))
    pairs = zip(rounds.get(bar.measure, ()), rounds.get(bar.against, ()), strict=False)
    return [one.value / other.value for one, other in pairs if one.value is not None and other.value]


def _compared(bar: Bar, values: list[float]) -> str:
    value = median(values)
    against = f" / {bar.against}" if bar.against else ""
    return f"{bar.measure}{against}: {_number(value)} ({bar.judge(value)})"
