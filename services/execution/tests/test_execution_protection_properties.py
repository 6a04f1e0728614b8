"""What is true of the stops whatever fills, ends, is busted or is killed, in any order."""

import json
from decimal import Decimal
from typing import Any

from execution_samples import TRUSTED
from hypothesis import given, settings
from hypothesis import strategies as st
from protection_samples import EXIT, PROTECTED, Protected, R

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import ReportSource
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_execution.core import ExecutionCore, Submit
from tollgate_execution.verification import Verifier

QUANTITY = st.sampled_from(["0.25", "0.5", "1", "2"])
ENTER = st.tuples(st.just("enter"), QUANTITY)
EXIT_OF = st.tuples(st.just("exit"), QUANTITY)
VENUE = st.tuples(
    st.just("venue"), st.integers(0, 5), st.sampled_from(["rest", "rest", "trade", "trade", "trade", "end", "refuse"])
)
BUST = st.tuples(st.just("bust"), st.integers(0, 5))
WAIT = st.tuples(st.just("wait"), st.sampled_from([1_000, 100_000, 2_000_000, 6_000_000]))
KILL = st.tuples(st.just("kill"), st.booleans(), st.sampled_from(["HALT", "CANCEL", "FLATTEN"]))
# Mostly the venue's answers, so that something is held; a switch that is engaged ends most of what could happen.
EVENTS = st.lists(
    st.sampled_from([ENTER] * 4 + [EXIT_OF] * 5 + [VENUE] * 24 + [BUST, BUST, WAIT, WAIT, KILL]).flatmap(lambda e: e),
    min_size=20,
    max_size=50,
)


class Venue:
    """Plays a venue that has every order it was sent, and never lets more be sold than is there."""

    def __init__(self) -> None:
        self.desk = Protected()
        self.open: dict[str, list[Any]] = {}
        self.seen = 0
        self.number = 0
        self.epoch = 0
        self.booked: list[tuple[str, str]] = []
        self.busted = ZERO
        """Taken away under orders that rested; what was for sale too much is taken back as soon as it can be."""

    def play(self, event: tuple[Any, ...]) -> None:
        name, *arguments = event
        getattr(self, name)(*arguments)
        self.take_in()
        self.check()

    def take_in(self) -> None:
        for effect in self.desk.asked[self.seen :]:
            if isinstance(effect, Submit):
                assert effect.placing.venue_id not in self.open, "an id is used once"
                self.open[effect.placing.venue_id] = [effect, effect.placing.quantity]
        self.seen = len(self.desk.asked)

    def check(self) -> None:
        desk = self.desk
        locked = sum((left for effect, left in self.open.values() if effect.placing.side is Side.SELL), ZERO)
        assert locked <= desk.held() + self.busted, "never more for sale than is held"
        if locked <= desk.held():
            self.busted = ZERO
        stops = [record.protects for record in desk.live()]
        assert len(stops) == len(set(stops)), "one live stop of an entry"

    def enter(self, quantity: str) -> None:
        self.number += 1
        self.desk.approve(self.number, quantity=quantity, kill_epoch=self.epoch, **PROTECTED)

    def exit(self, quantity: str) -> None:
        self.number += 1
        promised = sum(
            (r.quantity - r.booked for r in self.desk.core.orders.active() if r.approval.side is Side.SELL), ZERO
        )
        if Decimal(quantity) <= self.desk.held() - promised:
            self.desk.approve(self.number, **{**EXIT, "quantity": quantity, "kill_epoch": self.epoch})

    def venue(self, which: int, what: str) -> None:
        if not self.open:
            return
        venue_id = list(self.open)[which % len(self.open)]
        effect, left = self.open[venue_id]
        done = effect.placing.quantity - left
        if what == "rest":
            self.desk.say(venue_id, R.OPEN, str(done))
        elif what == "trade":
            quantity = min(left, Decimal("0.25"))
            if effect.placing.side is Side.SELL and quantity > self.desk.held():
                return
            self.booked.append((venue_id, self.desk.fill(venue_id, str(quantity))))
            self.open[venue_id][1] = left - quantity
            if left == quantity:
                del self.open[venue_id]
                self.desk.say(venue_id, R.FILLED, str(effect.placing.quantity))
        elif what == "end" or done:
            del self.open[venue_id]
            self.desk.say(venue_id, R.CANCELLED, str(done))
        else:
            del self.open[venue_id]
            self.desk.say(venue_id, R.REJECTED, source=ReportSource.SUBMIT, reason=Reason.VENUE_REJECTED)

    def bust(self, which: int) -> None:
        mine = [(order, trade_id) for order, trade_id in self.booked if order in self.open]
        if mine and self.desk.held() >= Decimal("0.25"):
            venue_id, trade_id = mine[which % len(mine)]
            self.booked.remove((venue_id, trade_id))
            if self.open[venue_id][0].placing.side is Side.BUY:
                self.busted += Decimal("0.25")
                self.open[venue_id][1] += Decimal("0.25")
                self.desk.say(venue_id, R.OPEN, busted=(trade_id,))

    def wait(self, microseconds: int) -> None:
        self.desk.wait(microseconds)

    def kill(self, engaged: bool, level: str) -> None:
        self.epoch += engaged
        self.desk.kill(self.epoch, engaged=engaged, level=level)


@settings(max_examples=100, deadline=None)
@given(EVENTS)
def test_never_is_more_for_sale_than_is_held_and_never_has_an_entry_two_stops(events):
    """Whatever fills, ends, is busted or is killed, in any order."""
    venue = Venue()
    for event in events:
        venue.play(event)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(0, 60))
def test_a_snapshot_taken_anywhere_goes_on_to_the_same_bytes(events, place):
    venue = Venue()
    for event in events:
        venue.play(event)
    tape = venue.desk.tape
    whole, before = ExecutionCore(Verifier(TRUSTED).approval), ExecutionCore(Verifier(TRUSTED).approval)
    after = ExecutionCore(Verifier(TRUSTED).approval)
    said = [whole.step(sequence, message) for sequence, message in enumerate(tape, start=1)]
    for sequence, message in enumerate(tape[:place], start=1):
        before.step(sequence, message)
    after.restore(json.loads(json.dumps(before.snapshot())))
    again = [
        after.step(sequence, message) for sequence, message in enumerate(tape[place:], start=min(place, len(tape)) + 1)
    ]
    assert [[encode(o) for o in step.outputs] for step in again] == [
        [encode(o) for o in s.outputs] for s in said[place:]
    ]
    assert json.dumps(after.snapshot()) == json.dumps(whole.snapshot())


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_once_all_is_answered_what_is_held_is_protected(events):
    """The venue goes on without faults: each entry's part of what is held has its stop."""
    venue = Venue()
    for event in events:
        if event[0] != "kill":
            venue.play(event)
    for _ in range(25):
        for venue_id in list(venue.open):
            record = venue.desk.core.orders.get(venue_id)
            effect, left = venue.open[venue_id]
            if record.cancel is None and record.protects is not None:
                venue.desk.say(venue_id, R.OPEN, str(effect.placing.quantity - left))
            else:
                venue.venue(list(venue.open).index(venue_id), "end")
        venue.desk.wait(2_000_000)
        venue.take_in()
    rests = sum((record.quantity - record.booked for record in venue.desk.live()), ZERO)
    unplaceable = any(cover.failures for cover in venue.desk.core.protecting.covers.values())
    covered = sum((cover.own for cover in venue.desk.core.protecting.covers.values()), ZERO)
    assert rests == min(covered, venue.desk.held()) or unplaceable
