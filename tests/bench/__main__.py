"""``make bench``: measure, print tables, and keep every number in ``build/bench.json``."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    appends,
    booking,
    decisions,
    latency,
    reading,
    reconciling,
    recovering,
    remembering,
    replaying,
    reporting,
    startup,
    submitting,
)
from tests.bench.results import Result, say, write
from tollgate_contracts.money import install_exact_context

OUTPUT = Path("build/bench.json")


def _benches(directory: Path, quick: bool) -> dict[str, Callable[[], list[Result]]]:
    """Return every benchmark by name, in order; a quick run proves that they work and says little."""
    return {
        "startup": lambda: startup.measure(directory, 1 if quick else 3),
        "latency": lambda: latency.measure(directory, 1 if quick else 2, 5 if quick else 15),
        "submitting": lambda: submitting.measure(directory, 5 if quick else 30),
        "appends": lambda: appends.measure(directory, 2 if quick else 6),
        "decisions": lambda: decisions.measure(*((50, (200,)) if quick else (2_000, decisions.HISTORY))),
        "reconciliation": lambda: reconciling.measure(directory, 5 if quick else 50),
        "recovery": lambda: recovering.measure(directory, recovering.LENGTHS[: 2 if quick else None]),
        "replay": lambda: replaying.measure(directory, 2_000 if quick else replaying.MESSAGES_MIN),
        "booking": lambda: booking.measure(directory, *((1_200, 2) if quick else (booking.FILLS, 10))),
        "memory": lambda: remembering.measure(
            directory, *((5_000, 200) if quick else (remembering.FILLS, remembering.LIVES))
        ),
        "reading": lambda: reading.measure(directory, *((2_000, 20) if quick else (reading.ROWS, 100))),
        "report": lambda: reporting.measure(2_000 if quick else reporting.FILLS),
    }


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(_benches(Path(), False)), help="run one benchmark")
    parser.add_argument("--quick", action="store_true", help="short stretches: shows that it works")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON is written")
    options = parser.parse_args()
    install_exact_context()
    directory = Path(tempfile.mkdtemp(prefix="tollgate-bench-"))
    results: list[Result] = []
    try:
        for name, bench in _benches(directory, options.quick).items():
            if options.only in {None, name}:
                say(f"\n[bold]{name}[/bold]")
                began = time.monotonic()
                results += bench()
                say(f"{name}: {time.monotonic() - began:.0f} s")
                write(options.output, results)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    say(f"{len(results)} numbers in {options.output}")


if __name__ == "__main__":
    main()
