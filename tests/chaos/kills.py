"""Hundreds of kill -9s under traffic: ``make kills`` kills each part in turn, sometimes two at once, and compares.

The victims and the moments come from a seed; what the machine does in between does not, so a failing seed is a hint
and no replay. The deterministic simulation is for that (``make simulate``).
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.test_kill import (
    assert_every_order_ended_once,
    assert_no_approval_was_placed_twice,
    fills_on_tape,
    unbalanced_entries,
)
from tests.conftest import BUSY, SERVICES, Platform, assert_everyone_agrees, settle
from tollgate_research.recording import load
from tollgate_research.replay import Replay

VICTIMS = (*SERVICES, "nats", "postgres")
# One kill in so many takes a second victim with it.
PAIR_EVERY = 5
RECOVERY_S = 90
# After so many, trading is stopped, everything is compared, and trading goes on.
COMPARE_EVERY = 50
# A part that has just come back is left alone for up to this long: recovery, too, is to be killed in.
QUIET_S_MAX = 2.0


@dataclass
class Tally:
    """What was done and how long it took."""

    kills: Counter[str] = field(default_factory=Counter)
    recovery_s: list[float] = field(default_factory=list)
    compared: int = 0


def run(desk: Platform, kills: int, chance: random.Random) -> Tally:
    """Kill so many parts; raises ``AssertionError`` at the first thing that is lost, doubled or not in balance."""
    tally = Tally()
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", 60)
    victims: list[str] = []
    next_comparison = COMPARE_EVERY
    while tally.kills.total() < kills:
        victims = victims or chance.sample(VICTIMS, len(VICTIMS))
        chosen = [victims.pop()]
        if chance.randrange(PAIR_EVERY) == 0:
            chosen.append(chance.choice([name for name in VICTIMS if name not in chosen]))
        time.sleep(chance.random() * QUIET_S_MAX)
        tally.recovery_s.append(kill_and_recover(desk, chosen))
        tally.kills.update(chosen)
        print(f"{tally.kills.total():4} {'+'.join(chosen):22} back after {tally.recovery_s[-1]:.1f} s", flush=True)
        if tally.kills.total() >= next_comparison:
            next_comparison += COMPARE_EVERY
            compare(desk)
            tally.compared += 1
            assert desk.release().is_success
    compare(desk)
    tally.compared += 1
    return tally


def kill_and_recover(desk: Platform, victims: list[str]) -> float:
    """Kill them at once; return the seconds until all is live and another order has been filled."""
    before = {name: desk.pid_or_none(name) for name in victims}
    fills = desk.fills()
    began = time.monotonic()
    for name in victims:
        if before[name] is not None:
            desk.kill(name)

    def all_are_new() -> bool:
        return all(desk.pid_or_none(name) not in {None, pid} for name, pid in before.items())

    desk.wait_until(all_are_new, f"{victims} started again", RECOVERY_S)
    desk.wait_until(desk.all_live, f"all live after {victims}", RECOVERY_S)
    desk.wait_until(lambda: desk.fills() > fills, f"fills after {victims}", RECOVERY_S)
    return time.monotonic() - began


def compare(desk: Platform) -> None:
    """Stop trading and hold books, services, journal and venue against each other, to the last digit."""
    settle(desk)
    view = assert_everyone_agrees(desk)
    assert asyncio.run(unbalanced_entries(desk)) == []
    asyncio.run(assert_no_approval_was_placed_twice(desk))
    print(f"     {len(view.fills)} fills: venue, books, risk, execution and strategy agree", flush=True)


def replay(desk: Platform, directory: Path) -> None:
    """Stop the platform and replay its whole tape, every restart in it."""
    view = assert_everyone_agrees(desk)
    run_file = directory / "run.jsonl.gz"
    assert desk.run("record", str(run_file), "--state-dir", str(desk.state)).returncode == 0
    assert desk.stop() == 0
    recorded = load(run_file)
    assert_every_order_ended_once(recorded, {fill.client_order_id for fill in view.fills})
    at_venue = sorted(fill.trade.trade_id for fill in view.fills if fill.trade is not None)
    assert sorted(fill.trade.trade_id for fill in fills_on_tape(recorded)) == at_venue
    assert Replay(recorded.desk).run(recorded).differences == []
    print(f"     the tape of {len(recorded.records)} messages replays equal", flush=True)


def main() -> None:
    """Run from the command line; exits with 1 and keeps the directory when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="tollgate-kills-"))
    desk = Platform(directory / "desk", BUSY)
    try:
        tally = run(desk, options.kills, random.Random(options.seed))  # noqa: S311 - nothing secret hangs on it
        replay(desk, directory)
    except AssertionError as error:
        print(f"{error}\nseed {options.seed}; everything is kept in {directory}", file=sys.stderr)
        raise SystemExit(1) from error
    finally:
        if desk.process is not None and desk.process.poll() is None:
            desk.process.terminate()
            desk.process.wait(30)
    shutil.rmtree(directory)
    ordered = sorted(tally.recovery_s)
    print(
        f"{tally.kills.total()} kills {dict(tally.kills)}, {tally.compared} comparisons: none lost, none doubled; "
        f"back after {ordered[len(ordered) // 2]:.1f} s (median), {ordered[-1]:.1f} s (longest)"
    )


if __name__ == "__main__":
    main()
