"""The configurations that the ledger has taken, as the archive has them, and which model of costs each brought.

The archive also holds what the ledger has refused: a text that says nothing, another currency than that of the books.
"""

from dataclasses import dataclass

from tollgate_contracts.codec import UnreadableMessage, decode
from tollgate_contracts.config import Config
from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Books
from tollgate_contracts.subjects import writer_prefix
from tollgate_ledger.core.parameters import Parameters, parameters_of
from tollgate_research.books import Connection
from tollgate_research.report import statements


@dataclass(frozen=True, slots=True)
class Taken:
    """A configuration that the books were kept under."""

    tape_sequence: int
    hash: str
    parameters: Parameters


async def taken(connection: Connection, desk: str, from_sequence: int, until_sequence: int) -> list[Taken]:
    """Return what was in force between two tape sequences, in order, and the first after them.

    What was in force at the first is the newest before it; where there is none, the earliest of all.
    """
    found: list[Taken] = []
    currency = None
    subject = f"{writer_prefix(desk, 'ledger')}.config"
    async for row in connection.cursor(statements.SAID, subject, 0, None):
        config, sequence = _read(row["body"]), row["tape_sequence"]
        if not isinstance(config, Config):
            continue
        parameters = parameters_of(config)
        if isinstance(parameters, str):
            continue
        # The first that says anything gives the books their currency; no other can change it.
        currency = currency or parameters.quote_currency
        if parameters.quote_currency != currency:
            continue
        if sequence <= from_sequence:
            found.clear()
        found.append(Taken(sequence, config.hash, parameters))
        if sequence > until_sequence:
            break
    return found


async def first_books(connection: Connection, desk: str, config: Taken, until_sequence: int | None) -> Books | None:
    """Return the first that the ledger has said of the books under a configuration, before a tape sequence.

    What it had still to say under the one before comes after the new one on the tape, and names the old one's hash.
    """
    subject = f"{writer_prefix(desk, 'ledger')}.books"
    async for row in connection.cursor(statements.SAID, subject, config.tape_sequence, until_sequence):
        books = _read(row["body"])
        if isinstance(books, Books) and books.config_hash == config.hash:
            return books
    return None


def _read(body: bytes) -> Message | None:
    try:
        return decode(bytes(body))
    except UnreadableMessage:
        return None
