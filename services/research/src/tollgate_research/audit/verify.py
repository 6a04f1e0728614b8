"""``tollgate audit verify``: whether the books are what the tape makes them, and nobody has touched either."""

from nacl.signing import VerifyKey

from tollgate_research.audit.archive import Rebuilding, the_checkpoint
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.journal import check_journal
from tollgate_research.audit.reading import Connection, opened
from tollgate_research.audit.seals import LastSeal, check_seals


async def verify(dsn: str, keys: dict[str, VerifyKey], last_seal: LastSeal | None) -> Audit:
    """Look at everything at one moment and return what was found; raises ``NoBooks``.

    Memory does not grow with the books; time does: the archive is stepped from its first record.
    """
    async with opened(dsn) as connection:
        return await verify_view(connection, keys, last_seal)


async def verify_view(connection: Connection, keys: dict[str, VerifyKey], last_seal: LastSeal | None) -> Audit:
    """Do the same on a connection whose transaction sees one state of the books."""
    audit = Audit()
    checkpoint = await the_checkpoint(connection, audit)
    if checkpoint is None:
        return audit
    audit.desk = await desk_of(connection) or checkpoint["desk"] or ""
    if (checkpoint["desk"] or "") != audit.desk:
        what = f"desk is {checkpoint['desk']}, the archive's is {audit.desk}"
        audit.note(Part.CHECKPOINT, "checkpoint", "", what)
    rebuilding = Rebuilding(connection, audit, checkpoint)
    await rebuilding.run()
    totals = await check_journal(connection, audit)
    if not {Part.ARCHIVE, Part.BOOKS} & audit.found.keys():
        rebuilding.compare_balances(totals)
    await check_seals(connection, audit, audit.desk, keys, last_seal)
    return audit


async def desk_of(connection: Connection) -> str:
    """Return the desk of the first record; empty where nothing is archived."""
    subject = await connection.fetchval("SELECT subject FROM ledger.archive ORDER BY tape_sequence LIMIT 1")
    return str(subject).split(".")[1] if subject and subject.count(".") else ""
