"""The same readings out of a Prometheus that has scraped the desk all the while."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from tollgate_console.doctor.scrapes import Readings, Scrape, Series
from tollgate_console.exits import ConsoleError, ConsoleExit

_ANSWER_S = 10.0
# A counter's rise is counted from the scrape before the window; the usual scrape interval is a quarter of this.
_BEFORE_S = 60.0
JOB = "tollgate"
# What Prometheus adds to a series, and the services do not show.
_TARGET_LABELS = frozenset({"__name__", "job", "service", "desk", "instance"})
_PARTS = ("", "_bucket", "_count")


@dataclass(frozen=True, slots=True)
class Looked:
    """What Prometheus has of a desk."""

    readings: Readings
    begin_s: float
    """Where the window begins; an instance's scrape before it is there too."""


async def look_back(url: str, desk: str, names: Iterable[str], seconds: float, now_s: float) -> Looked:
    """Return what was scraped of ``desk`` in the last ``seconds``; raises ``ConsoleError`` when nobody can say."""
    wanted = "|".join(sorted(f"{name}{part}" for name in names for part in _PARTS))
    selector = f'{{__name__=~"{wanted}",job="{JOB}",desk="{desk}"}}'
    query = {"query": f"{selector}[{round((seconds + _BEFORE_S) * 1_000)}ms]", "time": f"{now_s:.3f}"}
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
            answer = await client.post(f"{url.rstrip('/')}/api/v1/query", data=query)
            answer.raise_for_status()
            result: list[dict[str, Any]] = answer.json()["data"]["result"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        # The address may have a password in it, and the library's own words have the address.
        why = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        raise ConsoleError(ConsoleExit.TEMPORARY, f"Prometheus does not say what it has scraped: {why}") from error
    return Looked(_by_instance(result, now_s - seconds), now_s - seconds)


def _by_instance(result: list[dict[str, Any]], begin_s: float) -> Readings:
    """Put the series of one scrape together again: they have one time."""
    scrapes: dict[tuple[str, str], dict[float, dict[Series, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in result:
        labels: dict[str, str] = one["metric"]
        series = (labels["__name__"], frozenset((k, v) for k, v in labels.items() if k not in _TARGET_LABELS))
        target = scrapes[labels.get("service", ""), labels.get("instance", "")]
        for at_s, value in one["values"]:
            target[float(at_s)][series] = float(value)
    readings: dict[str, dict[str, list[Scrape]]] = defaultdict(dict)
    for (service, instance), taken in scrapes.items():
        in_order = [Scrape(at_s, taken[at_s]) for at_s in sorted(taken)]
        first = sum(scrape.at_s < begin_s for scrape in in_order)
        if first < len(in_order):
            # What was seen last before the window is where counting begins.
            readings[service][instance] = in_order[max(first - 1, 0) :]
    return readings
