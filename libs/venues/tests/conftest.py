"""The real simulated exchange as a process, and servers that misbehave as a venue may."""

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[str]:
    """Start ``python -m tollgate_simvenue`` and return its address."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    (tmp_path / "venue_api_key").write_text("k" * 32)
    (tmp_path / "venue_api_secret").write_text("s" * 32)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tollgate_simvenue",
        env={
            **os.environ,
            "TOLLGATE_STATE_DIR": str(tmp_path),
            "TOLLGATE_SECRETS_DIR": str(tmp_path),
            "TOLLGATE_PORTS__SIMVENUE": "0",
            "TOLLGATE_SIMVENUE__QUOTES_PER_S": "100",
            "TOLLGATE_SIMVENUE__CANDLE_INTERVAL_MS": "200",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line = await process.stderr.readline()
    yield f"http://127.0.0.1:{json.loads(line)['port']}"
    process.kill()
    await process.wait()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Reply], Awaitable[str]]]:
    """Serve raw connections with a function and return the address."""
    servers: list[asyncio.Server] = []

    async def serve_one(reply: Reply) -> str:
        server = await asyncio.start_server(reply, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield serve_one
    for server in servers:
        server.close()
