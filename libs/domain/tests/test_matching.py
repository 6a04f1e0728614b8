"""The book's rules, one line a case."""

import pytest

from tollgate_contracts.strategy import Side, TimeInForce
from tollgate_domain.matching import Book, Cause, Execution, NewOrder, Outcome, Result

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def order(
    order_id: str,
    side: Side,
    quantity: int,
    limit_price: int | None,
    time_in_force: TimeInForce = GTC,
    *,
    post_only: bool = False,
    owner: str = "us",
) -> NewOrder:
    return NewOrder(order_id, owner, side, quantity, limit_price, time_in_force, post_only)


def book_with(bids: dict[int, int] | None = None, asks: dict[int, int] | None = None) -> Book:
    """A book of house liquidity."""
    book = Book()
    for price, quantity in (bids or {}).items():
        book.set_level(BUY, price, quantity)
    for price, quantity in (asks or {}).items():
        book.set_level(SELL, price, quantity)
    return book


def parts(result: Result) -> list[tuple[int, int]]:
    return [(execution.price, execution.quantity) for execution in result.executions]


# Against asks of 5 at 101 and 5 at 102 (and a bid of 5 at 99): what comes in, and what becomes of it.
TIME_IN_FORCE = [
    # time in force, quantity, limit, post-only -> outcome, remaining, trades, cause, what then rests at the limit
    (GTC, 3, 101, False, Outcome.FILLED, 0, [(101, 3)], None),
    (GTC, 8, 102, False, Outcome.FILLED, 0, [(101, 5), (102, 3)], None),
    (GTC, 8, 101, False, Outcome.RESTING, 3, [(101, 5)], None),
    (GTC, 8, 100, False, Outcome.RESTING, 8, [], None),
    (IOC, 3, 101, False, Outcome.FILLED, 0, [(101, 3)], None),
    (IOC, 8, 101, False, Outcome.CANCELLED, 3, [(101, 5)], Cause.IOC_REST),
    (IOC, 8, 100, False, Outcome.CANCELLED, 8, [], Cause.IOC_REST),
    (FOK, 10, 102, False, Outcome.FILLED, 0, [(101, 5), (102, 5)], None),
    (FOK, 11, 102, False, Outcome.CANCELLED, 11, [], Cause.FOK_NOT_FILLABLE),
    (FOK, 6, 101, False, Outcome.CANCELLED, 6, [], Cause.FOK_NOT_FILLABLE),
    (GTC, 1, 100, True, Outcome.RESTING, 1, [], None),
    (GTC, 1, 101, True, Outcome.REJECTED, 1, [], Cause.POST_ONLY_WOULD_TAKE),
    (GTC, 1, 105, True, Outcome.REJECTED, 1, [], Cause.POST_ONLY_WOULD_TAKE),
    (IOC, 7, None, False, Outcome.FILLED, 0, [(101, 5), (102, 2)], None),
    (IOC, 12, None, False, Outcome.CANCELLED, 2, [(101, 5), (102, 5)], Cause.IOC_REST),
    (FOK, 12, None, False, Outcome.CANCELLED, 12, [], Cause.FOK_NOT_FILLABLE),
]


@pytest.mark.parametrize(
    ("time_in_force", "quantity", "limit", "post_only", "outcome", "remaining", "trades", "cause"), TIME_IN_FORCE
)
def test_time_in_force_and_post_only_decide_what_becomes_of_an_order(
    time_in_force: TimeInForce,
    quantity: int,
    limit: int | None,
    post_only: bool,
    outcome: Outcome,
    remaining: int,
    trades: list[tuple[int, int]],
    cause: Cause | None,
) -> None:
    book = book_with(bids={99: 5}, asks={101: 5, 102: 5})
    result = book.submit(order("o", BUY, quantity, limit, time_in_force, post_only=post_only))
    assert (result.outcome, result.remaining, parts(result), result.cause) == (outcome, remaining, trades, cause)
    assert book.cancel("o") == (remaining if outcome is Outcome.RESTING else None)


def test_a_sell_mirrors_a_buy() -> None:
    book = book_with(bids={99: 5, 98: 5}, asks={101: 5})
    result = book.submit(order("o", SELL, 8, 98))
    assert parts(result) == [(99, 5), (98, 3)]
    assert book.best(BUY) == (98, 2)


def test_trades_happen_at_the_price_of_the_order_that_was_there() -> None:
    book = book_with(asks={101: 5})
    assert parts(book.submit(order("o", BUY, 1, 150))) == [(101, 1)]


def test_better_prices_trade_first_and_earlier_orders_before_later_ones() -> None:
    book = Book()
    for order_id, price in (("late-price", 102), ("first", 101), ("second", 101)):
        book.submit(order(order_id, SELL, 2, price, owner=order_id))
    result = book.submit(order("o", BUY, 5, 102))
    assert [(each.maker_id, each.quantity) for each in result.executions] == [
        ("first", 2),
        ("second", 2),
        ("late-price", 1),
    ]


