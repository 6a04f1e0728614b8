"""``docs/runbook.md``: each procedure is followed on a platform that needs it, and ends as the page says.

The blocks are run as they stand. A section that gets another block fails its test until that one is run as well. What
needs the platform to be stopped in between is in ``test_runbook_restarts.py``.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.bad_input.conftest import hand_of
from tests.conftest import assert_everyone_agrees, drill, settle
from tests.docs.procedures import BLOCK, PATIENCE_S, RUNBOOK, Desk, blocks, frozen, operator_of, permits, trades
from tests.e2e.test_failing_venue import FORGETFUL, SILENCE, escalated, is_well
from tests.security.test_kill_switch import working
from tollgate_contracts.execution import Order, Report, ReportSource
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import KillLevel, KillSwitch

pytestmark = pytest.mark.platform

NINE = {
    "a kill": "### Kill",
    "a release": "### Release",
    "unknown orders": "## Unknown orders",
    "drift": "## Drift: books and venue differ",
    "a stale feed": "## Feed stale or gap",
    "a lost broker": "## Broker lost",
    "a restore": "## The database is lost",
    "a change of keys": "## Change of keys",
    "the move of a desk": "## Desk migration",
}
GONE = {"fault": "wrong_balances", "currency": "USDT", "amount": "-7.5"}
MUTE = {"fault": "silent_stream", "stream": "market"}


async def _newest(desk: Desk, wanted: Callable[[Any], bool], start: int) -> Any:
    async with hand_of(desk, "console") as hand:
        return await hand.first(wanted, start)


def on_tape(desk: Desk, wanted: Callable[[Any], bool], start: int) -> Any:
    """Return the first message from ``start`` on that is wanted."""
    return asyncio.run(_newest(desk, wanted, start))


@pytest.mark.parametrize("heading", NINE.values(), ids=NINE)
def test_a_procedure_has_commands(heading: str) -> None:
    assert blocks(heading)


def test_no_command_stands_where_no_procedure_runs_it() -> None:
    assert len(BLOCK.findall(RUNBOOK)) == 1 + sum(len(blocks(heading)) for heading in NINE.values())


def test_a_kill_is_on_the_tape_takes_the_permit_and_can_be_raised_until_the_desk_is_flat(desk: Desk) -> None:
    engage, _door, see, _see_door, flatten = blocks("### Kill")
    tip = desk.status("execution")["tip"]
    with operator_of(desk) as operator:
        operator.type(engage)
        assert '"engaged": true' in operator.type(see)
        assert not permits(desk)
        switch = on_tape(desk, lambda message: isinstance(message, KillSwitch), tip)
        assert (switch.engaged, switch.level) == (True, KillLevel.HALT)
        assert '"proven": true' in operator.type(flatten)
    assert working(desk) == []
    assert desk.release(timeout_s=PATIENCE_S).is_success


def test_with_risk_silent_the_kill_door_stops_what_risk_permits_later(desk: Desk) -> None:
    _engage, door, _see, see_door, _flatten = blocks("### Kill")
    _before, _release, open_door, _watch = blocks("### Release")
    with operator_of(desk) as operator:
        with frozen(desk, "risk"):
            operator.type(door)
            assert '"engaged": true' in operator.type(see_door)
        desk.wait_until(lambda: desk.all_live() and permits(desk), "risk permits again", PATIENCE_S)
        settled = desk.fills()
        approved = desk.status("risk")["decisions"]["APPROVED"]
        desk.wait_until(
            lambda: desk.status("risk").get("decisions", {}).get("APPROVED", 0) >= approved + 3, "risk approves", 60
        )
        assert desk.fills() == settled
        operator.type(open_door)
    trades(desk)


def test_a_release_lets_go_of_switch_and_door_and_trading_goes_on(desk: Desk) -> None:
    assert desk.engage().is_success
    assert desk.engage("execution").is_success
    with operator_of(desk) as operator:
        said = operator.type(*blocks("### Release"))
    assert '"outcome"' in said, "the first decisions"
    switch = desk.status("risk")["kill_switch"]
    assert (switch["engaged"], switch["on_tape"]) == (False, True)
    trades(desk)


def test_an_order_of_which_the_venue_says_nothing_ends_by_an_operator_s_word(desk: Desk) -> None:
    """What the page has an operator ask the venue's desk is not there: the outcome of its example is taken."""
    look, resolve, see = blocks("## Unknown orders")
    tip = desk.status("execution")["tip"]
    drill(desk, "PUT", "faults", {"rules": FORGETFUL + SILENCE[:1]})
    desk.wait_until(lambda: drill(desk, "GET", "faults")["rules"][0]["happened"], "an order is lost", PATIENCE_S)
    drill(desk, "PUT", "faults", {"rules": SILENCE})
    desk.wait_until(lambda: escalated(desk), "an operator is called", PATIENCE_S)
    (order,) = [each["client_order_id"] for each in escalated(desk)]
    with operator_of(desk) as operator:
        assert order in operator.type(look)
        assert "CANCELLED" in operator.type(resolve)
        state, unknown = operator.type(see).splitlines()
        assert (state, order in unknown) == ("CANCELLED", False)
    assert escalated(desk) == []
    end = on_tape(desk, lambda m: isinstance(m, Order) and m.reason is Reason.ORDER_OPERATOR, tip)
    assert end.client_order_id == order
    said = on_tape(desk, lambda m: isinstance(m, Report) and m.source is ReportSource.OPERATOR, tip)
    assert "ticket 4711" in said.detail
    drill(desk, "DELETE", "faults")
    desk.wait_until(lambda: is_well(desk), "it passes", PATIENCE_S)
    trades(desk)


