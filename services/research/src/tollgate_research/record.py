"""Copy a running platform's tape into a file, with the read-only rights of the console."""

import json
from pathlib import Path

from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_research.recording import writing

_BATCH = 256
# Where `tollgate up` keeps the read-only user's key, below its state directory.
CONSOLE_SEED = Path("secrets/console/nats_seed")


class NotRunning(Exception):
    """No platform answers for this state directory."""


async def record_run(state_dir: Path, file: Path) -> tuple[int, int]:
    """Write tape and market up to their present ends; return how many messages of each. Raises ``NotRunning``."""
    place = state_dir / "platform.json"
    try:
        platform = json.loads(place.read_text())
        url = f"nats://{platform['host']}:{platform['ports']['nats']}"
        tape = await NatsTape.connect(url, state_dir / CONSOLE_SEED, platform["desk"], "console")
    except (OSError, ValueError, KeyError, TapeUnavailable) as error:
        raise NotRunning(f"no platform runs with {state_dir}: {error}") from error
    try:
        end = (await tape.bounds()).last
        with writing(file, platform["desk"]) as writer:
            done = 0
            while done < end:
                records = await tape.read(done + 1, min(_BATCH, end - done))
                writer.tape(records)
                done += len(records)
            messages, following = 0, 1
            while batch := await tape.read_market(following, _BATCH):
                for record in batch:
                    writer.market(record.sequence, record.data)
                messages += len(batch)
                following = batch[-1].sequence + 1
        return done, messages
    finally:
        await tape.close()
