"""The shipped policy with some knobs turned, for desks that trade far more than a sane one would."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

# A strategy that trades on noise loses by design: the limits on what it may lose, and the conditions that watch for
# such a strategy, would end a test before it has seen enough.
PATIENT: dict[str, Any] = {
    "intents.repeat_ms": 0,
    "pace.rate_per_s": 1_000,
    "pace.burst": 1_000,
    "pace.after_loss_ms": 0,
    "pace.after_stop_ms": 0,
    "pace.orders_per_hour": 1_000_000,
    "pace.orders_per_day": 1_000_000,
    "loss.daily": "90000",
    "loss.drawdown_bps": "9000",
    "loss.consecutive": 1_000_000,
    "loss.symbol_consecutive": 1_000_000,
    **{
        f"modes.conditions.{name}": None
        for name in (
            "daily_loss", "drawdown", "consecutive_losses", "rejection_spike", "trade_spike", "venue_errors",
            "no_fills", "win_rate",
        )
    },
}  # fmt: skip
UNPACED: dict[str, Any] = {**PATIENT, "pace.symbol_cooldown_ms": 0, "pace.reducing_symbol_cooldown_ms": 0}


def write_policy(path: Path, changes: dict[str, Any]) -> Path:
    """Write the shipped policy with ``changes`` by dotted key, and return where it lies."""
    rules = yaml.safe_load((ROOT / "config" / "policy.yaml").read_text())
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section = rules
        for name in sections:
            section = section[name]
        assert key in section, f"the shipped policy has no {dotted}"
        section[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(rules, sort_keys=False))
    return path
