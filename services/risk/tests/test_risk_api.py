"""What the gate shows: state, limits, modes, policy and decisions."""

from decimal import Decimal

import httpx
import pytest
from risk_operators import BEARERS, new_app

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import MarginTerms
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_risk.core.case import open_case
from tollgate_risk.core.gates import look
from tollgate_risk.decision_log import DECISIONS_MAX, PAGE_MAX, DecisionLog, Wanted
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.views import status_view


@pytest.fixture
def client_of(tmp_path):
    def build(core, decisions=None):
        app = new_app(core, KillSwitchControl(core, KillLatch(tmp_path)), tmp_path, decisions)
        transport = httpx.ASGITransport(app=app)
        return httpx.AsyncClient(transport=transport, base_url="http://risk", headers=BEARERS["read"])

    return build


async def test_state_shows_what_the_gate_counts(open_desk, client_of):
    """Cash, exposure and open orders with what each reserves."""
    open_desk.hold("5")
    buy = open_desk.ask("BUY", "2")
    open_desk.ask("SELL", "1", "101")
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


async def test_each_limit_is_shown_with_what_is_used_of_it(new_desk, client_of):
    """By the numbers that the gates go by: a position, an open order, and nothing in the other symbols."""
    groups = [{"name": "majors", "symbols": ["BTC-USDT", "ETH-USDT"], "exposure": "9000"}]
    desk = new_desk().open({"limits.groups": groups, "pace.burst": 5, "pace.rate_per_s": 1})
    desk.hold("5")
    desk.ask("BUY", "2")
    async with client_of(desk.core) as client:
        answer = (await client.get("/v1/limits")).json()
    assert answer["hash"] == desk.core.state.policy_hash
    lines = {(line["name"], line["of"]): line for line in answer["limits"]}
    used = {key: (line["limit"], line["used"], line["at"]) for key, line in lines.items()}
    assert used["limits.gross_exposure", None] == ("20000", "700", "most")
    assert used["limits.net_exposure", None] == ("1000000", "700", "most")
    assert used["limits.position_notional", "BTC-USDT"] == ("10000", "700", "most")
    assert used["limits.position_notional", "ETH-USDT"] == ("10000", "0", "most")
    assert used["limits.position_units", "BTC-USDT"] == ("1000000", "7", "most")
    assert used["limits.concentration_bps", "BTC-USDT"] == ("10000", "70", "most")
    assert used["limits.groups", "majors"] == ("9000", "700", "most")
    assert used["limits.open_orders", None] == ("4", "1", "most")
    assert used["limits.open_orders_symbol", "BTC-USDT"] == ("2", "1", "most")
    assert used["limits.orders_per_cycle", None] == ("6", "1", "most")
    assert used["limits.cycle_notional", None] == ("1000000", "200", "most")
    assert used["cash.reserve", None] == ("1000", "99299.6", "least")
    assert used["pace.burst", None] == ("5", "1", "most")
    assert used["pace.orders_per_hour", None] == ("1000000", "1", "most")
    assert used["loss.consecutive", None] == ("1000000", "0", "most")
    assert used["margin.leverage_max", None] == ("5", "0", "most")
    assert {line["unit"] for line in answer["limits"]} >= {"USDT", "BTC", "orders", "bps of equity"}


async def test_limits_are_those_that_the_gates_judge_by(new_desk, client_of):
    """Spot is no margin, cash that margins a perpetual buys no spot, and a loss is that of this moment."""
    desk = new_desk().open()
    terms = MarginTerms(initial_rate=Decimal("0.5"), maintenance_rate=Decimal("0.25"), leverage_max=Decimal(20))
    desk.instrument("BTC-USDT", margin=terms)
    desk.hold("10")
    desk.hold("100", symbol="ETH-USDT")
    desk.quote("BTC-USDT", bid="98.99", ask="99.01")
    intent, state = desk.intent(symbol="ETH-USDT", quantity="0.01"), desk.core.state
    measured = {measure.code: measure for measure in look(open_case(intent, state, state.policy))}
    async with client_of(desk.core) as client:
        lines = (await client.get("/v1/limits")).json()["limits"]
    used = {(line["name"], line["of"]): line["used"] for line in lines}
    assert used["margin.leverage_max", None] == "0.011"
    assert Decimal(used["cash.reserve", None]) - measured[Reason.CASH_RESERVE].seen == Decimal("1.002")
    assert used["loss.daily", None] == plain(measured[Reason.LOSS_DAILY].seen) == "10"
    assert used["loss.drawdown_bps", None] == plain(measured[Reason.LOSS_DRAWDOWN].seen)


async def test_limits_without_a_policy_or_a_mark_say_what_is_not_known(desk, new_desk, client_of):
    async with client_of(desk.core) as client:
        assert (await client.get("/v1/limits")).status_code == 404
    unmarked = new_desk().open()
    unmarked.hold("1", symbol="XRP-USDT")
    async with client_of(unmarked.core) as client:
        lines = (await client.get("/v1/limits")).json()["limits"]
    assert {line["used"] for line in lines if line["name"] == "limits.concentration_bps"} == {None}


async def test_modes_are_shown(open_desk, client_of):
    async with client_of(open_desk.core) as client:
        assert (await client.get("/v1/modes")).json()["mode"] == "NORMAL"


