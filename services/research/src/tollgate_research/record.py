"""Read a running platform's tape with the read-only rights of the console, and copy it into a file."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_research.recording import writing

BATCH = 256
"""Records asked for at once."""
# Where `tollgate up` keeps the read-only user's key, below its state directory.
CONSOLE_SEED = Path("secrets/console/nats_seed")


class NotRunning(Exception):
    """No platform answers for this state directory."""


@asynccontextmanager
async def connected(state_dir: Path) -> AsyncIterator[tuple[str, NatsTape]]:
    """Open the tape of the platform in ``state_dir``, with its desk's name; raises ``NotRunning``."""
    place = state_dir / "platform.json"
    try:
        platform = json.loads(place.read_text())
        url = f"nats://{platform['host']}:{platform['ports']['nats']}"
        tape = await NatsTape.connect(url, state_dir / CONSOLE_SEED, platform["desk"], "console")
    except (OSError, ValueError, KeyError, TapeUnavailable) as error:
        raise NotRunning(f"no platform runs with {state_dir}: {error}") from error
    try:
        yield platform["desk"], tape
    finally:
        await tape.close()


async def record_run(state_dir: Path, file: Path) -> tuple[int, int]:
    """Write tape and market up to their present ends; return how many messages of each. Raises ``NotRunning``."""
    async with connected(state_dir) as (desk, tape):
        end = (await tape.bounds()).last
        with writing(file, desk) as writer:
            done = 0
            while done < end:
                records = await tape.read(done + 1, min(BATCH, end - done))
                writer.tape(records)
                done += len(records)
            messages, following = 0, 1
            while batch := await tape.read_market(following, BATCH):
                for record in batch:
                    writer.market(record.sequence, record.data)
                messages += len(batch)
                following = batch[-1].sequence + 1
        return done, messages
