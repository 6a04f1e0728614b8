"""Whose turn it is: what was heard goes in, and whether to try for the tape comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_chassis.turn import ASK_EVERY_S, AWAY_US_MAX, UNANSWERED_MAX, Heard, Turn

A, S, N = Heard.ANSWER, Heard.SILENCE, Heard.NOBODY


@pytest.mark.parametrize(
    ("heard", "is_ours"),
    [
        pytest.param([], False, id="nothing was asked yet"),
        pytest.param([N], True, id="nobody listens"),
        pytest.param([A], False, id="somebody answers"),
        pytest.param([A, N], True, id="who answered is gone from the broker"),
        pytest.param([N, A], False, id="somebody came before we were on the tape"),
        pytest.param([N, S], False, id="somebody came and does not answer yet"),
        pytest.param([S] * (UNANSWERED_MAX - 1), False, id="one question short of silence"),
        pytest.param([S] * UNANSWERED_MAX, True, id="silence"),
        pytest.param([A] + [S] * UNANSWERED_MAX, True, id="silence after an answer"),
        pytest.param([S] * (UNANSWERED_MAX - 1) + [A] + [S] * (UNANSWERED_MAX - 1), False, id="silence begins anew"),
        pytest.param([S] * UNANSWERED_MAX + [A], False, id="it answers again before we were on the tape"),
    ],
)
def test_a_turn_comes_with_silence_or_with_nobody(heard, is_ours):
    turn = Turn()
    for each in heard:
        turn.note(each)
    assert turn.is_ours is is_ours


@pytest.mark.parametrize(("insists", "is_ours"), [(False, False), (True, True)])
def test_who_finds_another_on_the_tape_listens_anew_unless_it_insists(insists, is_ours):
    turn = Turn()
    turn.note(N)
    if insists:
        turn.insist()
    turn.begin_anew()
    assert turn.is_ours is is_ours


def test_who_insists_does_so_whatever_is_answered():
    turn = Turn()
    turn.insist()
    turn.note(A)
    assert turn.is_ours


@given(st.lists(st.sampled_from(Heard), max_size=40))
def test_a_healthy_active_instance_is_never_displaced(heard):
    """Whatever came before: an answer to the last question, or to one of the last few, keeps everybody else waiting."""
    turn = Turn()
    for each in heard:
        turn.note(each)
    last = heard[-UNANSWERED_MAX:]
    if A in last and N not in last[len(last) - 1 - last[::-1].index(A) :]:
        assert not turn.is_ours


def test_who_is_taken_for_dead_has_stopped_vouching_before():
    """The two bounds stand in this order with room for one question on its way and one beat of the active's own."""
    silence_us = UNANSWERED_MAX * ASK_EVERY_S * 1_000_000
    assert silence_us > AWAY_US_MAX + ASK_EVERY_S * 1_000_000
