"""The report for people."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def render_report(report: dict[str, Any]) -> RenderableType:
    """Return the report as tables."""
    return Group(_headline(report), _processes(report), _trading(report), _positions(report))


def _headline(report: dict[str, Any]) -> Text:
    text = Text(f"desk {report['desk']}  run {report['run_id']}  ")
    text.append("healthy" if report["healthy"] else "NOT HEALTHY", style="green" if report["healthy"] else "bold red")
    kill = report["kill_switch"]
    if kill is not None and kill.get("engaged"):
        text.append(f"  KILL SWITCH ENGAGED (epoch {kill.get('epoch')})", style="bold white on red")
    return text


def _processes(report: dict[str, Any]) -> Table:
    table = Table("process", "state", "pid", "restarts", "position", "tip", "lag", "", box=None, pad_edge=False)
    for name, process in report["processes"].items():
        service = report["services"].get(name, {})
        well = process["state"] == "running" and service.get("live", True)
        state = process["state"] if well or process["state"] != "running" else "not live"
        # Why it ended says more than that it does not answer.
        ended = process["reason"].splitlines()[-1:]
        remarks = ended[0] if ended else "; ".join(service.get("not_ready", []))
        table.add_row(
            name,
            Text(state, style="green" if well else "bold red"),
            *(_shown(process[key]) for key in ("pid", "restarts")),
            *(_shown(service.get(key)) for key in ("position", "tip", "lag")),
            remarks,
        )
    return table


def _trading(report: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    decisions = report["decisions"] or {}
    reasons = decisions.get("by_reason") or {}
    rows = {
        "feed": report["feed"],
        "mode": report["mode"],
        "intents": report["intents"],
        "decisions": _counts({key: decisions.get(key) for key in ("APPROVED", "REJECTED")} if decisions else None),
        "reasons": _counts(reasons),
        "orders": _counts(report["orders"]),
        "fills": report["fills"],
        "refusals": _counts(report["refusals"]),
        "cash": _counts(report["cash"]),
        **{key: report[key] for key in ("equity", "realized", "fees", "drawdown")},
    }
    for name, value in rows.items():
        table.add_row(name, _shown(value))
    return table


def _positions(report: dict[str, Any]) -> RenderableType:
    held = {symbol: line for symbol, line in (report["positions"] or {}).items() if line["quantity"] != "0"}
    if not held:
        return Text("no positions")
    table = Table("position", "quantity", "cost", "mark", "unrealized", box=None, pad_edge=False)
    for symbol, line in held.items():
        table.add_row(symbol, *(_shown(line.get(key)) for key in ("quantity", "cost", "mark", "unrealized")))
    return table


def _counts(counts: dict[str, Any] | None) -> str | None:
    if counts is None:
        return None
    return "  ".join(f"{name} {count}" for name, count in counts.items() if count not in (0, None)) or "none"


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
