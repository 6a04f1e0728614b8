"""Expected against charged fees: what is found, and what is within the venue's roundings."""

import json
from decimal import Decimal

import pytest
from trade_log_desk import Desk

from tollgate_contracts.execution import Fill, Liquidity
from tollgate_domain.costs import CostModel, FeeTier
from tollgate_ledger.core import EntryKind, JournalEntry, LedgerCore
from tollgate_ledger.core.fee_check import CheckedFee, FeeCheck, FeeFinding
from tollgate_ledger.core.rows import TradeCost

D = Decimal
MODEL = CostModel(
    fee_tiers=(
        FeeTier(volume_from=D(0), maker_bps=D(10), taker_bps=D(20)),
        FeeTier(volume_from=D(1_000), maker_bps=D("-1"), taker_bps=D(15)),
    ),
    fee_dust=D("0.001"),
    fee_tolerance_bps=D("0.1"),
)
FIRST, SECOND = (D(10), D(20)), (D(-1), D(15))


def made(
    speak,
    fee: str,
    currency: str = "USDT",
    rate: str | None = None,
    liquidity: Liquidity = Liquidity.TAKER,
) -> Fill:
    """A trade of ten at 100, thus of 1,000."""
    fill = speak.fill("BUY", "10", "100", fee, trade_id="t1", fee_currency=currency)
    trade = fill.trade.model_copy(update={"liquidity": liquidity})
    return fill.model_copy(update={"trade": trade, "fee_rate": None if rate is None else D(rate)})


def after(speak, stated: tuple[Decimal, Decimal]) -> FeeCheck:
    account = speak.account(USDT="1")
    check = FeeCheck()
    check.take(account.model_copy(update={"maker_fee_bps": stated[0], "taker_fee_bps": stated[1]}))
    return check


@pytest.mark.parametrize(
    ("stated", "fill", "expected", "finding"),
    [
        pytest.param(FIRST, {"fee": "2"}, "2", None, id="as the model says"),
        pytest.param(FIRST, {"fee": "2.011"}, "2", None, id="dust and tolerance above it"),
        pytest.param(FIRST, {"fee": "1.989"}, "2", None, id="dust and tolerance below it"),
        pytest.param(FIRST, {"fee": "2.0111"}, "2", FeeFinding.DEARER, id="beyond both above"),
        pytest.param(FIRST, {"fee": "1.9889"}, "2", FeeFinding.CHEAPER, id="beyond both below"),
        pytest.param(FIRST, {"fee": "1", "liquidity": Liquidity.MAKER}, "1", None, id="a maker's"),
        pytest.param(
            FIRST, {"fee": "2", "liquidity": Liquidity.MAKER}, "1", FeeFinding.DEARER, id="taker's for a maker"
        ),
        pytest.param(SECOND, {"fee": "1.5"}, "1.5", None, id="the tier that the venue states"),
        pytest.param(
            SECOND, {"fee": "2"}, "1.5", FeeFinding.DEARER, id="the tier that was, and is not stated any more"
        ),
        pytest.param(SECOND, {"fee": "-0.1", "liquidity": Liquidity.MAKER}, "-0.1", None, id="a rebate"),
        pytest.param(SECOND, {"fee": "0", "liquidity": Liquidity.MAKER}, "-0.1", FeeFinding.DEARER, id="none paid"),
        pytest.param((D(5), D(10)), {"fee": "1"}, "2", FeeFinding.CHEAPER, id="a tier that the model does not know"),
        pytest.param((D(30), D(40)), {"fee": "4"}, "2", FeeFinding.DEARER, id="dearer than all that it knows"),
        pytest.param(
            FIRST, {"fee": "0.02", "currency": "BTC", "rate": "100"}, "2", None, id="in base, at its own price"
        ),
        pytest.param(FIRST, {"fee": "0.1", "currency": "BNB", "rate": "20"}, "2", None, id="in another, at its rate"),
        pytest.param(FIRST, {"fee": "0.1", "currency": "BNB", "rate": "15"}, "2", FeeFinding.CHEAPER, id="discounted"),
        pytest.param(FIRST, {"fee": "0.1", "currency": "BNB"}, "2", FeeFinding.UNPRICED, id="without a rate"),
    ],
)
def test_a_fee_is_held_against_the_tier_that_the_venue_states(speak, stated, fill, expected, finding):
    assert after(speak, stated).check(made(speak, **fill), MODEL) == (D(expected), finding)


