"""Audits as pages for a terminal."""

from rich.console import Group, RenderableType
from rich.text import Text

from tollgate_contracts.money import plain
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.rebuild import Rebuilt
from tollgate_research.audit.venue import Comparison, Outcome
from tollgate_research.layout import section, table, time_of

_ABOUT = {
    Part.ARCHIVE: "records continue the tape's hash chain",
    Part.TAPE: "records of the archive are those of the broker's tape",
    Part.JOURNAL: "entries continue the journal's hash chain",
    Part.SUMS: "postings sum to zero, entry by entry and together",
    Part.BOOKS: "entries and postings are those that the archive leads to",
    Part.READ_MODEL: "rows of trips, costs, equity and days are, too",
    Part.CHECKPOINT: "place and state to go on from are, too",
    Part.SEALS: "signed seals are of these chains, up to a short while ago",
    Part.SCHEMA: "rules and rights of the database are those that its file makes",
}
_OUTCOMES = {
    Outcome.AGREES: ("Books and venue agree.", "bold green"),
    Outcome.DIFFERS: ("Books and venue do not agree.", "bold red"),
    Outcome.NOT_JUDGED: ("Nothing differs that can be judged now.", "bold yellow"),
}
_S_US = 1_000_000


def audit_page(audit: Audit) -> RenderableType:
    """Return what was looked at, and of each part the first row that is not as it must be."""
    parts = table("", "rows", "part", "what holds, or the first row that does not")
    for part in Part:
        finding = audit.found.get(part)
        parts.add_row(_mark(audit, part), f"{audit.checked[part]:,}", str(part), str(finding or _ABOUT[part]))
    lines: list[RenderableType] = [parts]
    if audit.sealed:
        behind = max(0, audit.archived - audit.sealed)
        lines += ["", f"Sealed up to record {audit.sealed:,} at {time_of(audit.sealed_us)}; {behind:,} came after."]
    lines += [f"Not proved: {what}." for what in audit.not_proved]
    title = f"Audit of desk {audit.desk}: {audit.archived:,} records, {audit.entries:,} entries"
    return Group(*section(title, lines), "", _verdict(audit))


def _mark(audit: Audit, part: Part) -> Text:
    if part in audit.found:
        return Text("differs", style="bold red")
    return Text("holds", style="green") if audit.checked[part] else Text("not seen", style="dim")


def _verdict(audit: Audit) -> Text:
    if not audit.holds:
        return Text(f"The books do not hold. First: {audit.first}", style="bold red")
    if audit.not_proved:
        return Text("Nothing differs, and not everything is proved.", style="bold yellow")
    return Text("The books hold.", style="bold green")


def venue_page(comparison: Comparison) -> RenderableType:
    """Return the comparison currency by currency."""
    lines = table("currency", "books", "venue", "difference", "dust", "verdict")
    for line in comparison.lines:
        verdict = f"{line.verdict}, drifting" if line.drifting else str(line.verdict)
        numbers = (line.books, line.venue, line.difference, line.dust)
        lines.add_row(line.currency, *map(plain, numbers), verdict)
    title = f"Account {comparison.account} at {comparison.venue}, stated {time_of(comparison.stated_us)}"
    behind = f"The tape went on for {comparison.behind_us / _S_US:,.0f} s without another statement."
    said, style = _OUTCOMES[comparison.outcome]
    return Group(*section(title, [lines, "", behind]), "", Text(said, style=style))


def rebuilt_page(rebuilt: Rebuilt) -> RenderableType:
    """Return how the rebuilt tables compare with those in use."""
    lines = table("", "rows", "table", "first row that differs")
    for name, count in rebuilt.rows.items():
        what = rebuilt.differences.get(name)
        mark = Text("differs", style="bold red") if what else Text("equal", style="green")
        lines.add_row(mark, f"{count:,}", name, what or "")
    where = f"It is kept as database {rebuilt.kept}." if rebuilt.kept else ""
    said = "Equal to the last digit." if rebuilt.is_equal else "Not equal."
    style = "bold green" if rebuilt.is_equal else "bold red"
    title = f"Rebuilt from {rebuilt.archived:,} records"
    return Group(*section(title, [lines]), "", Text(f"{said} {where}".strip(), style=style))
