"""One round of reconciliation: what the venue says of everything, read once, and put on the tape where it is news.

The law of this module: it reads and reports, and decides nothing. A call for orders or fills that fails ends the
round, because what was not read says nothing: an error is never "not found". One for money fails the round too, but
only after its orders are read and said: getting out of a position does not wait for a list of deposits. Fills are the
venue's own trades and are never inferred. A page of fills counts as read once the ``sync`` message that closes the
round is on the tape; until then it is read again.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.execution import OrderState, ReportSource, ReportStatus
from tollgate_contracts.reconciliation import SyncCause
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.sync import unexplained
from tollgate_execution.reports import Reporter, RoundRead, known_by
from tollgate_execution.sender import Sender
from tollgate_execution.settings import ForeignOrders, SyncSection
from tollgate_execution.statements import Statements
from tollgate_execution.store import Journal, JournalRow
from tollgate_venues.adapter import OrderReference, VenueAdapter, VenueUnavailable
from tollgate_venues.evidence import Evidence, FillEvidence

# Of the lists of fills and of movements at most so many pages are read in one round; the next one goes on from there.
PAGES_MAX = 100
# Orders asked about one by one in a round. A venue whose list of open orders is empty by mistake would otherwise have
# every one of them asked about, by a budget that others need.
ASKS_MAX = 100
# An open list can be this long on the tape; our own orders come first, and our own cap of them is far below.
LISTED_MAX = 1_000
# Longer than a call to the venue and its place in the queue may take.
_ANSWERED_S = 10.0
_READ_BACK_S = 10.0
# So many orders are compared before others get their turn.
_TURN = 64
_WORKING = frozenset({OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED})


class NotReadBack(Exception):
    """The tape's reader is so far behind that nothing can be said of what we hold; the round is made again."""


