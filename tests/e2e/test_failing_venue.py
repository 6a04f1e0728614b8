"""The whole platform at a venue that fails: whatever it does, nothing is lost, nothing doubled, and trading goes on."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.test_kill import (
    assert_every_order_ended_once,
    assert_no_approval_was_placed_twice,
    fills_on_tape,
    unbalanced_entries,
)
from tests.conftest import ASK, BUSY, Platform, assert_everyone_agrees, drill, settle
from tests.policies import PATIENT
from tests.security.test_kill_switch import working
from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Fill, Order, OrderState, Report, ReportSource
from tollgate_contracts.marketdata import Instrument, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Reconcile
from tollgate_contracts.safety import Breaker, BreakerState, Dependency, EndpointGroup, SafeMode
from tollgate_contracts.strategy import Intent, Side
from tollgate_research.recording import Run, load
from tollgate_research.replay import Replay

pytestmark = pytest.mark.platform
# What takes seconds on a quiet machine may take many on one that runs other things.
PATIENCE_S = 60
# Faster than at a real venue, so that a failure is seen, and is seen to be over, within seconds.
NERVOUS = {
    "TOLLGATE_EXECUTION__SYNC__INTERVAL_MS": "1000",
    "TOLLGATE_EXECUTION__CALLS__OPEN_MS": "200",
    "TOLLGATE_EXECUTION__CALLS__OPEN_MS_MAX": "1000",
    "TOLLGATE_EXECUTION__SAFE_MODE__ORDERS_MS": "300",
    "TOLLGATE_EXECUTION__SAFE_MODE__STREAM_MS": "300",
    "TOLLGATE_EXECUTION__SAFE_MODE__RECOVER_MS": "500",
}
# The mode comes back soon after the last breaker has closed.
SWIFT = {**PATIENT, "modes.cool_off_ms": 500}
# Far away, so that they rest and are taken back for every exit: cancels fail too.
FAR_STOPS = {"TOLLGATE_STRATEGY__PROTECTIVE_STOP_BPS": "300"}


@dataclass(frozen=True)
class Phase:
    """One way in which the venue fails, and what the tape must say of it."""

    name: str
    rules: tuple[dict[str, Any], ...]
    degraded: Dependency | None = None
    """Safe mode names it; the failure lasts until it does."""
    opens: bool = False
    """The breaker of the calls for orders opens; the failure lasts until it does."""
    states: frozenset[OrderState] = frozenset()
    """Orders come to these states; the failure lasts until one has come to each."""
    happens: int = 1
    """So often at least each rule has happened when the plan is withdrawn."""
    quiet: bool = False
    """Nothing trades meanwhile."""


def chance(fault: str, percent: int, **numbers: Any) -> dict[str, Any]:
    return {"fault": fault, "per_million": percent * 10_000, **numbers}


CALLS = ["place", "cancel"]
PHASES = (
    Phase(
        "calls that are carried out and never answered, of orders that are seen late",
        (
            chance("accept_then_timeout", 20, calls=CALLS),
            chance("accept_then_drop", 20, calls=CALLS),
            chance("late_visibility", 50, late_ms=700),
        ),
        states=frozenset({OrderState.UNKNOWN}),
        happens=3,
    ),
    Phase(
        "server errors, half of them carried out",
        ({"fault": "server_error", "accepts": "half", "calls": CALLS},),
        opens=True,
        states=frozenset({OrderState.UNKNOWN}),
        happens=3,
    ),
    Phase(
        "refusals for speed until a ban",
        ({"fault": "rate_limit_storm", "calls_max": 5, "ban_ms": 1_500},),
        opens=True,
        happens=3,
    ),
    Phase(
        "frames that come twice, late, in disorder and never, while answers are lost",
        (
            chance("accept_then_drop", 40),
            chance("duplicate_frames", 25),
            chance("drop_frames", 25),
            chance("reorder_frames", 25, late_ms=300),
            chance("delay_frames", 25, late_ms=500),
            chance("sequence_gap", 10),
        ),
        happens=2,
    ),
    Phase(
        "streams that are silent",
        ({"fault": "silent_stream"}, chance("accept_then_drop", 30)),
        degraded=Dependency.USER_STREAM,
        happens=0,
    ),
    Phase("maintenance", ({"fault": "maintenance"},), degraded=Dependency.VENUE_ORDERS, opens=True),
    Phase("cancel-only", ({"fault": "instrument_status", "status": "CANCEL_ONLY"},), happens=0, quiet=True),
)


def test_a_venue_that_fails_in_every_way_loses_and_doubles_nothing(platform: Callable[..., Platform], tmp_path: Path):
    """One failure after the other under traffic: each is seen, each passes, and then all agree to the last digit."""
    desk = platform(BUSY | NERVOUS | FAR_STOPS, policy=SWIFT)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", PATIENCE_S)
    spans = [fail(desk, phase) for phase in PHASES]

    assert desk.engage(level="CANCEL").status_code == httpx.codes.OK
    run = stop_and_compare(desk, tmp_path)
    for phase, (first, last) in zip(PHASES, spans, strict=True):
        messages = [decode(record.data) for record in run.records if first < record.sequence <= last]
        assert_the_tape_tells_of(phase, messages)


def fail(desk: Platform, phase: Phase) -> tuple[int, int]:
    """Let the venue fail until it has shown, then let it work again; return the tape's positions before and after."""
    before = int(desk.status("execution")["tip"])
    reached = states_reached(desk)
    drill(desk, "PUT", "faults", {"seed": 7, "rules": list(phase.rules)})
    desk.wait_until(lambda: has_shown(desk, phase, reached), f"{phase.name}: it shows", PATIENCE_S)
    if phase.quiet:
        nothing_trades(desk)
    drill(desk, "DELETE", "faults")
    desk.wait_until(lambda: is_well(desk), f"{phase.name}: it passes", PATIENCE_S)
    # What is filled from here on lies behind the breaker's last word on the tape.
    fills = desk.fills()
    desk.wait_until(lambda: is_well(desk) and desk.fills() >= fills + 3, f"{phase.name}: it trades", PATIENCE_S)
    return before, int(desk.status("execution")["tip"])


