"""A broker that every test finds empty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from nats.errors import Error


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[str]:
    """Hand over a broker without streams for the block, and delete those that were made in it.

    One that has streams before is refused: they are somebody's, and not for us to delete.
    """
    client = await _connected(url)
    try:
        streams = client.jetstream()
        found = sorted(stream.config.name or "" for stream in await streams.streams_info())
        assert found == [], f"{url} has the streams {', '.join(found)}: tests need a broker that is theirs alone"
        try:
            yield url
        finally:
            for stream in await streams.streams_info():
                await streams.delete_stream(stream.config.name or "")
    finally:
        await client.close()


async def _connected(url: str) -> Client:
    """Connect at once or not at all, and see that there is JetStream."""
    try:
        # A first connection is tried for ever but for these three; the chassis says more where it connects.
        client = await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0)
        await client.jetstream().account_info()
    except (Error, OSError) as error:
        error.add_note(f"tests need a broker with JetStream at {url}")
        raise
    return client
