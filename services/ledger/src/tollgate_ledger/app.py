"""Wiring of the ledger: the tape in, the database behind, and the books told on the tape."""

import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import CallLog, OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens
from tollgate_chassis.runner import Runner
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.shell import Shell
from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import ledger as metrics
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Drift
from tollgate_ledger.api import add_books, build_router
from tollgate_ledger.core import Alarm, AlarmReason, JournalEntry, LedgerCore, Parameters
from tollgate_ledger.core.fee_check import FeeFinding
from tollgate_ledger.core.rows import Row, TradeCost
from tollgate_ledger.correcting import Corrector, add_corrections
from tollgate_ledger.gauges import BooksGauges, tell_cost, watch_database
from tollgate_ledger.reading import READER_DSN_FILE, BooksReader
from tollgate_ledger.recorder import Recorder
from tollgate_ledger.sealing import KEY_FILE, Sealer
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import Store

# Ten times what a batch waits and commits for; the database is slow or gone.
_UNCOMMITTED_S_MAX = 1.0
# What anybody may know of the books: that they are kept. What stands in them needs a token (`GET /v1/books`).
_OPEN = ("opened", "entries", "drifting", "alarms", "config_hash")


class LedgerShell(Shell):
    """Hands entries and records to the recorder and tells the ledger's configuration to the tape."""

    span_name = "ledger.book"
    wakes_on = frozenset({"fill"})

    def __init__(
        self,
        settings: LedgerSettings,
        core: LedgerCore,
        recorder: Recorder,
        reading: BooksReader | None = None,
        trail: OperatorTrail | None = None,
    ) -> None:
        """Without ``reading`` and ``trail`` nobody asks and no operator has a word: the books alone are kept."""
        self._settings = settings
        self._core = core
        self._recorder = recorder
        self._reading = reading
        self._trail = trail
        self._runner: Runner
        # Outputs that recovery has regenerated and not met on the tape yet.
        self._owed: set[str] = set()
        self._gauges = BooksGauges()
        self.corrector = Corrector(core, reading, self._active)

    async def start(self, runner: Runner) -> None:
        """Connect the database; the runner loads the core's state from it next."""
        self._runner = runner
        if self._trail is not None:
            self._trail.attach(runner)
        for finding in FeeFinding:
            # From zero, so that the first one is seen to come.
            metrics.LEDGER_FEE_FINDINGS.labels(finding.value)
        await self._recorder.open(runner)

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what commits, what puts operators' calls on the tape, and what looks after the database."""
        trail = () if self._trail is None else (self._trail.run(),)
        reading = () if self._reading is None else (watch_database(self._reading),)
        return self._recorder.run(), *trail, *reading

    def finish(self, output: Message) -> Message:
        """Note what is about to be said; nothing is changed."""
        if not self._runner.live.is_set():
            self._owed.add(output.id)
        elif isinstance(output, Drift):
            logger().warning(
                "reconcile.mismatch",
                outcome="ended" if output.difference == 0 else "drift",
                currency=output.currency,
                books=output.books,
                venue=output.venue,
                cycle_id=output.cycle_id,
            )
        return output

    async def carry_out(
        self,
        record: Record,  # noqa: ARG002 - an entry names its own record
        message: Message,
        step: Step,
        live: bool,
    ) -> None:
        """Pass entries on to the recorder, and alarms to whoever is on duty."""
        self._recorder.book(effect for effect in step.effects if isinstance(effect, JournalEntry))
        self._recorder.note(effect for effect in step.effects if isinstance(effect, Row))
        if self._recorder.is_replaying:
            return
        for effect in step.effects:
            if isinstance(effect, Alarm):
                logger().error(
                    "ledger.alarm",
                    outcome=effect.reason.value,
                    sequence=effect.tape_sequence,
                    message_id=effect.message_id,
                    detail=effect.detail,
                    cycle_id=message.cycle_id,
                )
            elif isinstance(effect, TradeCost):
                tell_cost(effect)
        if live and step.effects:
            self._show_alarms()

    def _show_alarms(self) -> None:
        # All that the books ever raised, by every reason and from when they are caught up: so an alarm shows that was
        # raised while catching up, and where the metric is there, a ledger is active.
        for reason in AlarmReason:
            metrics.LEDGER_ALARMS.labels(reason.value).set(self._core.alarms[reason.value])

    async def settled(self, record: Record) -> None:
        """Archive the record."""
        self._owed.discard(record.message_id)
        if self._runner.live.is_set():
            self._gauges.refresh(self._core)
        await self._recorder.settle(record, outputs_are_appended=self._outputs_are_appended)
        metrics.LEDGER_LAG.set(self._runner.position - self._recorder.durable)

    @property
    def _outputs_are_appended(self) -> bool:
        """Whether every output up to the runner's position is on the tape, so that a state may be kept."""
        return self._runner.live.is_set() or not self._owed

    def _active(self) -> Runner | None:
        is_active = hasattr(self, "_runner") and self._runner.live.is_set()
        return self._runner if is_active else None

    async def went_live(self) -> None:
        """Tell the configuration to the tape when the one in force is another."""
        self._owed.clear()
        self._show_alarms()
        text = self._parameters().text()
        if config_hash(text) == self._core.config_hash:
            return
        runner = self._runner
        await runner.observe(
            Config(
                writer="ledger",
                # The tape's end numbers it: a configuration that comes back later is a new event.
                id=f"ledger:config:{runner.tip}.0",
                desk=self._settings.desk,
                run_id=self._settings.run_id,
                ts_us=time.time_ns() // 1_000,
                cause=None,
                cycle_id=runner.cycle_id,
                text=text,
                hash=config_hash(text),
            )
        )

    def _parameters(self) -> Parameters:
        settings = self._settings
        return Parameters(
            quote_currency=settings.quote_currency,
            symbols=settings.symbols,
            dust=settings.ledger.dust,
            books_interval_ms=settings.ledger.books_interval_ms,
            mark_stale_ms=settings.ledger.mark_stale_ms,
            costs=settings.costs,
        )

    async def stop(self) -> None:
        """Commit what waits and let go of the database."""
        if self._reading is not None:
            self._reading.close()
        started = hasattr(self, "_runner")
        await self._recorder.close(outputs_are_appended=started and self._outputs_are_appended)

    def status(self) -> dict[str, Any]:
        """Return whether the books are kept, and how far they are durable; nothing of what stands in them."""
        position = self._runner.position if hasattr(self, "_runner") else 0
        durable = self._recorder.durable
        said = self._core.status()
        kept = {name: said[name] for name in _OPEN}
        return {**kept, "archived": durable, "uncommitted": max(0, position - durable)}

    def books(self) -> dict[str, Any] | None:
        """Return what the books say now, the fields of ``BooksNow``; none unless this instance keeps them."""
        if self._active() is None:
            return None
        said = self._core.status()
        return {"as_of": self._core.sequence, **{name: said[name] for name in said if name not in _OPEN}}

    def not_ready(self) -> list[str]:
        """Return why the books cannot be relied on."""
        reasons = []
        if not self._core.config_hash:
            reasons.append("the ledger's configuration is not on the tape yet")
        elif not self._core.opened:
            reasons.append("the books are not open: they need a policy and a statement of the account that it names")
        waits_s = self._recorder.oldest_waits_s
        if waits_s > _UNCOMMITTED_S_MAX:
            reasons.append(f"the database has not taken what is {waits_s:.1f} s old")
        return reasons


