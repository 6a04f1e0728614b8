"""``tollgate audit venue``: what the venue states, beside what the books hold.

The statement is the newest ``account`` message of the archive, so it says of each currency what the ledger itself has
compared. The books are those up to that message. The two came to the tape by different ways: where money moved at the
venue after it made the statement and was booked before, or the other way round, a difference is not judged, and the
next statement is seconds away. A statement that is old says nothing of now, and that is said, too.
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
from tollgate_research.books import Connection

_NEWEST = """
SELECT tape_sequence, stored_us, body FROM ledger.archive WHERE subject = $1 AND tape_sequence <= $2
ORDER BY tape_sequence DESC LIMIT 1
"""
_ALL = "SELECT body FROM ledger.archive WHERE subject = $1 ORDER BY tape_sequence"
_NEWEST_US = "SELECT stored_us FROM ledger.archive ORDER BY tape_sequence DESC LIMIT 1"
_ASSETS = """
SELECT currency, sum(amount) AS amount
FROM ledger.postings JOIN ledger.entries ON entries.id = postings.entry_id
WHERE account LIKE 'asset:%' AND tape_sequence <= $1 GROUP BY currency
"""
# When something moved is the venue's time, and never later than ours, as in the ledger's own comparison
# (`tollgate_ledger.core.drift`): $1 is the statement's sequence, $2 the venue's time of it.
_MOVING = """
WITH near AS (
    SELECT entries.id, tape_sequence, least(entries.ts_us,
        CASE kind WHEN 'fill' THEN ledger.readable(body) -> 'trade' ->> 'venue_ts_us'
                  WHEN 'movement' THEN ledger.readable(body) ->> 'venue_ts_us' END::bigint) AS moved_us
    FROM ledger.entries JOIN ledger.archive USING (tape_sequence)
    WHERE kind IN ('fill', 'bust', 'movement') AND (tape_sequence > $1 OR entries.ts_us >= $2)
)
SELECT DISTINCT currency FROM near JOIN ledger.postings ON entry_id = near.id
WHERE account LIKE 'asset:%' AND CASE WHEN tape_sequence <= $1 THEN moved_us >= $2 ELSE moved_us <= $2 END
"""
# The first words of the books are those of their opening, also where they were opened with nothing.
_IS_OPEN = "SELECT EXISTS (SELECT FROM ledger.equity)"
# Execution states the account every five seconds; risk lets nothing be opened on a statement that is a minute old.
STATEMENT_WITHIN_S = 60
_S_US = 1_000_000
_LAST = 2**63 - 1


class Verdict(StrEnum):
    """What the comparison of one currency says."""

    AGREES = "agrees"
    DUST = "dust"
    """They differ by no more than the ledger is told to allow for."""
    MOVING = "moving"
    """They differ, and money moved at about the moment of the statement; the next one will tell."""
    DIFFERS = "differs"


class Outcome(StrEnum):
    """What the comparison as a whole says."""

    AGREES = "agrees"
    DIFFERS = "differs"
    """In some currency, or the ledger has said that one drifts."""
    NOT_JUDGED = "not_judged"
    """Nothing differs that could be judged, and something could not, or the statement is old."""


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
    behind_us: int
    """How long the tape went on without another statement."""
    lines: tuple[Line, ...]

    @property
    def is_old(self) -> bool:
        """Say whether the tape went on for long without another statement."""
        return self.behind_us > STATEMENT_WITHIN_S * _S_US

    @property
    def outcome(self) -> Outcome:
        """Return what is to be thought of all of it."""
        if any(line.verdict is Verdict.DIFFERS or line.drifting for line in self.lines):
            return Outcome.DIFFERS
        if self.is_old or any(line.verdict is Verdict.MOVING for line in self.lines):
            return Outcome.NOT_JUDGED
        return Outcome.AGREES

    def values(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values, with stable keys."""
        names = ("books", "venue", "difference", "dust")
        return {
            "outcome": str(self.outcome),
            "venue": self.venue,
            "account": self.account,
            "sequence": self.sequence,
            "stated_us": self.stated_us,
            "behind_us": self.behind_us,
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
    if not await connection.fetchval(_IS_OPEN):
        raise NoStatement("the books are not open yet")
    dust = await _dust(connection, desk, row["tape_sequence"])
    drifting = await _drifting(connection, desk)
    sequence = row["tape_sequence"]
    assets = {each["currency"]: each["amount"] for each in await connection.fetch(_ASSETS, sequence)}
    moving = {each["currency"] for each in await connection.fetch(_MOVING, sequence, stated.venue_ts_us)}
    venue, lines = held(stated), []
    for currency in sorted({*assets, *venue}):
        books, theirs = assets.get(currency, ZERO), venue.get(currency, ZERO)
        allowed = dust.get(currency, ZERO)
        verdict = _judge(theirs - books, allowed, is_moving=currency in moving)
        lines.append(Line(currency, books, theirs, allowed, verdict, currency in drifting))
    behind_us = await connection.fetchval(_NEWEST_US) - row["stored_us"]
    return Comparison(stated.venue, stated.account, sequence, stated.venue_ts_us, behind_us, tuple(lines))


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