def test_an_order_waits_behind_the_house_that_stood_there_before() -> None:
    book = book_with(bids={100: 5})
    book.submit(order("ours", BUY, 2, 100))
    book.set_level(BUY, 100, 9)  # four more join behind us
    assert [(each.maker_id, each.quantity) for each in book.house_order(SELL, 10, None)] == [
        (None, 5),
        ("ours", 2),
        (None, 3),
    ]
    assert book.best(BUY) == (100, 1)


def test_the_house_leaves_from_behind_us_first() -> None:
    book = book_with(bids={100: 5})
    book.submit(order("ours", BUY, 2, 100))
    book.set_level(BUY, 100, 9)
    book.set_level(BUY, 100, 3)  # four from behind, then two from before us
    assert [(each.maker_id, each.quantity) for each in book.house_order(SELL, 4, None)] == [(None, 3), ("ours", 1)]


def test_a_house_level_that_crosses_trades_with_participants_and_removes_the_house() -> None:
    book = book_with(bids={100: 5, 98: 5}, asks={105: 5})
    book.submit(order("ours", BUY, 2, 101))
    executions = book.set_level(SELL, 100, 3)
    assert executions == (Execution(101, 2, SELL, "ours", None),)
    assert (book.best(BUY), book.best(SELL)) == ((98, 5), (100, 1))


def test_set_top_leaves_nothing_of_the_house_at_better_prices() -> None:
    book = book_with(bids={100: 5, 99: 5, 98: 5})
    book.submit(order("ours", BUY, 1, 100))
    book.set_top(BUY, 98, 7)
    assert book.depth(BUY, 5) == [(100, 1), (98, 7)]


PRINTS = [
    # our bids (price, quantity), house bids, print (price, quantity) -> what of ours trades
    ([(101, 2)], {99: 5}, (100, 5), [(101, 2)]),
    ([(100, 2)], {100: 5}, (100, 5), []),
    ([(100, 2)], {100: 5}, (100, 6), [(100, 1)]),
    ([(99, 2)], {100: 5}, (100, 50), []),
    ([(101, 2), (100, 2)], {100: 1}, (100, 4), [(101, 2), (100, 1)]),
    ([(100, 2)], {102: 5}, (100, 2), [(100, 2)]),
]


@pytest.mark.parametrize(("ours", "house", "printed", "expected"), PRINTS)
def test_a_recorded_trade_fills_what_it_goes_through_and_leaves_the_house_as_recorded(
    ours: list[tuple[int, int]], house: dict[int, int], printed: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    """Ours at better prices trade first; at the print's own price the queue decides."""
    book = book_with(bids=house)
    for number, (price, quantity) in enumerate(ours):
        book.submit(order(f"o{number}", BUY, quantity, price))
    executions = book.print_trade(SELL, *printed)
    assert [(each.price, each.quantity) for each in executions if each.maker_id] == expected
    assert sum(each.quantity for each in executions) == printed[1]
    for order_number in range(len(ours)):
        book.cancel(f"o{order_number}")
    assert dict(book.depth(BUY, 9)) == house


def test_a_recorded_trade_moves_our_place_in_the_queue() -> None:
    book = book_with(bids={100: 5})
    book.submit(order("ours", BUY, 2, 100))
    book.print_trade(SELL, 100, 4)
    assert [each.maker_id for each in book.print_trade(SELL, 100, 3)] == [None, "ours"]


def test_an_owner_never_trades_with_itself_and_the_newer_order_gives_way() -> None:
    book = book_with(asks={101: 1})
    book.submit(order("resting", SELL, 5, 102))
    result = book.submit(order("newer", BUY, 5, 103))
    assert (result.outcome, result.cause, parts(result)) == (Outcome.CANCELLED, Cause.SELF_TRADE, [(101, 1)])
    assert book.best(SELL) == (102, 5)
    assert book.submit(order("fok", BUY, 2, 103, FOK)).cause is Cause.FOK_NOT_FILLABLE


def test_cancelling_takes_out_what_remains_once() -> None:
    book = Book()
    book.submit(order("o", BUY, 5, 100))
    book.house_order(SELL, 2, None)
    assert (book.cancel("o"), book.cancel("o"), book.cancel("never"), book.best(BUY)) == (3, None, None, None)


def test_a_snapshot_clears_the_house_and_not_the_participants() -> None:
    book = book_with(bids={100: 5, 99: 5})
    book.submit(order("o", BUY, 1, 99))
    book.clear_house(BUY)
    book.clear_house(SELL)
    assert book.depth(BUY, 9) == [(99, 1)]


SENSELESS = [
    order("o", BUY, 0, 100),
    order("o", BUY, -1, 100),
    order("o", BUY, 1, 0),
    order("o", BUY, 1, None, IOC, post_only=True),
    order("o", BUY, 1, 100, IOC, post_only=True),
    order("resting", BUY, 1, 100),
]


@pytest.mark.parametrize("senseless", SENSELESS)
def test_a_senseless_order_is_the_callers_error(senseless: NewOrder) -> None:
    book = Book()
    book.submit(order("resting", BUY, 1, 90))
    with pytest.raises(ValueError, match=r"above zero|post-only|rests already"):
        book.submit(senseless)
