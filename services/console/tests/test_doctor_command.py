"""The command itself: what it looks at, how it ends, what it prints, and that nothing keeps it from the rest."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tollgate_console.commands.doctor import doctor
from tollgate_console.doctor import session
from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult, Measurement, ObjectiveResult, Outcome, Report, exit_code
from tollgate_console.doctor.session import Visit, visit
from tollgate_console.doctor.table import render_doctor
from tollgate_console.exits import ConsoleError, ConsoleExit

OBJECTIVE = ObjectiveResult(
    name="cycle-lag",
    service="risk",
    kind="latency",
    outcome=Outcome.PASS,
    value=0.975,
    target=0.97,
    bound=0.25,
    unit="s",
    observations=40,
    said="It is.",
    runbook="docs/runbook.md#clock-wrong",
)
AREA = Area("broker")


def report(*checks: CheckResult, objectives: tuple[ObjectiveResult, ...] = (OBJECTIVE,), code: int = 0) -> Report:
    return Report(
        desk="main",
        state_dir="state",
        at_us=1,
        running=True,
        healthy=not code,
        exit_code=code,
        took_s=1.5,
        measured=Measurement(source="metrics", cycles_wanted=40, cycles_seen=41, seconds=10.2),
        objectives=objectives,
        checks=checks,
    )


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(arguments))


def test_only_a_failure_makes_it_end_with_one() -> None:
    """Warnings, what was skipped, and too little data do not; where nothing runs there is nothing to judge."""
    fine = (AREA.passed("a", "."), AREA.warned("b", ".", "."), AREA.skipped("c", "."))
    no_data = OBJECTIVE.model_copy(update={"outcome": Outcome.NO_DATA})
    failing = OBJECTIVE.model_copy(update={"outcome": Outcome.FAIL})
    assert exit_code((no_data,), fine, None) is ConsoleExit.OK
    assert exit_code((failing,), fine, None) is ConsoleExit.NOT_HEALTHY
    assert exit_code((), (*fine, AREA.failed("d", ".", ".")), None) is ConsoleExit.NOT_HEALTHY
    assert exit_code((failing,), fine, ConsoleExit.NOT_RUNNING) is ConsoleExit.NOT_RUNNING


def test_where_nothing_runs_it_says_so_and_looks_at_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 69, and JSON as ever; nothing is made in the directory."""
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    answer = run("--json", "--state-dir", str(tmp_path / "state"))
    assert answer.exit_code == ConsoleExit.NOT_RUNNING
    told = json.loads(answer.stdout)
    assert Report.model_validate(told).running is False
    assert (told["measured"], told["objectives"]) == (None, [])
    assert {"services", "configuration", "broker", "disk"} <= {check["area"] for check in told["checks"]}
    assert list((tmp_path / "state").iterdir()) == []
    plain = run("--state-dir", str(tmp_path / "state"), "--only", "checks")
    assert (plain.exit_code, "NOT RUNNING" in plain.stdout) == (ConsoleExit.NOT_RUNNING, True)


async def test_a_check_that_breaks_or_hangs_is_a_result_like_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other areas are wanted all the more; what a break says may have a secret in it and is not told."""

    async def breaks(_: Patient) -> list[CheckResult]:
        raise RuntimeError("a password")

    async def hangs(_: Patient) -> list[CheckResult]:
        await asyncio.sleep(60)
        return []

    async def refuses(_: Patient) -> list[CheckResult]:
        raise ConsoleError(ConsoleExit.TEMPORARY, "said\n  on lines")

    async def is_fine(_: Patient) -> list[CheckResult]:
        return [AREA.passed("a", "fine")]

    checks = {"breaks": breaks, "hangs": hangs, "refuses": refuses, "broker": is_fine}
    monkeypatch.setattr(session, "CHECKS", checks)
    monkeypatch.setattr(session, "_AREA_S", 0.1)
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    found = await visit(Visit(tmp_path, objectives=False))
    assert {check.area: check.outcome for check in found.checks} == {
        "breaks": Outcome.FAIL,
        "hangs": Outcome.FAIL,
        "refuses": Outcome.FAIL,
        "broker": Outcome.PASS,
    }
    assert "password" not in found.model_dump_json()
    assert found.checks[2].said == "said; on lines"


async def test_objectives_that_cannot_be_read_are_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks are made all the same."""
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    monkeypatch.setattr(session, "OBJECTIVES_FILE", "no-such.yaml")
    found = await visit(Visit(tmp_path))
    assert found.checks[0].area == "objectives"
    assert found.checks[0].outcome is Outcome.FAIL
    assert len(found.checks) > 5


async def test_a_prometheus_that_is_away_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no platform, and so says nothing of one."""
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    found = await visit(Visit(tmp_path, prometheus="http://127.0.0.1:9", checks=False))
    assert [(check.area, check.name, check.outcome) for check in found.checks] == [
        ("objectives", "prometheus", Outcome.FAIL)
    ]
    assert found.exit_code == ConsoleExit.NOT_HEALTHY


@pytest.mark.parametrize("option", [("--cycles", "1"), ("--cycles", "9999"), ("--only", "both")])
def test_what_cannot_be_asked_for_is_a_wrong_command_line(option: tuple[str, str]) -> None:
    """With 2."""
    assert run(*option).exit_code == ConsoleExit.USAGE


def test_the_table_says_all_of_it_and_the_failures_again_at_the_end() -> None:
    """Square brackets are no markup, a runbook stands beside a failed objective, and no path is cut off."""
    failing = OBJECTIVE.model_copy(update={"outcome": Outcome.FAIL, "service": "ledger"})
    never = OBJECTIVE.model_copy(update={"kind": "none", "value": 2.0, "target": 0.0, "bound": None, "unit": ""})
    console = Console(width=100, record=True, file=io.StringIO())
    checks = (AREA.failed("sync", "[bold] it is not", "mend it"), AREA.warned("room", "little", "free some"))
    console.print(render_doctor(report(*checks, objectives=(OBJECTIVE, failing, never), code=1)))
    text = console.export_text()
    for words in ("NOT HEALTHY", "2 pass, 1 warn, 2 fail", "97.50 %", "0.25 s", "[bold] it is not. To do: mend it"):
        assert words in text, words
    assert "41 cycles of 40" in text
    assert "docs/runbook.md#clock-wrong" in text
    assert text.splitlines()[-2:] == ["warn: broker room", "FAIL: cycle-lag ledger, broker sync"]


def test_the_shape_of_the_json_is_the_promised_one() -> None:
    """Keys are added and never renamed: who reads them is not asked."""
    told = json.loads(report(AREA.passed("a", "b")).model_dump_json())
    assert list(told) == [
        *("version", "desk", "state_dir", "at_us", "running", "healthy", "exit_code", "took_s", "measured"),
        *("objectives", "checks"),
    ]
    assert list(told["objectives"][0]) == [
        *("name", "service", "kind", "outcome", "value", "target", "bound", "unit", "observations", "said", "runbook")
    ]
    assert list(told["checks"][0]) == ["area", "name", "outcome", "said", "do"]
    assert list(told["measured"]) == ["source", "cycles_wanted", "cycles_seen", "seconds"]


def test_a_directory_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it can be looked at."""

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tollgate_console.doctor.patient.find_platform", refuse)
    with pytest.raises(ConsoleError, match="Permission denied") as refused:
        asyncio.run(visit(Visit(tmp_path)))
    assert refused.value.code is ConsoleExit.BAD_CONFIGURATION
