"""What execution itself adds to an order: from the approval on the tape to the first byte that leaves."""

from pathlib import Path

from tests.bench import desk
from tests.bench.results import Result, percentile, show
from tests.bench.segments import Way

# A calm market, so that what is measured is a submit and not a queue.
QUOTES_PER_S = 50
_STORED, _BEGUN, _SENT, _RECEIVED = 4, 5, 6, 7
_PARTS = (
    ("approval stored to write-ahead begun", _STORED, _BEGUN),
    ("write-ahead commit and last checks", _BEGUN, _SENT),
    ("submit path without the venue", _STORED, _SENT),
    ("first byte to received by the venue", _SENT, _RECEIVED),
)


def measure(directory: Path, seconds: float) -> list[Result]:
    """Let a platform trade for ``seconds`` and take its orders apart."""
    with desk.running(directory / "submitting", desk.busy(QUOTES_PER_S)) as platform:
        segment, _ = desk.measure(platform, seconds)
    rows, results = [], []
    for name, first, last in _PARTS:
        spent_ms = [_between_ms(way, first, last) for way in segment.ways]
        at = [percentile(spent_ms, percent) for percent in (50, 99)]
        rows.append((name, len(spent_ms), *at))
        results += [
            Result(f"submit.{name.replace(' ', '_')}.p{percent}", value, "ms", None, f"{len(spent_ms)} orders")
            for percent, value in zip((50, 99), at, strict=True)
        ]
    show("Submit path, ms", ("part", "orders", "p50", "p99"), rows)
    return results


def _between_ms(way: Way, first: int, last: int) -> float:
    return (way.moments_us[last] - way.moments_us[first]) / 1_000
