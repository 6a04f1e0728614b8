"""What the live view shows: the tape and the processes reduced to one screen. Pure: no clock, no I/O, no drawing."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tollgate_console.view.notable import Line, Tone, notable
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Order, Refusal
from tollgate_contracts.ledger import Books
from tollgate_contracts.marketdata import Clock, Feed, Quote, SymbolQuote
from tollgate_contracts.risk import Decision, KillSwitch, Mode, Outcome
from tollgate_contracts.strategy import Intent

# More lines than any terminal has.
LINES_MAX = 200


@dataclass(slots=True)
class ProcessLine:
    """One process as the supervisor and itself describe it."""

    state: str
    restarts: int = 0
    live: bool | None = None
    lag: int | None = None
    remark: str = ""


@dataclass(slots=True)
class ViewState:
    """Everything on the screen; counts are of what was seen since the view began."""

    sequence: int = 0
    ts_us: int = 0
    cycle_id: int = 0
    feed: Feed | None = None
    quotes: dict[str, SymbolQuote] = field(default_factory=dict)
    mode: str | None = None
    arming_missing: tuple[str, ...] = ()
    """What keeps the desk from trading, as the policy's keys."""
    kill_engaged: bool | None = None
    kill_epoch: int = 0
    kill_reason: str = ""
    intents: int = 0
    approved: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    refusals: int = 0
    books: Books | None = None
    processes: dict[str, ProcessLine] = field(default_factory=dict)
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_MAX))

    def apply(self, sequence: int, message: Message) -> Line | None:
        """Take in one message of the tape, and return its line when it is worth one; an old one changes nothing."""
        if sequence <= self.sequence:
            return None
        self.sequence = sequence
        self.remember(message)
        count = _COUNTS.get(type(message))
        if count is not None:
            count(self, message)
        line = notable(message)
        if line is not None:
            self.lines.append(line)
        return line

    def remember(self, message: Message) -> None:
        """Take in what is in force; also the last word of before this view began, which is not counted."""
        self.ts_us = max(self.ts_us, message.ts_us)
        match message:
            case Quote():
                self.quotes.update({quote.symbol: quote for quote in message.quotes})
            case Feed():
                self.feed = message
            case Clock():
                self.cycle_id = message.cycle_id
            case Mode():
                self.mode = str(message.to_mode)
            case KillSwitch():
                self.note_kill_switch(message.engaged, message.epoch, f"{message.actor}: {message.reason}")
            case Books():
                self.books = message

    def note_kill_switch(self, engaged: bool, epoch: int, reason: str = "") -> None:
        """Take in the kill switch as the tape or risk itself states it; an epoch never falls."""
        if epoch < self.kill_epoch:
            return
        self.kill_engaged, self.kill_epoch = engaged, epoch
        self.kill_reason = reason or self.kill_reason

    def note_report(self, report: dict[str, Any]) -> None:
        """Take in a report of ``tollgate status``: how processes are, and the kill switch when the tape is silent."""
        self.processes = {
            name: _process_line(process, report["services"].get(name)) for name, process in report["processes"].items()
        }
        self.arming_missing = tuple(report["arming_missing"] or ())
        kill = report["kill_switch"]
        if kill is not None:
            self.note_kill_switch(bool(kill["engaged"]), int(kill["epoch"]))

    def note_process(self, ts_us: int, name: str, what: str, bad: bool) -> Line:
        """Take in an event of the supervisor."""
        line = Line(ts_us, name, what, Tone.WARNING if bad else Tone.PLAIN)
        self.lines.append(line)
        return line


def _process_line(process: dict[str, Any], service: dict[str, Any] | None) -> ProcessLine:
    line = ProcessLine(process["state"], process["restarts"])
    if service is not None:
        line.live, line.lag = service["live"], service["lag"]
        line.remark = "; ".join(service["not_ready"])
    if process["reason"]:
        line.remark = process["reason"].splitlines()[-1]
    return line


def _count_decision(state: ViewState, message: Decision) -> None:
    if message.outcome is Outcome.APPROVED:
        state.approved += 1
        return
    state.rejected += 1
    state.reasons.update(str(finding.code) for finding in message.findings)


def _count_order(state: ViewState, message: Order) -> None:
    # An order of before this view began is not in the count that it leaves.
    if state.orders[message.from_state] > 0:
        state.orders[message.from_state] -= 1
    state.orders[message.to_state] += 1


def _count_intent(state: ViewState, _message: Intent) -> None:
    state.intents += 1


def _count_fill(state: ViewState, _message: Fill) -> None:
    state.fills += 1


def _count_refusal(state: ViewState, _message: Refusal) -> None:
    state.refusals += 1


_COUNTS: dict[type[Message], Callable[[ViewState, Any], None]] = {
    Intent: _count_intent,
    Decision: _count_decision,
    Order: _count_order,
    Fill: _count_fill,
    Refusal: _count_refusal,
}
