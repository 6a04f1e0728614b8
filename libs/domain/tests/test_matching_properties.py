"""What holds for every book after everything that can be done to it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.strategy import Side, TimeInForce
from tollgate_domain.matching import Book, Execution, NewOrder, Outcome, opposite

prices = st.integers(95, 105)
quantities = st.integers(1, 9)
sides = st.sampled_from(Side)
operations = st.one_of(
    st.tuples(st.just("submit"), sides, prices, quantities, st.sampled_from(TimeInForce), st.booleans(), st.booleans()),
    st.tuples(st.just("market"), sides, quantities, st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("level"), sides, prices, st.integers(0, 9)),
    st.tuples(st.just("top"), sides, prices, quantities),
    st.tuples(st.just("house"), sides, quantities, st.none() | prices),
    st.tuples(st.just("print"), sides, prices, quantities),
)


@dataclass
class Market:
    """A book, and what each order should have come to by the executions that were reported."""

    book: Book = field(default_factory=Book)
    orders: dict[str, NewOrder] = field(default_factory=dict)
    traded: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    gone: dict[str, int] = field(default_factory=dict)

    def submit(self, order: NewOrder) -> None:
        self.orders[order.order_id] = order
        result = self.book.submit(order)
        self.count(result.executions)
        for execution in result.executions:
            assert execution.aggressor is order.side
            assert execution.taker_id == order.order_id
            if execution.maker_id is not None:
                assert self.orders[execution.maker_id].owner != order.owner
            if order.limit_price is not None:
                assert (order.limit_price - execution.price) * (1 if order.side is Side.BUY else -1) >= 0
        assert self.traded[order.order_id] + result.remaining == order.quantity
        if result.outcome is not Outcome.RESTING:
            self.gone[order.order_id] = result.remaining
        if order.time_in_force is TimeInForce.FOK:
            assert result.outcome is Outcome.FILLED or not result.executions
        if order.post_only:
            assert not result.executions

    def count(self, executions: Iterable[Execution]) -> None:
        for execution in executions:
            assert execution.quantity > 0
            for order_id in (execution.maker_id, execution.taker_id):
                if order_id is not None:
                    self.traded[order_id] += execution.quantity

    def apply(self, number: int, operation: tuple) -> None:  # type: ignore[type-arg]
        match operation:
            case ("submit", side, price, quantity, time_in_force, post_only, ours):
                post_only = post_only and time_in_force is TimeInForce.GTC
                owner = "us" if ours else "them"
                self.submit(NewOrder(f"o{number}", owner, side, quantity, price, time_in_force, post_only))
            case ("market", side, quantity, ours):
                owner = "us" if ours else "them"
                self.submit(NewOrder(f"o{number}", owner, side, quantity, None, TimeInForce.IOC))
            case ("cancel", which):
                remaining = self.book.cancel(f"o{which}")
                if remaining is not None:
                    self.gone[f"o{which}"] = remaining
            case ("level", side, price, quantity):
                self.by_priority(side, self.book.set_level(side, price, quantity))
            case ("top", side, price, quantity):
                self.by_priority(side, self.book.set_top(side, price, quantity))
            case ("house", side, quantity, limit):
                executions = self.book.house_order(side, quantity, limit)
                assert sum(execution.quantity for execution in executions) <= quantity
                self.by_priority(side, executions)
            case ("print", side, price, quantity):
                executions = self.book.print_trade(side, price, quantity)
                assert sum(execution.quantity for execution in executions) == quantity
                self.by_priority(side, executions)

    def by_priority(self, aggressor: Side, executions: tuple[Execution, ...]) -> None:
        """Check price, then time, among participants, and count the trades."""
        self.count(executions)
        makers = [each.maker_id for each in executions if each.maker_id is not None]
        keys = [self.priority(maker) for maker in makers]
        assert keys == sorted(keys)
        waiting = [order_id for order_id in self.resting() if self.orders[order_id].side is not aggressor]
        for order_id in waiting:
            assert all(self.priority(order_id) >= key for key in keys)

    def priority(self, order_id: str) -> tuple[int, int]:
        order = self.orders[order_id]
        assert order.limit_price is not None
        return (-order.limit_price if order.side is Side.BUY else order.limit_price, int(order_id[1:]))

    def resting(self) -> list[str]:
        return [name for name in self.orders if name not in self.gone and self.left(name)]

    def left(self, order_id: str) -> int:
        return self.orders[order_id].quantity - self.traded[order_id]

    def check(self) -> None:
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        assert bid is None or ask is None or bid[0] < ask[0]
        standing: dict[str, int] = {}
        for side in Side:
            for level in self.book._sides[side].levels.values():
                assert level.entries
                assert all(entry.remaining > 0 for entry in level.entries)
                assert level.total == sum(entry.remaining for entry in level.entries)
                assert level.house == sum(entry.remaining for entry in level.entries if entry.order_id is None)
                standing |= {entry.order_id: entry.remaining for entry in level.entries if entry.order_id is not None}
        assert standing == {name: self.left(name) for name in self.resting()}
        assert standing.keys() == self.book._resting.keys()


@settings(max_examples=300, deadline=None)
@given(st.lists(operations, max_size=30))
def test_quantity_is_conserved_the_book_never_crosses_and_priority_holds(operation_list: list[tuple]) -> None:  # type: ignore[type-arg]
    """Whatever comes in whatever order: nothing is lost or made, no level is empty or negative."""
    market = Market()
    for number, operation in enumerate(operation_list):
        market.apply(number, operation)
        market.check()


@settings(max_examples=200, deadline=None)
@given(st.lists(operations, max_size=15), sides, quantities, st.none() | prices)
def test_what_is_takeable_is_what_an_order_would_trade(
    operation_list: list[tuple],  # type: ignore[type-arg]
    side: Side,
    quantity: int,
    limit: int | None,
) -> None:
    market = Market()
    for number, operation in enumerate(operation_list):
        market.apply(number, operation)
    taken, cost = market.book.takeable(side, quantity, limit, "us")
    result = market.book.submit(NewOrder("last", "us", side, quantity, limit, TimeInForce.IOC))
    assert taken == sum(each.quantity for each in result.executions)
    assert cost == sum(each.quantity * each.price for each in result.executions)


def test_sides_are_each_others_opposite() -> None:
    assert [opposite(side) for side in Side] == [Side.SELL, Side.BUY]
