"""The one loop of every service: read the tape, step the core, append what follows.

Recovery is the same loop. From the snapshot on, the core regenerates what it wrote before the crash; what is on
the tape already is compared byte for byte and ticked off, and what is missing at the tape's end is appended then.
"""

import asyncio
import base64
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from tollgate_chassis.clock import SYSTEM_CLOCK
from tollgate_chassis.clock import Clock as ShellClock
from tollgate_chassis.cycles import Cycles
from tollgate_chassis.exits import Halt
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import HighWaterMark, Snapshot, SnapshotStore, tell_saved
from tollgate_chassis.standby import Standby
from tollgate_chassis.tape import (
    LostRace,
    NotActive,
    Record,
    Superseded,
    Tape,
    TapeLostItsHead,
    TapeWentBackwards,
)
from tollgate_chassis.tape.reading import Duplicate, Reading, Refused
from tollgate_chassis.tape.writer import Writer
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import tape as metrics
from tollgate_chassis.telemetry.tracing import Tracing, exemplar
from tollgate_contracts.codec import DeadLetter, encode
from tollgate_contracts.core import Core, Step
from tollgate_contracts.envelope import Message, Service
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.subjects import dead_letter_subject
from tollgate_contracts.tenure import Tenure

# Between snapshots at most this many messages are replayed on starting again: well under a second of stepping.
SNAPSHOT_EVERY = 2_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Which service this is, on which desk, in which start of the platform."""

    service: Service
    desk: str
    run_id: str


class ClockAhead(Halt):
    """This process has written a time to come: its host's clock and the broker's are not the same."""


class OutputDiffers(Halt):
    """A regenerated output is not the one on the tape: the code or its configuration is not the same."""


class Runner:
    """Runs one core over one tape."""

    def __init__(
        self,
        identity: Identity,
        core: Core,
        shell: Shell,
        tape: Tape,
        snapshots: SnapshotStore,
        mark: HighWaterMark,
        tracing: Tracing,
        *,
        snapshot_every: int | None = SNAPSHOT_EVERY,
        standby: Standby | None = None,
        clock: ShellClock = SYSTEM_CLOCK,
    ) -> None:
        """Without ``standby`` there can be no other instance, as on a tape in memory."""
        self.identity = identity
        self.position = 0
        """The last sequence that was applied."""
        self.live = asyncio.Event()
        self.cycles = Cycles(clock)
        self.progress_us = 0
        """Monotonic microseconds of the last proof that the reader is at or moving towards the tape's tip."""
        self._core = core
        self._shell = shell
        self._tape = tape
        self._writer = Writer(tape, identity.desk, identity.service)
        self._snapshots = snapshots
        self._mark = mark
        self.tracing = tracing
        self._snapshot_every = snapshot_every
        self._snapshot_task: asyncio.Task[None] | None = None
        self._snapshot_at = 0
        self._last_message_id = ""
        self._reading = Reading(identity.desk)
        self._missing: dict[str, Message] = {}
        self._standby = standby
        self._clock = clock
        self._caught_up_at = 0
        self._claim_at = 0
        self._stopping = asyncio.Event()

    @property
    def cycle_id(self) -> int:
        """The newest cycle of the tape's clock."""
        return self.cycles.id

    @property
    def tip(self) -> int:
        """The last sequence known to be on the tape."""
        return max(self._tape.tip, self.position)

    @property
    def standby(self) -> str | None:
        """The instance that is active while this one stands by; none when this one is active, or still recovers."""
        return None if self._standby is None or self.live.is_set() else self._standby.active

    @property
    def tenure(self) -> int:
        """Tape sequence from which this instance is the active one; 0 before, and where there can be no other.

        Of two instances the later one has the greater tenure.
        """
        return self._standby.tenure if self._standby else 0

    def vouches(self, monotonic_us: int) -> bool:
        """Say whether what this process does now without an append is done by the active instance.

        It is not while it stands by, nor after a pause, until the tape has said that nobody took its place meanwhile.
        """
        return self.live.is_set() and (self._standby is None or self._standby.vouches(monotonic_us))

    def take_over(self) -> None:
        """Become the active instance, whoever is it now; ``live`` tells when the tape has agreed."""
        if self._standby is not None and not self.live.is_set():
            self._standby.insist()

    async def prove(self) -> None:
        """Ask the tape whether this is still the active instance; raises ``LostRace`` when it is not."""
        if self.live.is_set():
            await self._writer.check()

    def stop(self) -> None:
        """Ask ``run`` to return after the batch in hand."""
        self._stopping.set()

    async def observe(self, message: Message) -> int:
        """Append an outside event of this service; it takes effect when the core reads it back.

        Raises ``NotActive`` while this instance is not live: whatever is to be said belongs to the one that is.
        """
        if not self.live.is_set():
            raise NotActive(f"{message.id}: {self.standby or 'nobody'} is active, and this instance is not")
        return await self._append(message, self.tracing.headers())

    def capture(self) -> Snapshot:
        """Return the state as of ``position``; call it only where the outputs up to there are appended."""
        state = {"core": self._core.snapshot(), "reading": self._reading.snapshot(), "cycle_id": self.cycle_id}
        return Snapshot(self.position, self._last_message_id, state)

    async def run(self) -> None:
        """Recover, go live, and follow the tape until ``stop``; raises ``ProcessEnd`` when it must end."""
        started = time.monotonic()
        await self._restore()
        await self._writer.open()
        self._caught_up_at = self._claim_at = (await self._tape.bounds()).last
        if self._standby is not None:
            await self._look(self._standby)
        try:
            await self._follow(started)
        finally:
            if self._snapshot_task:
                await asyncio.wait({self._snapshot_task})
        if self._snapshot_every and self._is_whole and self.position:
            await self._snapshots.save(self.capture())

    async def _follow(self, started: float) -> None:
        await self._go_live_in_turn(started)
        async with aclosing(self._tape.follow(self.position + 1, self._shell.wakes_on)) as reading:
            async for batch in reading:
                for record in batch:
                    began = time.perf_counter()
                    await self._apply(record)
                    self.cycles.work(time.perf_counter() - began)
                await self._go_live_in_turn(started)
                self._after_batch()
                if self._stopping.is_set():
                    return

    @property
    def _is_whole(self) -> bool:
        """Whether every output up to the position is on the tape, so that a snapshot may be taken there."""
        return self.live.is_set() or (self.standby is not None and not self._missing)

    async def _look(self, standby: Standby) -> None:
        # After the tape's end was noted: who has a tenure up to there was listening before, and is found; who takes
        # one from now on is read.
        await standby.look()
        if not standby.follows and not standby.is_our_turn:
            raise LostRace(f"{standby.active or 'another instance'} has become active while this one was starting")

    async def _restore(self) -> None:
        bounds = await self._tape.bounds()
        snapshot = await self._snapshots.load()
        read_before = max(self._mark.read(), snapshot.sequence if snapshot else 0)
        if read_before > bounds.last:
            raise TapeWentBackwards(
                f"the tape ends at {bounds.last}, but this service has read up to {read_before}; "
                "restore the tape from the ledger's archive before starting again"
            )
        if (snapshot.sequence if snapshot else 0) + 1 < bounds.first:
            raise TapeLostItsHead(f"the tape begins at {bounds.first}; restore it from the ledger's archive")
        if snapshot is None:
            return
        at_snapshot = await self._tape.read(snapshot.sequence, 1)
        if at_snapshot[0].message_id != snapshot.message_id:
            raise TapeWentBackwards(
                f"record {snapshot.sequence} is {at_snapshot[0].message_id}, but was {snapshot.message_id} "
                "when the snapshot was taken: this is another tape"
            )
        self._core.restore(snapshot.state["core"])
        self._reading.restore(snapshot.state["reading"])
        self.cycles.id = snapshot.state["cycle_id"]
        self.position, self._last_message_id = snapshot.sequence, snapshot.message_id
        self._snapshot_at = snapshot.sequence

    async def _go_live_in_turn(self, started: float) -> None:
        """Go live once what was there at the start is applied, and no other instance is active."""
        if self.live.is_set() or self.position < self._claim_at:
            return
        if self._standby is not None:
            if not self._standby.is_our_turn or not await self._claim(self._standby):
                return
            started = max(started, self._standby.turned_at)
        await self._go_live(started)

    async def _claim(self, standby: Standby) -> bool:
        """Put our tenure behind the service's last word that we have read; say whether the tape took it.

        When it did, nobody has written under our name what we have not read, and nobody else ever will.
        """
        try:
            await standby.claim(lambda tenure: self._append(tenure, {}), self._writer.last, self.cycle_id)
        except LostRace as lost:
            if not standby.follows:
                raise
            logger().info("standby.lost_race", outcome=lost.why)
            await standby.lost()
            # What the one before us wrote last lies before this; once it is read, nobody but a rival can be first.
            self._claim_at = (await self._tape.bounds()).last
            return False
        logger().info("standby.active", outcome="tenure", instance=standby.instance, sequence=standby.tenure)
        return True

    async def _go_live(self, started: float) -> None:
        for message in list(self._missing.values()):
            await self._append(message, {})
        self._missing.clear()
        self.live.set()
        metrics.LIVE.set(1)
        metrics.RECOVERY_SECONDS.set(time.monotonic() - started)
        logger().info("tape.live", position=self.position, latency_ms=round((time.monotonic() - started) * 1_000))
        await self._shell.went_live()

    async def _apply(self, record: Record) -> None:
        self.position, self._last_message_id = record.sequence, record.message_id
        if not self.live.is_set():
            self._writer.note(record)
        message = await self._read(record)
        if message is not None:
            await self._step(record, message)
        await self._shell.settled(record)

    async def _step(self, record: Record, message: Message) -> None:
        if isinstance(message, Clock):
            self.cycles.begin(message, live=self.live.is_set())
        if isinstance(message, Tenure) and message.writer == self.identity.service:
            self._note_tenure(record, message)
        if message.writer == self.identity.service and message.cause is not None and not self.live.is_set():
            self._tick_off(record)
        began = time.perf_counter()
        step = self._core.step(record.sequence, message)
        metrics.STEP_SECONDS.observe(time.perf_counter() - began)
        metrics.TAPE_MESSAGES.labels(message.kind).inc()
        if step.outputs or step.effects:
            with self.tracing.span(self._shell.span_name, record.headers, sequence=record.sequence):
                await self._carry_out(record, message, step)

    async def _carry_out(self, record: Record, message: Message, step: Step) -> None:
        live = self.live.is_set()
        if step.effects:
            await self._shell.carry_out(record, message, step, live)
        headers = self.tracing.headers()
        for output in step.outputs:
            finished = self._shell.finish(output)
            if live:
                await self._append(finished, headers)
            else:
                self._missing[finished.id] = finished

    def _note_tenure(self, record: Record, tenure: Tenure) -> None:
        standby = self._standby
        if standby is None or tenure.instance == standby.instance:
            return
        standby.note_tenure(tenure.instance, is_new=record.sequence > self._caught_up_at)
        if self.live.is_set() or (not standby.follows and record.sequence > self._caught_up_at):
            raise Superseded(f"{tenure.instance} is active from {record.sequence} on; this instance stands by")

    def _tick_off(self, record: Record) -> None:
        if self.standby is not None and record.message_id in self._missing:
            self._check_none_was_passed_over(record)
        regenerated = self._missing.pop(record.message_id, None)
        if regenerated is not None and encode(regenerated) != record.data:
            raise OutputDiffers(
                f"record {record.sequence} ({record.message_id}) differs from what this code writes for the same "
                f"cause: on the tape {record.data[:300]!r}, now {encode(regenerated)[:300]!r}"
            )

    def _check_none_was_passed_over(self, record: Record) -> None:
        # Outputs lie on the tape in the order of their causes. One that was passed over is never written any more,
        # and would be taken for a duplicate if we wrote it late.
        oldest = next(iter(self._missing))
        if oldest != record.message_id:
            raise OutputDiffers(f"record {record.sequence} is {record.message_id}; this code writes {oldest} before it")

    async def _append(self, message: Message, headers: Mapping[str, str]) -> int:
        began = time.perf_counter()
        sequence = await self._writer.append(message, headers)
        metrics.TAPE_APPEND_SECONDS.observe(time.perf_counter() - began, exemplar())
        metrics.TAPE_APPENDS.labels(message.kind).inc()
        return sequence

    async def _read(self, record: Record) -> Message | None:
        """Return the record's message, or none when it must not be applied."""
        found = self._reading.read(record)
        if isinstance(found, Message):
            return found
        if isinstance(found, Duplicate):
            metrics.DUPLICATES.labels("duplicate").inc()
            return None
        await self._bury(record, found)
        self._end_if_it_is_our_clock(found)
        return None

    def _end_if_it_is_our_clock(self, refused: Refused) -> None:
        # Nobody applies what we write, and we would go on as if they did.
        ours = (self.identity.service, self.identity.run_id)
        message = refused.misdated
        if message is not None and self.live.is_set() and (message.writer, message.run_id) == ours:
            raise ClockAhead(f"{message.id}: {refused.detail}, or the broker's, before starting again")

    async def _bury(self, record: Record, refused: Refused) -> None:
        reason, detail = refused.reason, refused.detail
        logger().error("tape.dead_letter", sequence=record.sequence, outcome=str(reason), detail=detail)
        metrics.DEAD_LETTERS.labels(str(reason)).inc()
        if reason == "conflicting_duplicate":
            metrics.DUPLICATES.labels(reason).inc()
        service = self.identity.service
        letter = DeadLetter(
            reader=service,
            sequence=record.sequence,
            subject=record.subject[:2_000],
            message_id=record.message_id[:2_000],
            reason=reason,
            detail=detail[:2_000],
            data_base64=base64.b64encode(record.data).decode(),
            ts_us=record.stored_us,
        )
        await self._tape.append_dead_letter(
            dead_letter_subject(self.identity.desk, service),
            letter.model_dump_json().encode(),
            f"{service}:{record.sequence}",
        )

    def _after_batch(self) -> None:
        self._mark.write(self.position)
        self.progress_us = self._clock.monotonic_us()
        metrics.TAPE_POSITION.set(self.position)
        metrics.TAPE_TIP.set(self.tip)
        metrics.TAPE_LAG.set(self.tip - self.position)
        taking = self._snapshot_task is not None and not self._snapshot_task.done()
        if not self._snapshot_every or taking or not self._is_whole:
            return
        if self.position - self._snapshot_at >= self._snapshot_every:
            self._snapshot_at = self.position
            self._snapshot_task = asyncio.create_task(self._save(self.capture()))

    async def _save(self, snapshot: Snapshot) -> None:
        await self._snapshots.save(snapshot)
        tell_saved(snapshot, self._clock.wall_us())