async def test_policy_is_shown_with_its_hash_or_not_at_all(desk, client_of):
    """Before the first policy there is none to show."""
    async with client_of(desk.core) as client:
        assert (await client.get("/v1/policy")).status_code == 404
        assert (await client.get("/v1/state")).json()["free_cash"] == "0"
        desk.policy()
        shown = (await client.get("/v1/policy")).json()
    assert shown["hash"] == desk.core.state.policy_hash
    assert shown["policy"]["rules"]["limits"]["order_notional"] == "5000"
    assert shown["policy"]["tightens"] is None


@pytest.mark.parametrize(
    ("rules", "identity", "missing"),
    [
        pytest.param({}, {}, [], id="armed"),
        pytest.param({"arming.dry_run": True}, {}, ["dry_run"], id="a dry run"),
        pytest.param({}, {"environment": "live"}, ["live_trading", "live_trading_ack"], id="live and not armed"),
    ],
)
def test_status_says_what_arming_lacks(desk, rules, identity, missing):
    """By the names of the policy's keys; nothing is said before a policy is in force."""
    assert status_view(desk.core.state)["arming_missing"] is None
    desk.policy(rules, **identity)
    assert status_view(desk.core.state)["arming_missing"] == missing


@pytest.fixture
def log(open_desk):
    """Three decisions, each a second after the one before."""
    log = DecisionLog()
    for symbol, quantity in (("BTC-USDT", "1"), ("BTC-USDT", "1.0005"), ("ETH-USDT", "1.0005")):
        open_desk.wait(1_000_000)
        open_desk.quote()
        log.note(open_desk.ask(symbol=symbol, quantity=quantity))
    return log


async def test_decisions_are_shown_newest_first_and_without_signatures(open_desk, client_of, log):
    """Enough to see why, and nothing that execution would take."""
    async with client_of(open_desk.core, log) as client:
        every = (await client.get("/v1/decisions")).json()
    assert [d["outcome"] for d in every["decisions"]] == ["REJECTED", "REJECTED", "APPROVED"]
    assert [d["symbol"] for d in every["decisions"]] == ["ETH-USDT", "BTC-USDT", "BTC-USDT"]
    assert all("approval" not in d for d in every["decisions"])
    assert (every["next"], every["held"]) == (None, 3)
    assert every["reaches_back_to_us"] == every["decisions"][-1]["ts_us"]
    assert "the tape has all of them" in every["note"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"symbol": "ETH-USDT"}, [2], id="symbol"),
        pytest.param({"reason": "instrument.precision"}, [2, 1], id="reason"),
        pytest.param({"reason": "instrument.precision", "symbol": "BTC-USDT"}, [1], id="both"),
        pytest.param({"reason": "data.gap"}, [], id="a reason that nothing had"),
        pytest.param({"outcome": "APPROVED"}, [0], id="outcome"),
        pytest.param({"from_us": 1}, [2, 1], id="from then on"),
        pytest.param({"to_us": 1}, [0], id="before then"),
        pytest.param({"from_us": 1, "to_us": 2}, [1], id="between"),
        pytest.param({"limit": 2}, [2, 1], id="so many"),
    ],
)
async def test_decisions_are_found_by_what_they_are(open_desk, client_of, log, query, found):
    """Times are given as the number of the decision that was made then: from it on, and before it."""
    made = [decision["ts_us"] for decision in reversed(log.page(3, Wanted())["decisions"])]
    ids = [decision["id"] for decision in reversed(log.page(3, Wanted())["decisions"])]
    asked = {key: made[value] if key.endswith("_us") else value for key, value in query.items()}
    async with client_of(open_desk.core, log) as client:
        answer = (await client.get("/v1/decisions", params=asked)).json()
    assert [decision["id"] for decision in answer["decisions"]] == [ids[number] for number in found]


async def test_pages_follow_one_another_whatever_is_decided_meanwhile(open_desk, client_of, log):
    """Every decision once, from the newest to the oldest."""
    async with client_of(open_desk.core, log) as client:
        first = (await client.get("/v1/decisions?limit=2")).json()
        log.note(open_desk.ask())
        second = (await client.get("/v1/decisions", params={"limit": 2, "before": first["next"]})).json()
        newest = (await client.get("/v1/decisions?limit=1")).json()
    outcomes = [decision["outcome"] for decision in first["decisions"] + second["decisions"]]
    assert outcomes == ["REJECTED", "REJECTED", "APPROVED"]
    assert second["next"] is None
    assert newest["decisions"][0]["id"] not in {decision["id"] for decision in first["decisions"]}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={PAGE_MAX + 1}",
        "symbol=btc",
        "reason=bad.luck",
        "outcome=MAYBE",
        "from_us=-1",
        "before=x",
        "before=MTo=",
        "before=" + "M" * 65,
    ],
)
async def test_a_question_that_cannot_be_meant_is_answered_with_what_was_expected(open_desk, client_of, log, query):
    async with client_of(open_desk.core, log) as client:
        answer = await client.get(f"/v1/decisions?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]


def test_the_log_of_decisions_is_bounded(open_desk):
    """The tape has them all; memory has the last."""
    log = DecisionLog()
    decision = open_desk.ask()
    for _ in range(DECISIONS_MAX + 10):
        log.note(decision)
    assert log.page(1, Wanted())["held"] == DECISIONS_MAX
    assert log.page(1, Wanted(reason=Reason.DATA_GAP))["decisions"] == []
    assert log.page(1, Wanted(outcome=Outcome.APPROVED))["decisions"] != []
    assert Decimal(open_desk.core.state.counts.approved) == 1
