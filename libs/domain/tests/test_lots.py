"""First in, first out: known examples by hand, and whatever is traded the same sums as at average cost."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import Share
from tollgate_domain.lots import FifoBook
from tollgate_domain.portfolio import Booking, OversoldError, Portfolio
from tollgate_domain.traces import REMEMBERED_MAX

BUY, SELL = Side.BUY, Side.SELL
BTC, ETH = "BTC-USDT", "ETH-USDT"
ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}


def fill(
    trade_id: str, side: Side, quantity: str | Decimal, price: str | Decimal, symbol: str = BTC, **fee: str | Decimal
) -> Fill:
    """Return a fill; ``fee`` is its amount, ``currency`` and ``rate``."""
    currency = str(fee.get("currency", "USDT"))
    rate = fee.get("rate")
    return Fill(
        id=f"execution:{trade_id}:1",
        cause=1,
        client_order_id="tg" + "0" * 30,
        symbol=symbol,
        side=side,
        trade=VenueTrade(
            trade_id=trade_id,
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(fee.get("fee", 0)),
            fee_currency=currency,
            liquidity=Liquidity.TAKER,
            venue_ts_us=1,
        ),
        fee_rate=None if rate is None else Decimal(rate),
        fee_rate_source="" if rate is None else "quote:1",
        config_hash="0" * 64,
        **ENVELOPE,
    )


def bust(of: Fill) -> Bust:
    return Bust(**{**of.model_dump(exclude={"kind", "version", "trade"}), "id": f"{of.id}-b", "trade": of.trade})


NO_FEE = Booking(ZERO, ZERO)


def shown(book: FifoBook, symbol: str = BTC) -> list[tuple[str, str, str]]:
    return [(lot.trade_id, str(lot.quantity), str(lot.cost.normalize())) for lot in book.lots(symbol)]


def test_a_sale_takes_the_oldest_lots_first() -> None:
    """Two at 100 and two at 120: three sold at 130 have cost 320, and at average cost they would have cost 330."""
    book = FifoBook()
    book.apply(fill("a", BUY, "2", "100"), NO_FEE)
    book.apply(fill("b", BUY, "2", "120"), NO_FEE)
    sold = book.apply(fill("c", SELL, "3", "130"), NO_FEE)
    assert [(lot.trade_id, lot.quantity, lot.cost) for lot in sold] == [("a", 2, 200), ("b", 1, 120)]
    assert book.realized == 390 - 320
    assert shown(book) == [("b", "1", "1.2E+2")]


def test_what_was_held_at_opening_leaves_first_and_has_cost_nothing() -> None:
    book = FifoBook()
    book.open(BTC, Decimal(1), 0)
    book.apply(fill("a", BUY, "1", "100"), NO_FEE)
    book.apply(fill("b", SELL, "1", "50"), NO_FEE)
    assert (book.realized, book.cost(BTC)) == (50, 100)


def test_more_than_is_held_cannot_leave() -> None:
    book = FifoBook()
    book.apply(fill("a", BUY, "1", "100"), NO_FEE)
    with pytest.raises(OversoldError):
        book.apply(fill("b", SELL, "1.00000001", "100"), NO_FEE)
    with pytest.raises(OversoldError):
        book.undo(bust(fill("z", BUY, "2", "100")), NO_FEE)


def test_a_busted_sale_brings_its_lots_back_as_they_were() -> None:
    book = FifoBook()
    for trade_id, price in (("a", "100"), ("b", "120")):
        book.apply(fill(trade_id, BUY, "2", price), NO_FEE)
    before = shown(book)
    sale = fill("c", SELL, "3", "130")
    book.apply(sale, NO_FEE)
    book.undo(bust(sale), NO_FEE)
    assert (shown(book), book.realized) == (before, 0)


def test_of_a_busted_purchase_that_was_sold_the_next_lots_go_as_if_it_had_never_been() -> None:
    """Bought one at 100 and one at 120, sold one at 130; without the first the sale has sold the second."""
    book = FifoBook()
    first = fill("a", BUY, "1", "100")
    book.apply(first, NO_FEE)
    book.apply(fill("b", BUY, "1", "120"), NO_FEE)
    book.apply(fill("c", SELL, "1", "130"), NO_FEE)
    book.undo(bust(first), NO_FEE)
    assert (shown(book), book.realized) == ([], 130 - 120)


def test_a_fee_in_the_base_currency_leaves_like_a_sale_at_its_rate() -> None:
    book = FifoBook()
    share = Share(Decimal("0.001"), Decimal("0.1"), Decimal("0.11"))
    booking = Booking(ZERO, Decimal("0.11"), share)
    book.apply(fill("a", BUY, "1", "100", fee="0.001", currency="BTC", rate="110"), booking)
    assert (book.quantity(BTC), book.cost(BTC), book.realized) == (Decimal("0.999"), Decimal("99.9"), Decimal("0.01"))


def test_a_part_of_a_lot_is_rounded_once_and_the_rest_keeps_the_rest() -> None:
    book = FifoBook()
    book.apply(fill("a", BUY, "3", "0.000000000000000001"), NO_FEE)
    book.apply(fill("b", SELL, "0.5", "1"), NO_FEE)
    assert book.cost(BTC) + (Decimal("0.5") - book.realized) == Decimal("0.000000000000000003")


def test_the_lots_of_a_sale_long_ago_come_back_at_its_price_and_change_no_result() -> None:
    book = FifoBook()
    book.apply(fill("a", BUY, "1000", "100"), NO_FEE)
    sales = [fill(f"s{number}", SELL, "1", "130") for number in range(REMEMBERED_MAX + 1)]
    for sale in sales:
        book.apply(sale, NO_FEE)
    realized = book.realized
    book.undo(bust(sales[0]), NO_FEE)
    assert book.realized == realized
    assert shown(book)[-1] == ("s0", "1", "1.3E+2")


@dataclass
class Both:
    """The same fills at average cost and first in, first out."""

    portfolio: Portfolio = field(default_factory=lambda: Portfolio("USDT"))
    lots: FifoBook = field(default_factory=FifoBook)
    fills: list[Fill] = field(default_factory=list)

    def __post_init__(self) -> None:
        balances = {"USDT": Decimal(10_000), "BTC": Decimal(5), "BNB": Decimal(7)}
        account = Account(
            id="execution:simulated:1",
            cause=None,
            venue="simulated",
            account="main",
            balances=tuple(Balance(currency=each, free=held, locked=ZERO) for each, held in balances.items()),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=1,
            **ENVELOPE,
        )
        self.portfolio.open(account, (BTC, ETH))
        for symbol, holding in self.portfolio.holdings().items():
            self.lots.open(symbol, holding.quantity, 0)

    def apply(self, made: Fill) -> None:
        """Book a fill in both, unless it would sell more than is held."""
        try:
            booking = self.portfolio.apply(made)
        except OversoldError:
            return
        self.lots.apply(made, booking)
        self.fills.append(made)

    def undo(self, which: int) -> None:
        """Take one of the fills back in both, unless what it bought is gone."""
        if not self.fills:
            return
        made = self.fills[which % len(self.fills)]
        try:
            booking = self.portfolio.undo(bust(made))
        except OversoldError:
            return
        self.lots.undo(bust(made), booking)
        self.fills.remove(made)

    def check(self) -> None:
        """Raise unless the laws of the module hold."""
        held = self.portfolio.holdings()
        assert self.lots.symbols() == tuple(held)
        for symbol, holding in held.items():
            assert self.lots.quantity(symbol) == holding.quantity
            assert all(lot.quantity > 0 for lot in self.lots.lots(symbol))
        cost = sum((self.lots.cost(symbol) for symbol in held), ZERO)
        average = sum((holding.cost for holding in held.values()), ZERO)
        assert cost - self.lots.realized == average - self.portfolio.realized


AMOUNTS = st.decimals(min_value="0.00000001", max_value="9999", places=8, allow_nan=False)
FEES = st.tuples(
    st.decimals(min_value="-0.5", max_value="2", places=8, allow_nan=False),
    st.sampled_from(["USDT", "BTC", "ETH", "BNB"]),
    st.one_of(st.none(), AMOUNTS),
)
FILLS = st.tuples(st.sampled_from([BUY, SELL]), st.sampled_from([BTC, ETH]), AMOUNTS, AMOUNTS, FEES)
EVENTS = st.lists(st.one_of(FILLS, FILLS, FILLS, st.integers(min_value=0)), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_both_methods_hold_the_same_and_have_put_the_same_in(events: list[object]) -> None:
    """Whatever is bought, sold and taken back, with fees in any currency, held or not, with a rate or without."""
    both = Both()
    for number, event in enumerate(events):
        if isinstance(event, int):
            both.undo(event)
        else:
            side, symbol, quantity, price, (fee, currency, rate) = event  # type: ignore[misc]
            rated = {} if rate is None or currency == "USDT" else {"rate": rate}
            both.apply(fill(f"t{number}", side, quantity, price, symbol, fee=fee, currency=currency, **rated))
        both.check()


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=20), AMOUNTS)
def test_once_everything_is_sold_both_methods_have_realized_the_same(
    bought: list[tuple[Decimal, Decimal]], price: Decimal
) -> None:
    both = Both()
    for number, (quantity, paid) in enumerate(bought):
        both.apply(fill(f"b{number}", BUY, quantity, paid, ETH))
    both.apply(fill("s", SELL, both.lots.quantity(ETH), price, ETH))
    assert both.lots.realized == both.portfolio.realized
    assert both.lots.lots(ETH) == ()
