"""Execution under virtual time, a scheduler by seed, and kills: nothing lost, nothing doubled, everything at rest."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.database import Database, Row
from tests.simulation.plan import Plan, draw
from tests.simulation.run import run_plan
from tests.simulation.scenarios import SCENARIOS, scenario, standing
from tests.simulation.sweep import STEPS_UNTIL_STANDING, Sum, processes, sweep, sweep_kills, sweep_stills, total_of
from tollgate_chassis.standby import Standby
from tollgate_contracts.approval import Permit
from tollgate_contracts.execution import Report
from tollgate_execution.core import Submit
from tollgate_execution.last_look import LastLook
from tollgate_execution.permits import PermitHolder
from tollgate_execution.saying import Saying
from tollgate_execution.sender import Sender
from tollgate_execution.store import WriteAhead

ROOT = Path(__file__).parents[2]
SEEDS = 10_000
PARTS = 10
# A run that proves nothing is one in which nothing was sent, nothing traded and nothing was killed.
SUBMITS_A_SEED, FILLS_A_SEED, KILLS_A_SEED = 0.8, 0.5, 0.4


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    # Beside other test processes only its share of the cores: theirs watch the clock.
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with processes(max(1, (os.cpu_count() or 1) // beside)) as made:
        yield made


def told(total: Sum) -> str:
    return "\n".join(f"{command}\n    {wrong}" for command, wrong in total.failed[:20])


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_loses_or_doubles_anything_and_all_come_to_rest(part: int, pool: ProcessPoolExecutor) -> None:
    seeds = SEEDS // PARTS
    total = total_of(sweep(pool, part * seeds, seeds))
    print(f"\n{total.describe()}")
    assert not total.failed, told(total)
    assert total.seeds == seeds
    assert total.submits > seeds * SUBMITS_A_SEED
    assert total.fills > seeds * FILLS_A_SEED
    assert total.kills > seeds * KILLS_A_SEED


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_kill_before_any_step_loses_or_doubles_nothing(name: str, pool: ProcessPoolExecutor) -> None:
    """Every step of the process is one place, and all of them are tried."""
    whole = run_plan(scenario(name))
    assert not whole.wrong
    assert whole.submits
    total = total_of(sweep_kills(pool, name))
    assert not total.failed, told(total)
    assert total.seeds == total.kills == whole.process_steps


def test_a_process_that_stands_still_before_any_step_and_goes_on_when_another_is_active_does_no_harm(
    pool: ProcessPoolExecutor,
) -> None:
    """The other takes over, and the first one finds that out before it sends or says anything more."""
    total = total_of(sweep_stills(pool))
    assert not total.failed, told(total)
    assert total.seeds == STEPS_UNTIL_STANDING
    assert total.restarts > STEPS_UNTIL_STANDING
    assert total.submits <= total.seeds


DIGEST = """
import hashlib, sys
from tests.simulation.plan import draw
from tests.simulation.run import run_plan
digest = hashlib.sha256()
for seed in range(40):
    digest.update("\\n".join(run_plan(draw(seed), traced=True).trace).encode())
print(digest.hexdigest())
"""


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Line by line: every step's time, every byte on the tape."""
    digest = hashlib.sha256()
    for seed in range(40):
        digest.update("\n".join(run_plan(draw(seed), traced=True).trace).encode())
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [digest.hexdigest()]


def test_a_failing_seed_is_named_by_the_command_that_runs_it_again() -> None:
    assert run_plan(draw(7)).command == "make simulate SEED=7"
    assert run_plan(draw(7, (12, 90))).command == "make simulate SEED=7 KILL=12,90"
    assert run_plan(scenario("cancelled", (5,))).command == "make simulate SCENARIO=cancelled KILL=5"


def forgets_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: Database, submit: Submit, epoch: int, now_us: int) -> WriteAhead:
        return WriteAhead.PREPARED

    monkeypatch.setattr(Database, "prepare", prepare)


def uses_a_row_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(self: Database, submit: Submit, epoch: int, now_us: int) -> WriteAhead:
        self.rows.setdefault(submit.placing.venue_id, Row(submit, epoch, now_us))
        return WriteAhead.PREPARED

    def which_are_there(self: Database, client_order_ids: Any) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(Database, "prepare", prepare)
    monkeypatch.setattr(Database, "which_are_there", which_are_there)
    # What a round has found at the venue is not sent again either.
    monkeypatch.setattr(Sender, "_is_shown", lambda self, client_order_id: False)


def keeps_an_old_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fresh(self: PermitHolder, wall_us: int, monotonic_us: int) -> Permit | None:
        return None if self._held is None else self._held.permit

    monkeypatch.setattr(PermitHolder, "fresh", fresh)


def never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LastLook, "reasons", lambda self, approval, order: ())


def hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(self: Saying, report: Report) -> None:
        """Let the venue's word fall."""

    monkeypatch.setattr(Saying, "say", say)


@pytest.mark.parametrize(
    ("sabotage", "found"),
    [
        (forgets_the_row, "leaves before its row"),
        (uses_a_row_twice, "is at the venue already"),
        (keeps_an_old_permit, "without a permit"),
        (never_looks_again, "without a permit"),
        (hears_nothing, "unsettled"),
    ],
)
def test_the_simulation_finds_what_it_is_there_to_find(
    sabotage: Callable[[pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each safeguard is taken away in turn, and within some hundred runs something is seen to be wrong."""
    sabotage(monkeypatch)
    seeds = (draw(seed) for seed in range(300))
    # What several safeguards stand before needs a kill at just the right step.
    kills = (scenario("no-order-is-answered", (step,)) for step in range(1, 300))
    assert any(found in line for plan in chain(seeds, kills) for line in run_plan(plan).wrong)


def test_an_order_that_leaves_in_another_s_place_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that trusts itself after it stood still, with a committed row in its hand, would send."""
    monkeypatch.setattr(Standby, "vouches", lambda self, monotonic_us: True)
    runs = (run_plan(standing(step)) for step in range(1, STEPS_UNTIL_STANDING))
    assert any("in whose place another is active" in line for outcome in runs for line in outcome.wrong)


def test_a_process_that_is_killed_does_nothing_any_more() -> None:
    """Its row may be committed and its order placed, because they had left; nothing leaves afterwards."""
    outcome = run_plan(_killed_for_good(scenario("no-order-is-answered", (150,))), traced=True)
    killed_at = next(number for number, line in enumerate(outcome.trace) if "kill -9" in line)
    assert not [line for line in outcome.trace[killed_at:] if "leaves" in line]
    assert outcome.processes == 1


def _killed_for_good(plan: Plan) -> Plan:
    forever_us = 3_600_000_000
    return Plan(**{**{name: getattr(plan, name) for name in Plan.__slots__}, "restart_us": forever_us})