def test_before_the_venue_has_stated_its_rates_nothing_is_expected(speak):
    assert FeeCheck().check(made(speak, "2"), MODEL) == CheckedFee(None, None)


def test_a_bust_is_expected_to_bring_the_fee_back_and_is_no_finding(speak):
    assert after(speak, FIRST).check(speak.bust(made(speak, "7")), MODEL) == CheckedFee(D(-2), None)


def test_a_fee_that_the_model_does_not_say_is_booked_and_noted_beside_the_trade(speak):
    """Never a refusal; what was stated is in the snapshot, so a ledger that starts anew finds the same."""
    core = LedgerCore()
    core.step(1, speak.config(costs=MODEL))
    core.step(2, speak.policy())
    core.step(3, speak.account(USDT="10000"))
    found = core.step(4, made(speak, "7")).effects
    assert [effect.kind for effect in found if isinstance(effect, JournalEntry)] == [EntryKind.FILL]
    assert [_noted(effect) for effect in found if isinstance(effect, TradeCost)] == [(D(2), FeeFinding.DEARER)]
    restored = LedgerCore()
    restored.restore(json.loads(json.dumps(core.snapshot())))
    busted = speak.bust(made(speak, "7"))
    for each in (core, restored):
        [row] = [effect for effect in each.step(5, busted).effects if isinstance(effect, TradeCost)]
        assert _noted(row) == (D(-2), None)
        as_said = speak.fill("BUY", "1", "100", "0.2", trade_id="t2")
        [row] = [effect for effect in each.step(6, as_said).effects if isinstance(effect, TradeCost)]
        assert _noted(row) == (D("0.2"), None)


@pytest.mark.parametrize(
    ("liquidity", "quoted", "actual", "expected"),
    [
        pytest.param(Liquidity.TAKER, True, "1", "0.0101", id="half the spread and slippage of the value"),
        pytest.param(Liquidity.MAKER, True, "1", "0", id="what makes liquidity is expected to slip by nothing"),
        pytest.param(Liquidity.TAKER, False, "0", None, id="nothing to hold against nothing"),
    ],
)
def test_a_trades_slippage_stands_beside_what_the_model_expects(speak, liquidity, quoted, actual, expected):
    """A bust has both with their signs turned, so that the sums of both stay what the fills that stand have."""
    desk = Desk(speak, USDT="10000")
    if quoted:
        desk.quote("100")
    bought = speak.fill("BUY", "1", "101", trade_id="t1")
    bought = bought.model_copy(update={"trade": bought.trade.model_copy(update={"liquidity": liquidity})})
    desk.ask("tg" + "0" * 30, "BUY").put(bought, speak.bust(bought))
    wanted = None if expected is None else D(expected)
    filled, undone = desk.of(TradeCost)
    assert (filled.slippage, filled.slippage_expected) == (D(actual), wanted)
    assert (undone.slippage, undone.slippage_expected) == (-D(actual), wanted and -wanted)


def _noted(row: TradeCost) -> tuple[Decimal | None, FeeFinding | None]:
    return row.fee_expected, row.fee_finding


def test_the_books_bear_the_fingerprint_of_the_model_in_force(speak):
    core = LedgerCore()
    core.step(1, speak.config(costs=MODEL))
    core.step(2, speak.policy())
    [books] = core.step(3, speak.account(USDT="10000")).outputs
    assert books.cost_model == MODEL.fingerprint
    core.step(4, speak.config(costs=CostModel()))
    [books] = core.step(5, made(speak, "2")).outputs
    assert books.cost_model == CostModel().fingerprint
