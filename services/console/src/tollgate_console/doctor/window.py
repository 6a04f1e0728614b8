"""Watching the services' own metrics for some cycles of the tape's clock, where no Prometheus has done so already."""

import asyncio
import time
from collections.abc import Iterable, Mapping

import httpx

from tollgate_console.doctor.scrapes import CYCLE, Readings, Scrape, parse

# Who answers later than this is not sampled in that cycle.
_ANSWER_S = 1.0
# A clock that stands still must not hold up whoever asks why: so much longer than it should take is waited for it.
_PATIENCE = 1.25
_PATIENCE_S = 1.0


async def watch(urls: Mapping[str, str], names: Iterable[str], cycles: int, cycle_s: float) -> Readings:
    """Return what each service of ``urls`` showed, once a cycle, until the clock has gone on by ``cycles``.

    Each is asked by itself, so that one that hangs does not thin out the others'.
    """
    wanted = frozenset(names)
    deadline = time.monotonic() + cycles * cycle_s * _PATIENCE + _PATIENCE_S
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
        watched = await asyncio.gather(
            *(_watch(client, f"{url}/metrics", wanted, cycles, cycle_s, deadline) for url in urls.values())
        )
    return {
        service: {url: scrapes} if scrapes else {}
        for (service, url), scrapes in zip(urls.items(), watched, strict=True)
    }


async def _watch(
    client: httpx.AsyncClient, url: str, names: frozenset[str], cycles: int, cycle_s: float, deadline: float
) -> list[Scrape]:
    scrapes: list[Scrape] = []
    while True:
        began = time.monotonic()
        scrape = await _scrape(client, url, names)
        if scrape is not None:
            scrapes.append(scrape)
        left_s = min(began + cycle_s, deadline) - time.monotonic()
        if _has_gone_on(scrapes, cycles) or time.monotonic() >= deadline:
            return scrapes
        await asyncio.sleep(max(left_s, 0.0))


async def _scrape(client: httpx.AsyncClient, url: str, names: frozenset[str]) -> Scrape | None:
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return parse(answer.text, names, time.time())
    except (httpx.HTTPError, ValueError):
        # What does not answer, or not in this format, has shown nothing; the checks of the services say so.
        return None


def _has_gone_on(scrapes: list[Scrape], cycles: int) -> bool:
    numbers = [number for each in scrapes if (number := each.value(CYCLE)) is not None]
    return bool(numbers) and numbers[-1] - numbers[0] >= cycles
