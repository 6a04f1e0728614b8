"""The trips of an order that is explained: as the gate's own core has booked them, to the last digit."""

from decimal import Decimal

import pytest
from synthetic_tape import SyntheticDesk

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_research.travels import Travels
from tollgate_risk.core import RiskCore

SYMBOL = "BTC-USDT"


class Followed:
    """A gate over a tape, and its round trips beside it."""

    def __init__(self, btc: str = "0"):
        self.core = RiskCore()
        self.travels = Travels(self.core)
        self.trips = []
        self.tape = SyntheticDesk()
        self.tape.cores = {"followed": self}
        self.tape.policy()
        balances = tuple(
            Balance(currency=currency, free=Decimal(amount), locked=ZERO)
            for currency, amount in (("USDT", "1000"), ("BTC", btc))
        )
        fields = {"venue": "simulated", "account": "main", "balances": balances, "positions": ()}
        rates = {"maker_fee_bps": Decimal(5), "taker_fee_bps": Decimal(10), "venue_ts_us": self.tape.now_us}
        self.tape.say(Account, "execution", **fields, **rates)

    def step(self, sequence, message):
        before = self.travels.before(sequence, message)
        step = self.core.step(sequence, message)
        self.trips += self.travels.after(sequence, message, before)
        return step

    def trade(self, side, quantity, price, kind=Fill, *, trade_id="1", fee_currency="USDT"):
        made = VenueTrade(
            trade_id=trade_id,
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal("0.5"),
            fee_currency=fee_currency,
            liquidity=Liquidity.TAKER,
            venue_ts_us=1,
        )
        fields = {"client_order_id": "tg" + "0" * 30, "symbol": SYMBOL, "config_hash": "a" * 64}
        self.tape.say(kind, "execution", side=side, trade=made, fee_rate=None, fee_rate_source="", **fields)
        return self.trips[-1]


def test_a_round_trip_reaches_from_flat_to_flat():
    desk = Followed()
    first = desk.trade(Side.BUY, "2", "100")
    assert desk.trade(Side.SELL, "1", "110", trade_id="2") is first
    assert first.closed_us is None
    assert desk.trade(Side.SELL, "1", "90", trade_id="3") is first
    assert (first.closed_us, first.fills, first.gross, first.fees) == (desk.tape.now_us, 3, 0, Decimal("1.5"))
    assert (first.bought, first.sold, first.found_open) == (2, 2, False)
    assert desk.trade(Side.BUY, "1", "90", trade_id="4") is not first
    assert desk.travels.holding(SYMBOL).cost == 90


def test_what_was_held_before_counts_from_the_mark_at_which_the_gate_takes_it_in():
    desk = Followed("3")
    desk.tape.quote("100", SYMBOL)
    desk.tape.wait(1_000)
    trip = desk.trade(Side.SELL, "1", "104")
    assert (trip.found_open, trip.gross) == (True, 4)
    assert desk.travels.holding(SYMBOL).cost == 200


def test_a_fee_of_no_known_rate_is_counted_and_not_summed_up():
    desk = Followed()
    trip = desk.trade(Side.BUY, "1", "100", fee_currency="BNB")
    assert (trip.fees, trip.foreign_fees) == (0, 1)


def test_a_bust_takes_its_trade_out_of_the_open_trip():
    desk = Followed()
    trip = desk.trade(Side.BUY, "1", "100")
    desk.trade(Side.BUY, "1", "110", trade_id="2")
    desk.trade(Side.BUY, "1", "110", Bust, trade_id="2")
    assert (trip.fills, trip.bought, trip.fees, trip.closed_us) == (1, 1, Decimal("0.5"), None)


@pytest.mark.parametrize("kind", [Fill, Bust])
def test_what_the_gate_cannot_book_is_in_no_trip(kind):
    """It sells, or takes back, what is not held: the gate has shut itself, and its books are as before."""
    desk = Followed()
    trip = desk.trade(Side.BUY, "1", "100")
    desk.trade(Side.SELL if kind is Fill else Side.BUY, "2", "100", kind, trade_id="2")
    assert (trip.fills, trip.sold, trip.bought, len(desk.trips)) == (1, 0, 1, 1)
