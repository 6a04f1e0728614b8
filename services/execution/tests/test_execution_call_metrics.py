"""What execution tells of its calls: of each the group, how long it took, what came of it, and what was tried again."""

import pytest
from calls_samples import CountingVenue, a_reference, an_order
from prometheus_client import REGISTRY
from virtual_time import run_virtually, virtual_clock

from tollgate_execution.calls import CallRules, GuardedVenue
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Failure


def told(name: str, group: str, call: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tollgate_venue_{name}", {"group": group, "call": call, **labels}) or 0.0


def seen(group: str, call: str) -> dict[str, float]:
    """Return all that is told of one call."""
    outcomes = ("answered", "rate_limited", "maintenance", "held_no_answer")
    counts = {each: told("calls_total", group, call, outcome=each) for each in outcomes}
    counts |= {name: told(f"request_seconds_{name}", group, call) for name in ("count", "sum")}
    return counts | {"retries": told("retries_total", group, call)}


def changed(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return what has been added."""
    return {name: after[name] - before[name] for name in after if after[name] != before[name] and name != "sum"}


@pytest.mark.parametrize(
    ("group", "call"), [("ORDERS", "submit"), ("ORDERS", "cancel"), ("ORDERS", "fills"), ("ACCOUNT", "account")]
)
def test_a_call_is_counted_and_timed_under_its_group(group: str, call: str):
    async def make() -> None:
        clock = virtual_clock()
        guarded = GuardedVenue(CountingVenue(clock), CallRules(), clock)
        calls = {
            "submit": lambda: guarded.submit(an_order(1)),
            "cancel": lambda: guarded.cancel(a_reference()),
            "fills": lambda: guarded.fills_since(""),
            "account": guarded.account,
        }
        await calls[call]()

    before = seen(group, call)
    run_virtually(make)
    assert changed(before, seen(group, call)) == {"answered": 1, "count": 1}


def test_what_is_tried_again_is_counted_apart_and_what_is_held_back_is_no_request():
    async def ask_twice() -> None:
        clock = virtual_clock()
        venue = CountingVenue(clock)
        guarded = GuardedVenue(venue, CallRules(), clock)
        venue.next["account"] += [(Failure.RATE_LIMITED, None), (Failure.MAINTENANCE, None)]
        for _ in range(2):
            with pytest.raises(VenueUnavailable):
                await guarded.account()

    before = seen("ACCOUNT", "account")
    run_virtually(ask_twice)
    assert changed(before, seen("ACCOUNT", "account")) == {
        "rate_limited": 1, "maintenance": 1, "retries": 1, "count": 2, "held_no_answer": 1,
    }  # fmt: skip
