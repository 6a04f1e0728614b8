"""Does this version understand what the ones before have left: the directory, the snapshots, and the tape's end?"""

from collections import Counter

from tollgate_chassis.exits import Halt
from tollgate_chassis.snapshots import FileSnapshots
from tollgate_chassis.tape import TapeUnavailable
from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.broker import connected
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.layout import LAYOUT_VERSION
from tollgate_contracts.codec import Unreadable, UnreadableMessage, decode
from tollgate_contracts.envelope import SERVICES

AREA = Area("versions")
_TAPE_END = 200
_OTHER_VERSION = (Unreadable.UNKNOWN_KIND, Unreadable.UNKNOWN_VERSION)
_DO = "use the version of Tollgate that wrote it, or another --state-dir"


async def check_versions(patient: Patient) -> list[CheckResult]:
    """Report on the layout, each service's snapshot, and the newest messages."""
    return [_check_layout(patient), *[await _check_snapshot(patient, name) for name in SERVICES], await _tape(patient)]


def _check_layout(patient: Patient) -> CheckResult:
    try:
        found = patient.layout.version_file.read_text().strip()[:20]
    except OSError as error:
        return AREA.skipped("layout", f"{patient.layout.version_file} cannot be read: {error.strerror}")
    wrong = [] if found == str(LAYOUT_VERSION) else [f"the state directory has layout {found!r}, not {LAYOUT_VERSION}"]
    return AREA.decided("layout", wrong, f"the state directory has layout {LAYOUT_VERSION}", _DO)


async def _check_snapshot(patient: Patient, service: str) -> CheckResult:
    name = f"snapshot {service}"
    try:
        snapshot = await FileSnapshots(patient.layout.service_state(service)).load()
    except Halt as error:
        do = "remove it while the service is stopped: it is made again from the tape"
        return AREA.failed(name, error.why, do)
    except (OSError, ValueError, KeyError) as error:
        return AREA.failed(name, f"it cannot be read: {type(error).__name__}", "see who changed it; docs/runbook.md")
    if snapshot is None:
        return AREA.passed(name, "there is none yet in a file")
    return AREA.passed(name, f"readable, of tape sequence {snapshot.sequence}")


async def _tape(patient: Patient) -> CheckResult:
    if patient.platform is None:
        return AREA.skipped("messages", "no platform runs")
    try:
        async with connected(patient) as tape:
            bounds = await tape.bounds()
            records = await tape.read(max(bounds.first, bounds.last - _TAPE_END + 1), _TAPE_END)
    except TapeUnavailable as error:
        return AREA.skipped("messages", f"the tape cannot be read: {error.why}")
    return check_messages([record.data for record in records])


def check_messages(bodies: list[bytes]) -> CheckResult:
    """Say whether this version reads every message among ``bodies``."""
    refused: Counter[Unreadable] = Counter()
    for body in bodies:
        try:
            decode(body)
        except UnreadableMessage as error:
            refused[error.reason] += 1
    said = ", ".join(f"{count} {reason.value}" for reason, count in refused.items())
    if any(refused[reason] for reason in _OTHER_VERSION):
        do = "let all services and this command be of one version; what is not read is among the dead letters"
        return AREA.failed("messages", f"of the newest {len(bodies)}, {said}; all are expected to be known", do)
    if refused:
        do = "read the dead letters; docs/runbook.md#dead-letters"
        return AREA.warned("messages", f"of the newest {len(bodies)}, {said}; all are expected to be readable", do)
    return AREA.passed("messages", f"this version knows the newest {len(bodies)} messages of the tape")
