"""A database for each of the ledger's tests, and the messages that they put on the tape."""

import asyncio
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import asyncpg
import pytest

from tests.servers.postgres import Database, Postgres
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.snapshots import HighWaterMark
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import encode
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Liquidity, Order, OrderState, VenueTrade
from tollgate_contracts.marketdata import Clock, Quote, SymbolQuote
from tollgate_contracts.reconciliation import Account, Balance, Movement, MovementType
from tollgate_contracts.risk import Policy
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.app import LedgerShell
from tollgate_ledger.core import LedgerCore, Parameters
from tollgate_ledger.recorder import Recorder
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import Store

# What tests share beside fixtures lies in modules of this folder.
sys.path.insert(0, str(Path(__file__).parent))

PATIENCE_S = 20.0
SECOND_US = 1_000_000


class Speaker:
    """Builds valid messages; every argument that a test does not care for has a default."""

    symbols = ("BTC-USDT", "ETH-USDT")
    start_us = 1_700_000_000_000_000

    def config(
        self, *, writer: str = "ledger", text: str | None = None, hash_of: str | None = None, **changes
    ) -> Config:
        """Return a config message with default parameters but for ``changes``."""
        parameters = Parameters(**{"quote_currency": "USDT", "symbols": self.symbols, **changes})
        text = parameters.text() if text is None else text
        message_id = f"{writer}:config:1.{len(text)}"
        return Config(
            writer=writer, text=text, hash=config_hash(hash_of or text), **self._outside(message_id, self.start_us)
        )

    def policy(
        self, share: str = "0", *, venue: str = "simulated", account: str = "main", text: str | None = None
    ) -> Policy:
        """Return a policy, without which no books are opened; of its text only what the ledger reads of it."""
        terms = {"venue": venue, "account": account, "rules": {"cash": {"treasury_share_bps": share}}}
        text = canonical_json(terms) if text is None else text
        return Policy(text=text, hash=config_hash(text), **self._outside(f"risk:policy:{len(text)}", self.start_us))

    def account(self, *, ts_us: int | None = None, venue_ts_us: int | None = None, **balances: str) -> Account:
        """Return an account message with free balances by currency."""
        ts_us = self.start_us if ts_us is None else ts_us
        return Account(
            venue="simulated",
            account="main",
            balances=tuple(
                Balance(currency=currency, free=Decimal(amount), locked=Decimal(0))
                for currency, amount in balances.items()
            ),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=ts_us if venue_ts_us is None else venue_ts_us,
            **self._outside(f"execution:simulated:{ts_us}", ts_us),
        )

    def fill(
        self,
        side: str,
        quantity: Decimal | str,
        price: Decimal | str,
        fee: Decimal | str = "0",
        *,
        trade_id: str,
        symbol: str = "BTC-USDT",
        fee_currency: str = "USDT",
        fee_rate: Decimal | str | None = None,
        ts_us: int | None = None,
        venue_ts_us: int | None = None,
        cause: int | None = None,
    ) -> Fill:
        """Return a fill of one trade; on a tape ``cause`` must rise, as an execution's causes do."""
        ts_us = self.start_us if ts_us is None else ts_us
        cause = crc32(symbol.encode() + trade_id.encode()) + 1 if cause is None else cause
        return Fill(
            id=f"execution:{cause}:0",
            cause=cause,
            client_order_id="tg" + "0" * 30,
            symbol=symbol,
            side=Side(side),
            trade=VenueTrade(
                trade_id=trade_id,
                price=Decimal(price),
                quantity=Decimal(quantity),
                fee=Decimal(fee),
                fee_currency=fee_currency,
                liquidity=Liquidity.TAKER,
                venue_ts_us=ts_us if venue_ts_us is None else venue_ts_us,
            ),
            fee_rate=None if fee_rate is None else Decimal(fee_rate),
            fee_rate_source="" if fee_rate is None else "quote:1",
            config_hash="a" * 64,
            **self._envelope(ts_us),
        )

    def bust(self, fill: Fill, *, ts_us: int | None = None, **trade) -> Bust:
        """Return the bust of a fill; ``trade`` changes what it says of the trade."""
        cause = (fill.cause or 0) + 2**32
        return Bust(
            id=f"execution:{cause}:0",
            cause=cause,
            client_order_id=fill.client_order_id,
            symbol=fill.symbol,
            side=fill.side,
            trade=fill.trade.model_copy(update=trade),
            fee_rate=fill.fee_rate,
            fee_rate_source=fill.fee_rate_source,
            config_hash=fill.config_hash,
            **self._envelope(fill.ts_us if ts_us is None else ts_us),
        )

    def movement(
        self,
        amount: Decimal | str,
        movement: MovementType = MovementType.DEPOSIT,
        currency: str = "USDT",
        *,
        movement_id: str = "1",
        rate: Decimal | str | None = None,
        ts_us: int | None = None,
        venue_ts_us: int | None = None,
    ) -> Movement:
        """Return a movement a second after the opening."""
        ts_us = self.start_us + SECOND_US if ts_us is None else ts_us
        return Movement(
            venue="simulated",
            account="main",
            movement_id=movement_id,
            movement=movement,
            currency=currency,
            amount=Decimal(amount),
            symbol=None,
            venue_ts_us=ts_us if venue_ts_us is None else venue_ts_us,
            rate=None if rate is None else Decimal(rate),
            rate_source="" if rate is None else "quote:1",
            **self._outside(f"execution:simulated:movement:{movement_id}.{amount}", ts_us),
        )

    def stop(self, fill: Fill, protects: str) -> Order:
        """Return the state of a protective stop, whose trade ``fill`` is."""
        return Order(
            id=f"execution:{(fill.cause or 0) - 1}:0",
            cause=(fill.cause or 0) - 1,
            client_order_id=fill.client_order_id,
            attempt=1,
            protects=protects,
            venue_order_id=None,
            intent_id="strategy:1:0",
            symbol=fill.symbol,
            side=fill.side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            post_only=False,
            reduce_only=True,
            quantity=fill.trade.quantity,
            limit_price=fill.trade.price,
            trigger_price=fill.trade.price,
            from_state=OrderState.SUBMITTING,
            to_state=OrderState.ACKNOWLEDGED,
            cumulative_quantity=Decimal(0),
            cumulative_quote=Decimal(0),
            reason=None,
            detail="",
            config_hash=fill.config_hash,
            **self._envelope(fill.ts_us),
        )

    def quote(
        self, bid: str, ask: str, *, symbol: str = "BTC-USDT", number: int = 1, ts_us: int | None = None
    ) -> Quote:
        """Return a quote of one symbol."""
        ts_us = self.start_us if ts_us is None else ts_us
        line = SymbolQuote(
            symbol=symbol,
            bid=Decimal(bid),
            bid_quantity=Decimal(1),
            ask=Decimal(ask),
            ask_quantity=Decimal(1),
            venue_ts_us=ts_us,
            venue_sequence=number,
        )
        return Quote(quotes=(line,), **self._outside(f"marketdata:quote:1.{number}", ts_us))

    def clock(self, cycle_id: int, *, ts_us: int | None = None) -> Clock:
        """Return the clock's message of one cycle, a second apart by default."""
        ts_us = self.start_us + cycle_id * SECOND_US if ts_us is None else ts_us
        return Clock(**{**self._outside(f"marketdata:clock:1.{cycle_id}", ts_us), "cycle_id": cycle_id})

    def _outside(self, message_id: str, ts_us: int) -> dict:
        return {"id": message_id, "cause": None, **self._envelope(ts_us)}

    def _envelope(self, ts_us: int) -> dict:
        return {"desk": "main", "run_id": "r1", "ts_us": ts_us, "cycle_id": 0}


