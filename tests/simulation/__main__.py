"""Run seeds, or one of them with its trace; ``make simulate`` is how it is called."""

import argparse
import os
import sys
import time

from tests.simulation.plan import Plan, draw
from tests.simulation.run import run_plan
from tests.simulation.scenarios import SCENARIOS, scenario, standing
from tests.simulation.sweep import Sum, processes, sweep

# The first failures tell enough; each is one command away.
_SHOWN_MAX = 20


def main() -> int:
    """Return 0 when nothing was broken."""
    arguments = _parser().parse_args()
    if any(each is not None for each in (arguments.seed, arguments.scenario, arguments.still)):
        return _one(_plan(arguments))
    return _many(arguments.first, arguments.seeds, arguments.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument("--seed", type=int, help="run this one alone, and print what happened")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="run this one alone, and print what happened")
    parser.add_argument("--kill", type=_steps, help="kill before these steps, such as 12,90, instead of those drawn")
    parser.add_argument("--still", type=int, help="the story of two processes: the first stands still before this step")
    return parser


def _steps(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each)


def _plan(arguments: argparse.Namespace) -> Plan:
    if arguments.still is not None:
        return standing(arguments.still)
    if arguments.scenario is not None:
        return scenario(arguments.scenario, arguments.kill or ())
    return draw(arguments.seed, arguments.kill)


def _one(plan: Plan) -> int:
    outcome = run_plan(plan, traced=True)
    print("\n".join(outcome.trace))
    print(f"{plan.name}: {outcome.describe()}")
    for line in outcome.wrong:
        print(f"  WRONG {line}")
    return 1 if outcome.wrong else 0


def _many(first: int, seeds: int, jobs: int) -> int:
    began = time.monotonic()
    total = Sum()
    with processes(jobs) as pool:
        for part in sweep(pool, first, seeds):
            for command, wrong in part.failed[: max(0, _SHOWN_MAX - len(total.failed))]:
                print(f"\n  {command}\n    {wrong}")
            total = total.plus(part)
            rate = total.seeds / (time.monotonic() - began)
            words = f"{total.seeds:,} of {seeds:,} seeds, {len(total.failed)} failed, {rate:,.0f}/s"
            print(f"\r{words} ", end="", flush=True)
    print(f"\n{total.describe()}; {time.monotonic() - began:,.0f} s by {jobs} processes")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
