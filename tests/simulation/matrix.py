"""The ways in which an order's fate can become unclear: each a short story, and how it must end."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tests.simulation.plan import PRICE, TICK, Plan, Request
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.flavours import VenueLike
from tollgate_simvenue.core.market import HouseTook, MarketEvent, TopSet
from tollgate_simvenue.core.plan import Accepts, CallKind, FaultPlan, FaultType, FrameKind, Rule
from tollgate_simvenue.core.units import UNITS, units_text

# Shorter than trading goes on: an approval has expired long before the end, so that whatever is open then is known.
LIFE_US = 900_000
_BOOK: tuple[tuple[int, MarketEvent], ...] = ((0, TopSet(PRICE - TICK, 5 * UNITS, PRICE + TICK, 5 * UNITS)),)
# Long enough before the next round that no frame can still be on its way.
_SOLD_EARLY: tuple[tuple[int, MarketEvent], ...] = ((300_000, HouseTook(Side.SELL, 50 * UNITS)),)
_SOLD: tuple[tuple[int, MarketEvent], ...] = ((500_000, HouseTook(Side.SELL, 50 * UNITS)),)
_ORDER_US, _CANCEL_US = 200_000, 600_000
_TRADING_US = 3_000_000


class Terminal(StrEnum):
    """What an action has come to."""

    COMMITTED = "COMMITTED"
    """The venue has shown that it has, or had, the order."""
    FAILED = "FAILED"
    """It never had it, and that is proven."""
    UNKNOWN = "UNKNOWN"
    """Nobody has said: it stays open, and its exposure reserved."""


@dataclass(frozen=True, slots=True)
class Row:
    """One story of one order, and what must be on the tape in the end."""

    plan: Plan
    terminal: Terminal
    states: str
    """Every state that the tape says of the order, in order, between spaces."""
    differences: frozenset[str] = frozenset()
    """``difference:repair`` of every ``reconcile`` on the tape."""
    sent: int = 1
    """How often the order left."""
    fills: int = 0
    movements: int = 0
    before_calm: bool = False
    """Whether it is looked at while the faults are still on, and not after all has come to rest."""
    killed: bool = False
    """Whether the process is killed when the first byte of the order has left."""


def _order(ticks: int = 5, **fields: Any) -> Request:
    usual = {"side": "BUY", "quantity": "2", "limit_price": units_text(PRICE + ticks * TICK), "time_in_force": "GTC"}
    return Request(_ORDER_US, 1, "SUBMIT", LIFE_US, {**usual, **fields})


_CANCEL = Request(_CANCEL_US, 1, "CANCEL", LIFE_US, {})
_RESTING = _order(0)
_LONG_LIVED = replace(_RESTING, life_us=2_000_000)


def _plan(
    *requests: Request, rules: tuple[Rule, ...] = (), moves: tuple[tuple[int, MarketEvent], ...] = (), **fields: Any
) -> Plan:
    plan = Plan(seed=1, requests=requests, market=(*_BOOK, *moves), faults=FaultPlan(rules), trading_us=_TRADING_US)
    return replace(plan, **fields)


_PLACE, _QUERY, _CANCELS = (CallKind.PLACE,), (CallKind.QUERY,), (CallKind.CANCEL,)
_LISTS = (CallKind.QUERY, CallKind.ORDERS, CallKind.FILLS)
# From just before the order on, when the first round of reconciliation is over.
_FROM_US = 150_000
_SILENT = Rule(FaultType.SILENT_STREAM, after_us=_FROM_US)
_SILENT_FOR_A_WHILE = replace(_SILENT, for_us=200_000)
_LISTS_FAIL = Rule(FaultType.SERVER_ERROR, after_us=_FROM_US, calls=_LISTS, accepts=Accepts.NONE)
_LISTS_FAIL_FOR_A_WHILE = replace(_LISTS_FAIL, for_us=200_000)
_NOTHING_IS_TOLD = replace(_LISTS_FAIL, calls=(*_LISTS, *_CANCELS))
_LOST = Rule(FaultType.ACCEPT_THEN_TIMEOUT, last=1)
_HELD = frozenset({"UNKNOWN_OUTCOME:HELD"})
MATRIX: dict[str, Row] = {
    "answered": Row(_plan(_order()), Terminal.COMMITTED, "SUBMITTING FILLED", fills=1),
    "timeout after submit, and it was taken (Nautilus 4958)": Row(
        _plan(_RESTING, rules=(_LOST, _SILENT)), Terminal.COMMITTED, "SUBMITTING UNKNOWN ACKNOWLEDGED"
    ),
    "connection lost after submit, and it was taken": Row(
        _plan(_RESTING, rules=(Rule(FaultType.ACCEPT_THEN_DROP, last=1),)),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED",
    ),
    "a server error, and it was taken": Row(
        _plan(_RESTING, rules=(Rule(FaultType.SERVER_ERROR, last=1, accepts=Accepts.ALL),)),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED",
    ),
    "a server error, and it was not taken": Row(
        _plan(_LONG_LIVED, rules=(Rule(FaultType.SERVER_ERROR, last=1, accepts=Accepts.NONE),)),
        Terminal.COMMITTED,
        "SUBMITTING UNKNOWN SUBMITTING ACKNOWLEDGED",
        sent=2,
    ),
    "a server error again and again, and it was never taken": Row(
        _plan(_RESTING, rules=(Rule(FaultType.SERVER_ERROR, accepts=Accepts.NONE),)),
        Terminal.FAILED,
        "SUBMITTING UNKNOWN EXPIRED",
        differences=_HELD,
    ),
    "too fast, retried, and visible late": Row(
        _plan(
            _RESTING,
            rules=(
                Rule(FaultType.RATE_LIMIT, calls=_PLACE, last=1),
                Rule(FaultType.LATE_VISIBILITY, late_us=300_000),
                Rule(FaultType.ACCEPT_THEN_TIMEOUT, first=2),
            ),
        ),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED",
        sent=2,
    ),
    "too fast for as long as the approval lives": Row(
        _plan(_RESTING, rules=(Rule(FaultType.RATE_LIMIT, calls=_PLACE, retry_after_s=1),)),
        Terminal.FAILED,
        "SUBMITTING REJECTED",
    ),
    "unknown that escalates": Row(
        _plan(_RESTING, rules=(_LOST, _SILENT, _NOTHING_IS_TOLD), trading_us=8_000_000),
        Terminal.UNKNOWN,
        "SUBMITTING UNKNOWN",
        differences=_HELD,
        before_calm=True,
    ),
    "unknown that escalated and was told at last": Row(
        _plan(_RESTING, rules=(_LOST, _SILENT, _NOTHING_IS_TOLD), trading_us=8_000_000),
        Terminal.COMMITTED,
        "SUBMITTING UNKNOWN CANCELLED",
        differences=_HELD,
    ),
    "a cancel that is not answered": Row(
        _plan(_RESTING, _CANCEL, rules=(Rule(FaultType.ACCEPT_THEN_TIMEOUT, calls=_CANCELS), _SILENT)),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED CANCELLING CANCELLED",
    ),
    "a cancel that never arrives": Row(
        _plan(_RESTING, _CANCEL, rules=(Rule(FaultType.SERVER_ERROR, calls=_CANCELS, accepts=Accepts.NONE, last=2),)),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED CANCELLING CANCELLED",
    ),
    "look-ups that fail are no word that it is not there (Hummingbot 8457)": Row(
        _plan(
            _RESTING,
            rules=(
                _LOST,
                _LISTS_FAIL_FOR_A_WHILE,
                _SILENT_FOR_A_WHILE,
            ),
        ),
        Terminal.COMMITTED,
        "SUBMITTING UNKNOWN ACKNOWLEDGED",
    ),
    "filled by the venue's count, and its trades come late (Nautilus 3493)": Row(
        _plan(
            _RESTING,
            moves=_SOLD,
            rules=(
                Rule(FaultType.DROP_FRAMES, frames=(FrameKind.USER_TRADE,)),
                replace(_LISTS_FAIL_FOR_A_WHILE, calls=(CallKind.QUERY, CallKind.FILLS)),
            ),
        ),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED FILLED",
        fills=1,
    ),
    "killed between the first byte and its answer (Nautilus 3176)": Row(
        _plan(_RESTING), Terminal.COMMITTED, "SUBMITTING ACKNOWLEDGED", killed=True
    ),
    "money that moves is no fill (Nautilus 4937)": Row(
        _plan(_RESTING, deposits=(400_000,)), Terminal.COMMITTED, "SUBMITTING ACKNOWLEDGED", movements=1
    ),
    "fills that no frame has told, found once (Nautilus 3622)": Row(
        _plan(_RESTING, moves=_SOLD_EARLY, rules=(Rule(FaultType.DROP_FRAMES),)),
        Terminal.COMMITTED,
        "SUBMITTING ACKNOWLEDGED FILLED",
        differences=frozenset({"MISSED_FILL:BOOKED"}),
        fills=1,
    ),
    "frames that come twice": Row(
        _plan(_order(), rules=(Rule(FaultType.DUPLICATE_FRAMES),)), Terminal.COMMITTED, "SUBMITTING FILLED", fills=1
    ),
    "a post-only that would cross": Row(
        _plan(_order(20, post_only=True)), Terminal.COMMITTED, "SUBMITTING SUBMITTING ACKNOWLEDGED", sent=2
    ),
    "a venue in maintenance": Row(
        _plan(_RESTING, rules=(Rule(FaultType.MAINTENANCE, after_us=_FROM_US, for_us=2_000_000),)),
        Terminal.FAILED,
        "SUBMITTING UNKNOWN EXPIRED",
        differences=_HELD,
    ),
    "a venue that takes cancels alone": Row(
        _plan(
            _RESTING, rules=(Rule(FaultType.INSTRUMENT_STATUS, after_us=_FROM_US, status=InstrumentStatus.CANCEL_ONLY),)
        ),
        Terminal.FAILED,
        "SUBMITTING REJECTED",
        sent=0,
    ),
    "without look-ups by our ids, it is looked for in the lists": Row(
        _plan(_RESTING, rules=(_LOST, _SILENT), like=VenueLike.BTCTURK),
        Terminal.COMMITTED,
        "SUBMITTING UNKNOWN ACKNOWLEDGED",
    ),
}
