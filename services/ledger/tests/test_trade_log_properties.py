"""What is true of the trade log after any sequence of trades, busts, movements, quotes and days."""

import json
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from trade_log_desk import DAY_US, SECOND_US, Desk

from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import ZERO, round_down
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import Purpose
from tollgate_ledger.core import EntryKind, LedgerCore
from tollgate_ledger.core.rows import DayClosed, EquityPoint, TradeCost, TripEnded

SYMBOL = "BTC-USDT"
STEP = Decimal("0.00000001")

quantities = st.decimals(min_value="0.00000001", max_value="100", places=8)
prices = st.decimals(min_value="2", max_value="1000", places=2)
fees = st.decimals(min_value="-1", max_value="10", places=8)
# In the quote currency, in what is traded, in what else is held, and in what lies beside, with a rate and without.
charged = st.sampled_from([("USDT", None), ("USDT", None), ("BTC", "90"), ("ETH", "7"), ("BNB", "3"), ("BNB", None)])
orders = st.integers(min_value=0, max_value=4)
asks = st.tuples(st.just("ASK"), orders, st.sampled_from(Purpose), st.none() | prices)
# The third is no symbol of the desk, and may lie beside what is bought of it.
symbols = st.sampled_from([SYMBOL, SYMBOL, "BNB-USDT"])
buys = st.tuples(st.just("BUY"), orders, quantities, prices, fees, charged, symbols)
# A sale is drawn as a share of what is held, so that many sales end what is held.
sales = st.tuples(st.just("SELL"), orders, st.sampled_from([20, 60, 97, 100]), prices, fees, charged, symbols)
stops = st.tuples(st.just("STOP"), orders, prices)
decisions = st.tuples(st.just("FLATTEN"), orders)
quotes = st.tuples(st.just("QUOTE"), prices)
passing = st.tuples(st.just("TIME"), st.sampled_from([SECOND_US, 40_000 * SECOND_US, DAY_US, 3 * DAY_US]))
busts = st.tuples(st.just("BUST"), st.integers(min_value=0, max_value=60))
amounts = st.decimals(min_value="-10", max_value="10", places=8)
movements = st.tuples(st.just("MOVE"), amounts, st.sampled_from(MovementType), st.sampled_from(["USDT", "USDT", "EUR"]))
kinds = st.one_of(asks, buys, buys, sales, sales, stops, decisions, quotes, quotes, passing, busts, movements)
events = st.tuples(
    st.sampled_from(["0", "3"]),
    st.sampled_from(["0", "2500"]),
    st.sampled_from([None, "5", "200"]),
    st.sampled_from(["0", "0.5", "1000"]),
    st.lists(kinds, min_size=8, max_size=50),
)


class Drawn:
    """A desk that has seen all that was drawn; the day after the last is begun, so that every day has its row."""

    def __init__(self, speak, drawn):
        held, share, min_notional, beside, steps = drawn
        self.speak, self.now_us, self.fills = speak, speak.start_us, []
        self.desk = Desk(speak, share=share, USDT="1000000", BTC=held, ETH=held, BNB=beside)
        if min_notional is not None:
            for symbol in (SYMBOL, "BNB-USDT"):
                self.desk.instrument(symbol, step="0.00000001", min_notional=min_notional)
        for number, (kind, *event) in enumerate(steps, start=1):
            self.now_us += SECOND_US
            getattr(self, kind.lower())(number, *event)
        self.time(10_000, DAY_US)

    def ask(self, _number, order, purpose, trigger):
        self.desk.ask(named(order), "BUY", purpose, trigger=None if trigger is None else str(trigger))

    def stop(self, _number, order, trigger):
        self.desk.state(named(order + 100), OrderState.ACKNOWLEDGED, protects=named(order), trigger_price=trigger)

    def flatten(self, _number, order):
        self.desk.decide(named(order))

    def quote(self, _number, price):
        self.desk.quote(str(price), ts_us=self.now_us)

    def time(self, number, passed):
        self.now_us += passed
        self.desk.put(self.speak.clock(number, ts_us=self.now_us))

    def bust(self, _number, which):
        if self.fills:
            self.desk.put(self.speak.bust(self.fills[which % len(self.fills)], ts_us=self.now_us))

    def move(self, number, amount, kind, currency):
        moved = self.speak.movement(amount, kind, currency, movement_id=str(number), ts_us=self.now_us)
        # Funding of a symbol that is held belongs to its trip; of another it belongs to none.
        self.desk.put(moved.model_copy(update={"symbol": SYMBOL if number % 2 else None}))

    def buy(self, number, order, size, price, fee, charged, symbol):
        self._trade(number, order, "BUY", size, price, fee, charged, symbol)

    def sell(self, number, order, share, price, fee, charged, symbol):
        positions = {each["symbol"]: each["quantity"] for each in self.desk.core.status()["positions"]}
        held = Decimal(positions.get(symbol, "0"))
        self._trade(number, order, "SELL", round_down(held * share / 100, STEP), price, fee, charged, symbol)

    def _trade(self, number, order, side, size, price, fee, charged, symbol):
        if size:
            # Every third is a trade of the order's stop.
            name = named(order if number % 3 else order + 100)
            fields = {"fee_currency": charged[0], "rate": charged[1], "ts_us": self.now_us, "symbol": symbol}
            self.fills.append(self.desk.fill(name, side, str(size), str(price), str(fee), **fields))


