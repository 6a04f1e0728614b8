"""Books as the ledger writes them, from a tape of the real cores: what the proofs are tried on.

Everything that is booked at all is in them: buys and sells, fees, a trade that is taken back, money that came and went,
round trips, days that ended, and seals.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from synthetic_tape import SYMBOLS, SyntheticDesk

from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.tape import MemoryTape, Record
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.reconciliation import Movement, MovementType
from tollgate_ledger.core import JournalEntry, Parameters
from tollgate_ledger.core.rows import Row
from tollgate_ledger.seal import Seal
from tollgate_ledger.sealing import Sealer
from tollgate_ledger.store import Batch, Store
from tollgate_research.audit.stepping import Stepping

SEED = bytes(range(1, 33))
BATCH = 20
_DAY_MS = 86_400_000


def audited_tape(trips: int = 6) -> list[Record]:
    """Return a tape on which that many round trips were traded, over three days, with headers on its records."""
    desk = SyntheticDesk()
    parameters = Parameters(quote_currency="USDT", symbols=SYMBOLS, dust={"USDT": Decimal("0.5")})
    desk.config("ledger", parameters.model_dump(mode="json"))
    desk.open()
    for number in range(trips):
        desk.buy("101" if number % 2 == 0 else "102.3")
        desk.wait(1_000)
        desk.quote("100", milliseconds=5_000)
        desk.wait(1_000)
        if number == trips // 3:
            money(desk, MovementType.DEPOSIT, "250.25", "in-1")
        if number == trips // 2:
            money(desk, MovementType.FEE, "-1.5", "fee-1")
            take_back_the_last_trade(desk)
        if number % 2:
            desk.wait(_DAY_MS // 2)
            for symbol in SYMBOLS:
                desk.instrument(symbol)
            desk.quote("100", "BTC-USDT", "ETH-USDT", milliseconds=60_000)
    desk.wait(_DAY_MS)
    desk.wait(1_000)
    return [_with_header(record) for record in desk.records]


def money(desk: SyntheticDesk, kind: MovementType, amount: str, name: str) -> None:
    """Let money come or go without an order."""
    place = {"venue": "simulated", "account": "main", "movement_id": name, "symbol": None, "venue_ts_us": desk.now_us}
    desk.say(Movement, "execution", movement=kind, currency="USDT", amount=Decimal(amount), **place)


def take_back_the_last_trade(desk: SyntheticDesk) -> None:
    """Let the venue take back the newest fill, as execution says it."""
    cause, fill = len(desk.records), next(each for each in reversed(desk.messages) if isinstance(each, Fill))
    fields = fill.model_dump(exclude={"kind", "version", "id", "cause", "trade", "ts_us"})
    desk.append(Bust(id=f"execution:{cause}:9", cause=cause, trade=fill.trade, ts_us=desk.now_us, **fields))


def _with_header(record: Record) -> Record:
    headers = {"traceparent": f"00-{record.sequence:032x}-{record.sequence:016x}-01"}
    return Record(record.sequence, record.subject, record.message_id, record.data, headers, record.stored_us)


class Bookkeeper:
    """Steps the ledger's core over a tape and keeps what follows, as the service does."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.store = Store(dsn, "main")
        self.sealer = Sealer(SEED, directory)
        self._stepping = Stepping("main")

    async def keep(self, records: Sequence[Record], seal_every: int = 2) -> None:
        """Commit everything in batches, with a state each time and a seal every so many."""
        await self.store.open()
        for number, start in enumerate(range(0, len(records), BATCH), start=1):
            batch = records[start : start + BATCH]
            effects = [effect for record in batch for effect in self._stepping.step(record)]
            entries = tuple(effect for effect in effects if isinstance(effect, JournalEntry))
            rows = tuple(effect for effect in effects if isinstance(effect, Row))
            # The state is older than the archive's end, as it is in a ledger that runs.
            snapshot = (
                Snapshot(batch[-1].sequence, batch[-1].message_id, self._stepping.state()) if number % 2 else None
            )
            await self.store.commit(Batch(batch, entries, snapshot, rows))
            if number % seal_every == 0:
                await self.store.seal(self.sealer, batch[-1].stored_us)
        # One on the stop, as the ledger makes.
        await self.store.seal(self.sealer, records[-1].stored_us)
        await self.store.close()


def memory_tape(records: Sequence[Record]) -> MemoryTape:
    """Return the tape as the broker has it."""
    tape = MemoryTape()
    for record in records:
        tape.insert(record.subject, record.data, record.message_id, record.headers, record.stored_us)
    return tape


def signed(seal: Seal) -> bytes:
    """Return the signature that the ledger would give to ``seal``."""
    return Sealer(SEED, Path()).sign(seal)
