"""Batches what the runner has applied into commits, one at a time, and remembers what is durable.

Records and their entries wait here until there are ``FLUSH_RECORDS`` of them or the oldest has waited
``FLUSH_AFTER_S``. When the database falls behind, the queue fills up and the reader of the tape waits.

The archive moves with every commit; the core's state, which is larger, only every ``STATE_EVERY`` records or
``STATE_AFTER_S``. After a restart the records between the two are stepped again: they and the entries that follow
from them must be exactly those that are archived and booked, or the ledger halts.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable

from tollgate_chassis.exits import Halt, ProcessEnd
from tollgate_chassis.runner import Runner
from tollgate_chassis.snapshots import Snapshot, tell_saved
from tollgate_chassis.tape import Record, TapeWentBackwards
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import ledger as metrics
from tollgate_ledger.chain import continued
from tollgate_ledger.core import JournalEntry
from tollgate_ledger.core.rows import Row
from tollgate_ledger.gauges import tell_booked
from tollgate_ledger.seal import SEAL_INTERVAL_S
from tollgate_ledger.sealing import Sealer
from tollgate_ledger.store import Batch, BooksContradicted, CommitInDoubt, Store

FLUSH_RECORDS = 200
FLUSH_AFTER_S = 0.05
# Some megabytes; a database that is ten batches behind is not catching up by itself.
QUEUE_MAX = 2_000
# A snapshot carries up to half a megabyte of remembered ids, so it is not written with every commit.
STATE_EVERY = 5_000
STATE_AFTER_S = 5.0
# Entries that are read at once while records are stepped again: enough to hide the trip, few enough to stay in memory.
REPLAYED_ENTRIES = 500
_US_PER_S = 1_000_000


class Recorder:
    """The ledger's snapshot store and the queue in front of its database."""

    def __init__(self, store: Store, sealer: Sealer | None = None, seal_interval_s: int = SEAL_INTERVAL_S) -> None:
        """Without ``sealer`` the books are not sealed, as where they are kept only to be compared."""
        self._store = store
        self._sealer = sealer
        self._seal_interval_s = seal_interval_s
        self._sealed_at: float | None = None
        self._runner: Runner
        self.durable = 0
        """The last sequence known to be committed."""
        self._replay_until = 0
        self._replay_chain = b""
        self._replay_end = b""
        self._booked: deque[JournalEntry] = deque()
        """A page of the entries that are booked behind the state, from the next one on that must come again."""
        self._booked_until = 0
        """Number of the last entry of that page."""
        self._snapshot: Snapshot | None = None
        self._new_snapshot: Snapshot | None = None
        self._state_at = (0, 0.0)
        self._settled = 0
        self._records: list[Record] = []
        self._entries: list[JournalEntry] = []
        self._stepped: list[JournalEntry] = []
        self._rows: list[Row] = []
        self._noted: list[Row] = []
        self._in_flight: Batch | None = None
        self._oldest = 0.0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()

    async def open(self, runner: Runner) -> None:
        """Connect and find where to go on."""
        self._runner = runner
        checkpoint = await self._store.open()
        if self._sealer is not None:
            await self._store.check_kept(await asyncio.to_thread(self._sealer.kept))
        self._snapshot = checkpoint.snapshot
        place = checkpoint.place
        self._settled = checkpoint.snapshot.sequence if checkpoint.snapshot else 0
        self.durable = self._replay_until = place.archived
        self._replay_end = place.chain
        self._replay_chain = await self._store.chain_at(self._settled)
        self._booked_until = checkpoint.snapshot.state["core"]["entries"] if checkpoint.snapshot else 0
        self._state_at = (self._settled, time.monotonic())

    async def load(self) -> Snapshot | None:
        """Return the core's newest state; raises ``TapeWentBackwards`` when the archive reaches beyond the tape."""
        if self._runner.tip < self._replay_until:
            raise TapeWentBackwards(
                f"the tape ends at {self._runner.tip}, but the archive reaches to {self._replay_until}; "
                "restore the tape from the archive before starting again"
            )
        return self._snapshot

    async def save(self, snapshot: Snapshot) -> None:
        """Keep ``snapshot`` durably; it must be of a record that is committed."""
        await self._store.save_state(snapshot)
        tell_saved(snapshot, time.time_ns() // 1_000)

    @property
    def is_replaying(self) -> bool:
        """Whether the record in hand was archived before this process started."""
        return self._settled < self._replay_until

    @property
    def oldest_waits_s(self) -> float:
        """How long the oldest uncommitted record has waited; zero when there is none."""
        waiting = bool(self._records) or self._in_flight is not None
        return time.monotonic() - self._oldest if waiting else 0.0

    def book(self, entries: Iterable[JournalEntry]) -> None:
        """Take the entries of the record in hand; they are committed with it or after it."""
        self._stepped.extend(entries)

    def note(self, rows: Iterable[Row]) -> None:
        """Take the rows that follow from the record in hand; they are committed with it or after it."""
        self._noted.extend(rows)

    async def settle(self, record: Record, *, outputs_are_appended: bool) -> None:
        """Take a record that is applied; waits while the queue is full.

        Raises ``Halt`` for a record that does not follow the one before, or that is not the archived one.
        """
        if record.sequence != self._settled + 1:
            raise Halt(f"record {record.sequence} follows {self._settled}: the archive would have a hole")
        entries, self._stepped = self._stepped, []
        rows, self._noted = self._noted, []
        if self.is_replaying:
            # Its rows are in the database already.
            self._settled = record.sequence
            await self._check_replayed(record, entries)
            return
        self._settled = record.sequence
        if not self._records:
            self._oldest = time.monotonic()
        self._records.append(record)
        self._entries += entries
        self._rows += rows
        if outputs_are_appended and self._state_is_due():
            self._capture()
        self._some.set()
        if len(self._records) >= FLUSH_RECORDS:
            self._full.set()
        while len(self._records) >= QUEUE_MAX:
            self._room.clear()
            await self._room.wait()

    async def _check_replayed(self, record: Record, entries: list[JournalEntry]) -> None:
        self._replay_chain = continued(self._replay_chain, record)
        for entry in entries:
            booked = await self._next_booked()
            if booked != entry:
                raise BooksContradicted(f"record {record.sequence} was booked as {booked}, this code books {entry}")
            self._booked.popleft()
        if record.sequence == self._replay_until:
            if self._replay_chain != self._replay_end:
                raise BooksContradicted(f"the tape up to {record.sequence} is not the one that was archived")
            left = await self._next_booked()
            if left is not None:
                raise BooksContradicted(f"this code does not book entry {left.number} and what follows: {left}")

    async def _next_booked(self) -> JournalEntry | None:
        """Return the next entry that is booked already: a state may be far behind, or not be there at all."""
        if not self._booked:
            self._booked.extend(await self._store.entries_after(self._booked_until, REPLAYED_ENTRIES))
            if self._booked:
                self._booked_until = self._booked[-1].number
        return self._booked[0] if self._booked else None

    def _state_is_due(self) -> bool:
        sequence, moment = self._state_at
        return self._settled - sequence >= STATE_EVERY or time.monotonic() - moment >= STATE_AFTER_S

    def _capture(self) -> None:
        self._new_snapshot = self._runner.capture()
        self._state_at = (self._settled, time.monotonic())

    async def run(self) -> None:
        """Commit batch after batch until cancelled; raises ``ProcessEnd`` when the database cannot be trusted."""
        while True:
            await self._some.wait()
            await self._wait_for_a_batch()
            await self._flush()
            if self._sealed_at is None or time.monotonic() - self._sealed_at >= self._seal_interval_s:
                await self._seal()

    async def _wait_for_a_batch(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._oldest + FLUSH_AFTER_S - time.monotonic())):
                await self._full.wait()
        except TimeoutError:
            return

    async def _seal(self) -> None:
        self._sealed_at = time.monotonic()
        if self._sealer is not None:
            now_us = time.time_ns() // 1_000
            await self._store.seal(self._sealer, now_us)
            metrics.LEDGER_SEAL_TIME.set(now_us / _US_PER_S)

    async def _flush(self) -> None:
        batch = self._in_flight = self._in_flight or self._cut()
        began = time.perf_counter()
        try:
            await self._store.commit(batch)
        except CommitInDoubt as doubt:
            logger().warning("ledger.commit.in_doubt", outcome="unknown", detail=doubt.why)
            # The second call reads back what the first has left.
            await self._store.commit(batch)
        self._in_flight = None
        self.durable = batch.records[-1].sequence
        metrics.LEDGER_COMMIT_SECONDS.observe(time.perf_counter() - began)
        now_us = time.time_ns() // 1_000
        if batch.snapshot is not None:
            tell_saved(batch.snapshot, now_us)
        tell_booked(batch.records, now_us)
        metrics.LEDGER_LAG.set(self._settled - self.durable)

    def _cut(self) -> Batch:
        batch = Batch(tuple(self._records), tuple(self._entries), self._new_snapshot, tuple(self._rows))
        self._records, self._entries, self._rows, self._new_snapshot = [], [], [], None
        self._some.clear()
        self._full.clear()
        self._room.set()
        return batch

    async def close(self, *, outputs_are_appended: bool) -> None:
        """Commit what waits, with the newest state where it is whole; what fails is replayed on the next start."""
        if not hasattr(self, "_runner"):
            return
        try:
            if self._in_flight is not None:
                await self._flush()
            if self._records:
                await self._flush()
            is_whole = outputs_are_appended and self._runner.position == self._settled == self.durable
            if is_whole and self._settled > self._state_at[0]:
                await self.save(self._runner.capture())
            await self._seal()
        except ProcessEnd as end:
            logger().warning("ledger.commit.unfinished", outcome=end.code.name.lower(), detail=end.why)
        finally:
            await self._store.close()