def named(order):
    return f"tg{order:030x}"


def total(rows, name):
    return sum((getattr(row, name) for row in rows), ZERO)


@given(events)
@settings(deadline=None)
def test_every_trip_adds_up_and_is_what_its_trades_are(speak, drawn):
    desk = Drawn(speak, drawn).desk
    costs, trips = desk.of(TradeCost), desk.of(TripEnded)
    assert len({trip.number for trip in trips}) == len(trips)
    for trip in trips:
        its = [cost for cost in costs if cost.trip == trip.number]
        assert trip.gross == trip.edge - trip.slippage
        assert trip.net == trip.gross - trip.fees + trip.funding
        assert (trip.slippage, trip.fees) == (total(its, "slippage"), total(its, "fee_value"))


@given(events)
@settings(deadline=None)
def test_the_parts_of_every_day_sum_to_what_equity_has_changed_by(speak, drawn):
    """Net is what the parts come to, equity what the marks say: two ways of counting, the same to the last digit."""
    desk = Drawn(speak, drawn).desk
    days, costs = desk.of(DayClosed), desk.of(TradeCost)
    assert len(days) >= 1
    for day in days:
        assert day.net == day.edge - day.slippage - day.fees + day.funding + day.other
        assert day.net == day.equity_last - day.equity_first - day.transfers
    for before, after in pairwise(days):
        assert after.day > before.day
        assert after.equity_first == before.equity_last
    assert total(days, "slippage") == total(costs, "slippage")
    charges = desk.core.balances.get(("expense:charges", "USDT"), ZERO)
    assert total(days, "fees") == total(costs, "fee_value") + charges
    assert total(days, "funding") == -desk.core.balances.get(("income:funding", "USDT"), ZERO)
    assert days[-1].equity_last == Decimal(desk.core.status()["equity"])


@given(events)
@settings(deadline=None)
def test_the_trips_and_what_is_open_are_what_equity_has_changed_by(speak, drawn):
    """Over all days: the nets of ended trips, and what open ones have brought so far and would bring at their marks."""
    desk = Drawn(speak, drawn).desk
    days, state = desk.of(DayClosed), desk.core.snapshot()["trade_log"]
    running = [
        Decimal(trip["gross"]) - Decimal(trip["fees"]) + Decimal(trip["funding"])
        for trip in state["log"]["open"].values()
    ]
    attributed = total(desk.of(TripEnded), "funding") + sum(
        (Decimal(trip["funding"]) for trip in state["log"]["open"].values()), ZERO
    )
    held = {position["symbol"]: position for position in desk.core.status()["positions"]}
    worth = {symbol: Decimal(each["cost"]) + Decimal(each["unrealized"]) for symbol, each in held.items()}
    costs = {symbol: Decimal(trip["cost"]) for symbol, trip in state["log"]["trips"]["open"].items()}
    # Of a rest that fees have eaten up nothing is held.
    unrealized = sum((worth.get(symbol, ZERO) - cost for symbol, cost in costs.items()), ZERO)
    charges = desk.core.balances.get(("expense:charges", "USDT"), ZERO)
    beside_trips = total(days, "funding") - attributed + total(days, "other") - charges
    change = days[-1].equity_last - days[0].equity_first - total(days, "transfers")
    assert total(desk.of(TripEnded), "net") + sum(running, ZERO) + unrealized + beside_trips == change


@given(events)
@settings(deadline=None)
def test_the_treasury_never_falls_and_is_what_its_entries_come_to(speak, drawn):
    desk = Drawn(speak, drawn).desk
    booked = -desk.core.balances.get(("equity:treasury", "USDT"), ZERO)
    points = [point.treasury for point in desk.of(EquityPoint)]
    assert points == sorted(points)
    assert points[-1] == booked
    assert total([line for line in splits_of(desk) if line.account == "equity:trading"], "amount") == booked


def splits_of(desk):
    return [line for entry in desk.entries if entry.kind is EntryKind.SPLIT for line in entry.postings]


@given(events)
@settings(deadline=None)
def test_rows_follow_the_tape_each_sequence_at_most_once(speak, drawn):
    desk = Drawn(speak, drawn).desk
    for kind in (TradeCost, EquityPoint):
        sequences = [row.tape_sequence for row in desk.of(kind)]
        assert sequences == sorted(set(sequences))


@given(events, st.integers(min_value=0, max_value=55))
@settings(max_examples=200, deadline=None)
def test_a_snapshot_at_any_place_goes_on_with_the_same_rows(speak, drawn, place):
    messages = Drawn(speak, drawn).desk.messages
    whole, before, after = LedgerCore(), LedgerCore(), LedgerCore()
    steps = [whole.step(sequence, message) for sequence, message in enumerate(messages, start=1)]
    for sequence, message in enumerate(messages[:place], start=1):
        before.step(sequence, message)
    # As the database gives it back: the keys of an object in no order of ours.
    after.restore(json.loads(json.dumps(before.snapshot(), sort_keys=True)))
    assert [after.step(n, message) for n, message in enumerate(messages[place:], start=place + 1)] == steps[place:]
    assert after.snapshot() == whole.snapshot()
