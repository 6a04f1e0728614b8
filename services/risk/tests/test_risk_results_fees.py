"""Fees in what was bought, or in what lies beside: streaks, the day's loss and the treasury count them all the same."""

from decimal import Decimal
from typing import Any

from tollgate_contracts.reasons import Reason

ORDER = "tg" + "f" * 30


def trip(desk: Any, price: str) -> None:
    """Buy one at 100, which a fee takes a little of, and sell at ``price`` what of it the venue takes."""
    desk.fill(ORDER, "1", "100", fee="0.001", fee_currency="BTC", fee_rate="100")
    desk.fill(ORDER, "0.96", price, "SELL")


def test_losing_trips_make_a_streak_though_each_leaves_what_nobody_can_sell(open_desk):
    """Else nothing that a policy says of losses in a row, of cooldowns or of the win rate would ever apply."""
    desk = open_desk
    desk.policy({"loss.consecutive": 5})
    results = desk.core.state.results
    # What was left the last time is sold with the next.
    for number in range(1, 6):
        desk.fill(ORDER, "1", "100", fee="0.001", fee_currency="BTC", fee_rate="100")
        held = desk.core.state.portfolio.holding("BTC-USDT").quantity
        desk.fill(ORDER, str(held - Decimal("0.009")), "90", "SELL")
        assert (results.consecutive_losses, results.counts.ended, results.counts.lost) == (number, number, number)
    assert results.of("BTC-USDT").last_loss_us == desk.now_us
    assert Reason.LOSS_CONSECUTIVE in desk.reasons()


def test_the_last_part_of_a_sale_that_left_dust_is_no_second_loss(open_desk):
    desk, results = open_desk, open_desk.core.state.results
    trip(desk, "90")
    desk.fill(ORDER, "0.039", "90", "SELL")
    assert (results.consecutive_losses, results.counts.ended) == (1, 1)
    assert "BTC-USDT" in results.trips.open, "what it brought is the next trip's"
    trip(desk, "90")
    assert results.counts.ended == 2


def test_a_fee_paid_with_what_lies_beside_is_a_loss_of_the_day_and_no_profit(new_desk):
    """Ten BNB that the policy does not know: eight are won, two fees of five are paid, and nothing is shared."""
    desk = new_desk().open({"cash.treasury_share_bps": "5000"}, cash="1000")
    results = desk.core.state.results
    for side, price in (("BUY", "100"), ("SELL", "108")):
        desk.fill(ORDER, "1", price, side, fee="0.01", fee_currency="BNB", fee_rate="500")
    desk.wait(1)
    assert (results.equity, results.capital.trading, results.capital.deficit) == (1008, 1008, 2)
    assert (results.capital.treasury, results.daily_loss, results.consecutive_losses) == (0, 2, 1)
    desk.bust()
    assert (results.day_opening, results.capital.trading + results.capital.treasury) == (1005, 1000)