def states_reached(desk: Platform) -> Counter[str]:
    """Count the states that orders have come to, as execution's log tells them."""
    return Counter(line["outcome"] for line in desk.log("execution") if line.get("event") == "order.state")


def has_shown(desk: Platform, phase: Phase, reached: Counter[str]) -> bool:
    """Say whether the failure was seen in every way that the phase names; ``reached`` was counted before it began."""
    status = desk.status("execution")
    if not status:
        return False
    rules = drill(desk, "GET", "faults")["rules"]
    shows = all(rule["happened"] >= phase.happens for rule in rules)
    if phase.states:
        since = states_reached(desk) - reached
        shows = shows and all(since[state.value.lower()] for state in phase.states)
    if phase.degraded is not None:
        shows = shows and phase.degraded.value in status["safe_mode"]["degraded"]
    return shows and (not phase.opens or status["calls"]["breakers"]["ORDERS"] != BreakerState.CLOSED.value)


def nothing_trades(desk: Platform) -> None:
    """Wait until a second has gone by without a fill."""
    seen: list[int] = []

    def stands_still() -> bool:
        seen.append(desk.fills())
        return len(seen) >= 6 and len(set(seen[-6:])) == 1

    desk.wait_until(stands_still, "nothing trades", PATIENCE_S)


def is_well(desk: Platform) -> bool:
    """Say whether execution knows of every order, lets all calls through and is not in safe mode."""
    status = desk.status("execution")
    if not status or status["unknown_orders"] or status["safe_mode"]["engaged"]:
        return False
    return set(status["calls"]["breakers"].values()) == {BreakerState.CLOSED.value}


def assert_the_tape_tells_of(phase: Phase, messages: list[Any]) -> None:
    breakers = [m.to_state for m in messages if isinstance(m, Breaker) and m.group is EndpointGroup.ORDERS]
    modes = [message for message in messages if isinstance(message, SafeMode)]
    assert phase.states <= {m.to_state for m in messages if isinstance(m, Order)}, phase.name
    if phase.opens:
        assert BreakerState.OPEN in breakers, phase.name
        assert breakers[-1] is BreakerState.CLOSED, phase.name
    if phase.degraded is not None:
        assert any(phase.degraded in mode.degraded for mode in modes), phase.name
        assert not modes[-1].engaged, phase.name
    if phase.quiet:
        statuses = [message.status for message in messages if isinstance(message, Instrument)]
        assert InstrumentStatus.CANCEL_ONLY in statuses, phase.name
        assert statuses[-1] is InstrumentStatus.OPEN, phase.name


