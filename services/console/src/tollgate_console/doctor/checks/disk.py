"""Is there room where state, broker and database lie?"""

import shutil
from pathlib import Path

from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.layout import Layout

AREA = Area("disk")
_MIB = 1_024 * 1_024
# Below so many floors somebody should look before `tollgate up` refuses to start.
_NEAR = 2
_DO = "free some, or use a larger disk; docs/runbook.md#disk-full"


async def check_disk(patient: Patient) -> list[CheckResult]:
    """Report on each place; the floor is the one below which ``tollgate up`` refuses to start."""
    if not patient.layout.root.is_dir():
        return [AREA.skipped("state", f"{patient.layout.root} is not there")]
    if patient.settings is None:
        return [AREA.skipped("state", "the configuration does not load, so the floor is not known")]
    floor_mib = patient.settings.console.disk_floor_mib
    places = {
        "state": patient.layout.root,
        "broker": patient.layout.broker_store,
        "database": _database_place(patient.layout),
    }
    return [_check_place(name, path, floor_mib) for name, path in places.items()]


def _database_place(layout: Layout) -> Path:
    recorded = layout.postgres_place_file
    return Path(recorded.read_text().strip()) if recorded.exists() else layout.root / "postgres"


def _check_place(name: str, path: Path, floor_mib: int) -> CheckResult:
    if not path.exists():
        return AREA.skipped(name, f"{path} is not there yet")
    free_mib = shutil.disk_usage(path).free // _MIB
    said = f"{free_mib} MiB are free at {path.resolve()}, at least {floor_mib} MiB are wanted"
    if free_mib < floor_mib:
        return AREA.failed(name, said, _DO)
    if free_mib < _NEAR * floor_mib:
        return AREA.warned(name, said, _DO)
    return AREA.passed(name, said)
