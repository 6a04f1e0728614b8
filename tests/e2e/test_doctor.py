"""The doctor beside a platform that trades, that is harmed on purpose, and that is not there."""

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import BUSY, Platform
from tollgate_console.doctor.report import Outcome, Report
from tollgate_console.exits import ConsoleExit

pytestmark = pytest.mark.platform
FILLS = 5
# A machine that does something else for a moment misses an objective, which is what they are for.
TRIES = 3


def call(desk: Platform, *options: str) -> tuple[int, Report]:
    done = desk.run("doctor", "--json", "--state-dir", str(desk.state), *options, timeout_s=60)
    assert done.returncode in {ConsoleExit.OK, ConsoleExit.NOT_HEALTHY, ConsoleExit.NOT_RUNNING}, done.stderr
    return done.returncode, Report.model_validate_json(done.stdout)


def failed(report: Report) -> set[tuple[str, str]]:
    """Return what failed: objective and service, or area and check."""
    objectives = {(each.name, each.service) for each in report.objectives if each.outcome is Outcome.FAIL}
    return objectives | {(each.area, each.name) for each in report.checks if each.outcome is Outcome.FAIL}


def test_the_doctor_finds_a_desk_well_and_what_was_done_to_it(platform: Callable[..., Platform]):
    desk = platform(BUSY)
    code, nothing = call(desk)
    assert (code, nothing.running, nothing.objectives) == (ConsoleExit.NOT_RUNNING, False, ())

    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills")
    before = leftovers(desk)
    for _ in range(TRIES):
        code, well = call(desk, "--cycles", "20")
        if code == ConsoleExit.OK:
            break
    assert (code, failed(well), well.healthy, well.desk) == (ConsoleExit.OK, set(), True, "main")
    assert well.measured is not None
    assert (well.measured.source, well.measured.cycles_seen is None) == ("metrics", False)
    judged = {each.name for each in well.objectives if each.outcome is Outcome.PASS}
    assert {"cycle-lag", "tape-lag", "stale-data", "permit-freshness", "reconcile-lag"} <= judged
    skipped = {(each.area, each.name) for each in well.checks if each.outcome is Outcome.SKIPPED}
    assert skipped <= {("clock", "ntp")}
    assert leftovers(desk) == before, "it changes nothing"

    seed = desk.state / "secrets" / "risk" / "approval_signing_key"
    seed.chmod(0o644)
    os.kill(desk.pid("strategy"), signal.SIGSTOP)
    try:
        code, harmed = call(desk, "--cycles", "8")
        said = plainly(desk)
    finally:
        os.kill(desk.pid("strategy"), signal.SIGCONT)
        seed.chmod(0o600)
    assert code == ConsoleExit.NOT_HEALTHY
    assert {("services", "strategy"), ("credentials", "risk"), ("tape-lag", "strategy")} <= failed(harmed)
    found: dict[tuple[str, str], Any] = {(each.area, each.name): each for each in harmed.checks}
    assert "mode 0644, expected 0600" in found["credentials", "risk"].said
    assert found["services", "risk"].outcome is found["credentials", "execution"].outcome is Outcome.PASS
    assert said.returncode == ConsoleExit.NOT_HEALTHY
    assert "NOT HEALTHY" in said.stdout
    assert seed.read_text().strip() not in said.stdout + harmed.model_dump_json()
    assert desk.stop() == 0


def plainly(desk: Platform) -> "subprocess.CompletedProcess[str]":
    return desk.run("doctor", "--state-dir", str(desk.state), "--only", "checks", timeout_s=60)


def leftovers(desk: Platform) -> set[str]:
    """Return the files that only somebody who writes would add to."""
    return {
        str(path.relative_to(desk.state)) for top in ("secrets", "operator") for path in (desk.state / top).rglob("*")
    }
