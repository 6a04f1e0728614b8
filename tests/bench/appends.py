"""Appends a second: the tape's writer against bare nats-py doing the same, in turns."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client

from tests.bench import bare
from tests.bench.bare_programs import DESK, Appender
from tests.bench.results import Result, show
from tollgate_chassis.tape import NatsTape

WRITERS = 5
TURNS = 4
# About a decision, the largest message on an order's way.
_BYTES = 1_200
_AGAINST = "bare nats-py doing the same appends on the same broker, in turns"

Append = Callable[[bytes], Awaitable[object]]


def measure(directory: Path, seconds: float) -> list[Result]:
    """Measure one writer, then five side by side, for ``seconds`` in all of each kind."""
    return asyncio.run(_measure(directory, seconds))


async def _measure(directory: Path, seconds: float) -> list[Result]:
    results: list[Result] = []
    rows = []
    async with bare.ground(directory / "bare") as place:
        for writers, name in ((1, "one_at_a_time"), (WRITERS, f"{WRITERS}_writers")):
            ours, theirs = await _turns(place.nats_url, writers, seconds / TURNS)
            rows.append((name.replace("_", " "), ours, theirs, ours / theirs))
            results += [
                Result(f"appends.{name}.tape", ours, "appends/s", None, f"{_BYTES} bytes, fsync for each"),
                Result(f"appends.{name}.bare", theirs, "appends/s", None, f"{_BYTES} bytes, fsync for each"),
                Result(f"appends.{name}.ratio", ours / theirs, "ratio", _AGAINST, "above 1 the tape is quicker"),
            ]
    show("Appends a second", ("writers", "tape", "bare nats-py", "ratio"), rows)
    return results


async def _turns(url: str, writers: int, seconds: float) -> tuple[float, float]:
    tapes = [await NatsTape.connect(url, None, DESK, "bench") for _ in range(writers)]
    clients = [await nats.connect(url, allow_reconnect=False) for _ in range(writers)]
    ours = [await _tape_writer(tape, f"ours{number}") for number, tape in enumerate(tapes)]
    theirs = [await _bare_writer(client, f"theirs{number}") for number, client in enumerate(clients)]
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for kind, appends in enumerate((ours, theirs)):
            rates[kind].append(await _rate(appends, seconds))
    for tape in tapes:
        await tape.close()
    for client in clients:
        await client.close()
    return sum(rates[0]) / TURNS, sum(rates[1]) / TURNS


async def _tape_writer(tape: NatsTape, name: str) -> Append:
    prefix = f"tape.{DESK}.{name}"
    last, number, run = await tape.last_of(prefix), 0, time.time_ns()

    async def append(data: bytes) -> None:
        nonlocal last, number
        number += 1
        last = await tape.append(f"{prefix}.decision", data, f"{name}:{run}:{number}", last)

    return append


async def _bare_writer(client: Client, name: str) -> Append:
    appender = Appender(client, name)
    await appender.open(client)
    return lambda data: appender.append("decision", data)


async def _rate(appends: list[Append], seconds: float) -> float:
    """Return appends a second, each writer awaiting its own before the next."""
    data = b"x" * _BYTES
    began = time.perf_counter()
    until = began + seconds

    async def write(append: Append) -> int:
        done = 0
        while time.perf_counter() < until:
            await append(data)
            done += 1
        return done

    done = sum(await asyncio.gather(*map(write, appends)))
    return done / (time.perf_counter() - began)