class Rounds:
    """Makes rounds, one after the other; whoever calls sees to that."""

    def __init__(
        self,
        section: SyncSection,
        core: ExecutionCore,
        runner: Runner,
        venue: VenueAdapter,
        journal: Journal,
        sender: Sender,
        reporter: Reporter,
        statements: Statements,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._section = section
        self._core = core
        self._runner = runner
        self._venue = venue
        self._journal = journal
        self._sender = sender
        self._reporter = reporter
        self._statements = statements
        self._clock = clock
        self._applied = asyncio.Event()
        self._waits = False
        self._orphans: tuple[str, ...] = ()
        self._tried: dict[str, None] = {}
        self._foreign: dict[str, None] = {}
        """Ids of the venue that the journal does not have: a row comes before its order, and never after it."""
        self._asked_us: dict[str, int] = {}
        self._said_us = 0
        self._said_open = 0
        self.found = 0
        """Differences that the core has said since this process is live."""

    def applied(self) -> None:
        """Note that the reader has moved on."""
        if self._waits:
            self._applied.set()

    def know_orphans(self, client_order_ids: Iterable[str]) -> None:
        """Take note of orders that the journal holds as not settled and the tape does not hold at all."""
        self._orphans = tuple(client_order_ids)

    async def make(self, cause: SyncCause) -> RoundRead:
        """Make one round and return what was read, and in ``unread`` what of the money was not.

        Raises ``VenueUnavailable`` for the first call for orders or fills that fails, and ``NotReadBack``.
        """
        with self._runner.tracing.begin("reconcile.sync", cause=cause.value.lower()):
            return await self._make(cause)

    async def _make(self, cause: SyncCause) -> RoundRead:
        began_us, began = self._clock.wall_us(), self._clock.monotonic_us()
        found = self.found
        await self._opened()
        await self._adopt(self._orphans)
        self._orphans = ()
        open_orders = await self._venue.open_orders()
        since_us = max(0, (self._core.agreement.began_us or began_us) - self._section.overlap_ms * 1_000)
        recent = await self._venue.recent_orders(since_us)
        fills_read, fill_cursor, whole = await self._read_fills()
        named = await self._take_orders([*open_orders, *recent.orders], began_us)
        # What has just been reported may have ended orders that would else be looked for.
        await self._read_back()
        unanswered = await self._ask_missing(cause, named, began_us)
        await self._read_back()
        if whole:
            self._sender.release_exits()
        movement_cursor, unread = await self._read_money()
        await self._read_back()
        left = unexplained(self._core.orders.active(), self._core.agreement)
        read = RoundRead(
            cause=cause,
            began_us=began_us,
            took_us=max(0, self._clock.monotonic_us() - began),
            open_order_ids=self._listed(open_orders),
            fill_cursor=fill_cursor,
            movement_cursor=movement_cursor,
            orders_read=len(open_orders) + len(recent.orders),
            fills_read=fills_read,
            differences=self.found - found,
            open_differences=left + unanswered + (not whole) + (unread is not None),
            unread=unread,
        )
        await self._say(read)
        return read

    async def _opened(self) -> None:
        """Wait for the account's first statement: what was over by then is its history, and no difference."""
        portfolio = self._core.portfolio
        if portfolio is not None and portfolio.opened:
            return
        await self._statements.state(only_news=True)
        await self._read_back()

    async def _say(self, read: RoundRead) -> None:
        agreement, now_us = self._core.agreement, self._clock.monotonic_us()
        is_news = (
            (read.fill_cursor, read.movement_cursor) != (agreement.fill_cursor, agreement.movement_cursor)
            or read.differences
            or read.open_differences != self._said_open
        )
        if self._said_us and not is_news and now_us - self._said_us < self._section.say_every_ms * 1_000:
            return
        await self._runner.observe(self._reporter.sync(read))
        self._said_us, self._said_open = now_us, read.open_differences
        await self._read_back()

    def _listed(self, open_orders: Sequence[Evidence]) -> tuple[str, ...]:
        known = [known_by(each.client_order_id, each.venue_order_id) for each in open_orders]
        ours = [each for each in known if self._core.orders.find(each) is not None]
        others = [each for each in known if self._core.orders.find(each) is None]
        return tuple([*ours, *others][:LISTED_MAX])

    async def _read_fills(self) -> tuple[int, str, bool]:
        """Read the list of fills to its end; returns how many there were, the cursor, and whether it was the end."""
        cursor, read = self._core.agreement.fill_cursor, 0
        if not self._venue.capabilities.has_fill_cursor:
            return 0, cursor, True
        for _ in range(PAGES_MAX):
            page = await self._venue.fills_since(cursor)
            await self._take_fills(page.fills)
            read += len(page.fills)
            ends = page.is_last or page.cursor == cursor
            cursor = page.cursor
            if ends:
                return read, cursor, True
        return read, cursor, False

    async def _take_fills(self, fills: Sequence[FillEvidence]) -> None:
        groups: dict[str, list[FillEvidence]] = {}
        for fill in fills:
            known = known_by(fill.client_order_id, fill.venue_order_id)
            if self._core.orders.find(known) is not None or not self._is_old(fill):
                groups.setdefault(known, []).append(fill)
        await self._adopt(groups, have_traded=True)
        for group in groups.values():
            await self._sender.observe(_traded(group))

    def _is_old(self, fill: FillEvidence) -> bool:
        """Say whether a fill of an order that is not held is booked already, or is in the opening balances."""
        if fill.trade is None:
            # What the first reading lists was taken back before we began; after it, nothing is told us in vain.
            return not self._core.agreement.fill_cursor
        portfolio = self._core.portfolio
        opened_us = portfolio.opened_us if portfolio is not None else 0
        booked = self._core.agreement.has_booked(fill.symbol, fill.trade.trade_id)
        return booked or fill.trade.venue_ts_us <= opened_us

    async def _read_money(self) -> tuple[str, VenueUnavailable | None]:
        """Read movements and the account; returns the cursor, and how that failed if it did."""
        try:
            movement_cursor = await self._read_movements()
            await self._statements.state(only_news=True)
        except VenueUnavailable as unread:
            return self._core.agreement.movement_cursor, unread
        return movement_cursor, None

    async def _read_movements(self) -> str:
        cursor = self._core.agreement.movement_cursor
        for _ in range(PAGES_MAX):
            page = await self._venue.movements_since(cursor)
            for evidence in page.movements:
                movement = self._reporter.movement(evidence, self._core.rate_of(evidence.currency))
                if self._core.is_news(movement):
                    await self._runner.observe(movement)
                    metrics.MOVEMENTS.labels(movement.movement.value).inc()
            ends = page.is_last or page.cursor == cursor
            cursor = page.cursor
            if ends:
                break
        return cursor

    async def _take_orders(self, orders: Sequence[Evidence], asked_us: int) -> frozenset[str]:
        """Report what is news of the orders that the venue lists, and return the ids that it names."""
        named = {known_by(each.client_order_id, each.venue_order_id): each for each in orders}
        ours = await self._adopt(named)
        for number, (known, evidence) in enumerate(named.items(), 1):
            if number % _TURN == 0:
                await self._clock.sleep(0)
            found = self._core.orders.find(known)
            if found is not None and _tells_nothing_new(*found, evidence):
                continue
            if found is None and known in ours and evidence.status is not ReportStatus.OPEN:
                # One of ours that is over and forgotten.
                continue
            await self._sender.observe(evidence, asked_us)
            if found is None and known not in ours and evidence.status is ReportStatus.OPEN:
                await self._remove_foreign(evidence, asked_us)
        return frozenset(named)

    async def _remove_foreign(self, evidence: Evidence, asked_us: int) -> None:
        if self._section.foreign_orders is not ForeignOrders.CANCEL:
            return
        # The venue's list names no symbol; where a venue wants one to cancel by its own id, its adapter knows it.
        reference = OrderReference(evidence.client_order_id, "", evidence.venue_order_id, asked_us)
        answer = await self._venue.cancel(reference)
        logger().warning(
            "reconciliation.foreign_order.cancelled",
            client_order_id=evidence.client_order_id[:64],
            outcome=answer.status.value.lower(),
        )

    async def _adopt(self, known: Iterable[str], *, have_traded: bool = False) -> frozenset[str]:
        """Take back orders of ours that the tape does not hold; returns all that are ours by the journal.

        One that has ended by the journal is taken back only where the venue lists a trade of it that is not booked.
        """
        core = self._core
        unheld = [each for each in known if core.orders.find(each) is None and each not in self._foreign]
        used = frozenset(each for each in unheld if core.is_used(each))
        asked = unheld if have_traded else [each for each in unheld if each not in used]
        if not asked:
            return used
        rows = await self._journal.find(asked)
        ours = used | {row.client_order_id for row in rows}
        self._foreign = _newest(self._foreign, (each for each in asked if each not in ours))
        wanted = [row for row in rows if self._is_wanted(row, have_traded=have_traded)]
        # One that the core does not take, for want of a key, is not offered to it again.
        self._tried = _newest(self._tried, (row.client_order_id for row in wanted if row.ended_as is None))
        for row in wanted:
            await self._runner.observe(self._reporter.adoption(row))
        if wanted:
            await self._read_back()
        return ours

    def _is_wanted(self, row: JournalRow, *, have_traded: bool) -> bool:
        if row.ended_as is not None:
            return have_traded
        # A stop that may be live is come upon by the order that it protects.
        return row.leg is Leg.ORDER and row.client_order_id not in self._tried

    async def _ask_missing(self, cause: SyncCause, named: Collection[str], began_us: int) -> int:
        """Ask by id after orders that should be in the lists and are not; returns how many are not answered."""
        everything = cause in {SyncCause.START, SyncCause.STREAM}
        missing = [
            record.placing.venue_id
            for record in self._core.orders.active()
            if record.placing.venue_id not in named
            and record.state is not OrderState.PLANNED
            and (everything or record.late or (record.state in _WORKING and record.since_us < began_us))
        ]
        missing.sort(key=lambda venue_id: self._asked_us.get(venue_id, 0))
        asked = missing[:ASKS_MAX]
        now_us = self._clock.monotonic_us()
        self._asked_us = {each: self._asked_us[each] for each in missing if each in self._asked_us}
        self._asked_us.update(dict.fromkeys(asked, now_us))
        answered = [asyncio.create_task(self._sender.ask_and_wait(venue_id)) for venue_id in asked]
        pending: set[asyncio.Task[None]] = set()
        try:
            if answered:
                _, pending = await asyncio.wait(answered, timeout=_ANSWERED_S)
        finally:
            for task in answered:
                task.cancel()
        return len(missing) - len(asked) + len(pending)

    async def _read_back(self) -> None:
        """Wait until what was written up to now is applied: outside events take effect when they are read back."""
        target = self._runner.tip
        self._waits = True
        try:
            async with asyncio.timeout(_READ_BACK_S):
                while self._runner.position < target:
                    self._applied.clear()
                    await self._applied.wait()
        except TimeoutError:
            raise NotReadBack(f"the reader is at {self._runner.position} of {target}") from None
        finally:
            self._waits = False


def _newest(known: Iterable[str], more: Iterable[str]) -> dict[str, None]:
    """Return the ids of both, in order, as many of the newest as are remembered."""
    return dict.fromkeys([*known, *more][-LISTED_MAX:])


def _tells_nothing_new(record: OrderRecord, attempt: int, evidence: Evidence) -> bool:
    """Say whether a listed order stands as we hold it; most of them do, and nothing is built for them."""
    stands = record.state is record.working_state() if evidence.status is ReportStatus.OPEN else record.is_gone
    if not stands or attempt != record.placing.attempt or record.busted:
        return False
    if evidence.status is not ReportStatus.OPEN and evidence.status.value != record.state.value:
        return False
    count = evidence.cumulative_quantity
    counts = count is not None and count + record.carried == record.said == record.booked
    known = {each.trade.trade_id: each.trade for each in record.trades}
    same = all(known.get(trade.trade_id) == trade for trade in evidence.trades)
    return counts and same and record.cancel is None and record.venue_order_id is not None


def _traded(fills: Sequence[FillEvidence]) -> Evidence:
    return Evidence(
        client_order_id=fills[0].client_order_id,
        source=ReportSource.FILLS,
        status=ReportStatus.TRADED,
        venue_order_id=fills[0].venue_order_id,
        trades=tuple(fill.trade for fill in fills if fill.trade is not None),
        busted=tuple(fill.busts for fill in fills if fill.busts is not None),
    )
