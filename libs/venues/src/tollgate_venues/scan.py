"""How an order is found by its client order id at a venue that looks up by its own ids alone.

The law of this module: open orders first, then orders that changed since it can have been placed, then fills; and
an order is absent only when every list was read to its end and none names it. What could not be read, or is named
twice, is no answer.
"""

from collections import deque
from collections.abc import Callable, Iterable
from operator import eq
from typing import Protocol

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_venues.adapter import OrderReference, VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure, FillEvidence, FillPage, OrderPage

# The venue's clock may be behind ours by as much as it would accept of a request, and lists may lag behind orders.
MARGIN_US = 5_000_000
# A list that goes on for longer is not read to its end in one look-up; the next one goes on from where it stopped.
PAGES_MAX = 20
# Where we have been in the list of fills: enough to begin again shortly before any order that is still open.
_MARKS_MAX = 256


class OrderLists(Protocol):
    """The lists of a venue that an order may be found in, as ``VenueAdapter`` has them."""

    async def open_orders(self) -> list[Evidence]:
        """Return every open order."""
        ...

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return orders that changed at or after ``since_us``, oldest first."""
        ...

    async def fills_since(self, cursor: str) -> FillPage:
        """Return fills after ``cursor``, oldest first."""
        ...


class _Incomplete(Exception):
    """A list was not read to its end, or names the order twice; the text says which."""


class Scanner:
    """Looks orders up in a venue's lists; remembers only where in the list of fills a search may begin."""

    def __init__(self, lists: OrderLists, is_same_id: Callable[[str, str], bool] = eq) -> None:
        self._lists = lists
        self._is_same_id = is_same_id
        self._marks: deque[tuple[int, str]] = deque(maxlen=_MARKS_MAX)

    async def find(self, reference: OrderReference) -> Evidence:
        """Return what the lists say of an order, source ``QUERY``: as it stands, ``ABSENT`` or ``NO_ANSWER``."""
        since_us = max(reference.placed_us - MARGIN_US, 0)
        try:
            found = (
                self._named(await self._lists.open_orders(), reference)
                or await self._among_recent(reference, since_us)
                or await self._among_fills(reference, since_us)
            )
        except VenueUnavailable as error:
            return _no_answer(reference, str(error), error.failure, error.retry_after_us)
        except _Incomplete as error:
            return _no_answer(reference, str(error), Failure.NO_ANSWER, None)
        absent = Evidence(
            reference.client_order_id, ReportSource.QUERY, ReportStatus.ABSENT, detail="in none of the venue's lists"
        )
        return found or absent

    def _named(self, orders: Iterable[Evidence], reference: OrderReference) -> Evidence | None:
        named = [each for each in orders if self._is_same_id(each.client_order_id, reference.client_order_id)]
        if len({each.venue_order_id for each in named}) > 1:
            orders_at_venue = ", ".join(sorted(str(each.venue_order_id) for each in named))
            raise _Incomplete(f"the venue has several orders of this id: {orders_at_venue}")
        return named[-1] if named else None

    async def _among_recent(self, reference: OrderReference, since_us: int) -> Evidence | None:
        for _ in range(PAGES_MAX):
            page = await self._lists.recent_orders(since_us)
            found = self._named(page.orders, reference)
            if found is not None or page.is_complete:
                return found
            newest_us = max((each.venue_ts_us or 0 for each in page.orders), default=0)
            if newest_us <= since_us:
                break
            since_us = newest_us
        raise _Incomplete("the venue's list of recent orders is not complete")

    async def _among_fills(self, reference: OrderReference, since_us: int) -> Evidence | None:
        cursor = next((mark for newest_us, mark in reversed(self._marks) if newest_us < since_us), "")
        ours: list[FillEvidence] = []
        for _ in range(PAGES_MAX):
            page = await self._lists.fills_since(cursor)
            ours += [each for each in page.fills if self._is_same_id(each.client_order_id, reference.client_order_id)]
            self._mark(page)
            if page.is_last:
                return _traded(reference, ours) if ours else None
            cursor = page.cursor
        raise _Incomplete("the venue's list of fills was not read to its end")

    def _mark(self, page: FillPage) -> None:
        newest_us = max((each.trade.venue_ts_us for each in page.fills if each.trade is not None), default=None)
        if newest_us is not None and (not self._marks or newest_us > self._marks[-1][0]):
            self._marks.append((newest_us, page.cursor))


def _traded(reference: OrderReference, fills: list[FillEvidence]) -> Evidence:
    """Return that an order has traded: the list of fills says nothing of how it stands."""
    return Evidence(
        reference.client_order_id,
        ReportSource.QUERY,
        ReportStatus.TRADED,
        venue_order_id=next((each.venue_order_id for each in fills if each.venue_order_id is not None), None),
        trades=tuple(each.trade for each in fills if each.trade is not None),
        busted=tuple(each.busts for each in fills if each.busts is not None),
        detail="found in the list of fills alone",
    )


def _no_answer(reference: OrderReference, detail: str, failure: Failure, retry_after_us: int | None) -> Evidence:
    return Evidence(
        reference.client_order_id,
        ReportSource.QUERY,
        ReportStatus.NO_ANSWER,
        reason=Reason.VENUE_UNKNOWN_OUTCOME,
        detail=detail[:500],
        failure=failure,
        retry_after_us=retry_after_us,
    )