def test_a_stream_that_falls_silent_is_seen_and_passes_by_itself(desk: Desk) -> None:
    look, _kill, see = blocks("## Feed stale or gap")
    drill(desk, "PUT", "faults", {"rules": [MUTE]})
    log = desk.state / "logs" / "marketdata.jsonl"
    desk.wait_until(lambda: desk.status("marketdata").get("feed") == "STALE", "the feed is stale", PATIENCE_S)
    desk.wait_until(lambda: "data_feed.lost" in log.read_text(), "its log says so", PATIENCE_S)
    with operator_of(desk) as operator:
        said = operator.type(look)
        assert '"feed": "STALE"' in said
        assert "data_feed.lost" in said
        assert "running" in said
        drill(desk, "DELETE", "faults")
        assert operator.type(see).split()[0] in {"UP", "RECOVERED"}
    trades(desk)


def test_market_data_that_hangs_is_ended_and_comes_back(desk: Desk) -> None:
    _look, kill, see = blocks("## Feed stale or gap")
    hung = desk.pid("marketdata")
    with operator_of(desk) as operator, frozen(desk, "marketdata"):
        assert desk.status("marketdata") == {}
        operator.type(kill, see)
    assert desk.pid("marketdata") != hung
    trades(desk)


@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hanging"])
def test_a_broker_that_is_lost_comes_back_and_no_order_s_outcome_stays_unknown(desk: Desk, hangs: bool) -> None:
    look, kill, see = blocks("## Broker lost")
    lost = desk.pid("nats")
    with operator_of(desk) as operator:
        if hangs:
            with frozen(desk, "nats"):
                desk.wait_until(lambda: not permits(desk), "no permit arrives", PATIENCE_S)
                operator.type(look, kill)
        else:
            os.kill(lost, signal.SIGKILL)
            desk.wait_until(lambda: desk.pid_or_none("nats") not in {None, lost}, "another broker", PATIENCE_S)
            operator.type(look)
        operator.type(see)
    assert desk.pid("nats") != lost
    desk.wait_until(lambda: desk.status("execution").get("unknown_orders") == [], "no unknown order", PATIENCE_S)
    trades(desk)


def drifts(desk: Desk) -> bool:
    """Say whether execution and ledger have both seen that the venue's balance is not theirs."""
    return all(desk.status(service).get("drifting") == ["USDT"] for service in ("execution", "ledger"))


def test_a_drift_is_booked_by_an_operator_s_word_and_called_by_its_name_later(desk: Desk) -> None:
    """What is gone at the venue comes back in the end, by the same procedure."""
    look, book, see, correct = blocks("## Drift: books and venue differ")
    settle(desk)
    drill(desk, "PUT", "faults", {"rules": [GONE]})
    desk.wait_until(lambda: drifts(desk), "a drift", PATIENCE_S)
    desk.wait_until(lambda: desk.status("risk")["mode"] == "OBSERVE_ONLY", "risk lets nothing through", PATIENCE_S)
    with operator_of(desk) as operator:
        assert '{"USDT":"-7.5"}' in operator.type(look)
        assert "0 USDT of the drift is left" in operator.type(book)
        assert '{"USDT": "7.5"}' in operator.type(see)
        assert "taken back, and booked as WITHDRAWAL" in operator.type(correct)
    desk.wait_until(lambda: desk.books().get("suspense") == {}, "nothing in suspense", PATIENCE_S)
    assert_everyone_agrees(desk)
    drill(desk, "DELETE", "faults")
    desk.wait_until(lambda: drifts(desk), "a drift", PATIENCE_S)
    with operator_of(desk) as operator:
        operator.type(book, see, *blocks("### Release"))
    trades(desk)
