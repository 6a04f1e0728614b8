"""What holds for every tape, whatever the market, the strategy, the venue and the operators do.

The machine in ``risk_machine.py`` writes random tapes, and after every step it asks:

- **No approved order violates a rule, in any mode**: each approval is judged again by ``risk_rules.py``, which names
  the rules and shares no code with the gates: arming, kill switch and modes; expiry, duplicates and repetitions;
  allowlist, exclusions, status, grid and minima; age, skew and gaps of the data; collar, post-only and our own orders;
  every cap on size, exposure, units, groups, concentration, margin and numbers of orders; cash and reserve; spacings,
  cooldowns, hourly and daily caps and the rate; the day's loss and the drawdown. Orders that are UNKNOWN or whose
  fills are to come count in full.
- **What reduces never enlarges and never flips**, in whatever order and part the open orders trade.
- **An engaged kill switch lets nothing new through** but cancels and, to flatten, what only closes.
- **The book of exposures is a naive recomputation, exactly**: holdings, cash, equity, claims, margins and groups.
- **Cash never falls below the reserve** on a spot desk whose reserve was never raised, whatever was traded.

And at the end of each tape: **nothing is reserved once no order is open**, and **a second gate, restored from a
snapshot taken anywhere, writes the same bytes**. Streaks, lockouts, cooldowns after an outcome, liquidation distance
and funding are covered by their own tables and properties. ``make properties`` runs a hundred thousand tapes.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from risk_machine import GateMachine

# As many tapes as take about ten seconds; make properties asks for more.
EXAMPLES = int(os.environ.get("TOLLGATE_EXAMPLES", "150"))


@pytest.fixture
def machine(new_desk, rules_with):
    """Give the machine the desk that the other tests use, and start its counts."""
    GateMachine.Desk, GateMachine.changed = new_desk, staticmethod(rules_with)
    GateMachine.counts = dict.fromkeys(GateMachine.counts, 0)
    return GateMachine


def test_every_invariant_holds_on_random_tapes(machine):
    """The invariants above, on tapes of which a fair part is approved: where all is refused, nothing is proved."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.counts["sequences"] >= EXAMPLES
    assert machine.counts["approvals"] * 20 > machine.counts["decisions"]
