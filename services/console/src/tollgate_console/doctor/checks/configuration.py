"""Does every service's configuration load, by the service's own rules, and do they agree?"""

from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.doctor.settings_probe import POLICY
from tollgate_console.supervisor.plan import PROCESSES

AREA = Area("configuration")
_MEND = "mend what is named in the configuration file or the environment; docs/configuration.md has every key"


async def check_configuration(patient: Patient) -> list[CheckResult]:
    """Report on the console's own settings, each service's, the policy file, and the desk that they name."""
    if patient.settings is None:
        return [AREA.failed("console", one_line(patient.refused), _MEND)]
    results = [AREA.passed("console", "settings load")]
    if not patient.loaded:
        return [*results, AREA.failed("services", "no service's settings could be loaded", "run `make install`")]
    for service in PROCESSES:
        why = patient.loaded[service].why
        results.append(
            AREA.passed(service, "settings load") if why is None else AREA.failed(service, one_line(why), _MEND)
        )
    policy = patient.loaded.get(POLICY)
    if policy is None:
        results.append(AREA.skipped(POLICY, "risk's settings do not load"))
    elif policy.why is not None:
        do = "mend the policy file, and see what `tollgate policy diff` says of it"
        results.append(AREA.failed(POLICY, one_line(policy.why), do))
    else:
        results.append(AREA.passed(POLICY, "risk would take the policy file"))
    return [*results, _one_desk(patient)]


def _one_desk(patient: Patient) -> CheckResult:
    desks = {name: loaded.desk for name, loaded in patient.loaded.items() if loaded.desk is not None}
    other = [f"{name} names {desk}" for name, desk in desks.items() if desk != patient.desk]
    do = "give every service the same configuration, and start the platform again"
    return AREA.decided("desk", other, f"all name desk {patient.desk}", f"{do}; expected {patient.desk}")


def one_line(text: str) -> str:
    """Return what was written for people on several lines, on one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
