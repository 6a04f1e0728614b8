"""One visit of the doctor: find what is there, measure the objectives, look at the rest, and put it together.

Nothing is written, and nothing is waited for without end: each area has its time, and what does not answer in it is a
result too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.broker import check_broker
from tollgate_console.doctor.checks.clock import check_clock
from tollgate_console.doctor.checks.configuration import check_configuration, one_line
from tollgate_console.doctor.checks.credentials import check_credentials
from tollgate_console.doctor.checks.database import check_database
from tollgate_console.doctor.checks.disk import check_disk
from tollgate_console.doctor.checks.services import check_services
from tollgate_console.doctor.checks.versions import check_versions
from tollgate_console.doctor.judging import cycles_seen, judge, metrics_needed
from tollgate_console.doctor.objectives import OBJECTIVES_FILE, read_objectives
from tollgate_console.doctor.patient import Patient, find_patient, load_services
from tollgate_console.doctor.prometheus import look_back
from tollgate_console.doctor.report import CheckResult, Measurement, ObjectiveResult, Report, exit_code
from tollgate_console.doctor.window import watch
from tollgate_console.exits import ConsoleError

# In this order they are printed: what most of the others rest on comes first.
CHECKS: dict[str, Callable[[Patient], Awaitable[list[CheckResult]]]] = {
    "services": check_services,
    "configuration": check_configuration,
    "credentials": check_credentials,
    "clock": check_clock,
    "broker": check_broker,
    "database": check_database,
    "disk": check_disk,
    "versions": check_versions,
}
_AREA = Area("objectives")
# Longer than all questions of one area together take to give up, each with its own patience.
_AREA_S = 15.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What the command line asked for."""

    state_dir: Path
    config: Path | None = None
    cycles: int = 40
    prometheus: str | None = None
    objectives: bool = True
    checks: bool = True


@dataclass(frozen=True, slots=True)
class _Measured:
    how: Measurement | None
    results: tuple[ObjectiveResult, ...]
    failed: tuple[CheckResult, ...] = ()


async def visit(asked: Visit) -> Report:
    """Look, and return what was found; raises ``ConsoleError`` when there is not even a deployment to compare with."""
    began = time.monotonic()
    at_us = time.time_ns() // 1_000
    patient = await asyncio.to_thread(find_patient, asked.state_dir, asked.config)
    # First by itself: loading five services' code takes a core for a second, and would be measured.
    patient = replace(patient, loaded=await load_services(patient))
    measured, checks = await asyncio.gather(_measure(asked, patient), _check(asked, patient))
    checks = (*measured.failed, *checks)
    # What Prometheus has seen can be judged from anywhere.
    needs_platform = asked.checks or asked.prometheus is None
    code = exit_code(
        measured.results, checks, patient.not_running.code if patient.not_running and needs_platform else None
    )
    return Report(
        desk=patient.desk,
        state_dir=str(asked.state_dir),
        at_us=at_us,
        running=patient.platform is not None,
        healthy=not code,
        exit_code=int(code),
        took_s=round(time.monotonic() - began, 3),
        measured=measured.how,
        objectives=measured.results,
        checks=checks,
    )


async def _measure(asked: Visit, patient: Patient) -> _Measured:
    if not asked.objectives:
        return _Measured(None, ())
    try:
        objectives = read_objectives(patient.deployment / OBJECTIVES_FILE)
    except ConsoleError as error:
        do = "mend it: docs/doctor.md says what a line must be"
        return _Measured(None, (), (_AREA.failed("file", one_line(error.what), do),))
    names, began = metrics_needed(objectives), time.time()
    begin_s = 0.0
    if asked.prometheus is not None:
        seconds = asked.cycles * patient.cycle_s
        try:
            looked = await look_back(asked.prometheus, patient.desk or "main", names, seconds, began)
        except ConsoleError as error:
            do = "start it, or leave --prometheus out"
            return _Measured(None, (), (_AREA.failed("prometheus", error.what, do),))
        readings, begin_s = looked.readings, looked.begin_s
    elif patient.services:
        readings = await watch(patient.services, names, asked.cycles, patient.cycle_s)
        seconds = time.time() - began
    else:
        return _Measured(None, ())
    results = tuple(judge(each, service, readings, begin_s) for each in objectives for service in each.services)
    how = Measurement(
        source="metrics" if asked.prometheus is None else "prometheus",
        cycles_wanted=asked.cycles,
        cycles_seen=cycles_seen(readings),
        seconds=round(seconds, 3),
    )
    return _Measured(how, results)


async def _check(asked: Visit, patient: Patient) -> tuple[CheckResult, ...]:
    if not asked.checks:
        return ()
    areas = await asyncio.gather(*(_look(name, check(patient)) for name, check in CHECKS.items()))
    return tuple(result for area in areas for result in area)


async def _look(name: str, check: Awaitable[list[CheckResult]]) -> Sequence[CheckResult]:
    """Return what a check found; one that breaks or takes too long is a result like another."""
    area = Area(name)
    try:
        return await asyncio.wait_for(check, _AREA_S)
    except TimeoutError:
        return [area.failed("all", f"no answer within {_AREA_S:.0f} s", "see which process hangs: `tollgate status`")]
    except ConsoleError as error:
        return [area.failed("all", one_line(error.what), "mend what is named")]
    except Exception as error:  # noqa: BLE001 - the other areas are wanted all the more when one breaks
        # Its own words may have a secret in them.
        return [
            area.failed("all", f"it could not be looked at: {type(error).__name__}", "tell who looks after Tollgate")
        ]
