"""A limit order book of one symbol, and the matching of orders against it by price, then time.

Theory. A book has two sides of price levels; a level is a queue. An order that comes in trades against the best
level of the other side, from the front of its queue, at the level's price, until it is filled, its limit is
reached, or nothing is left. What then remains rests, is cancelled, or the whole was never let in: that is what
time in force and post-only say.

Two kinds of liquidity stand in the queues: orders of participants, and the *house*, which is the rest of the
market as a generator or a recording knows it: not orders, but a quantity at a price. The house obeys these rules:

- Its quantity at a price is set, not added (``set_level``). More joins the back of the queue; less leaves from
  the back first, because a recording does not say who left and our place must not be flattered.
- The newest word wins: a house level that crosses house liquidity on the other side removes that, and one that
  crosses orders of participants trades with them first, because that market would have.
- A recorded trade (``print_trade``) moves the queue and not the house's quantity, for what stands is what the
  recording says stands. Participants' orders at better prices trade first, then the queue at the trade's price
  from its front; what the house gave there stands again at the back.

No order trades with one of the same owner: what remains of the incoming one is cancelled when it reaches it.

Prices and quantities are whole numbers of units that the caller chooses; all arithmetic is exact. Nothing here
knows money, time, fees or accounts.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tollgate_contracts.strategy import Side, TimeInForce


class Outcome(StrEnum):
    """What became of an order when it came in."""

    RESTING = "RESTING"
    """What did not trade stands in the book."""
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    """What did not trade is gone, by ``Cause``."""
    REJECTED = "REJECTED"
    """It was never let in; nothing traded."""


class Cause(StrEnum):
    """Why an order, or what remained of it, did not stay."""

    POST_ONLY_WOULD_TAKE = "POST_ONLY_WOULD_TAKE"
    FOK_NOT_FILLABLE = "FOK_NOT_FILLABLE"
    IOC_REST = "IOC_REST"
    """What an immediate order could not trade at once."""
    SELF_TRADE = "SELF_TRADE"
    """The next in the queue was of the same owner."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order of a participant; ``limit_price`` is null for a market order, which never rests."""

    order_id: str
    owner: str
    side: Side
    quantity: int
    limit_price: int | None
    time_in_force: TimeInForce
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """One trade, at the maker's price; an id is null where that party is the house."""

    price: int
    quantity: int
    aggressor: Side
    maker_id: str | None
    taker_id: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an incoming order: its trades in order, and how much of it did not trade."""

    outcome: Outcome
    remaining: int
    executions: tuple[Execution, ...] = ()
    cause: Cause | None = None


@dataclass(slots=True)
class _Entry:
    order_id: str | None
    owner: str | None
    remaining: int


class _Level:
    """The queue at one price; ``total`` and ``house`` are kept, so that a quote costs no walk."""

    __slots__ = ("entries", "house", "total")

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.total = 0
        self.house = 0

    def join(self, order_id: str | None, owner: str | None, quantity: int) -> None:
        self.total += quantity
        if order_id is None:
            self.house += quantity
            if self.entries and self.entries[-1].order_id is None:
                self.entries[-1].remaining += quantity
                return
        self.entries.append(_Entry(order_id, owner, quantity))

    def set_house(self, quantity: int) -> None:
        if quantity > self.house:
            self.join(None, None, quantity - self.house)
        elif quantity < self.house:
            self._shrink_house(self.house - quantity)

    def _shrink_house(self, excess: int) -> None:
        self.total -= excess
        self.house -= excess
        for entry in reversed(self.entries):
            if entry.order_id is None:
                taken = min(entry.remaining, excess)
                entry.remaining -= taken
                excess -= taken
                if not excess:
                    break
        self.entries = deque(entry for entry in self.entries if entry.remaining)

    def remove(self, order_id: str) -> int:
        for entry in self.entries:
            if entry.order_id == order_id:
                self.entries.remove(entry)
                self.total -= entry.remaining
                return entry.remaining
        raise KeyError(order_id)

    def take_orders(self, quantity: int) -> list[tuple[str | None, int]]:
        """Take up to ``quantity`` from participants' orders, passing the house by."""
        taken: list[tuple[str | None, int]] = []
        for entry in self.entries:
            if entry.order_id is not None and quantity:
                part = min(entry.remaining, quantity)
                entry.remaining -= part
                quantity -= part
                taken.append((entry.order_id, part))
        self.total -= sum(part for _, part in taken)
        self.entries = deque(entry for entry in self.entries if entry.remaining)
        return taken

    def take(self, quantity: int) -> tuple[str | None, int]:
        """Take up to ``quantity`` from the front entry; return whose it was and how much."""
        front = self.entries[0]
        taken = min(front.remaining, quantity)
        front.remaining -= taken
        self.total -= taken
        if front.order_id is None:
            self.house -= taken
        if not front.remaining:
            self.entries.popleft()
        return front.order_id, taken


