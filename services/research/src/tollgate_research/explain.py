"""Find one order on a tape by any of its ids, and gather all that the tape tells of it.

The gate's own core is stepped over the tape, so what the gates saw is not remembered by anybody: it is worked out
again, by the same code, from the same records. One pass, in memory that does not grow with the tape: orders that are
over are forgotten after a while, unless they are what is asked for, and open ones are as few as the gate lets be.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Duplicate, Reading, Refused
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, Refusal, Report
from tollgate_contracts.reconciliation import Reconcile
from tollgate_contracts.risk import Decision, KillSwitch, Mode, Policy
from tollgate_contracts.strategy import Action, Intent
from tollgate_domain.holdings import EMPTY, Holding
from tollgate_research.explain_story import Event, Judged, Moment, PolicyInForce, Story
from tollgate_research.travels import Travels
from tollgate_risk.core import RiskCore
from tollgate_risk.core.case import Measure, open_case
from tollgate_risk.core.gates import look
from tollgate_risk.core.state import MarketQuote

# A trade's id, or the venue's own of an order, is known only when it comes: until then any order may be the one.
# What is over stays within reach for this many orders after it.
OVER_MAX = 1_000
# More answers than these are counted and not shown.
MATCHES_MAX = 20
# A switch that was engaged this many times ago acts no more.
_SWITCHES_MAX = 16


class Explainer:
    """Takes a tape record by record; afterwards ``matches`` holds what was asked for."""

    def __init__(self, desk: str, asked: str) -> None:
        self.desk = desk
        self.asked = asked
        self.records = 0
        self.core = RiskCore()
        self.exact: list[Story] = []
        self.begins_so: dict[str, Story] = {}
        """By the id that begins with what is asked."""
        self.has_more = False
        """Whether more match than are kept."""
        self._reading = Reading(desk)
        self._policy: PolicyInForce | None = None
        self._mode_why = ""
        self._switches: dict[str, KillSwitch] = {}
        self._travels = Travels(self.core)
        self._by_order: dict[str, Story] = {}
        self._undecided: dict[tuple[str, str], tuple[Judged, Story]] = {}
        """By what asked and the order that it asks about."""
        self._over: deque[Story] = deque()
        self._last_report: tuple[int, Story] | None = None

    @property
    def matches(self) -> list[Story]:
        """The orders that are meant: those of exactly this id, or else those with an id that begins so."""
        if self.exact:
            return self.exact
        return list({id(story): story for story in self.begins_so.values()}.values())

    def take(self, record: Record) -> None:
        """Take the next record."""
        self.records += 1
        message = self._reading.read(record)
        if isinstance(message, Refused | Duplicate):
            return
        at_us = record.stored_us or message.ts_us
        judged = self._ask(record.sequence, at_us, message) if isinstance(message, Intent) else None
        before = self._travels.before(record.sequence, message)
        outputs = self.core.step(record.sequence, message).outputs
        self._learn(record.sequence, message)
        self._file_decisions(record.sequence, at_us, message, judged, outputs)
        for trip in self._travels.after(record.sequence, message, before):
            story = self._by_order.get(message.client_order_id) if isinstance(message, Fill) else None
            if story is not None:
                story.travel(trip)
        self._hear(Event(record.sequence, at_us, message))

    def _ask(self, sequence: int, at_us: int, intent: Intent) -> Judged:
        """Look through the gates' eyes, just before the gate does."""
        state = self.core.state
        measures: tuple[Measure, ...] = ()
        if state.policy is not None:
            # A core takes its time from the message before it judges; a copy does so here, and the core stays as is.
            now = replace(state, now_us=max(state.now_us, intent.ts_us))
            measures = look(open_case(intent, now, state.policy))
        return Judged(intent, self._moment(sequence, at_us, intent, intent.symbol, measures))

    def _moment(
        self, sequence: int, at_us: int, message: Message, symbol: str, measures: tuple[Measure, ...] = ()
    ) -> Moment:
        state = self.core.state
        return Moment(
            sequence=sequence,
            at_us=at_us,
            ts_us=message.ts_us,
            measures=measures,
            policy=self._policy,
            mode=state.mode,
            mode_why=self._mode_why,
            kill=replace(state.kill),
            feed=state.feed,
            fault=state.fault,
            quote=state.quotes.get(symbol),
            held=state.held(symbol),
            now_us=max(state.now_us, message.ts_us),
        )

    def _learn(self, sequence: int, message: Message) -> None:
        if isinstance(message, Policy):
            document = self.core.state.policy
            self._policy = PolicyInForce(sequence, message.hash, message.text, document)
        elif isinstance(message, KillSwitch):
            self._switches[message.id] = message
            if len(self._switches) > _SWITCHES_MAX:
                del self._switches[next(iter(self._switches))]

    def _file_decisions(
        self, sequence: int, at_us: int, message: Message, judged: Judged | None, outputs: Iterable[Message]
    ) -> None:
        """File what was judged under its order; what risk does of its own accord is among its outputs too."""
        for output in outputs:
            if isinstance(output, Mode):
                self._mode_why = output.why
            if not isinstance(output, Decision):
                continue
            if judged is not None and output.intent_id == message.id:
                judged.computed = output
            else:
                moment = self._moment(sequence, at_us, message, output.symbol)
                own = Judged(self._switches.get(output.intent_id), moment, computed=output)
                self._file(own, output.intent_id, output)
        if judged is not None and isinstance(message, Intent):
            self._file(judged, message.id, message)

    def _file(self, judged: Judged, asked_by: str, about: Intent | Decision) -> None:
        known = self._by_order.get(about.client_order_id)
        if about.action is Action.CANCEL and known is not None:
            story = known
            story.cancel(judged)
        else:
            story = Story(about.client_order_id, about.symbol, judged)
            if known is None or story.is_approved:
                # An id that is asked for again, and refused for that, is still that of the order which has it.
                self._by_order[about.client_order_id] = story
            if not story.is_approved:
                self._finish(story)
            self._match(story, about.client_order_id)
        self._undecided[(asked_by, about.client_order_id)] = (judged, story)
        self._match(story, *judged.ids())

    def _hear(self, event: Event) -> None:
        message = event.message
        if isinstance(message, Decision):
            self._hear_decision(event, message)
        elif isinstance(message, Order | Report | Fill | Bust | Refusal):
            if isinstance(message, Order) and message.protects is not None:
                self._adopt_stop(message.client_order_id, message.protects)
            story = self._by_order.get(message.client_order_id) or self._stranger(event, message.client_order_id)
            was_over = story.over
            story.hear(event)
            if story.over and not was_over:
                self._finish(story)
            if isinstance(message, Report):
                self._last_report = (event.sequence, story)
            if isinstance(message, Fill | Bust):
                self._match(story, message.trade.trade_id)
            elif isinstance(message, Order | Report) and message.venue_order_id is not None:
                self._match(story, message.venue_order_id)
        elif isinstance(message, Reconcile) and self._last_report is not None:
            sequence, story = self._last_report
            if message.cause == sequence:
                story.hear(event)

    def _adopt_stop(self, stop_id: str, entry_id: str) -> None:
        """Tell a protective stop in the story of the order whose fills it protects."""
        story = self._by_order.get(entry_id)
        if story is not None and stop_id not in self._by_order:
            self._by_order[stop_id] = story
            story.stops.append(stop_id)
            self._match(story, stop_id)

    def _hear_decision(self, event: Event, decision: Decision) -> None:
        judged, story = self._undecided.pop((decision.intent_id, decision.client_order_id), (None, None))
        if judged is None or story is None:
            # Nobody asked, as far as this tape tells: it is shown for what it is, and execution judges it.
            story = self._by_order.get(decision.client_order_id) or self._stranger(event, decision.client_order_id)
            story.hear(event)
        else:
            judged.decision = decision
            judged.decided_sequence, judged.decided_us = event.sequence, event.at_us
        self._match(story, decision.id)

    def _stranger(self, event: Event, client_order_id: str) -> Story:
        """Begin the story of an order that nobody asked risk for on this tape."""
        symbol = getattr(event.message, "symbol", "")
        moment = self._moment(event.sequence, event.at_us, event.message, symbol)
        story = self._by_order[client_order_id] = Story(client_order_id, symbol, Judged(None, moment))
        self._finish(story)
        self._match(story, client_order_id)
        return story

    def _match(self, story: Story, *ids: str) -> None:
        for name in ids:
            if name == self.asked:
                if any(story is known for known in self.exact):
                    continue
                if len(self.exact) < MATCHES_MAX:
                    self.exact.append(story)
                    story.pinned = True
                else:
                    self.has_more = True
            elif self.asked and name.startswith(self.asked) and name not in self.begins_so:
                if len(self.begins_so) < MATCHES_MAX:
                    self.begins_so[name] = story
                    story.pinned = True
                else:
                    self.has_more = True

    def _finish(self, story: Story) -> None:
        """Let go of the oldest order that is over, unless it is an answer."""
        self._over.append(story)
        if len(self._over) <= OVER_MAX:
            return
        oldest = self._over.popleft()
        if oldest.pinned:
            return
        for client_order_id in (oldest.client_order_id, *oldest.stops):
            if self._by_order.get(client_order_id) is oldest:
                del self._by_order[client_order_id]
        for judged in (oldest.judged, *oldest.cancels):
            if judged.computed is not None:
                self._undecided.pop((judged.computed.intent_id, oldest.client_order_id), None)

    def quote(self, symbol: str) -> MarketQuote | None:
        """Return the symbol's last quote on the tape."""
        return self.core.state.quotes.get(symbol)

    def holding(self, symbol: str) -> Holding:
        """Return what is held of the symbol where the tape ends; its cost is that of the round trip."""
        portfolio = self.core.state.portfolio
        return self._travels.holding(symbol) or (EMPTY if portfolio is None else portfolio.holding(symbol))
