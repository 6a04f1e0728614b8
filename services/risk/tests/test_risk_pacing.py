"""The memories behind the pace gates: counts over windows, the token bucket, and what was approved last."""

import json

import pytest
from pydantic import TypeAdapter

from tollgate_risk.core.pacing import Pacing
from tollgate_risk.core.windows import RollingCount

SLICE_US = 60_000_000
NOON_US = 1_700_000_040_000_000
"""A whole number of slices since the epoch."""
WINDOW_US = 3 * SLICE_US


@pytest.mark.parametrize(
    ("at_us", "now_us", "expected"),
    [
        pytest.param(0, 0, 1, id="now"),
        pytest.param(0, WINDOW_US - 1, 1, id="a microsecond before the window's end"),
        pytest.param(0, WINDOW_US, 1, id="at the window's end, which counts"),
        pytest.param(0, WINDOW_US + SLICE_US - 1, 1, id="while its slice reaches into the window"),
        pytest.param(0, WINDOW_US + SLICE_US, 0, id="when its whole slice has left"),
        pytest.param(SLICE_US - 1, WINDOW_US + SLICE_US - 1, 1, id="the last of a slice at the window's end"),
        pytest.param(SLICE_US - 1, WINDOW_US + SLICE_US, 0, id="a microsecond later"),
        pytest.param(0, 1_000 * WINDOW_US, 0, id="long after"),
    ],
)
def test_an_event_counts_until_its_whole_slice_has_left_the_window(at_us, now_us, expected):
    """Never fewer than there were within the window, and too many by one slice at most."""
    count = RollingCount(SLICE_US, 3)
    count.add(NOON_US + at_us)
    assert count.total(NOON_US + now_us) == expected


def test_a_count_is_that_of_all_events_within_the_window_in_bounded_memory():
    """Over a thousand slices nothing is kept but what may still count."""
    count, events = RollingCount(SLICE_US, 3), []
    for number in range(1_000):
        now_us = NOON_US + number * SLICE_US // 7
        events.append(now_us)
        count.add(now_us)
        oldest = now_us // SLICE_US - 3
        assert count.total(now_us) == sum(event // SLICE_US >= oldest for event in events)
        assert len(count.counts) <= 4
        assert count.events == sum(count.counts.values())


def test_a_count_that_was_not_asked_for_long_forgets_when_it_is_asked():
    """To ask changes nothing, and what is too old does not count although it is still remembered."""
    count = RollingCount(SLICE_US, 3)
    count.add(NOON_US, 5)
    count.add(NOON_US + WINDOW_US, 2)
    assert [count.total(NOON_US + WINDOW_US + ahead) for ahead in (0, SLICE_US, SLICE_US, 9 * SLICE_US)] == [7, 2, 2, 0]
    assert count.events == 7


def test_a_count_survives_its_own_json():
    """A restart does not forget how much was done this hour."""
    adapter = TypeAdapter(Pacing)
    pacing = Pacing()
    pacing.hour.add(NOON_US, 3)
    again = adapter.validate_json(json.dumps(adapter.dump_python(pacing, mode="json")))
    assert again == pacing
    assert again.hour.total(NOON_US) == 3


BUCKET = {"pace.burst": 4, "pace.rate_per_s": 2}


def tokens(desk) -> int:
    state = desk.core.state
    return state.pacing.tokens(state.policy.rules.pace, state.now_us)


def test_a_bucket_fills_by_the_microsecond_and_up_to_its_burst(desk):
    """Two tokens a second: one in half a second, and no half tokens lost in between."""
    desk.open(BUCKET)
    for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BTC-USDT"):
        desk.ask(symbol=symbol)
    assert tokens(desk) == 0
    seen = []
    for microseconds in (499_999, 1, 250_000, 249_999, 1, 10_000_000):
        desk.wait(microseconds)
        seen.append(tokens(desk))
    assert seen == [0, 1, 1, 1, 2, 4]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"pace.burst": 4, "pace.rate_per_s": 1_000}, 1, id="a faster rate does not count for the past"),
        pytest.param({"pace.burst": 4, "pace.rate_per_s": 1}, 1, id="nor a slower one"),
        pytest.param({"pace.burst": 1, "pace.rate_per_s": 2}, 1, id="a smaller bucket"),
        pytest.param({"pace.burst": 100, "pace.rate_per_s": 2}, 1, id="a larger bucket is not full at once"),
    ],
)
def test_what_was_gained_under_a_policy_is_gained_at_its_rate(desk, rules, expected):
    """Half a second at two tokens a second is one token, whatever the next policy says."""
    desk.open(BUCKET)
    for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT", "BTC-USDT"):
        desk.ask(symbol=symbol)
    desk.wait(500_000)
    desk.policy({**rules, "revision": 2})
    assert tokens(desk) == expected


def test_a_bucket_gains_nothing_from_a_policy_that_cannot_be_read(desk):
    """The gate is shut and the old pace is over; time counts at the pace of the policy that follows."""
    desk.open({"pace.burst": 1, "pace.rate_per_s": 1})
    desk.ask()
    desk.wait(500_000)
    desk.policy_text("{")
    desk.policy({"pace.burst": 1, "pace.rate_per_s": 1, "revision": 2})
    assert tokens(desk) == 0
    desk.wait(500_000)
    assert tokens(desk) == 1


def test_only_so_many_orders_are_remembered_as_the_last_of_their_kind(desk):
    """The oldest is forgotten first, and one that is repeated is young again."""
    desk.open({
        "limits.open_orders": 1_000,
        "limits.open_orders_symbol": 1_000,
        "limits.orders_per_cycle": 1_000,
        "limits.gross_exposure": "1000000",
        "limits.position_notional": "1000000",
    }, cash="1000000")  # fmt: skip
    for step in range(256):
        assert desk.reasons(quantity=f"1.{step:03}") == []
    assert desk.reasons(quantity="1.000") == []
    assert desk.reasons(quantity="2") == []
    remembered = list(desk.core.state.pacing.last_same_us)
    assert len(remembered) == 256
    assert remembered[0] == "BTC-USDT BUY 1.002 100"
    assert remembered[-2:] == ["BTC-USDT BUY 1 100", "BTC-USDT BUY 2 100"]
