"""From ``tollgate up`` to the first order at the venue, and where that time goes."""

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.bench import desk
from tests.bench.results import Result, median, show
from tests.conftest import SERVICES, Platform
from tests.policies import UNPACED

_QUOTES_PER_S = 100
_FIRST_ORDER_S = 60.0
STAGES = (
    "command to broker started",
    "broker and database ready and provisioned",
    "six processes: imports, configuration",
    "connected, recovered, live",
    "live to the first order at the venue",
)


def measure(directory: Path, later_starts: int) -> list[Result]:
    """Measure a first start and ``later_starts`` more in the same directory."""
    starts = [_start(directory / "startup") for _ in range(1 + later_starts)]
    first, later = starts[0], [median(values) for values in zip(*starts[1:], strict=True)]
    rows = [(stage, first[n], later[n]) for n, stage in enumerate(STAGES)]
    second_s = median([sum(each) for each in starts[1:]])
    show("Start-up, seconds", ("stage", "first start", "later"), [*rows, ("to the first order", sum(first), second_s)])
    results = [
        Result("startup.first_start_to_first_order", sum(first), "s"),
        Result("startup.second_start_to_first_order", second_s, "s", None, f"median of {later_starts}; aim: below 10"),
    ]
    stages = zip(STAGES, first, later, strict=True)
    return results + [
        Result(f"startup.second_start.{stage.replace(' ', '_')}", second, "s", None, f"first start: {once:.2f}")
        for stage, once, second in stages
    ]


def _start(state: Path) -> list[float]:
    """Start, wait for an order, stop, and return the length of each stage."""
    began = time.time()
    platform = Platform(state, desk.busy(_QUOTES_PER_S), policy=UNPACED)
    try:
        platform.start()
        platform.wait_until(lambda: _first_order_s(state, began), "an order at the venue", _FIRST_ORDER_S)
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.stop()
    supervisor = list(_events(state / "logs" / "supervisor.jsonl", began))
    broker = min(at for at, event, process in supervisor if event == "process.start" and process == "nats")
    provisioned = min(at for at, event, _ in supervisor if event == "platform.provisioned")
    own = [_service(state, service, began) for service in SERVICES]
    started, live = max(at for at, _ in own), max(at for _, at in own)
    # The first order may leave before the last of the others, such as the ledger, is live.
    order = max(_first_order_s(state, began) or live, live)
    places = [began, broker, provisioned, started, live, order]
    return [later - earlier for earlier, later in pairwise(places)]


def _service(state: Path, service: str, since: float) -> tuple[float, float]:
    """Return when a service had its settings, and when it was live."""
    events = list(_events(state / "logs" / f"{service}.jsonl", since))
    started, live = (min(at for at, event, _ in events if event == name) for name in ("service.start", "tape.live"))
    return started, live


def _events(log: Path, since: float) -> Iterator[tuple[float, str, str]]:
    for line in log.read_text().splitlines():
        if not line.startswith("{"):
            continue
        content = json.loads(line)
        at = datetime.fromisoformat(content["timestamp"]).timestamp()
        if at >= since:
            yield at, content["event"], content.get("process", "")


def _first_order_s(state: Path, since: float) -> float | None:
    connection = sqlite3.connect(f"file:{state / 'services' / 'simvenue' / 'simvenue.sqlite'}?mode=ro", uri=True)
    try:
        query = "SELECT min(received_us) FROM orders WHERE received_us >= ?"
        (received_us,) = connection.execute(query, (int(since * 1_000_000),)).fetchone()
    finally:
        connection.close()
    return None if received_us is None else received_us / 1_000_000