@pytest.fixture(scope="session")
def speak() -> Speaker:
    return Speaker()


@pytest.fixture(scope="session")
def put():
    """Return a function that puts messages on an in-memory tape, each under its own id and subject."""

    def put_on(tape: MemoryTape, *messages: Message) -> None:
        for message in messages:
            tape.insert(tape_subject(message), encode(message), message.id)

    return put_on


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    """Return a database of this test's own with the ledger's schema."""
    async with postgres.fresh("roles.sql", "ledger.sql") as database:
        # The copy has none of the rights on the database itself.
        await database.apply("roles.sql")
        yield database


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that may do anything, as a tamperer with the machine could."""
    connection = await database.connect("postgres")
    yield connection
    await connection.close()


class Ledger:
    """One process's worth of ledger; ``crash`` ends it as kill -9 does, without a word to anyone."""

    def __init__(self, tape, database, state_dir, sealer=None):
        self.core = LedgerCore()
        self.store = Store(database.dsn("tollgate_ledger"), "main")
        self.recorder = Recorder(self.store, sealer)
        self.shell = LedgerShell(LedgerSettings(run_id="r1"), self.core, self.recorder)
        self.mark = HighWaterMark(state_dir)
        self.ended = False
        self.tape = tape
        self.runner = Runner(
            Identity("ledger", "main", "r1"),
            self.core,
            self.shell,
            tape,
            self.recorder,
            self.mark,
            Tracing("ledger", "r1", None),
            snapshot_every=None,
        )
        self.tasks = []

    async def start(self):
        await self.shell.start(self.runner)
        self.tasks = [asyncio.create_task(self.runner.run()), *map(asyncio.create_task, self.shell.background())]
        return self

    async def until(self, reached):
        """Wait until ``reached()``, and raise what ended the ledger before that."""
        async with asyncio.timeout(PATIENCE_S):
            while not reached():
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.002)

    async def settle(self):
        """Wait until everything on the tape is applied, answered and durable."""
        await self.until(
            lambda: (
                self.runner.live.is_set()
                and self.core.config_hash != ""
                and self.runner.position == self.tape.tip == self.recorder.durable
            )
        )

    async def end(self):
        """Wait for the process to end by itself and return why."""
        async with asyncio.timeout(PATIENCE_S):
            done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        error = done.pop().exception()
        await self.crash()
        return error

    async def crash(self):
        if self.ended:
            return
        self.ended = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.store.close()
        self.mark.close()

    async def stop(self):
        self.ended = True
        self.runner.stop()
        await self.tasks[0]
        self.tasks[1].cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.shell.stop()
        self.mark.close()


@pytest.fixture
async def ledger(database, tmp_path):
    """Return a function that makes a ledger over a tape; each one is a new process on the same host."""
    made = []

    def make(tape, state_dir=tmp_path, sealer=None):
        made.append(Ledger(tape, database, state_dir, sealer))
        return made[-1]

    yield make
    for one in made:
        await one.crash()
