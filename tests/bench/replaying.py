"""How fast the cores run over a recorded tape in memory, and where their time goes."""

import asyncio
import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.bench import desk
from tests.bench.results import Result, median, say, show
from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.codec import decode
from tollgate_contracts.core import Core
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Quote
from tollgate_contracts.strategy import Intent
from tollgate_research.cores import fresh_cores
from tollgate_research.explain import Explainer
from tollgate_research.passing import Taker
from tollgate_research.policy_diff import PolicyDiff
from tollgate_research.record import record_run
from tollgate_research.recording import Run, load
from tollgate_research.replay import Replay
from tollgate_risk.rules_file import read_rules

MESSAGES_MIN = 20_000
_RATE = 1_000
_BATCH = 256
_FUNCTIONS = 20
_RECORD_S = 120.0
# As many as `tollgate policy diff` shows without being asked for more.
_JUDGED = 1_000
SHIPPED_POLICY = Path(__file__).parents[2] / "config" / "policy.yaml"


def measure(directory: Path, messages_min: int) -> list[Result]:
    """Replay at least ``messages_min`` messages, recorded from the platform in ``directory``/desk."""
    run = load(_recorded(directory, messages_min))
    replay_s = _timed(lambda: _replay(run))
    cores_s = asyncio.run(_cores_alone(run))
    explain_s = _timed(lambda: _taken(Explainer(run.desk, "an id that is not there"), run))
    diff_s = _timed(lambda: _taken(PolicyDiff(run.desk, read_rules(SHIPPED_POLICY), _JUDGED), run))
    count = len(run.records)
    note = f"{count} messages"
    results = [
        Result(
            "replay.compared", count / replay_s, "messages/s", None, f"{note}; decode, four cores, feed, comparison"
        ),
        Result("replay.cores", count / cores_s, "messages/s", None, f"{note}; decode and the four cores"),
        Result("explain", count / explain_s, "messages/s", None, f"{note}; every gate of every intent is looked at"),
        Result("policy_diff", count / diff_s, "messages/s", None, f"{note}; every intent is judged under two policies"),
        *_per_message(run),
    ]
    show("Replay", ("what", "value", "unit"), [(result.name, result.value, result.unit) for result in results])
    _profile(run)
    return results


def _recorded(directory: Path, messages_min: int) -> Path:
    """Let the platform of the earlier benchmarks trade on until its tape is long enough, and record it."""
    state, file = directory / "desk", directory / "run.jsonl.gz"
    with desk.running(state, desk.busy(_RATE)) as platform:
        platform.wait_until(
            lambda: platform.status("ledger").get("position", 0) >= messages_min, f"{messages_min} messages", _RECORD_S
        )
        records, frames = asyncio.run(record_run(state, file))
    say(f"recorded {records} tape messages and {frames} market messages")
    return file


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _replay(run: Run) -> None:
    report = Replay(run.desk).run(run)
    if not report.equal:
        raise AssertionError(f"the replay differs from the run: {report.differences[0]}")


def _taken(taker: Taker, run: Run) -> None:
    for record in run.records:
        taker.take(record)


async def _cores_alone(run: Run) -> float:
    """Return the seconds that decoding and stepping the four cores takes, reading the in-memory tape."""
    tape = MemoryTape()
    for record in run.records:
        tape.insert(record.subject, record.data, record.message_id)
    cores = list(fresh_cores().values())
    began = time.perf_counter()
    position = 1
    while batch := await tape.read(position, _BATCH):
        position += len(batch)
        for record in batch:
            message = decode(record.data)
            for core in cores:
                core.step(record.sequence, message)
    return time.perf_counter() - began


def _per_message(run: Run) -> list[Result]:
    """Return what one step costs: of each core over all messages, of strategy by a quote, of risk by an intent."""
    decode_s = _timed(lambda: [None for record in run.records if decode(record.data) is None])
    messages = [(record.sequence, decode(record.data)) for record in run.records]
    decode_us = decode_s / len(messages) * 1_000_000
    results = [Result("replay.decode_us", decode_us, "us/message", None, "mean")]
    for service, core in fresh_cores().items():
        spent = _spent_us(core, messages)
        every = sum(sum(values) for values in spent.values()) / len(messages)
        results.append(Result(f"replay.step.{service}", every, "us/message", None, "mean over all kinds"))
        for kind, name in ((Quote, "strategy"), (Intent, "risk")):
            if service == name and spent[kind]:
                what = f"median of {len(spent[kind])}; mean {sum(spent[kind]) / len(spent[kind]):.1f}"
                label = f"decision.{service}_per_{kind.__name__.lower()}"
                results.append(Result(label, median(spent[kind]), "us", None, what))
    return results


def _spent_us(core: Core, messages: list[tuple[int, Message]]) -> dict[type[Message], list[float]]:
    spent: dict[type[Message], list[float]] = defaultdict(list)
    clock = time.perf_counter_ns
    for sequence, message in messages:
        began = clock()
        core.step(sequence, message)
        spent[type(message)].append((clock() - began) / 1_000)
    return spent


def _profile(run: Run) -> None:
    with cProfile.Profile() as profiler:
        _replay(run)
    stats = pstats.Stats(profiler)
    every = stats.stats.items()  # type: ignore[attr-defined]
    total = sum(line[2] for _, line in every)
    longest = sorted(every, key=lambda item: -item[1][2])[:_FUNCTIONS]
    rows = [
        (f"{'/'.join(Path(file).parts[-2:])}:{number} {function}", calls, 100 * own / total, 100 * inclusive / total)
        for (file, number, function), (_, calls, own, inclusive, _) in longest
    ]
    show("Where a replay's time goes", ("function", "calls", "own %", "with callees %"), rows)