def stop_and_compare(desk: Platform, directory: Path) -> Run:
    """Settle; hold venue, books, journal and tape against each other; end the platform and return its run."""
    settle(desk)
    view = assert_everyone_agrees(desk)
    assert desk.status("execution")["unknown_orders"] == []
    assert asyncio.run(unbalanced_entries(desk)) == []
    asyncio.run(assert_no_approval_was_placed_twice(desk))
    run_file = directory / "run.jsonl.gz"
    assert desk.run("record", str(run_file), "--state-dir", str(desk.state)).returncode == 0
    assert desk.stop() == 0
    run = load(run_file)
    assert_every_order_ended_once(run, {fill.client_order_id for fill in view.fills})
    assert sorted(fill.trade.trade_id for fill in fills_on_tape(run)) == sorted(
        fill.trade.trade_id for fill in view.fills if fill.trade is not None
    )
    assert Replay(run.desk).run(run).differences == []
    return run


# Stops a tick below what was just paid: the market's own noise reaches some of them within seconds. The strategy has
# no way out of its own, so that whatever is sold is sold by a stop.
ONLY_STOPS_SELL = {
    "TOLLGATE_STRATEGY__PROTECTIVE_STOP_BPS": "16",
    "TOLLGATE_STRATEGY__EXIT_BPS": "10000",
    "TOLLGATE_STRATEGY__STOP_LOSS_BPS": "10000",
    "TOLLGATE_STRATEGY__TAKE_PROFIT_BPS": "10000",
    "TOLLGATE_STRATEGY__MAX_HOLD_MS": "3600000",
}
STOPS = 3


def test_a_stop_that_triggers_is_the_strategy_s_exit_and_the_switch_takes_stops_back(
    platform: Callable[..., Platform], tmp_path: Path
):
    """It sells and is booked, and the next entry follows; FLATTEN ends flat and CANCEL with nothing at the venue."""
    desk = platform(BUSY | NERVOUS | ONLY_STOPS_SELL, policy=SWIFT)
    desk.start()
    desk.wait_until(lambda: len(sold_by_stops(desk)) >= STOPS, f"{STOPS} stops have sold", 2 * PATIENCE_S)
    symbols = {order["symbol"] for order in sold_by_stops(desk)}
    before = {order["client_order_id"] for order in orders_of(desk)}
    desk.wait_until(lambda: entered(desk, symbols, before), "the next entry where a stop has sold", PATIENCE_S)

    desk.wait_until(lambda: resting_stops(desk), "a stop rests", PATIENCE_S)
    flat = desk.engage(level="FLATTEN", wait_flat_s=30).json()["flat"]
    assert flat["proven"] is True, flat
    assert working(desk) == []
    assert set(flat["proof"]["balances"]) - set(flat["proof"]["dust"]) == {"USDT"}
    assert desk.release(timeout_s=PATIENCE_S).status_code == httpx.codes.OK

    desk.wait_until(lambda: resting_stops(desk), "a stop rests again", PATIENCE_S)
    assert desk.engage(level="CANCEL").json()["level"] == "CANCEL"
    desk.wait_until(lambda: working(desk) == [], "the venue has no order", PATIENCE_S)
    run = stop_and_compare(desk, tmp_path)
    assert_each_stop_that_sold_ended_a_position(run)


def orders_of(desk: Platform) -> list[dict[str, Any]]:
    answer = ASK.get(f"{desk.url('execution')}/v1/orders?limit=1000", headers=desk.operator("read"), timeout=5)
    orders: list[dict[str, Any]] = answer.json()
    return orders


def entered(desk: Platform, symbols: set[str], before: set[str]) -> bool:
    return any(
        order["symbol"] in symbols and not order["protects"] and order["client_order_id"] not in before
        for order in orders_of(desk)
    )


def sold_by_stops(desk: Platform) -> list[dict[str, Any]]:
    return [order for order in orders_of(desk) if order["protects"] and order["state"] == "FILLED"]


def resting_stops(desk: Platform) -> list[dict[str, Any]]:
    return [order for order in orders_of(desk) if order["protects"] and order["state"] == "ACKNOWLEDGED"]


