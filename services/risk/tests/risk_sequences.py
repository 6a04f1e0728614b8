"""``make properties``: run the gate's random tapes by the hundred thousand, in parts that a restart does not repeat.

Each part has its own seed and is written down when it has passed; what was written down for other code does not count.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from risk_machine import GateMachine

import tollgate_contracts
import tollgate_domain
import tollgate_risk
from services.risk.tests import conftest
from tollgate_contracts.money import install_exact_context

PART = 500
"""Sequences between two entries in the file: a minute's work at most is lost."""
STEPS_MAX = 30
_CHANGED: dict[str, dict[str, Any]] = {}
OUTPUT = Path("build/properties.json")


def main() -> None:
    """Run until as many sequences as asked for have passed; fails with the first that does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=100_000, help="how many tapes in all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where it is written what has passed")
    options = parser.parse_args()
    done = _passed(options.output)
    wanted = [number for number in range(-(-options.sequences // PART)) if str(number) not in done]
    began = time.monotonic()
    with ProcessPoolExecutor(options.workers) as pool:
        for number, counts in pool.map(run_part, wanted):
            done[str(number)] = counts
            _write(options.output, done)
            say(f"{_total(done)}, {time.monotonic() - began:.0f} s")
    say(f"passed: {_total(done)}")


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_part(number: int) -> tuple[int, dict[str, int]]:
    """Run one part, seeded by its number, and return what it has counted."""
    install_exact_context()
    GateMachine.Desk, GateMachine.changed = conftest.Desk, staticmethod(changed_once)
    GateMachine.counts = dict.fromkeys(GateMachine.counts, 0)
    run_state_machine_as_test(
        seed(number)(GateMachine),
        settings=settings(
            max_examples=PART,
            stateful_step_count=STEPS_MAX,
            deadline=None,
            database=None,
            # A case that fails is shown as it is: to shrink one may take longer than all the rest.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return number, GateMachine.counts


def changed_once(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the rules with changes; those of the few policies of the tapes are made once, and nobody changes them."""
    key = json.dumps(changes, sort_keys=True)
    if key not in _CHANGED:
        _CHANGED[key] = conftest.changed(changes)
    return _CHANGED[key]


def _total(done: dict[str, dict[str, int]]) -> str:
    names = list(GateMachine.counts)
    return ", ".join(f"{sum(counts[name] for counts in done.values()):,} {name}" for name in names)


def code_hash() -> str:
    """Return a hash of all the code that a result depends on."""
    roots = [Path(package.__file__ or "").parent for package in (tollgate_contracts, tollgate_domain, tollgate_risk)]
    files = [file for root in (*roots, Path(__file__).parent) for file in sorted(root.rglob("*.py"))]
    kept = [file for file in files if not file.name.startswith("test_")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in kept)).hexdigest()


def _passed(output: Path) -> dict[str, dict[str, int]]:
    if not output.exists():
        return {}
    kept = json.loads(output.read_text())
    done: dict[str, dict[str, int]] = kept["parts"] if kept["code"] == CODE else {}
    return done


def _write(output: Path, done: dict[str, dict[str, int]]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(json.dumps({"code": CODE, "parts": done}) + "\n")
    fresh.replace(output)


# As it was when this process began: what is edited meanwhile is not what runs.
CODE = code_hash()

if __name__ == "__main__":
    main()
