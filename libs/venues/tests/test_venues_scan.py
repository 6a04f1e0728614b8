"""Looking an order up in lists: found as it stands, absent by proof alone, and at a cost that does not grow."""

from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.strategy import Side
from tollgate_venues.adapter import OrderReference, VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure, FillEvidence, FillPage, OrderPage
from tollgate_venues.scan import MARGIN_US, PAGES_MAX, Scanner

PLACED_US = 1_000_000_000
OURS = OrderReference("tg-1", "ETH-USDT", None, PLACED_US)


def stands(status: ReportStatus, client_order_id: str = "tg-1", number: int = 1, at_us: int = PLACED_US) -> Evidence:
    return Evidence(client_order_id, ReportSource.QUERY, status, venue_order_id=f"v-{number}", venue_ts_us=at_us)


def fill(client_order_id: str, number: int, at_us: int) -> FillEvidence:
    trade = VenueTrade(
        trade_id=f"t-{number}",
        price=Decimal(3000),
        quantity=Decimal("0.5"),
        fee=Decimal(1),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=at_us,
    )
    return FillEvidence(client_order_id, "ETH-USDT", Side.BUY, trade)


@dataclass
class Lists:
    """A venue that has nothing but lists, in pages of ``rows``."""

    open: list[Evidence] = field(default_factory=list)
    recent: list[Evidence] = field(default_factory=list)
    fills: list[FillEvidence] = field(default_factory=list)
    rows: int = 2
    asked: list[str] = field(default_factory=list)
    failing: str = ""

    async def open_orders(self) -> list[Evidence]:
        self._ask("open")
        return self.open

    async def recent_orders(self, since_us: int) -> OrderPage:
        self._ask(f"recent {since_us}")
        rows = [each for each in self.recent if (each.venue_ts_us or 0) >= since_us]
        return OrderPage(tuple(rows[: self.rows]), len(rows) <= self.rows)

    async def fills_since(self, cursor: str) -> FillPage:
        self._ask(f"fills {cursor}")
        begin = int(cursor or 0)
        rows = self.fills[begin : begin + self.rows]
        return FillPage(tuple(rows), str(begin + len(rows)) if rows else cursor, len(rows) < self.rows)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.failing and what.startswith(self.failing):
            raise VenueUnavailable(f"{what} failed", Failure.RATE_LIMITED, 2_000_000)


async def test_an_open_order_is_found_in_the_first_list_and_no_other_is_asked() -> None:
    lists = Lists(open=[stands(ReportStatus.OPEN, "other", 7), stands(ReportStatus.OPEN)])
    assert await Scanner(lists).find(OURS) == stands(ReportStatus.OPEN)
    assert lists.asked == ["open"]


async def test_an_ended_order_is_found_among_the_recent_ones_from_before_it_was_placed() -> None:
    lists = Lists(recent=[stands(ReportStatus.CANCELLED)])
    assert await Scanner(lists).find(OURS) == stands(ReportStatus.CANCELLED)
    assert lists.asked == ["open", f"recent {PLACED_US - MARGIN_US}"]


async def test_the_recent_orders_are_read_page_by_page_to_their_end() -> None:
    others = [stands(ReportStatus.FILLED, f"other-{n}", n, PLACED_US + n) for n in range(2, 7)]
    lists = Lists(recent=[*others, stands(ReportStatus.FILLED, at_us=PLACED_US + 9)])
    assert (await Scanner(lists).find(OURS)).status is ReportStatus.FILLED
    assert len(lists.asked) > 3


async def test_what_only_the_fills_name_has_traded_and_no_more_is_said() -> None:
    busted = replace(fill("tg-1", 3, PLACED_US), trade=None, busts="t-9", venue_order_id="v-4")
    lists = Lists(fills=[fill("other", 1, PLACED_US), fill("tg-1", 2, PLACED_US), busted])
    found = await Scanner(lists).find(OURS)
    assert (found.source, found.status, found.venue_order_id) == (ReportSource.QUERY, ReportStatus.TRADED, "v-4")
    assert ([each.trade_id for each in found.trades], found.busted) == (["t-2"], ("t-9",))
    assert found.cumulative_quantity is None


async def test_absent_is_what_every_list_was_read_for_in_vain() -> None:
    lists = Lists(
        open=[stands(ReportStatus.OPEN, "other")],
        recent=[stands(ReportStatus.FILLED, f"other-{n}", n, PLACED_US + n) for n in range(5)],
        fills=[fill("other", n, PLACED_US) for n in range(5)],
    )
    found = await Scanner(lists).find(OURS)
    assert (found.status, found.failure, found.client_order_id) == (ReportStatus.ABSENT, None, "tg-1")
    assert [each.split()[0] for each in lists.asked].count("fills") == 3


@pytest.mark.parametrize("failing", ["open", "recent", "fills"])
async def test_a_list_that_failed_is_no_answer_and_says_how(failing: str) -> None:
    found = await Scanner(Lists(failing=failing)).find(OURS)
    assert (found.status, found.failure) == (ReportStatus.NO_ANSWER, Failure.RATE_LIMITED)
    assert found.retry_after_us == 2_000_000


async def test_a_list_that_cannot_be_read_on_proves_nothing() -> None:
    """More orders of one microsecond than a page has: asking again from then would bring the same page for ever."""
    same = [stands(ReportStatus.FILLED, f"other-{n}", n, PLACED_US - MARGIN_US) for n in range(5)]
    found = await Scanner(Lists(recent=same)).find(OURS)
    assert (found.status, found.failure) == (ReportStatus.NO_ANSWER, Failure.NO_ANSWER)
    assert "recent orders is not complete" in found.detail


async def test_two_orders_of_one_id_are_not_taken_for_one() -> None:
    found = await Scanner(Lists(open=[stands(ReportStatus.OPEN), stands(ReportStatus.OPEN, number=2)])).find(OURS)
    assert found.status is ReportStatus.NO_ANSWER
    assert "v-1, v-2" in found.detail


async def test_an_id_is_compared_as_the_venue_keeps_it() -> None:
    lists = Lists(open=[stands(ReportStatus.OPEN, "tg-a")])
    scanner = Scanner(lists, lambda venues, ours: venues == ours.lower())
    assert (await scanner.find(replace(OURS, client_order_id="tg-A"))).status is ReportStatus.OPEN
    assert (await Scanner(lists).find(replace(OURS, client_order_id="tg-A"))).status is ReportStatus.ABSENT


async def test_a_long_history_is_passed_once_and_not_read_again() -> None:
    """One look-up reads so many pages and no more; the next goes on there, and a later one begins near its order."""
    lists = Lists(fills=[fill("other", n, n + 1) for n in range(4 * PAGES_MAX + 1)])
    scanner = Scanner(lists)
    outcomes = [(await scanner.find(OURS)).status for _ in range(3)]
    assert outcomes == [ReportStatus.NO_ANSWER, ReportStatus.NO_ANSWER, ReportStatus.ABSENT]
    lists.asked.clear()
    assert (await scanner.find(OURS)).status is ReportStatus.ABSENT
    assert len([each for each in lists.asked if each.startswith("fills")]) == 1
    lists.asked.clear()
    await scanner.find(replace(OURS, placed_us=MARGIN_US + 10))
    assert next(each for each in lists.asked if each.startswith("fills")) == "fills 8"