def assert_each_stop_that_sold_ended_a_position(run: Run) -> None:
    """The strategy never asked for a sale, and entered again where a stop had sold."""
    messages = [decode(record.data) for record in run.records]
    intents = [(place, message) for place, message in enumerate(messages) if isinstance(message, Intent)]
    assert {intent.side for _, intent in intents} == {Side.BUY}
    sold = [
        (place, message.symbol)
        for place, message in enumerate(messages)
        if isinstance(message, Order) and message.protects and message.to_state is OrderState.FILLED
    ]
    assert len(sold) >= STOPS
    assert any(intent.symbol == symbol and after > place for place, symbol in sold for after, intent in intents)


# The one order whose answer is lost is hidden until nothing that could tell of it is answered any more: were
# nothing answered from the start, no order would be sent at all.
FORGETFUL = [
    {"fault": "accept_then_timeout", "symbol": "BTC-USDT", "last": 1},
    {"fault": "late_visibility", "symbol": "BTC-USDT", "last": 1, "late_ms": 3_600_000},
]
SILENCE = [
    {"fault": "drop_frames", "symbol": "BTC-USDT"},
    {"fault": "server_error", "accepts": "none", "calls": ["query", "cancel", "orders", "fills"]},
]
# An operator is called within seconds, and not within a minute.
IMPATIENT = {
    "TOLLGATE_EXECUTION__WATCH__UNKNOWN_MS": "100",
    "TOLLGATE_EXECUTION__WATCH__DELAY_MS_MAX": "2000",
    "TOLLGATE_EXECUTION__WATCH__PROBES_MAX": "4",
}


def test_an_operator_ends_an_order_of_which_the_venue_says_nothing(platform: Callable[..., Platform], tmp_path: Path):
    """``tollgate resolve``: refused without the token for it, taken with it; what had traded is booked afterwards."""
    desk = platform(BUSY | NERVOUS | IMPATIENT, policy=SWIFT)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", PATIENCE_S)
    drill(desk, "PUT", "faults", {"rules": FORGETFUL + SILENCE[:1]})
    desk.wait_until(lambda: drill(desk, "GET", "faults")["rules"][0]["happened"], "an order is lost", PATIENCE_S)
    drill(desk, "PUT", "faults", {"rules": SILENCE})
    desk.wait_until(lambda: escalated(desk), "an operator is called", PATIENCE_S)
    (order,) = [each["client_order_id"] for each in escalated(desk)]

    word = ("resolve", order, "--outcome", "CANCELLED", "--reason", "ticket 4711", "--actor", "anna")
    where = ("--state-dir", str(desk.state))
    refused = desk.run(*word, *where, "--token-file", str(desk.state / "operator" / "kill.token"))
    assert refused.returncode == 1
    assert [each["client_order_id"] for each in escalated(desk)] == [order]
    taken = desk.run(*word, *where)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "CANCELLED" in taken.stdout
    again = desk.run(*word, *where)
    assert again.returncode == 1, again.stdout + again.stderr
    drill(desk, "DELETE", "faults")
    fills = desk.fills()
    desk.wait_until(lambda: is_well(desk) and desk.fills() >= fills + 3, "it passes", PATIENCE_S)
    run = stop_and_compare(desk, tmp_path)

    messages = [decode(record.data) for record in run.records]
    (end,) = [m for m in messages if isinstance(m, Order) and m.reason is Reason.ORDER_OPERATOR]
    assert (end.client_order_id, end.to_state) == (order, OrderState.CANCELLED)
    (said,) = [m for m in messages if isinstance(m, Report) and m.source is ReportSource.OPERATOR]
    assert "anna" in said.detail
    assert "ticket 4711" in said.detail
    late = [m.subject for m in messages if isinstance(m, Reconcile) and m.difference is Difference.LATE_FILL]
    assert order in late
    after = messages[messages.index(end) :]
    assert order in [message.client_order_id for message in after if isinstance(message, Fill)]


def escalated(desk: Platform) -> list[dict[str, Any]]:
    """Return the mute symbol's orders of which the venue says nothing, so that an operator was called.

    They are UNKNOWN, or CANCELLING where safe mode wanted them back before their answer was overdue.
    """
    return [order for order in orders_of(desk) if order["symbol"] == "BTC-USDT" and order["escalated"]]
