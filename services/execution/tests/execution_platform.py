"""Execution whole, but for the venue: its core, shell and journal on a tape in memory, a real broker and database."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import nats
from execution_operators import new_trail
from execution_samples import (
    POLICY_HASH,
    SECOND_US,
    SYMBOLS,
    TRUSTED,
    Desk,
    order_id,
    signed_approval,
    signed_permit,
)

from tollgate_chassis.broker import fast_stream_broker
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.service import _first_to_end
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.marketdata import Instrument, InstrumentStatus, Quote, SymbolQuote
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Balance
from tollgate_contracts.risk import KillLevel, KillSwitch, Policy
from tollgate_contracts.subjects import permit_subject, tape_subject
from tollgate_execution.core import ExecutionCore
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.permits import PermitHolder
from tollgate_execution.settings import ExecutionSettings, config_text
from tollgate_execution.shell import ExecutionShell
from tollgate_execution.store import Journal
from tollgate_execution.verification import Verifier
from tollgate_venues.adapter import Capabilities, OrderReference, UserStreamLost, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import (
    AccountEvidence,
    Evidence,
    FillEvidence,
    FillPage,
    MovementEvidence,
    MovementPage,
    OrderPage,
)

# Two test processes share two cores, and a real broker and database with them.
WAIT_S = 20.0
CAPABILITIES = Capabilities(
    looks_up_by_client_id=True,
    refuses_duplicate_ids=True,
    cancels_at_once=True,
    has_post_only=True,
    has_stops=True,
    has_fill_cursor=True,
    visibility_us=0,
    receive_window_us=2_000_000,
    client_id_length_max=64,
    client_id_pattern=r"[A-Za-z0-9_-]{1,64}",
)


class ScriptedVenue:
    """Stands where the network ends: says what the test has told it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.submitted: list[VenueOrder] = []
        self.cancelled: list[str] = []
        self.queried: list[str] = []
        self.answers: dict[str, Callable[[str], Evidence]] = {}
        self.before_answering: Callable[[], Any] | None = None
        self.open: list[Evidence] = []
        self.frames: asyncio.Queue[Evidence | UserStreamLost] = asyncio.Queue()
        self.streams = 0
        self.account_fails = 0
        self.recent: list[Evidence] = []
        self.fills: list[FillEvidence] = []
        self.movements: list[MovementEvidence] = []
        self.page_rows = 1_000
        self.balances: tuple[Balance, ...] = (Balance(currency="USDT", free=ZERO + 100_000, locked=ZERO),)
        self.failing: dict[str, VenueUnavailable] = {}
        """By the name of the call: raised until the test takes it away."""
        self.calls: list[str] = []
        """The lists that were read, in order."""
        self.capabilities = CAPABILITIES

    def _read(self, call: str) -> None:
        self.calls.append(call)
        if call in self.failing:
            raise self.failing[call]

    async def connect(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def submit(self, order: VenueOrder) -> Evidence:
        """Answer a submit."""
        self.submitted.append(order)
        if self.before_answering is not None:
            await self.before_answering()
        return self._say("submit", order.client_order_id, ReportSource.SUBMIT, ReportStatus.OPEN)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Answer a cancel."""
        client_order_id = reference.client_order_id
        self.cancelled.append(client_order_id)
        return self._say("cancel", client_order_id, ReportSource.CANCEL, ReportStatus.CANCELLED)

    async def query(self, reference: OrderReference) -> Evidence:
        """Answer a look-up."""
        client_order_id = reference.client_order_id
        self.queried.append(client_order_id)
        return self._say("query", client_order_id, ReportSource.QUERY, ReportStatus.NO_ANSWER)

    def _say(self, call: str, client_order_id: str, source: ReportSource, usual: ReportStatus) -> Evidence:
        answer = self.answers.get(call)
        if answer is not None:
            return answer(client_order_id)
        count = None if usual is ReportStatus.NO_ANSWER else ZERO
        return Evidence(client_order_id, source, usual, f"v-{client_order_id}", count)

    async def open_orders(self) -> list[Evidence]:
        """Return the open orders."""
        self._read("open_orders")
        return self.open

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return the orders that changed."""
        self._read("recent_orders")
        return OrderPage(tuple(self.recent), is_complete=True)

    async def fills_since(self, cursor: str) -> FillPage:
        """Return a page of fills; the cursor counts them."""
        self._read("fills")
        page = self.fills[int(cursor or 0) :][: self.page_rows]
        end = int(cursor or 0) + len(page)
        return FillPage(tuple(page), str(end) if page else cursor, is_last=end == len(self.fills))

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return a page of movements; the cursor counts them."""
        self._read("movements")
        page = self.movements[int(cursor or 0) :][: self.page_rows]
        end = int(cursor or 0) + len(page)
        return MovementPage(tuple(page), str(end) if page else cursor, is_last=end == len(self.movements))

    async def account(self) -> AccountEvidence:
        """State the account, once it has failed as often as the test wants."""
        if self.account_fails:
            self.account_fails -= 1
            raise VenueUnavailable("no answer")
        self._read("account")
        return AccountEvidence(self.balances, ZERO + 10, ZERO + 20, _now_us())

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield what the test puts into ``frames``."""
        self.streams += 1
        if listening is not None:
            listening.set()
        while True:
            frame = await self.frames.get()
            if isinstance(frame, UserStreamLost):
                raise frame
            yield frame


class Platform:
    """One desk's tape and venue; execution's process is started, killed and started again on it."""

    def __init__(self, database: Any, nats_url: str, directory: Path) -> None:
        self.database = database
        self.directory = directory
        self.settings = ExecutionSettings(nats_url=nats_url, state_dir=directory, run_id="test")
        self.tape = MemoryTape()
        self.venue = ScriptedVenue()
        self.helper = Desk(armed=False)
        self.permits_on = asyncio.Event()
        self.permit_epoch = 0
        self.permit_scope = "TRADE"
        self._numbers = iter(range(1, 1_000_000))
        self._permits: asyncio.Task[None] | None = None
        self._stopping = False
        self.process: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start risk's permits and execution's process, and wait until it is live."""
        if self._permits is None:
            self._permits = asyncio.create_task(self._renew_permits())
            self.permits_on.set()
        verifier = Verifier(TRUSTED)
        self.core = ExecutionCore(verifier.approval)
        self.door = KillDoor(self.directory)
        self.door.load()
        self.permit_holder = PermitHolder("main", verifier.permit)
        self.trail = new_trail(self.directory)
        self.shell = ExecutionShell(
            self.settings,
            self.core,
            config_text(self.settings, TRUSTED),
            partial(Journal.connect, self.database.dsn("tollgate_execution"), "main"),
            self.venue,  # type: ignore[arg-type]
            self.permit_holder,
            self.door,
            fast_stream_broker(self.settings, "execution"),
            self.trail,
        )
        self.mark = HighWaterMark(self.directory)
        self.runner = Runner(
            Identity("execution", "main", "test"),
            self.core,
            self.shell,
            self.tape,
            FileSnapshots(self.directory),
            self.mark,
            Tracing("execution", "test", None),
        )
        self.process = asyncio.create_task(self._live())
        await self.until(self.runner.live.is_set)
        await self.until(lambda: self.core.portfolio is not None and self.core.portfolio.opened)

    async def _live(self) -> None:
        await self.shell.start(self.runner)
        await _first_to_end(self.runner.run(), *self.shell.background())

    async def _renew_permits(self) -> None:
        client = await nats.connect(self.settings.nats_url)
        try:
            while not self._stopping:
                await self.permits_on.wait()
                terms = {"kill_epoch": self.permit_epoch, "scope": self.permit_scope}
                permit = signed_permit(next(self._numbers), _now_us(), **terms)
                await client.publish(permit_subject("main"), permit)
                await client.flush()
                await asyncio.sleep(0.05)
        finally:
            await client.close()

    async def has_permit(self) -> None:
        """Wait for a fresh permit of the epoch in force."""
        await self.until(lambda: self.shell.status()["permit"]["epoch"] == self.permit_epoch)

    async def kill_9(self) -> None:
        """End the process without letting it finish anything."""
        assert self.process is not None
        self.process.cancel()
        await asyncio.gather(self.process, return_exceptions=True)
        running = self.shell._running
        if running is not None:
            await running.lanes.finish(0)
            await running.journal.close()
        await self.shell._broker.stop()
        self.mark.close()
        self.process = None

    async def stop(self) -> None:
        """End everything."""
        if self.process is not None:
            await self.kill_9()
        if self._permits is not None:
            # Not by cancelling: a cancellation that meets the end of nats-py's flush is swallowed there.
            self._stopping = True
            self.permits_on.set()
            await self._permits

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until ``condition`` holds; what the process raised is raised here."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if self.process is not None and self.process.done():
                self.process.result()
            assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain; on the tape: {self.kinds()}"
            await asyncio.sleep(0.005)

    def write(self, message: Message) -> None:
        """Append a message of another service."""
        self.tape.insert(tape_subject(message), encode(message), message.id)

    def arm(self) -> None:
        """Put a policy in force."""
        envelope = {**self.helper.envelope(), "ts_us": _now_us()}
        self.write(Policy(id=f"risk:policy:{self.tape.tip}", text="{}", hash=POLICY_HASH, **envelope))
        self.quote()

    def quote(self, bid: str = "99", ask: str = "100", *symbols: str) -> None:
        """Quote the symbols, every one when none is named."""
        now_us = _now_us()
        sizes = {"bid_quantity": ZERO + 10, "ask_quantity": ZERO + 10}
        prices = {"bid": ZERO + Decimal(bid), "ask": ZERO + Decimal(ask)}
        quotes = tuple(
            SymbolQuote(symbol=symbol, venue_ts_us=now_us, venue_sequence=self.tape.tip, **prices, **sizes)
            for symbol in symbols or SYMBOLS
        )
        envelope = {**self.helper.envelope(), "ts_us": now_us}
        self.write(Quote(id=f"marketdata:simulated:quote-{self.tape.tip}", quotes=quotes, **envelope))

    def instrument(self, status: InstrumentStatus, symbol: str = "BTC-USDT") -> None:
        """State an instrument as the venue does."""
        now_us = _now_us()
        base, quote = symbol.split("-")
        self.write(
            Instrument(
                id=f"marketdata:simulated:instrument-{self.tape.tip}",
                venue="simulated",
                symbol=symbol,
                base=base,
                quote=quote,
                tick=Decimal("0.01"),
                step=Decimal("0.00001"),
                min_quantity=Decimal("0.00001"),
                min_notional=ZERO,
                status=status,
                valid_until_us=now_us + 3_600 * SECOND_US,
                margin=None,
                **{**self.helper.envelope(), "ts_us": now_us},
            )
        )

    def kill(self, epoch: int, *, engaged: bool, level: str = "HALT") -> None:
        """Engage or release the kill switch."""
        envelope = {**self.helper.envelope(), "ts_us": _now_us()}
        self.write(
            KillSwitch(
                level=KillLevel(level),
                id=f"risk:operator:{self.tape.tip}",
                engaged=engaged,
                epoch=epoch,
                actor="",
                reason="",
                **envelope,
            )
        )

    def approve(self, number: int = 1, **changes: Any) -> None:
        """Let risk approve an order now."""
        now_us = _now_us()
        times = {"issued_us": now_us, "expires_us": now_us + 5 * SECOND_US, "time_in_force": "GTC"}
        signed = signed_approval(number, **{**times, **changes})
        sequence = self.tape.tip
        self.write(self.helper.decision(signed, id=f"risk:{sequence}:0", cause=max(sequence, 1), ts_us=now_us))

    def messages(self) -> list[Message]:
        """Return what lies on the tape."""
        return [decode(record.data) for record in self.tape._records]

    def kinds(self) -> list[str]:
        """Return the kinds on the tape, in order."""
        return [message.kind for message in self.messages()]

    def state(self, number: int = 1) -> str | None:
        """Return the state of an order as the core holds it."""
        record = self.core.orders.get(order_id(number))
        return None if record is None else record.state.value

    async def rows(self) -> dict[str, Any]:
        """Return the journal by client order id."""
        root = await self.database.connect("postgres")
        rows = await root.fetch("SELECT * FROM execution.journal")
        await root.close()
        return {row["client_order_id"]: dict(row) for row in rows}


def _now_us() -> int:
    return time.time_ns() // 1_000
