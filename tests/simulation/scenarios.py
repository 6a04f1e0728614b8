"""Small stories in which every single step is a place to be killed."""

from dataclasses import replace
from typing import Any

from tests.simulation.plan import PRICE, TICK, Plan, Request, Switch
from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.flavours import VenueLike
from tollgate_simvenue.core.market import HouseTook, MarketEvent, TopSet
from tollgate_simvenue.core.plan import CallKind, FaultPlan, FaultType, Rule
from tollgate_simvenue.core.units import UNITS, units_text

_LIFE_US = 700_000
_TRADING_US = 1_100_000
_BOOK: tuple[tuple[int, MarketEvent], ...] = ((0, TopSet(PRICE - TICK, 5 * UNITS, PRICE + TICK, 5 * UNITS)),)


def _order(at_us: int, number: int, ticks: int, quantity: str = "2", side: str = "BUY", **fields: Any) -> Request:
    usual = {"side": side, "quantity": quantity, "limit_price": units_text(PRICE + ticks * TICK), **fields}
    return Request(at_us, number, "SUBMIT", _LIFE_US, usual)


def _cancel(at_us: int, number: int) -> Request:
    return Request(at_us, number, "CANCEL", _LIFE_US, {})


def _plan(*requests: Request, market: tuple[tuple[int, MarketEvent], ...] = (), **fields: Any) -> Plan:
    plan = Plan(seed=1, requests=requests, market=(*_BOOK, *market), restart_us=60_000, trading_us=_TRADING_US)
    return replace(plan, **fields)


_NO_ANSWER = FaultPlan((Rule(FaultType.ACCEPT_THEN_TIMEOUT, calls=(CallKind.PLACE, CallKind.CANCEL)),))

SCENARIOS: dict[str, Plan] = {
    "taken-at-once": _plan(_order(100_000, 1, 5, time_in_force="IOC")),
    "rests-and-fills-in-parts": _plan(
        _order(100_000, 1, 0),
        market=((300_000, HouseTook(Side.SELL, UNITS // 2)), (500_000, HouseTook(Side.SELL, 8 * UNITS))),
    ),
    "cancelled": _plan(_order(100_000, 1, -20), _cancel(400_000, 1)),
    "cancel-meets-fill": _plan(
        _order(100_000, 1, 0),
        _cancel(400_000, 1),
        market=((401_500, HouseTook(Side.SELL, 8 * UNITS)),),
    ),
    "no-order-is-answered": _plan(
        _order(100_000, 1, 5, time_in_force="IOC"), _order(300_000, 2, -20), _cancel(600_000, 2), faults=_NO_ANSWER
    ),
    "asynchronous-cancel": _plan(
        _order(100_000, 1, 0),
        _cancel(300_000, 1),
        market=((320_000, HouseTook(Side.SELL, UNITS)),),
        like=VenueLike.BTCTURK,
    ),
    "filled-and-busted": _plan(_order(100_000, 1, 5, time_in_force="IOC"), busts=(400_000,), deposits=(500_000,)),
    "crosses-and-is-priced-anew": _plan(_order(100_000, 1, 20, post_only=True), _cancel(700_000, 1)),
    "killed-by-the-switch": _plan(
        _order(100_000, 1, -20), _order(400_000, 2, 5), switch=Switch(401_000, 900_000, "CANCEL")
    ),
    "two-at-once-and-a-snapshot": _plan(
        _order(100_000, 1, 5, time_in_force="IOC"),
        _order(100_000, 2, -5, side="SELL", time_in_force="IOC"),
        _order(100_500, 3, 20, post_only=True),
        snapshot_every=5,
    ),
}


# Long enough for another to take over, to hear that the venue has no such order, and to send it once more.
STILL_US = 2_600_000
STANDING = _plan(
    Request(100_000, 1, "SUBMIT", 4_500_000, {"side": "BUY", "quantity": "2", "limit_price": units_text(PRICE - TICK)}),
    trading_us=4_000_000,
    # Of what waits for a process that goes on, anything may be first: its next permit, too.
    seed=2,
    shuffled=True,
)
"""A story whose process stands still before any one of its steps, and goes on when another has long taken over."""


def standing(step: int) -> Plan:
    """Return that story, with the step before which the process stands still."""
    return replace(STANDING, still=(step, STILL_US), name=f"STILL={step}")


def scenario(name: str, kills: tuple[int, ...] = ()) -> Plan:
    """Return a story, killed before the given steps."""
    suffix = f" KILL={','.join(map(str, kills))}" if kills else ""
    return replace(SCENARIOS[name], kills=kills, name=f"SCENARIO={name}{suffix}")
