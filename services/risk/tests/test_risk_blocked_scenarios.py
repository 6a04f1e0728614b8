"""What must never get through, one line each: the order, why it is refused, and with which numbers.

The codes are what strategies, dashboards and people act upon, so they are stable: a change here breaks a promise. Each
scenario is refused for this one reason, and is approved once only the cause is taken away.
"""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import act

from tollgate_contracts.risk import Outcome

MS = 1_000
BUY_ETH = act("ask", symbol="ETH-USDT")
BUY_BTC = act("ask", quantity="2")
DRY_RUN = {"arming.dry_run": True}
LIVE = {"identity": {"environment": "live"}, "rules": {"arming.live_trading": True}}
ACKNOWLEDGED = {"arming.live_trading_ack": "I understand that this desk trades real money and that losses are mine"}
SPACED = {"pace.global_spacing_ms": 10}
COOLED = {"pace.symbol_cooldown_ms": 100}
RESERVE = {"cash.reserve": "99000"}
DRAWN_DOWN = {"loss.drawdown_bps": "100"}
# A hundred at 100 that are worth 90 by then: a hundredth of equity is gone, and that is the limit.
FALL = (act("hold", quantity="100"), act("quote_btc", bid="89.99", ask="90.01"))


def wait(milliseconds: int) -> tuple[str, dict[str, Any]]:
    return act("wait", microseconds=milliseconds * MS)


KILL = act("kill", engaged=True, epoch=1)
RELEASE = act("kill", engaged=False, epoch=1)

# name: how the desk was opened, what happened, the order; then code, limit, seen, unit; then what takes the cause away.
SCENARIOS: dict[str, tuple[dict[str, Any], tuple[Any, ...], dict[str, Any], tuple[str, str, str, str], Any]] = {
    "dry run": (
        {"rules": DRY_RUN}, (), {},
        ("gate.dry_run", "dry_run false, live_trading true", "dry_run", "policy"),
        act("policy"),
    ),
    "kill switch": (
        {}, (KILL,), {},
        ("gate.kill_switch", "released", "engaged at epoch 1", "kill switch"),
        RELEASE,
    ),
    "not armed": (
        LIVE, (), {},
        ("gate.not_armed", "the acknowledgement sentence", "another text", "policy"),
        act("policy", rules={**LIVE["rules"], **ACKNOWLEDGED}, environment="live"),
    ),
    "drawdown breach": (
        {"rules": DRAWN_DOWN}, FALL, {"symbol": "ETH-USDT"},
        ("loss.drawdown", "100", "100", "bps of the peak"),
        act("quote_btc", bid="90", ask="90.02"),
    ),
    "notional cap": (
        {}, (), {"quantity": "50.001"},
        ("limit.order_notional", "5000", "5000.1", "USDT"),
        act("policy", rules={"limits.order_notional": "5000.1"}),
    ),
    "spacing": (
        {"rules": SPACED}, (BUY_ETH, wait(9)), {},
        ("pace.global_spacing", "10000", "9000", "us"),
        wait(1),
    ),
    "cooldown": (
        {"rules": COOLED}, (BUY_BTC, wait(99)), {},
        ("pace.symbol_cooldown", "100000", "99000", "us"),
        wait(1),
    ),
    "stale data": (
        {}, (wait(2_001),), {},
        ("data.stale", "2000000", "2001000", "us of age"),
        act("quote"),
    ),
    "off-universe": (
        {}, (("quote_xrp", {}),), {"symbol": "XRP-USDT"},
        ("universe.not_allowed", "BTC-USDT, ETH-USDT, SOL-USDT", "XRP-USDT", "symbol"),
        act("policy", rules={"universe.allowed": ["XRP-USDT"]}),
    ),
    "min notional": (
        {}, (), {"quantity": "0.049"},
        ("instrument.min_notional", "5", "4.9", "USDT"),
        act("instrument", min_notional=Decimal("4.9")),
    ),
    "cash reserve": (
        {"rules": RESERVE}, (), {"quantity": "10"},
        ("cash.reserve", "99000", "98998", "USDT"),
        act("policy", rules={"cash.reserve": "98998"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_blocked_scenario_is_refused_by_name_and_passes_without_its_cause(desk, name):
    """One reason, with limit, value and unit; and nothing else stood in the way."""
    opened, acts, order, expected, cure = SCENARIOS[name]
    desk.quote_btc = lambda **prices: desk.quote("BTC-USDT", **prices)
    desk.quote_xrp = lambda: desk.quote("XRP-USDT")
    desk.open(opened.get("rules"), **opened.get("identity", {}))
    for done, arguments in acts:
        getattr(desk, done)(**arguments)
    (finding,) = desk.ask(**order).findings
    assert (finding.code.value, finding.limit, finding.seen, finding.unit) == expected
    done, arguments = cure
    getattr(desk, done)(**arguments)
    assert desk.ask(**order).outcome is Outcome.APPROVED
