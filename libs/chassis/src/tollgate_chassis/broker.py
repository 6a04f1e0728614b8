"""FastStream's broker, for what is not the tape: permits, raw market data, and consoles.

The tape has its own connection and its own reader; docs/decisions/0004 says where the line runs and why.
"""

import logging

from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey

from tollgate_chassis.settings import DeskSettings


def fast_stream_broker(settings: DeskSettings, service: str) -> NatsBroker:
    """Build the broker of ``service``; a connection that is lost is not mended here but ends the process."""
    return NatsBroker(
        settings.nats_url,
        name=f"{service}-faststream",
        security=NatsNKey.from_file(str(settings.nats_seed_file)) if settings.nats_seed_file else None,
        inbox_prefix=f"_INBOX_{service}",
        allow_reconnect=False,
        # As for the tape's own connection: nats-py takes 0 for no limit.
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=2,
        ping_interval=2,
        max_outstanding_pings=2,
        # Two records a message at INFO cost more than the message itself.
        log_level=logging.DEBUG,
        apply_types=False,
    )
