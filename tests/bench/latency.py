"""Quote to order at the venue, the platform against the bare chain, in turns."""

import asyncio
from pathlib import Path

from tests.bench import bare, desk
from tests.bench.results import Result, say, show
from tests.bench.segments import LEGS, Segment, Shape, joined

RATES = (10, 100, 1_000)
# Few quotes lead to few orders: the lowest rate is given twice the time.
_SLOW_RATE, _SLOW_FACTOR = 10, 2
AGAINST = "bare nats-py chain: same hops, sizes, durability, in the same run"
AIM = {50: 1.5, 99: 2.0}


def measure(directory: Path, rounds: int, seconds: float) -> list[Result]:
    """Measure every rate in ``rounds`` turns of ``seconds`` each; the platform's state stays in ``directory``/desk."""
    return asyncio.run(_measure(directory, rounds, seconds))


async def _measure(directory: Path, rounds: int, seconds: float) -> list[Result]:
    results: list[Result] = []
    rows: list[tuple[object, ...]] = []
    async with bare.ground(directory / "bare") as place:
        for rate in RATES:
            stretch_s = seconds * (_SLOW_FACTOR if rate <= _SLOW_RATE else 1)
            ours, theirs = await _turns(directory, place, rate, rounds, stretch_s)
            rows += [_row(rate, "platform", ours), _row(rate, "bare", theirs)]
            results += _results(rate, ours, theirs)
            _show_legs(rate, ours, theirs)
    show(
        "Quote to order at the venue, ms",
        ("quotes/s", "chain", "orders", "p50", "p90", "p99", "most", "tape messages/s"),
        rows,
    )
    show("Ratio to the bare chain", ("quotes/s", "p50 (aim 1.5)", "p99 (aim 2)"), _ratio_rows(results))
    return results


async def _turns(
    directory: Path, place: bare.Ground, rate: int, rounds: int, seconds: float
) -> tuple[Segment, Segment]:
    ours, theirs = [], []
    for number in range(rounds):
        segment, shape = await asyncio.to_thread(_platform, directory / "desk", rate, seconds)
        ours.append(segment)
        theirs.append(await bare.run_chain(place, rate, shape, seconds))
        say(
            f"{rate} quotes/s, turn {number + 1} of {rounds}: platform p50 {segment.at(50):.2f} ms"
            f" over {len(segment.ways)} orders, bare p50 {theirs[-1].at(50):.2f} ms over {len(theirs[-1].ways)}"
        )
    return joined(ours), joined(theirs)


def _platform(state: Path, rate: int, seconds: float) -> tuple[Segment, Shape]:
    with desk.running(state, desk.busy(rate)) as platform:
        return desk.measure(platform, seconds)


def _row(rate: int, chain: str, segment: Segment) -> tuple[object, ...]:
    at = [segment.at(percent) for percent in (50, 90, 99, 100)]
    return (rate, chain, len(segment.ways), *at, segment.messages_per_s)


def _results(rate: int, ours: Segment, theirs: Segment) -> list[Result]:
    name = f"quote_to_order.{rate}_per_s"
    found = []
    for percent in (50, 99):
        found += [
            Result(f"{name}.platform.p{percent}", ours.at(percent), "ms", None, f"{len(ours.ways)} orders"),
            Result(f"{name}.bare.p{percent}", theirs.at(percent), "ms", None, f"{len(theirs.ways)} orders"),
            Result(
                f"{name}.ratio.p{percent}",
                ours.at(percent) / theirs.at(percent),
                "ratio",
                AGAINST,
                f"aim: at most {AIM[percent]}",
            ),
        ]
    for leg, mine, bare_leg in zip(LEGS, ours.leg_medians_ms(), theirs.leg_medians_ms(), strict=True):
        note = f"median; bare chain {bare_leg:.3f} ms"
        found.append(Result(f"{name}.leg.{leg.replace(' ', '_')}", mine, "ms", None, note))
    return found


def _show_legs(rate: int, ours: Segment, theirs: Segment) -> None:
    pairs = zip(LEGS, ours.leg_medians_ms(), theirs.leg_medians_ms(), strict=True)
    show(
        f"Where the time goes at {rate} quotes/s, medians in ms",
        ("leg", "platform", "bare", "more"),
        [(leg, mine, bare_leg, mine - bare_leg) for leg, mine, bare_leg in pairs],
    )


def _ratio_rows(results: list[Result]) -> list[tuple[object, ...]]:
    values = {result.name: result.value for result in results}
    return [(rate, *(values[f"quote_to_order.{rate}_per_s.ratio.p{p}"] for p in (50, 99))) for rate in RATES]
