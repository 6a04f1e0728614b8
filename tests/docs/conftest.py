"""A desk on which the runbook's procedures are followed."""

from collections.abc import Iterator

import pytest

from tests.docs.procedures import Desk, operator_of, trades
from tests.policies import PATIENT

# An operator is called, a drift is one, and what is mended is well again, within seconds.
IMPATIENT = {
    "TOLLGATE_EXECUTION__SYNC__INTERVAL_MS": "1000",
    "TOLLGATE_EXECUTION__ACCOUNT_INTERVAL_MS": "1000",
    "TOLLGATE_EXECUTION__CALLS__OPEN_MS": "200",
    "TOLLGATE_EXECUTION__CALLS__OPEN_MS_MAX": "1000",
    "TOLLGATE_EXECUTION__SAFE_MODE__RECOVER_MS": "500",
    "TOLLGATE_EXECUTION__WATCH__UNKNOWN_MS": "100",
    "TOLLGATE_EXECUTION__WATCH__DELAY_MS_MAX": "2000",
    "TOLLGATE_EXECUTION__WATCH__PROBES_MAX": "4",
}
SWIFT = {**PATIENT, "modes.cool_off_ms": 500}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One desk for all procedures of a module, started as the page says."""
    desk = Desk(tmp_path_factory.mktemp("runbook"), IMPATIENT, SWIFT)
    try:
        with operator_of(desk) as operator:
            operator.type('install -d -m 700 "$STATE" "$STATE/logs"\nstart')
        yield desk
    finally:
        desk.end()


@pytest.fixture
def desk(running: Desk) -> Desk:
    """The same, once it trades: each procedure begins with such a desk, and leaves one."""
    trades(running)
    return running
