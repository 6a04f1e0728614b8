"""The cycles of the tape's clock: how long a service works in each, and how late it begins it."""

from prometheus_client import REGISTRY

from tollgate_chassis.clock import Clock
from tollgate_chassis.cycles import Cycles
from tollgate_contracts.marketdata import Clock as Tick

BEGAN_US = 1_800_000_000_000_000


def tick(number: int) -> Tick:
    return Tick(
        id=f"marketdata:clock:{number}",
        desk="main",
        run_id="r1",
        ts_us=BEGAN_US + number * 250_000,
        cause=None,
        cycle_id=number,
    )


def cycles(late_us: int = 0) -> Cycles:
    """Return cycles on a clock that stands a little after the first of them."""
    return Cycles(Clock(wall_us=lambda: BEGAN_US + 250_000 + late_us))


def told(name: str) -> float:
    return REGISTRY.get_sample_value(f"tollgate_cycle_{name}") or 0.0


def test_before_the_first_cycle_there_is_nothing_to_say():
    assert cycles().describe() is None


def test_a_cycle_says_when_it_began_and_how_long_the_one_before_kept_us_busy():
    watched = cycles()
    watched.begin(tick(1), live=True)
    watched.work(0.002)
    watched.work(0.003)
    watched.begin(tick(2), live=True)
    assert watched.describe() == {"id": 2, "ts_us": BEGAN_US + 500_000, "worked_us": 5_000}
    watched.begin(tick(3), live=True)
    assert watched.describe() == {"id": 3, "ts_us": BEGAN_US + 750_000, "worked_us": 0}


def test_what_was_worked_and_how_late_it_began_is_measured_of_a_service_that_is_live():
    """One that catches up begins old cycles, and that says nothing of how it keeps up."""
    before = told("lag_seconds_sum"), told("seconds_count"), told("lag_seconds_count")
    watched = cycles(late_us=40_000)
    watched.begin(tick(1), live=False)
    assert (told("lag_seconds_sum"), told("seconds_count"), told("lag_seconds_count")) == before
    watched.begin(tick(1), live=True)
    assert round(told("lag_seconds_sum") - before[0], 6) == 0.04
    assert told("seconds_count") == before[1] + 1
    assert told("id") == 1
    assert told("timestamp_seconds") == (BEGAN_US + 250_000) / 1_000_000


def test_a_number_does_not_go_back():
    watched = cycles()
    watched.begin(tick(7), live=True)
    watched.begin(tick(6), live=True)
    assert watched.id == 7