class _BookSide:
    """The levels of one side. Keys are prices signed so that the best key is the greatest, and the last."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, side: Side) -> None:
        self.sign = 1 if side is Side.BUY else -1
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}

    def at(self, price: int) -> _Level:
        """Return the level at ``price``, made if need be."""
        key = price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = _Level()
            insort(self.keys, key)
        return level

    def drop_if_empty(self, price: int) -> None:
        key = price * self.sign
        level = self.levels.get(key)
        if level is not None and not level.entries:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]

    def set_house(self, price: int, quantity: int) -> None:
        if quantity or price * self.sign in self.levels:
            self.at(price).set_house(quantity)
            self.drop_if_empty(price)

    def clear_house_better_than(self, price: int, *, and_at: bool = False) -> None:
        """Remove house liquidity at prices better than ``price`` (``and_at``: and at it)."""
        bound = price * self.sign
        position = len(self.keys) - 1
        while position >= 0 and (self.keys[position] > bound or (and_at and self.keys[position] == bound)):
            level_price = self.keys[position] * self.sign
            self.levels[self.keys[position]].set_house(0)
            self.drop_if_empty(level_price)
            position -= 1

    def from_best(self, limit_price: int | None) -> Iterator[tuple[int, _Level]]:
        """Yield (price, level) from the best level to the last that ``limit_price`` accepts; null accepts all."""
        for key in reversed(self.keys):
            if limit_price is not None and key < limit_price * self.sign:
                return
            yield key * self.sign, self.levels[key]


def opposite(side: Side) -> Side:
    """Return the other side."""
    return Side.SELL if side is Side.BUY else Side.BUY


class Book:
    """The book of one symbol."""

    def __init__(self) -> None:
        self._sides = {Side.BUY: _BookSide(Side.BUY), Side.SELL: _BookSide(Side.SELL)}
        self._resting: dict[str, tuple[Side, int]] = {}

    def best(self, side: Side) -> tuple[int, int] | None:
        """Return (price, whole quantity) of the best level, or null when the side is empty."""
        book_side = self._sides[side]
        if not book_side.keys:
            return None
        key = book_side.keys[-1]
        return key * book_side.sign, book_side.levels[key].total

    def depth(self, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return at most ``levels`` (price, whole quantity), best first."""
        found: list[tuple[int, int]] = []
        for price, level in self._sides[side].from_best(None):
            if len(found) == levels:
                break
            found.append((price, level.total))
        return found

    def takeable(self, side: Side, quantity: int, limit_price: int | None, owner: str) -> tuple[int, int]:
        """Return how much of ``quantity`` an order of ``side`` would trade at once, and price times quantity of it."""
        taken = cost = 0
        for price, level in self._sides[opposite(side)].from_best(limit_price):
            for entry in level.entries:
                if entry.owner == owner or taken == quantity:
                    return taken, cost
                part = min(entry.remaining, quantity - taken)
                taken += part
                cost += part * price
        return taken, cost

    def submit(self, order: NewOrder) -> Result:
        """Match ``order``; what is left of a GTC limit order rests. Raises ``ValueError`` for a senseless order."""
        self._check(order)
        takeable, _ = self.takeable(order.side, order.quantity, order.limit_price, order.owner)
        if order.post_only and self._would_meet(order):
            return Result(Outcome.REJECTED, order.quantity, cause=Cause.POST_ONLY_WOULD_TAKE)
        if order.time_in_force is TimeInForce.FOK and takeable < order.quantity:
            return Result(Outcome.CANCELLED, order.quantity, cause=Cause.FOK_NOT_FILLABLE)
        executions, remaining = self._sweep(
            order.side, takeable, order.limit_price, taker_id=order.order_id, owner=order.owner
        )
        remaining += order.quantity - takeable
        if not remaining:
            return Result(Outcome.FILLED, 0, executions)
        if self._would_meet(order):
            return Result(Outcome.CANCELLED, remaining, executions, Cause.SELF_TRADE)
        if order.limit_price is None or order.time_in_force is not TimeInForce.GTC:
            return Result(Outcome.CANCELLED, remaining, executions, Cause.IOC_REST)
        self._sides[order.side].at(order.limit_price).join(order.order_id, order.owner, remaining)
        self._resting[order.order_id] = (order.side, order.limit_price)
        return Result(Outcome.RESTING, remaining, executions)

    def cancel(self, order_id: str) -> int | None:
        """Take a resting order out and return what remained of it; null when it does not rest here."""
        place = self._resting.pop(order_id, None)
        if place is None:
            return None
        side, price = place
        remaining = self._sides[side].at(price).remove(order_id)
        self._sides[side].drop_if_empty(price)
        return remaining

    def set_level(self, side: Side, price: int, quantity: int) -> tuple[Execution, ...]:
        """Set the house's quantity at ``price`` (zero removes it) and return what traded because it crossed."""
        _check_units(price, quantity, quantity_min=0)
        executions: tuple[Execution, ...] = ()
        if quantity:
            self._sides[opposite(side)].clear_house_better_than(price, and_at=True)
            executions, quantity = self._sweep(side, quantity, price, taker_id=None, owner=None)
        self._sides[side].set_house(price, quantity)
        return executions

    def set_top(self, side: Side, price: int, quantity: int) -> tuple[Execution, ...]:
        """Set the house's best level: as ``set_level``, and nothing of the house stays at a better price."""
        self._sides[side].clear_house_better_than(price)
        return self.set_level(side, price, quantity)

    def clear_house(self, side: Side) -> None:
        """Remove the house from one side, as before a fresh snapshot."""
        book_side = self._sides[side]
        if book_side.keys:
            book_side.clear_house_better_than(book_side.keys[0] * book_side.sign, and_at=True)

    def house_order(self, side: Side, quantity: int, limit_price: int | None) -> tuple[Execution, ...]:
        """Let the house take up to ``quantity`` at once."""
        _check_units(limit_price, quantity)
        executions, _ = self._sweep(side, quantity, limit_price, taker_id=None, owner=None)
        return executions

    def print_trade(self, aggressor: Side, price: int, quantity: int) -> tuple[Execution, ...]:
        """Replay a trade that has happened: the executions always add up to ``quantity``."""
        _check_units(price, quantity)
        book_side = self._sides[opposite(aggressor)]
        executions: list[Execution] = []
        if self._resting:
            for level_price, level in list(book_side.from_best(price)):
                at_price = level_price == price
                taken = _take_keeping_house(level, quantity) if at_price else level.take_orders(quantity)
                quantity -= sum(part for _, part in taken)
                executions += [Execution(level_price, part, aggressor, maker, None) for maker, part in taken]
                self._forget_filled(level, [maker for maker, _ in taken])
                book_side.drop_if_empty(level_price)
        if quantity:
            executions.append(Execution(price, quantity, aggressor, None, None))
        return tuple(executions)

    def _forget_filled(self, level: _Level, makers: list[str | None]) -> None:
        standing = {entry.order_id for entry in level.entries}
        for maker in makers:
            if maker is not None and maker not in standing:
                self._resting.pop(maker, None)

    def _check(self, order: NewOrder) -> None:
        _check_units(order.limit_price, order.quantity)
        if order.order_id in self._resting:
            raise ValueError(f"order {order.order_id} rests already")
        if order.post_only and (order.limit_price is None or order.time_in_force is not TimeInForce.GTC):
            raise ValueError(f"order {order.order_id}: post-only means a limit order that may rest")

    def _would_meet(self, order: NewOrder) -> bool:
        """Say whether anything on the other side stands at a price that the order accepts."""
        return next(self._sides[opposite(order.side)].from_best(order.limit_price), None) is not None

    def _sweep(
        self, side: Side, quantity: int, limit_price: int | None, *, taker_id: str | None, owner: str | None
    ) -> tuple[tuple[Execution, ...], int]:
        book_side = self._sides[opposite(side)]
        executions: list[Execution] = []
        while quantity and book_side.keys:
            key = book_side.keys[-1]
            if limit_price is not None and key < limit_price * book_side.sign:
                break
            price, level = key * book_side.sign, book_side.levels[key]
            if owner is not None and level.entries[0].owner == owner:
                break
            maker_id, taken = level.take(quantity)
            quantity -= taken
            executions.append(Execution(price, taken, side, maker_id, taker_id))
            if maker_id is not None and (not level.entries or level.entries[0].order_id != maker_id):
                del self._resting[maker_id]
            book_side.drop_if_empty(price)
        return tuple(executions), quantity


def _take_keeping_house(level: _Level, quantity: int) -> list[tuple[str | None, int]]:
    """Take up to ``quantity`` from the front; what the house gave stands again at the back."""
    house = level.house
    taken: list[tuple[str | None, int]] = []
    while quantity and level.entries:
        maker, part = level.take(quantity)
        quantity -= part
        taken.append((maker, part))
    level.set_house(house)
    return taken


def _check_units(price: int | None, quantity: int, quantity_min: int = 1) -> None:
    if (price is not None and price <= 0) or quantity < quantity_min:
        raise ValueError(f"price {price} and quantity {quantity} must be above zero")
