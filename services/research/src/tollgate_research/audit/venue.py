"""``tollgate audit venue``: what the venue states, beside what the books hold.

The statement is the newest ``account`` message of the archive, so it says of each currency what the ledger itself has
compared. The books are those up to that message. A balance that was stated before the newest money booked in its
currency moved cannot agree and is not judged: the next statement is seconds away.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tollgate_contracts.codec import decode
from tollgate_contracts.config import Config
from tollgate_contracts.ledger import Drift
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Account
from tollgate_contracts.subjects import writer_prefix
from tollgate_ledger.core.journal import held
from tollgate_research.audit.reading import Connection

_NEWEST = """
SELECT tape_sequence, body FROM ledger.archive WHERE subject = $1 AND tape_sequence <= $2
ORDER BY tape_sequence DESC LIMIT 1
"""
_ALL = "SELECT body FROM ledger.archive WHERE subject = $1 ORDER BY tape_sequence"
_ASSETS = """
SELECT currency, coalesce(sum(amount) FILTER (WHERE tape_sequence <= $1), 0) AS amount, max(ts_us) AS moved_us
FROM ledger.postings JOIN ledger.entries ON entries.id = postings.entry_id
WHERE account LIKE 'asset:%' GROUP BY currency
"""
_LAST = 2**63 - 1


class Verdict(StrEnum):
    """What the comparison of one currency says."""

    AGREES = "agrees"
    DUST = "dust"
    """They differ by no more than the ledger is told to allow for."""
    MOVING = "moving"
    """Money was booked after the statement was made; the next one will tell."""
    DIFFERS = "differs"


class NoStatement(Exception):
    """There is nothing to compare with yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """One currency."""

    currency: str
    books: Decimal
    venue: Decimal
    dust: Decimal
    verdict: Verdict
    drifting: bool
    """Whether the ledger has said on the tape that it drifts, and not that this has ended."""

    @property
    def difference(self) -> Decimal:
        """What the venue holds more than the books say."""
        return self.venue - self.books


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole account at one statement."""

    venue: str
    account: str
    sequence: int
    stated_us: int
    lines: tuple[Line, ...]

    @property
    def agrees(self) -> bool:
        """Say whether nothing differs and nothing is said to drift."""
        return all(line.verdict is not Verdict.DIFFERS and not line.drifting for line in self.lines)

    def values(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values, with stable keys."""
        names = ("books", "venue", "difference", "dust")
        return {
            "agrees": self.agrees,
            "venue": self.venue,
            "account": self.account,
            "sequence": self.sequence,
            "stated_us": self.stated_us,
            "currencies": {
                line.currency: {
                    **{name: plain(getattr(line, name)) for name in names},
                    "verdict": str(line.verdict),
                    "drifting": line.drifting,
                }
                for line in self.lines
            },
        }


async def compare(connection: Connection) -> Comparison:
    """Compare the books with the venue's newest statement; raises ``NoStatement``."""
    desk = await connection.fetchval("SELECT desk FROM ledger.checkpoint") or ""
    row = await connection.fetchrow(_NEWEST, f"{writer_prefix(desk, 'execution')}.account", _LAST)
    if row is None:
        raise NoStatement("the venue's account is not in the archive yet")
    stated = decode(row["body"])
    if not isinstance(stated, Account):
        raise NoStatement(f"record {row['tape_sequence']} is no account message")
    dust = await _dust(connection, desk, row["tape_sequence"])
    drifting = await _drifting(connection, desk)
    assets = {each["currency"]: each for each in await connection.fetch(_ASSETS, row["tape_sequence"])}
    venue, lines = held(stated), []
    for currency in sorted({*assets, *venue}):
        asset = assets.get(currency)
        books, theirs = asset["amount"] if asset else ZERO, venue.get(currency, ZERO)
        allowed = dust.get(currency, ZERO)
        is_moving = asset is not None and asset["moved_us"] >= stated.venue_ts_us
        verdict = _judge(theirs - books, allowed, is_moving=is_moving)
        lines.append(Line(currency, books, theirs, allowed, verdict, currency in drifting))
    return Comparison(stated.venue, stated.account, row["tape_sequence"], stated.venue_ts_us, tuple(lines))


def _judge(difference: Decimal, dust: Decimal, *, is_moving: bool) -> Verdict:
    if difference == ZERO:
        return Verdict.AGREES
    if abs(difference) <= dust:
        return Verdict.DUST
    return Verdict.MOVING if is_moving else Verdict.DIFFERS


async def _dust(connection: Connection, desk: str, sequence: int) -> dict[str, Decimal]:
    """Return by currency what the ledger's configuration in force at ``sequence`` allows for."""
    row = await connection.fetchrow(_NEWEST, f"{writer_prefix(desk, 'ledger')}.config", sequence)
    config = decode(row["body"]) if row else None
    if not isinstance(config, Config):
        return {}
    return {currency: Decimal(amount) for currency, amount in json.loads(config.text).get("dust", {}).items()}


async def _drifting(connection: Connection, desk: str) -> set[str]:
    """Return the currencies of which the ledger's last word is that they drift."""
    found: dict[str, bool] = {}
    for row in await connection.fetch(_ALL, f"{writer_prefix(desk, 'ledger')}.drift"):
        message = decode(row["body"])
        if isinstance(message, Drift):
            found[message.currency] = message.difference != ZERO
    return {currency for currency, is_open in found.items() if is_open}
