"""Drawing the view's state on a terminal."""

from collections import Counter
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tollgate_console.view.notable import Line, Tone
from tollgate_console.view.state import ProcessLine, ViewState
from tollgate_console.view.words import clock_time, money, signed_money
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import plain

STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.WARNING: "yellow", Tone.BAD: "bold red"}
_REASONS_SHOWN = 6
_PROCESSES_HEIGHT = 10
_MIDDLE_HEIGHT = 12
_GOOD_FEED = {FeedState.UP, FeedState.RECOVERED}


def render(state: ViewState, title: str, height: int) -> RenderableType:
    """Return the whole screen for a terminal of ``height`` lines."""
    layout = Layout()
    layout.split_column(
        Layout(_header(state, title), name="header", size=3),
        Layout(name="middle", size=_MIDDLE_HEIGHT),
        Layout(name="below", size=_PROCESSES_HEIGHT),
        Layout(_events(state, height - 3 - _MIDDLE_HEIGHT - _PROCESSES_HEIGHT - 2), name="events"),
    )
    layout["middle"].split_row(
        Layout(_quotes(state), ratio=5), Layout(_flow(state), ratio=4), Layout(_reasons(state), ratio=4)
    )
    layout["below"].split_row(Layout(_books(state), ratio=3), Layout(_processes(state), ratio=4))
    return layout


def _header(state: ViewState, title: str) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 2))
    feed = Text("feed ?", style="dim")
    if state.feed is not None:
        feed = Text(f"feed {state.feed.state}", style="green" if state.feed.state in _GOOD_FEED else "bold red")
    mode = Text(f"mode {state.mode or '?'}", style="green" if state.mode == "NORMAL" else "yellow")
    cells = [Text(title, style="bold"), feed, mode, _kill_switch(state), Text(f"tape {state.sequence:,}")]
    if state.arming_missing:
        cells.insert(3, Text(f"NOT ARMED: {', '.join(state.arming_missing)}", style="bold yellow"))
    line.add_row(*cells)
    return Panel(line, style="on red" if state.kill_engaged else "")


def _kill_switch(state: ViewState) -> Text:
    if state.kill_engaged:
        return Text(f"KILL SWITCH ENGAGED {state.kill_reason}", style="bold white")
    return Text("kill switch off" if state.kill_engaged is False else "kill switch: never used", style="green")


def _quotes(state: ViewState) -> RenderableType:
    table = Table("symbol", "bid", "ask", "at", box=None, expand=True, pad_edge=False)
    for symbol in sorted(state.quotes):
        quote = state.quotes[symbol]
        table.add_row(
            symbol, Text(plain(quote.bid), "green"), Text(plain(quote.ask), "red"), clock_time(quote.venue_ts_us)
        )
    return Panel(table if state.quotes else Text("no quotes yet", style="dim"), title="quotes")


def _flow(state: ViewState) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row("intents", f"{state.intents:,}")
    table.add_row("approved", Text(f"{state.approved:,}", "green"))
    table.add_row("rejected", Text(f"{state.rejected:,}", "yellow" if state.rejected else ""))
    table.add_row("refusals", Text(f"{state.refusals:,}", "bold red" if state.refusals else ""))
    table.add_row("fills", Text(f"{state.fills:,}", "green"))
    for name, count in _positive(state.orders):
        table.add_row(f"  {name.lower()}", f"{count:,}")
    return Panel(table, title="since this start")


def _positive(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted((str(name), count) for name, count in counts.items() if count > 0)


def _reasons(state: ViewState) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for code, count in state.reasons.most_common(_REASONS_SHOWN):
        table.add_row(code, f"{count:,}")
    return Panel(table if state.reasons else Text("nothing rejected", style="dim"), title="why rejected")


def _books(state: ViewState) -> RenderableType:
    books = state.books
    if books is None:
        return Panel(Text("the books are not open yet", style="dim"), title="books")
    figures = Table.grid(padding=(0, 2))
    figures.add_row("equity", Text(money(books.equity), "bold"), "realized", _gain(books.realized))
    figures.add_row("fees", money(books.fees), "unrealized", _gain(books.unrealized))
    figures.add_row("cash", *(f"{money(line.amount)} {line.currency}" for line in books.cash[:1]), "", "")
    held = [position for position in books.positions if position.quantity]
    positions = Table("position", "quantity", "cost", "unrealized", box=None, pad_edge=False)
    for position in held:
        positions.add_row(position.symbol, plain(position.quantity), money(position.cost), _gain(position.unrealized))
    return Panel(Group(figures, positions if held else Text("flat", style="dim")), title="books")


def _gain(amount: Decimal) -> Text:
    return Text(signed_money(amount), "green" if amount > 0 else "red" if amount < 0 else "")


def _processes(state: ViewState) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, expand=True)
    for _ in range(2):
        table.add_column(ratio=2)
        table.add_column(ratio=3)
    cells = [cell for name, process in state.processes.items() for cell in (name, _process(process))]
    for start in range(0, len(cells), 4):
        table.add_row(*cells[start : start + 4])
    return Panel(table if cells else Text("starting", style="dim"), title="processes")


def _process(process: ProcessLine) -> Text:
    if process.state != "running":
        return Text(f"{process.state} {process.remark}", style="bold red")
    if process.live is False:
        return Text(process.remark or "not live", style="yellow")
    restarts = f", restarted {process.restarts}" if process.restarts else ""
    lag = f"lag {process.lag}" if process.lag is not None else "up"
    return Text(f"{lag}{restarts}", style="green")


def _events(state: ViewState, room: int) -> RenderableType:
    newest = list(state.lines)[-max(room, 1) :]
    return Panel(Group(*(render_line(line) for line in newest)), title="events")


def render_line(line: Line) -> Text:
    """Return one event as one line of text, cut at the terminal's edge."""
    text = Text(f"{clock_time(line.ts_us)} {line.what:<12} {line.text}", style=STYLES[line.tone])
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
