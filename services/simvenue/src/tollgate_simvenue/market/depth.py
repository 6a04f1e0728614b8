"""Depth streams as exchanges send them, made into a book's events.

Two streams describe one book: the best bid and ask at once, and all levels a tenth of a second late. So an older
word on a level at the top must not overwrite a newer one; both carry the same update number, which decides.
"""

from collections.abc import Iterable

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.market import BookSnapshot, LevelsSet, TopSet

Level = tuple[Side, int, int]


class DepthMerger:
    """Keeps what arrives late from undoing what is newer; says nothing before the first snapshot."""

    def __init__(self) -> None:
        self._book_id: int | None = None
        self._top_id = 0
        self._top: dict[Side, int] = {}

    @property
    def synchronised(self) -> bool:
        """Say whether a snapshot has been seen."""
        return self._book_id is not None

    def snapshot(self, update_id: int, levels: Iterable[Level]) -> BookSnapshot:
        """Take the whole book."""
        self._book_id = update_id
        self._top.clear()
        bids: list[tuple[int, int]] = []
        asks: list[tuple[int, int]] = []
        for side, price, quantity in levels:
            (bids if side is Side.BUY else asks).append((price, quantity))
        return BookSnapshot(tuple(bids), tuple(asks))

    def depth(self, update_id: int, levels: Iterable[Level]) -> LevelsSet | None:
        """Return what is still news in a depth update, or null."""
        if self._book_id is None or update_id <= self._book_id:
            return None
        self._book_id = update_id
        if update_id <= self._top_id:
            levels = [level for level in levels if self._is_behind_top(level)]
        news = tuple(levels)
        return LevelsSet(news) if news else None

    def top(self, update_id: int, bid: int, bid_quantity: int, ask: int, ask_quantity: int) -> TopSet | None:
        """Return the best bid and ask if they are news and make sense, or null."""
        stale = self._book_id is None or update_id < self._top_id
        if stale or bid >= ask or not bid_quantity or not ask_quantity:
            return None
        self._top_id = update_id
        self._top = {Side.BUY: bid, Side.SELL: ask}
        return TopSet(bid, bid_quantity, ask, ask_quantity)

    def _is_behind_top(self, level: Level) -> bool:
        side, price, _ = level
        top = self._top.get(side)
        return top is None or (price < top if side is Side.BUY else price > top)
