"""A desk's history as the rows that the ledger would have written of it, with every sum known beside them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg

from tollgate_contracts.codec import encode
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.ledger import Books
from tollgate_contracts.money import ZERO, divide, round_to_places
from tollgate_ledger.core import Parameters

START_US = 1_780_272_000_000_000
"""2026-06-01, a day's first microsecond."""
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
SYMBOLS = {"BTC-USDT": Decimal(100_000), "ETH-USDT": Decimal(4_000), "SOL-USDT": Decimal(200)}
SIGNALS, REGIMES, TIERS = ("momentum", "breakout", "reversion"), ("calm", "trending", "volatile"), ("core", "satellite")
COST_MODEL = "c" * 64
POLICIES = ("a" * 64, "b" * 64)
CENT = Decimal("0.01")
FEE = Decimal("0.0004")
SLIPPAGE = Decimal("0.0001")


def cents(value: float | Decimal) -> Decimal:
    return round_to_places(Decimal(str(value)), 2)


@dataclass
class SyntheticBooks:
    """Trades one position after the other, at random but the same for the same seed; ``desk`` is ``main``."""

    seed: int = 7
    trips_a_day: float = 9.0
    trips: list[dict[str, Any]] = field(default_factory=list)
    trade_costs: list[dict[str, Any]] = field(default_factory=list)
    equity: list[dict[str, Any]] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    now_us: int = START_US
    sequence: int = 10
    cash: Decimal = Decimal(10_000)
    transfers: Decimal = ZERO
    funding: Decimal = ZERO
    charges: Decimal = ZERO
    other: Decimal = ZERO
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    slippage: Decimal = ZERO
    treasury: Decimal = ZERO
    held: Decimal = ZERO
    cost: Decimal = ZERO
    mark: Decimal = ZERO
    peak: Decimal = ZERO

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a history to be told again
        self.prices = dict(SYMBOLS)
        self._archive: list[dict[str, Any]] = []
        self.configure(1, COST_MODEL, START_US + 1)
        self._day = self._worth()
        self._point()

    def _worth(self) -> dict[str, Decimal]:
        """Return the sums that a day's row is the difference of."""
        unrealized = self.held * self.mark - self.cost
        return {
            "edge": self.realized + unrealized + self.slippage,
            "slippage": self.slippage,
            "fees": self.fees + self.charges,
            "funding": self.funding,
            "other": self.other,
            "transfers": self.transfers,
            "equity": self.cash + self.cost + unrealized,
        }

    def _point(self, sequence: int | None = None, ts_us: int | None = None) -> None:
        equity = self.cash + self.held * self.mark
        self.peak = max(self.peak, equity)
        self.equity.append(
            {
                "ts_us": self.now_us if ts_us is None else ts_us,
                "tape_sequence": self.sequence if sequence is None else sequence,
                "equity": equity,
                "cash": self.cash,
                "cost": self.cost,
                "unrealized": equity - self.cash - self.cost,
                "realized": self.realized,
                "fees": self.fees,
                "moved": self.transfers + self.funding - self.charges + self.other,
                "funding": self.funding,
                "peak": self.peak,
                "drawdown": self.peak - equity,
                "exposure": abs(self.held * self.mark),
                "treasury": self.treasury,
                "transfers": self.transfers,
                "charges": self.charges,
                "other": self.other,
            }
        )

    def _pass(self, us: int) -> None:
        """Let time go by, and close each day that ends meanwhile."""
        ends_us = (self.now_us // DAY_US + 1) * DAY_US
        self.now_us += us
        while self.now_us >= ends_us:
            if self.equity[-1]["tape_sequence"] < self.sequence + 1:
                self.sequence += 2
                self._point(self.sequence - 1, ends_us - 1)
            worth = self._worth()
            row = {name: worth[name] - self._day[name] for name in worth if name != "equity"}
            net = row["edge"] - row["slippage"] - row["fees"] + row["funding"] + row["other"]
            day = datetime.fromtimestamp(ends_us // 1_000_000 - 1, UTC).date()
            bounds = {"equity_first": self._day["equity"], "equity_last": worth["equity"]}
            self.days.append({"day": day, **row, "net": net, **bounds})
            self._day, ends_us = worth, ends_us + DAY_US

    def transfer(self, amount: int) -> "SyntheticBooks":
        self.sequence += 1
        self.cash, self.transfers = self.cash + amount, self.transfers + amount
        self._point()
        return self

    def move(self, *, charge: str = "0", dust: str = "0") -> "SyntheticBooks":
        self.sequence += 1
        self.charges, self.other = self.charges + Decimal(charge), self.other + Decimal(dust)
        self.cash += Decimal(dust) - Decimal(charge)
        self._point()
        return self

    def _trade(self, symbol: str, quantity: Decimal, why: dict[str, Any], trip: int) -> dict[str, Any]:
        """Trade a signed quantity at a price a little off the mid; return the row of its costs."""
        self.sequence += 3
        mid, maker = self.prices[symbol], self.random.random() < 0.35
        off = cents(mid * Decimal(str(round(self.random.gauss(-0.1 if maker else 0.5, 0.6) / 1_000, 6))))
        price = mid + (off if quantity > 0 else -off)
        fee = cents(abs(quantity) * price * FEE)
        self.cash -= quantity * price + fee
        self.fees, self.slippage = self.fees + fee, self.slippage + off * abs(quantity)
        self.mark = mid
        row = {
            "tape_sequence": self.sequence,
            "ts_us": self.now_us,
            "symbol": symbol,
            "trade_id": f"t{self.sequence}",
            "side": "BUY" if quantity > 0 else "SELL",
            "quantity": abs(quantity),
            "price": price,
            "reference_price": mid,
            "reference_source": f"quote:{self.sequence - 2}",
            "slippage": off * abs(quantity),
            "fee": fee,
            "fee_currency": "USDT",
            "fee_value": fee,
            "maker": maker,
            "client_order_id": f"tg{self.sequence:030x}",
            "trip": trip,
            "purpose": "ENTRY" if self.held == 0 else "EXIT",
            **why,
            "fee_expected": fee,
            "fee_finding": None,
            "slippage_expected": ZERO if maker else cents(abs(quantity) * mid * SLIPPAGE),
        }
        self.trade_costs.append(row)
        return row

    def trip(self, *, is_left_open: bool = False, **changes: Any) -> "SyntheticBooks":
        """Open a position, hold it, close it."""
        random, number = self.random, len(self.trips) + 1
        symbol = random.choice(list(self.prices))
        why = {
            "signal": random.choice(SIGNALS),
            "regime": random.choice(REGIMES),
            "tier": random.choice(TIERS),
            "strength": Decimal(random.randint(1, 400)) / 10,
            "confidence": Decimal(random.randint(1, 100)) / 100,
            "strategy": "momentum",
            "cycle_id": self.sequence,
            "config_hash": POLICIES[number % 40 > 20],
        }
        self._pass(int(random.expovariate(self.trips_a_day / DAY_US)))
        before, opened_us, slipped, charged = self.equity[-1]["equity"], self.now_us, self.slippage, self.fees
        quantity = divide(Decimal(1_500), self.prices[symbol], 4)
        entry = self._trade(symbol, quantity, why, number)
        self.held, self.cost = quantity, quantity * entry["price"]
        self._point()
        self._pass(int(random.lognormvariate(21.5, 1.7)))
        self.prices[symbol] = cents(self.prices[symbol] * Decimal(str(round(random.gauss(1.0018, 0.011), 6))))
        if is_left_open:
            self.mark = self.prices[symbol]
            self.sequence += 1
            self._point()
            return self
        paid = cents(random.gauss(0, 0.05)) if symbol == "SOL-USDT" else ZERO
        self.funding, self.cash = self.funding + paid, self.cash + paid
        leave = self._trade(symbol, -quantity, why, number)
        gross = quantity * (leave["price"] - entry["price"])
        self.realized += gross
        self.held = self.cost = ZERO
        slippage, fees = self.slippage - slipped, self.fees - charged
        if gross > fees:
            self.treasury += cents((gross - fees) / 10)
        self._point()
        row = {
            "number": number,
            "symbol": symbol,
            "venue": "simulated",
            "side": "BUY",
            "opened_us": opened_us,
            "closed_us": self.now_us,
            "opened_sequence": entry["tape_sequence"],
            "closed_sequence": leave["tape_sequence"],
            "entry_price": entry["price"],
            "exit_price": leave["price"],
            "quantity": quantity,
            "fills": 2,
            "gross": gross,
            "edge": gross + slippage,
            "slippage": slippage,
            "fees": fees,
            "funding": paid,
            "net": gross - fees + paid,
            "risked": Decimal(15) if random.random() < 0.8 else None,
            "trigger": random.choice(("signal", "signal", "stop", "protection")),
            **why,
            "equity_before": before,
            "equity_after": self.equity[-1]["equity"],
            "maker_share": Decimal("0.5"),
            "entry_order": entry["client_order_id"],
            "exit_order": leave["client_order_id"],
            "found_open": False,
        }
        self.trips.append({**row, **changes})
        return self

    def run(self, trips: int) -> "SyntheticBooks":
        for _ in range(trips):
            self.trip()
        return self

    def archive(self) -> list[dict[str, Any]]:
        """Return the messages that a report reads of the archive: configurations, and books under each."""
        return self._archive

    def configure(
        self, sequence: int, cost_model: str | None, ts_us: int, *, currency: str = "USDT", dust: int = 0
    ) -> str:
        """Let the ledger be configured and, if it names a cost model, say the books; return the configuration's hash.

        ``dust`` makes one configuration another than the next.
        """
        symbols = tuple(symbol.replace("USDT", currency) for symbol in SYMBOLS)
        text = Parameters(quote_currency=currency, symbols=symbols, dust={currency: Decimal(dust)}).text()
        config = Config(writer="ledger", text=text, hash=config_hash(text), **_envelope(sequence, "config", ts_us))
        self._archive.append(_archived(sequence, "config", encode(config)))
        if cost_model is not None:
            self.say_books(sequence + 1, cost_model, ts_us, config.hash)
        return config.hash

    def say_books(self, sequence: int, cost_model: str, ts_us: int, under: str) -> None:
        """Let the ledger say the books under the configuration of that hash."""
        amounts = ("equity", "realized", "unrealized", "fees", "funding", "treasury", "peak_equity", "drawdown")
        nothing: dict[str, Any] = dict.fromkeys(("cash", "positions", "fees_by_currency", "suspense"), ())
        sums: dict[str, Any] = dict.fromkeys(amounts, ZERO)
        hashes = {"cost_model": cost_model, "config_hash": under}
        books = Books(as_of=sequence, **nothing, **sums, **hashes, **_envelope(sequence, "books", ts_us))
        self._archive.append(_archived(sequence, "books", encode(books)))

    def say_nonsense(self, sequence: int) -> None:
        """Let a configuration be archived that nobody can read."""
        self._archive.append(_archived(sequence, "config", b'{"text": "no JSON'))

    async def store(self, superuser: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Put all rows into an empty database; no trigger and no reference is looked at."""
        await superuser.execute("SET session_replication_role = replica")
        for table in ("trips", "trade_costs", "equity", "days"):
            rows = getattr(self, table)
            await _copy(superuser, table, rows)
        await _copy(superuser, "archive", self.archive())
        await superuser.execute("UPDATE ledger.checkpoint SET desk = 'main', archived_sequence = $1", self.sequence)
        await superuser.execute("SET session_replication_role = origin")


def _envelope(sequence: int, kind: str, ts_us: int) -> dict[str, Any]:
    place = {"id": f"ledger:{kind}:{sequence}.0", "desk": "main", "run_id": "run-1"}
    return {**place, "ts_us": ts_us, "cause": None, "cycle_id": 1}


def _archived(sequence: int, kind: str, body: bytes) -> dict[str, Any]:
    return {
        "tape_sequence": sequence,
        "message_id": f"ledger:{kind}:{sequence}.0",
        "subject": f"tape.main.ledger.{kind}",
        "body": body,
        "headers": "{}",
        "stored_us": START_US,
        "chain_hash": bytes(32),
    }


async def _copy(superuser: "asyncpg.Connection[asyncpg.Record]", table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        records = [tuple(row.values()) for row in rows]
        await superuser.copy_records_to_table(table, schema_name="ledger", columns=list(rows[0]), records=records)
