"""``tollgate audit verify``: whether the books are what the tape makes them, and nobody has touched either."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from nacl.signing import VerifyKey

from tollgate_chassis.exits import ProcessEnd
from tollgate_research.audit.archive import Rebuilding, the_checkpoint
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.journal import check_journal
from tollgate_research.audit.reading import ARCHIVE, Moment, the_moment
from tollgate_research.audit.schema import check_schema
from tollgate_research.audit.seals import SEALED_WITHIN_S, LastSeal, check_seals
from tollgate_research.audit.tape import Tape, TapeBeside
from tollgate_research.books import Connection, connected
from tollgate_research.record import NotRunning
from tollgate_research.record import connected as running

_DESK = "SELECT subject FROM ledger.archive ORDER BY tape_sequence LIMIT 1"
# Without these nothing says which entries must be there, so the stored journal is looked at by itself.
_NEED_THE_JOURNAL = {Part.ARCHIVE, Part.BOOKS}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the books are held against, and lies outside their database."""

    keys: dict[str, VerifyKey]
    """Of the seals, by key id."""
    last_seal: LastSeal | None
    """Read before the audit begins, or it may be of a seal that came after the ends."""
    tape: Tape | str
    """The broker's, or why it is not looked at; empty where it is not to be."""
    sealed_within_s: int = SEALED_WITHIN_S
    """How old the newest record may be at most when a seal comes."""


async def verify(dsn: str, evidence: Evidence) -> Audit:
    """Look at everything up to the ends of this moment and return what was found; raises ``NoBooks``.

    Memory does not grow with the books; time does: the archive is stepped from its first record.
    """
    async with connected(dsn) as connection:
        return await verify_view(connection, evidence)


async def verify_beside(dsn: str, evidence: Evidence, state_dir: Path | None) -> Audit:
    """Do the same beside the tape of the platform in ``state_dir``, if one is named and it runs."""
    if state_dir is None:
        return await verify(dsn, evidence)
    async with AsyncExitStack() as stack:
        try:
            _, tape = await stack.enter_async_context(running(state_dir))
        except NotRunning as error:
            return await verify(dsn, replace(evidence, tape=str(error)))
        return await verify(dsn, replace(evidence, tape=tape))


async def verify_view(connection: Connection, evidence: Evidence) -> Audit:
    """Do the same on a connection."""
    audit = Audit()
    moment = await the_moment(connection)
    await check_schema(connection, audit)
    checkpoint = the_checkpoint(moment.checkpoints, audit)
    if checkpoint is None:
        audit.not_proved.append("anything that rests on the checkpoint")
        return audit
    audit.desk = await desk_of(connection) or checkpoint["desk"] or ""
    if (checkpoint["desk"] or "") != audit.desk:
        what = f"desk is {checkpoint['desk']}, the archive's is {audit.desk}"
        audit.note(Part.CHECKPOINT, "checkpoint", "", what)
    beside = await _beside(evidence.tape, moment, audit)
    await Rebuilding(connection, moment, audit, beside).run()
    if _NEED_THE_JOURNAL & audit.found.keys():
        await check_journal(connection, moment, audit)
    await check_seals(connection, moment, audit, evidence.keys, evidence.last_seal, evidence.sealed_within_s)
    return audit


async def _beside(tape: Tape | str, moment: Moment, audit: Audit) -> TapeBeside | None:
    """Return the tape to look at, whose end is asked for after the archive's, so that it lies behind it."""
    if isinstance(tape, str):
        if tape and moment.ends[ARCHIVE.name]:
            audit.not_proved.append(f"that the archive is what lies on the tape: {tape}")
        return None
    try:
        return TapeBeside(tape, await tape.bounds(), audit)
    except ProcessEnd as end:
        audit.not_proved.append(f"that the archive is what lies on the tape: {end.why}")
        return None


async def desk_of(connection: Connection) -> str:
    """Return the desk of the first record; empty where nothing is archived."""
    subject = await connection.fetchval(_DESK)
    return str(subject).split(".")[1] if subject and subject.count(".") else ""
