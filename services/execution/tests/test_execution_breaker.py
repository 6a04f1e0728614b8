"""The breaker as a table: each state, each thing that can come of a call, and what follows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.safety import BreakerState
from tollgate_execution.calls.breaker import VERDICTS, Breaker, BreakerRules, Role
from tollgate_venues.evidence import Failure

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SECOND_US = 1_000_000
RULES = BreakerRules()
START_US = 5_000 * SECOND_US


class Bench:
    """A breaker with its time and what it has told."""

    def __init__(self, state: BreakerState = CLOSED, rules: BreakerRules = RULES) -> None:
        self.now_us = START_US
        self.told: list[tuple[BreakerState, BreakerState]] = []
        self.why = ""
        self.breaker = Breaker(rules, self._hear)
        if state is not CLOSED:
            self.breaker.trip(Failure.NO_ANSWER, self.now_us, 0, "broken")
        if state is HALF_OPEN:
            self.now_us = self.breaker.open_until_us
            given = self.breaker.admit(Role.PROBE, self.now_us)
            assert given is not None
            self.breaker.give_back(given)
        self.told.clear()

    def _hear(self, before: BreakerState, after: BreakerState, why: str) -> None:
        self.told.append((before, after))
        self.why = why

    def call(self, failure: Failure | None, role: Role = Role.EXEMPT, retry_after_us: int | None = None) -> None:
        """Make a call and note what came of it."""
        given = self.breaker.admit(role, self.now_us)
        assert given is not None
        self.breaker.note(given, failure, self.now_us, retry_after_us=retry_after_us)

    @property
    def state(self) -> BreakerState:
        return self.breaker.state


TRIP = (Failure.BANNED, Failure.MAINTENANCE, Failure.UNAUTHORIZED)
FAIL = (Failure.NO_ANSWER, Failure.UNREADABLE, Failure.OUT_OF_TIME)
WELL = (None, Failure.REFUSED)
# State before, what came of the calls, state after.
ONE_CALL = [
    *((CLOSED, outcome, CLOSED) for outcome in (*WELL, *FAIL, Failure.RATE_LIMITED)),
    *((CLOSED, outcome, OPEN) for outcome in TRIP),
    *((OPEN, outcome, OPEN) for outcome in (None, *Failure)),
    *((HALF_OPEN, outcome, HALF_OPEN) for outcome in (*WELL, Failure.RATE_LIMITED)),
    *((HALF_OPEN, outcome, OPEN) for outcome in (*FAIL, *TRIP)),
]


def test_the_table_names_every_state_with_every_outcome_once():
    assert len(ONE_CALL) == len({row[:2] for row in ONE_CALL}) == len(BreakerState) * len(VERDICTS)
    assert set(VERDICTS) == {None, *Failure}


@pytest.mark.parametrize(("before", "outcome", "after"), ONE_CALL)
def test_one_call(before: BreakerState, outcome: Failure | None, after: BreakerState):
    bench = Bench(before)
    bench.call(outcome)
    assert bench.state is after
    assert bench.told == ([] if before is after else [(before, after)])


@pytest.mark.parametrize(
    ("state", "let_through"),
    [
        (CLOSED, {Role.ENTRY, Role.PROBE, Role.EXEMPT}),
        (OPEN, {Role.EXEMPT}),
        (HALF_OPEN, {Role.PROBE, Role.EXEMPT}),
    ],
)
def test_who_is_let_through(state: BreakerState, let_through: set[Role]):
    for role in Role:
        bench = Bench(state)
        assert bench.breaker.holds(role, bench.now_us) == (role not in let_through)
        assert (bench.breaker.admit(role, bench.now_us) is not None) == (role in let_through)


def test_failures_in_a_row_open_it_and_a_success_between_begins_the_row_anew():
    bench = Bench()
    for _ in range(RULES.failures_max - 1):
        bench.call(Failure.NO_ANSWER)
    bench.call(None)
    for _ in range(RULES.failures_max - 1):
        bench.call(Failure.NO_ANSWER)
    assert bench.state is CLOSED
    bench.call(Failure.NO_ANSWER)
    assert bench.state is OPEN
    assert "5 calls in a row failed" in bench.why


def test_half_of_the_calls_failing_opens_it_once_there_are_enough_of_them():
    bench = Bench()
    for _ in range(4):
        bench.call(None)
        bench.call(Failure.NO_ANSWER)
    bench.call(None)
    assert bench.state is CLOSED
    bench.call(Failure.UNREADABLE)
    assert bench.state is OPEN
    assert "5 of 10 calls failed" in bench.why


def test_failures_that_lie_further_back_than_the_window_do_not_count():
    bench = Bench()
    for _ in range(20):
        bench.call(None)
        bench.call(Failure.NO_ANSWER)
        bench.now_us += RULES.window_us // 4
    assert bench.state is CLOSED


def test_refusals_for_speed_are_no_failures_of_the_venue():
    bench = Bench()
    for _ in range(50):
        bench.call(Failure.RATE_LIMITED)
    assert bench.state is CLOSED


def test_open_it_lets_nothing_probe_before_its_time_and_then_so_many_at_once():
    bench = Bench(OPEN)
    bench.now_us = bench.breaker.open_until_us - 1
    assert bench.breaker.admit(Role.PROBE, bench.now_us) is None
    bench.now_us += 1
    probes = [bench.breaker.admit(Role.PROBE, bench.now_us) for _ in range(5)]
    assert [probe is not None for probe in probes] == [True, True, False, False, False]
    assert bench.breaker.admit(Role.ENTRY, bench.now_us) is None
    assert probes[0] is not None
    bench.breaker.give_back(probes[0])
    assert bench.breaker.admit(Role.PROBE, bench.now_us) is not None


def test_probes_that_succeed_close_it_and_entries_go_again():
    bench = Bench(HALF_OPEN)
    for _ in range(RULES.probes_max):
        assert bench.breaker.admit(Role.ENTRY, bench.now_us) is None
        bench.call(None, Role.PROBE)
    assert bench.told == [(HALF_OPEN, CLOSED)]
    assert bench.breaker.cause is None
    assert bench.breaker.admit(Role.ENTRY, bench.now_us) is not None


def test_each_probe_that_fails_doubles_the_time_up_to_the_bound_and_a_long_calm_begins_anew():
    bench, waits = Bench(OPEN), []
    for _ in range(8):
        waits.append(bench.breaker.open_until_us - bench.now_us)
        bench.now_us = bench.breaker.open_until_us
        bench.call(Failure.NO_ANSWER, Role.PROBE)
    assert waits == [SECOND_US * seconds for seconds in (1, 2, 4, 8, 16, 30, 30, 30)]
    bench.now_us = bench.breaker.open_until_us
    for _ in range(RULES.probes_max):
        bench.call(None, Role.PROBE)
    assert bench.state is CLOSED
    bench.now_us += 1
    bench.call(Failure.MAINTENANCE)
    assert bench.breaker.open_until_us - bench.now_us == RULES.open_us_max
    bench.now_us = bench.breaker.open_until_us
    for _ in range(RULES.probes_max):
        bench.call(None, Role.PROBE)
    bench.now_us += RULES.window_us + 1
    bench.call(Failure.MAINTENANCE)
    assert bench.breaker.open_until_us - bench.now_us == RULES.open_us


def test_the_wait_that_the_venue_asks_for_is_kept_even_beyond_the_bound():
    bench = Bench()
    bench.call(Failure.MAINTENANCE, retry_after_us=3_600 * SECOND_US)
    assert bench.breaker.open_until_us - bench.now_us == 3_600 * SECOND_US


def test_a_refused_key_opens_it_for_long():
    bench = Bench()
    bench.call(Failure.UNAUTHORIZED)
    assert bench.breaker.open_until_us - bench.now_us == RULES.unauthorized_us
    assert bench.breaker.cause is Failure.UNAUTHORIZED


def test_what_was_called_before_a_change_says_nothing_of_the_state_after_it():
    bench = Bench()
    slow = bench.breaker.admit(Role.PROBE, bench.now_us)
    assert slow is not None
    bench.call(Failure.MAINTENANCE)
    bench.now_us = bench.breaker.open_until_us
    probe = bench.breaker.admit(Role.PROBE, bench.now_us)
    assert probe is not None
    bench.breaker.note(slow, Failure.NO_ANSWER, bench.now_us)
    assert bench.state is HALF_OPEN


@pytest.mark.parametrize(("on_tape", "begins"), [(CLOSED, CLOSED), (OPEN, OPEN), (HALF_OPEN, OPEN)])
def test_a_process_begins_where_the_one_before_it_stopped(on_tape: BreakerState, begins: BreakerState):
    bench = Bench()
    bench.breaker.resume(on_tape, bench.now_us)
    assert bench.state is begins
    assert bench.told == []


events = st.lists(
    st.tuples(st.integers(0, 20 * SECOND_US), st.sampled_from(Role), st.sampled_from([None, *Failure]), st.booleans()),
    max_size=200,
)


@settings(deadline=None, max_examples=300)
@given(events)
def test_whatever_comes_the_probes_are_bounded_and_each_change_follows_from_the_one_before(events):
    bench, given_out, last = Bench(), [], CLOSED
    for wait_us, role, failure, answers in events:
        bench.now_us += wait_us
        entered = bench.breaker.admit(role, bench.now_us)
        if entered is not None:
            assert role is not Role.ENTRY or bench.state is CLOSED
            given_out.append((entered, failure))
        if answers and given_out:
            oldest, came = given_out.pop(0)
            bench.breaker.note(oldest, came, bench.now_us)
        in_this_turn = [each for each, _ in given_out if each.is_probe and each.turn == bench.breaker._turn]
        assert len(in_this_turn) == bench.breaker._probes <= RULES.probes_max
        assert bench.breaker.open_until_us <= bench.now_us + max(RULES.open_us_max, RULES.unauthorized_us)
    for before, after in bench.told:
        assert before is last
        assert after is not before
        last = after
    assert last is bench.state
