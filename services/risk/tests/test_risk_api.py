"""What the gate shows: state, policy and decisions."""

from decimal import Decimal

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tollgate_contracts.execution import OrderState
from tollgate_contracts.reasons import Reason
from tollgate_risk.api import build_router
from tollgate_risk.decision_log import DECISIONS_MAX, DecisionLog
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl


@pytest.fixture
def client_of(tmp_path):
    def build(core, decisions=None):
        control = KillSwitchControl(core, KillLatch(tmp_path))
        app = FastAPI()
        app.include_router(build_router(core, control, decisions or DecisionLog(), SecretStr("t" * 32)))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://risk")

    return build


async def test_state_shows_what_the_gate_counts(open_desk, client_of):
    """Cash, exposure and open orders with what each reserves."""
    open_desk.hold("5")
    buy = open_desk.ask("BUY", "2")
    open_desk.ask("SELL", "1")
    open_desk.order(buy.client_order_id, OrderState.UNKNOWN, quantity="2")
    async with client_of(open_desk.core) as client:
        state = (await client.get("/v1/state")).json()
    assert (state["mode"], state["feed"], state["fault"]) == ("NORMAL", "UP", None)
    assert (state["cash"], state["free_cash"]) == ("99500", "99299.6")
    assert (state["gross_exposure"], state["exposure"]) == ("700", {"BTC-USDT": "700"})
    assert state["positions"] == {"BTC-USDT": "5"}
    reserved = [(order["side"], order["state"], order["reserves"]) for order in state["open_orders"]]
    assert reserved == [("BUY", "UNKNOWN", "200.4"), ("SELL", None, "1")]
    assert state["decisions"] == {"APPROVED": 2, "REJECTED": 0, "by_reason": {}}


async def test_policy_is_shown_with_its_hash_or_not_at_all(desk, client_of):
    """Before the first policy there is none to show."""
    async with client_of(desk.core) as client:
        assert (await client.get("/v1/policy")).status_code == 404
        assert (await client.get("/v1/state")).json()["free_cash"] == "0"
        desk.policy()
        shown = (await client.get("/v1/policy")).json()
    assert shown["hash"] == desk.core.state.policy_hash
    assert shown["policy"]["rules"]["limits"]["order_notional"] == "5000"


async def test_decisions_are_shown_newest_first_by_symbol_and_reason_without_signatures(open_desk, client_of):
    """Enough to see why, and nothing that execution would take."""
    log = DecisionLog()
    log.note(open_desk.ask())
    log.note(open_desk.ask(quantity="1.0005"))
    log.note(open_desk.ask(symbol="ETH-USDT", quantity="1.0005"))
    async with client_of(open_desk.core, log) as client:
        every = (await client.get("/v1/decisions")).json()
        assert [d["outcome"] for d in every] == ["REJECTED", "REJECTED", "APPROVED"]
        assert all("approval" not in d for d in every)
        assert len((await client.get("/v1/decisions?limit=1")).json()) == 1
        chosen = (await client.get("/v1/decisions?symbol=ETH-USDT&reason=instrument.precision")).json()
        assert [(d["symbol"], d["findings"][0]["code"]) for d in chosen] == [("ETH-USDT", "instrument.precision")]
        for wrong in ("limit=0", f"limit={DECISIONS_MAX + 1}", "symbol=btc", "reason=bad.luck"):
            assert (await client.get(f"/v1/decisions?{wrong}")).status_code == 422


def test_the_log_of_decisions_is_bounded(open_desk):
    """The tape has them all; memory has the last."""
    log = DecisionLog()
    decision = open_desk.ask()
    for _ in range(DECISIONS_MAX + 10):
        log.note(decision)
    assert len(log.newest(10_000)) == DECISIONS_MAX
    assert log.newest(1, reason=Reason.DATA_GAP) == []
    assert Decimal(open_desk.core.state.counts.approved) == 1
