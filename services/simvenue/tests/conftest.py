"""The real exchange in this process's own loop, and a client that signs."""

import asyncio
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tollgate_simvenue.app import Application
from tollgate_simvenue.auth import ApiKey
from tollgate_simvenue.settings import Settings

# The samples that these tests share lie beside them; in importlib mode pytest puts no folder on the path itself.
sys.path.insert(0, str(Path(__file__).parent))

KEY = ApiKey("k" * 32, b"s" * 32)


class Clock:
    """The true time of an exchange: the wall clock, or a time that stands until it is moved."""

    def __init__(self) -> None:
        self.standing_us: int | None = None

    def __call__(self) -> int:
        return time.time_ns() // 1_000 if self.standing_us is None else self.standing_us


class Client:
    """A client of the exchange that signs what it is told to sign."""

    def __init__(
        self,
        port: int,
        application: Application | None = None,
        serving: asyncio.Task[int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.port = port
        self.clock = clock or Clock()
        self.application = application
        self.serving = serving
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    async def call(
        self,
        method: str,
        target: str,
        body: bytes | dict[str, Any] = b"",
        *,
        key: ApiKey = KEY,
        age_us: int = 0,
        timestamp: str | None = None,
        signature: str | None = None,
        without: str | None = None,
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        timestamp = timestamp or str(self.clock() - age_us)
        text = f"{timestamp}\n{method}\n{target}\n".encode() + content
        headers = {
            "x-api-key": key.api_key,
            "x-timestamp-us": timestamp,
            "x-signature": signature or hmac.digest(key.secret, text, "sha256").hex(),
        }
        headers.pop(without or "", None)
        return await self.http.request(method, target, content=content, headers=headers)

    def stop_clock(self) -> None:
        """Let the exchange's time stand, so that no test hurries."""
        self.clock.standing_us = self.clock()

    def forward(self, milliseconds: int) -> None:
        """Move the exchange's standing clock."""
        assert self.clock.standing_us is not None
        self.clock.standing_us += milliseconds * 1_000
        self.application._floor.advance()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Start an exchange with settings of its own; all are stopped at the end."""
    started: list[tuple[Application, asyncio.Task[int], Client]] = []

    async def start_one(**section: Any) -> Client:
        settings = Settings(
            ports={"simvenue": 0}, state_dir=tmp_path, simvenue={"seed": 7, "quotes_per_s": 100, **section}
        )
        clock = Clock()
        application = Application(settings, KEY, clock)
        serving = asyncio.create_task(application.run())
        client = Client(application.port, application, serving, clock)
        started.append((application, serving, client))
        async with asyncio.timeout(5):
            while not await _answers(client, settings.symbols):
                await asyncio.sleep(0.01)
        return client

    yield start_one
    for application, serving, client in started:
        await client.http.aclose()
        application.stop()
        await serving


class Process:
    """The exchange as its own operating system process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int | None, said: list[str]) -> None:
        self.process = process
        self.port = port
        self.said = said
        """Its lines on standard error, until it listens or ends."""

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Start ``python -m tollgate_simvenue`` with an environment; it listens, or it has ended."""
    started: list[asyncio.subprocess.Process] = []
    (tmp_path / "venue_api_key").write_text(KEY.api_key)
    (tmp_path / "venue_api_secret").write_bytes(KEY.secret)

    async def launch_one(**environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tollgate_simvenue",
            env={
                **os.environ,
                "TOLLGATE_STATE_DIR": str(tmp_path),
                "TOLLGATE_SECRETS_DIR": str(tmp_path),
                "TOLLGATE_PORTS__SIMVENUE": "0",
                **environment,
            },
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stderr is not None
        said: list[str] = []
        async with asyncio.timeout(20):
            while line := (await process.stderr.readline()).decode():
                said.append(line)
                if "simvenue.listening" in line:
                    return Process(process, json.loads(line)["port"], said)
            await process.wait()
        return Process(process, None, said)

    yield launch_one
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[[Process], Client]]:
    """Make a client of a process."""
    made: list[Client] = []

    def client(process: Process) -> Client:
        assert process.port is not None, process.said
        made.append(Client(process.port))
        return made[-1]

    yield client
    for each in made:
        await each.http.aclose()


async def _answers(client: Client, symbols: tuple[str, ...]) -> bool:
    """Say whether the exchange serves and has a market in each of the generated symbols."""
    try:
        books = [(await client.http.get(f"/api/v1/book/{symbol}")).json() for symbol in symbols[1:]]
    except httpx.ConnectError:
        return False
    return all(book["bids"] and book["asks"] for book in books)


@pytest.fixture
def order() -> Callable[..., dict[str, Any]]:
    """An order far from the market, with fields to change; a field set to ``...`` is left out."""

    def build(**changes: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "client_order_id": "tg-1",
            "symbol": "ETH-USDT",
            "side": "BUY",
            "order_type": "LIMIT",
            "quantity": "0.5",
            "limit_price": "1000",
            "time_in_force": "GTC",
            "post_only": False,
            **changes,
        }
        return {name: value for name, value in body.items() if value is not ...}

    return build