def build(settings: LedgerSettings) -> Parts:
    """Build the service from its settings; raises ``BadConfiguration`` without databases, key or tokens."""
    if settings.postgres_dsn_file is None:
        raise BadConfiguration("postgres_dsn_file: the ledger needs the file with its database's DSN, got none")
    store = Store(_read_dsn(settings.postgres_dsn_file), settings.desk)
    sealer = Sealer.load(settings.secrets_dir / KEY_FILE, settings.state_dir)
    recorder = Recorder(store, sealer, settings.ledger.seal_interval_s)
    core = LedgerCore()
    reading = BooksReader(_read_dsn(settings.secrets_dir / READER_DSN_FILE, "the reader's DSN"))
    trail = OperatorTrail("ledger", settings.desk, settings.run_id, settings.state_dir)
    shell = LedgerShell(settings, core, recorder, reading, trail)
    # The recorder keeps the state together with the books, so the runner keeps none of its own.
    # And of two ledgers only one may write these books: the other waits, and loads them when its turn has come.
    return Parts(
        core=core,
        shell=shell,
        routers=_routers(settings, reading, shell, trail),
        snapshots=recorder,
        snapshot_every=None,
        follows_standing_by=False,
    )


def _routers(
    settings: LedgerSettings, reading: BooksReader, shell: LedgerShell, trail: OperatorTrail
) -> tuple[APIRouter, APIRouter]:
    # Nothing can be stopped or released here, so no such token is needed.
    tokens = OperatorTokens.open(settings.secrets_dir / TOKENS_FILE, time.time_ns() // 1_000, needs=())
    # Who only reads changes nothing, and would fill the tape with questions: that is logged. An operator's word on an
    # entry is on the tape with what came of it, also when it was refused.
    readers = build_router(reading, OperatorDoor(tokens, CallLog()), settings.desk)
    add_books(readers, shell.books)
    words = OperatorDoor(tokens, trail).router()
    add_corrections(words, settings, shell.corrector)
    return readers, words


def _read_dsn(path: Path, what: str = "postgres_dsn_file") -> str:
    try:
        dsn = path.read_text().strip()
    except OSError as error:
        raise BadConfiguration(f"{what} {path} cannot be read: {error.strerror}") from error
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise BadConfiguration(f"{what} {path}: expected a DSN that begins with postgresql://")
    return dsn


def main() -> None:
    """Run the ledger."""
    run_service("ledger", LedgerSettings, build)
