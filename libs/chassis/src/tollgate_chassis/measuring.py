"""What no message tells: how full the tape and the disk are, and which version this process is."""

import asyncio
import shutil
from importlib.metadata import version
from pathlib import Path

from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import tape as metrics

_EVERY_S = 10.0


def tell_build(service: str) -> None:
    """Show which version of ``service`` runs."""
    metrics.BUILD_INFO.labels(version(f"tollgate-{service}")).set(1)


async def measure(tape: NatsTape, state_dir: Path) -> None:
    """Show how full the tape and the disk are, every ten seconds, for ever.

    A broker that does not answer is told and asked again: whether the connection is to be trusted is judged elsewhere.
    """
    while True:
        metrics.STATE_FREE_BYTES.set(shutil.disk_usage(state_dir).free)
        try:
            description = await tape.describe()
        except TapeUnavailable as error:
            logger().warning("tape.not_measured", outcome=error.why)
        else:
            metrics.TAPE_BYTES.set(description["state"]["bytes"])
            metrics.TAPE_BYTES_MAX.set(description["config"]["max_bytes"])
        await asyncio.sleep(_EVERY_S)
