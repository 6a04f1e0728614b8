"""The report for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tollgate_console.doctor.report import CheckResult, Measurement, ObjectiveResult, Outcome, Report
from tollgate_console.exits import ConsoleExit

_WORDS = {Outcome.SKIPPED: "-", Outcome.NO_DATA: "no data", Outcome.FAIL: "FAIL"}


def render_doctor(report: Report) -> RenderableType:
    """Return the report as tables."""
    parts: list[RenderableType] = [_headline(report)]
    if report.measured is not None:
        parts += [Text(), Text(_source(report.measured)), _objectives(report.objectives)]
    if report.checks:
        parts += [Text(), _checks(report.checks)]
    # Said again at the end, where whoever has called the doctor looks first.
    parts += [Text(line) for outcome in (Outcome.WARN, Outcome.FAIL) if (line := _names(report, outcome))]
    return Group(*parts)


def _names(report: Report, outcome: Outcome) -> str:
    names = [f"{each.name} {each.service}" for each in report.objectives if each.outcome is outcome]
    names += [f"{each.area} {each.name}" for each in report.checks if each.outcome is outcome]
    return f"{_word(outcome)}: {', '.join(names)}" if names else ""


def _headline(report: Report) -> Text:
    outcomes = [each.outcome for each in report.objectives] + [each.outcome for each in report.checks]
    counts = ", ".join(
        f"{outcomes.count(outcome)} {outcome.replace('_', ' ')}" for outcome in Outcome if outcome in outcomes
    )
    well = {ConsoleExit.OK: "healthy", ConsoleExit.NOT_HEALTHY: "NOT HEALTHY"}.get(
        ConsoleExit(report.exit_code), "NOT RUNNING"
    )
    return Text(f"desk {report.desk or '?'}  {well}  {counts}  ({report.took_s:.1f} s)")


def _source(measured: Measurement) -> str:
    seen = "the tape's clock did not answer" if measured.cycles_seen is None else f"{measured.cycles_seen} cycles"
    where = (
        "read off the services' own metrics just now, as no Prometheus was named"
        if measured.source == "metrics"
        else "looked up in Prometheus"
    )
    return f"objectives over {measured.seconds:.1f} s ({seen} of {measured.cycles_wanted}), {where}"


def _objectives(results: tuple[ObjectiveResult, ...]) -> Table:
    table = _table("objective", "service", "", "value", "target", "bound", "seen")
    for each in results:
        never = each.kind == "none"
        table.add_row(
            each.name,
            each.service,
            _word(each.outcome),
            "-" if each.value is None else f"{each.value:g}" if never else f"{100 * each.value:.2f} %",
            f"{each.target:g}" if never else f"{100 * each.target:g} %",
            "-" if each.bound is None else f"{each.bound:g} {each.unit}",
            str(each.observations),
            _plain(each.said if each.outcome is not Outcome.FAIL else f"{each.said.rstrip('.')}. See {each.runbook}"),
        )
    return table


def _checks(results: tuple[CheckResult, ...]) -> Table:
    table = _table("check", "", "")
    for each in results:
        said = f"{each.said}. To do: {each.do}" if each.do and each.outcome is not Outcome.PASS else each.said
        table.add_row(each.area, each.name, _word(each.outcome), _plain(said))
    return table


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    # A path that is cut off is of no use.
    table.add_column("", overflow="fold")
    return table


def _word(outcome: Outcome) -> str:
    return _WORDS.get(outcome, outcome.value)


def _plain(text: str) -> Text:
    # Square brackets in what was found are no markup.
    return Text(text)
