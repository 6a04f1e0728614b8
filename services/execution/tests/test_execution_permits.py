"""The permit: forged, stale, kept back or too long ones are not taken, and silence ends it within a second."""

import json
from typing import Any

import pytest
from execution_samples import (
    KEY_ID,
    RISK,
    SECOND_US,
    START_US,
    STRANGER,
    TRUSTED,
    approval_fields,
    public_key,
    sign,
    signed_permit,
)

from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, Scope
from tollgate_execution.permits import PermitFault, PermitHolder
from tollgate_execution.verification import Verifier, key_id_of

MONOTONIC_US = 77 * SECOND_US


@pytest.fixture
def holder() -> PermitHolder:
    return PermitHolder("main", Verifier(TRUSTED).permit)


def test_a_good_permit_lets_send_in_its_kill_epoch(holder: PermitHolder) -> None:
    assert holder.fresh_epoch(START_US, MONOTONIC_US) is None
    assert holder.offer(signed_permit(1, START_US, kill_epoch=3), START_US, MONOTONIC_US) is None
    assert holder.fresh_epoch(START_US, MONOTONIC_US) == 3
    permit = holder.fresh(START_US, MONOTONIC_US)
    assert permit is not None
    assert (permit.kill_epoch, permit.scope) == (3, Scope.TRADE)


def test_a_permit_to_close_takes_the_place_of_one_to_trade(holder: PermitHolder) -> None:
    assert holder.offer(signed_permit(1, START_US), START_US, MONOTONIC_US) is None
    closing = signed_permit(2, START_US, kill_epoch=1, scope="FLATTEN")
    assert holder.offer(closing, START_US, MONOTONIC_US) is None
    permit = holder.fresh(START_US, MONOTONIC_US)
    assert permit is not None
    assert (permit.kill_epoch, permit.scope) == (1, Scope.FLATTEN)
    assert holder.age_us(MONOTONIC_US + 5) == 5


def test_silence_ends_it_at_the_second_by_either_clock(holder: PermitHolder) -> None:
    holder.offer(signed_permit(1, START_US), START_US, MONOTONIC_US)
    last_us = SECOND_US - 1
    assert holder.fresh_epoch(START_US + last_us, MONOTONIC_US + last_us) == 0
    assert holder.fresh_epoch(START_US + SECOND_US, MONOTONIC_US + last_us) is None
    assert holder.fresh_epoch(START_US + last_us, MONOTONIC_US + SECOND_US) is None


def test_a_wall_clock_that_is_set_back_prolongs_nothing(holder: PermitHolder) -> None:
    holder.offer(signed_permit(1, START_US), START_US, MONOTONIC_US)
    assert holder.fresh_epoch(START_US - 3600 * SECOND_US, MONOTONIC_US + SECOND_US) is None


def test_a_permit_that_was_delayed_on_the_way_lapses_at_its_own_expiry(holder: PermitHolder) -> None:
    holder.offer(signed_permit(1, START_US), START_US + 900_000, MONOTONIC_US)
    assert holder.fresh_epoch(START_US + 999_999, MONOTONIC_US + 99_999) == 0
    assert holder.fresh_epoch(START_US + SECOND_US, MONOTONIC_US + 100_000) is None


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", PermitFault.UNREADABLE),
        (b"{}", PermitFault.UNREADABLE),
        (b"x" * 10_000, PermitFault.UNREADABLE),
        (b"\xff\xfe", PermitFault.UNREADABLE),
        (signed_permit(1, START_US, STRANGER), PermitFault.UNKNOWN_KEY),
        (signed_permit(1, START_US, desk="other"), PermitFault.OTHER_DESK),
        (signed_permit(1, START_US, expires_us=START_US + SECOND_US + 1), PermitFault.TOO_LONG),
        (signed_permit(1, START_US, expires_us=START_US), PermitFault.TOO_LONG),
        (signed_permit(1, START_US - SECOND_US), PermitFault.STALE),
        (signed_permit(1, START_US + SECOND_US), PermitFault.STALE),
        (signed_permit(0, START_US), PermitFault.UNREADABLE),
        (signed_permit(1, START_US, more=1), PermitFault.UNREADABLE),
        (signed_permit(1, START_US, key_id=key_id_of(public_key(STRANGER))), PermitFault.FORGED),
    ],
)
def test_what_is_not_taken(holder: PermitHolder, data: bytes, fault: PermitFault) -> None:
    assert holder.offer(data, START_US, MONOTONIC_US) is fault
    assert holder.fresh_epoch(START_US, MONOTONIC_US) is None


@pytest.mark.parametrize("field", ["scope", "desk", "number", "kill_epoch", "issued_us", "expires_us", "key_id"])
def test_a_field_altered_after_signing_is_a_forgery(holder: PermitHolder, field: str) -> None:
    travelled = json.loads(signed_permit(1, START_US))
    permit: dict[str, Any] = json.loads(travelled["text"])
    permit[field] = permit[field] + (1 if isinstance(permit[field], int) else "0")
    travelled["text"] = json.dumps(permit)
    assert holder.offer(json.dumps(travelled).encode(), START_US, MONOTONIC_US) is PermitFault.FORGED


def test_an_approval_is_no_permit(holder: PermitHolder) -> None:
    text = json.loads(signed_permit(1, START_US))["text"]
    as_approval = sign(text, RISK, APPROVAL_DOMAIN).model_dump_json().encode()
    assert holder.offer(as_approval, START_US, MONOTONIC_US) is PermitFault.FORGED
    other_text = sign(json.dumps(approval_fields()), RISK, PERMIT_DOMAIN, KEY_ID).model_dump_json().encode()
    assert holder.offer(other_text, START_US, MONOTONIC_US) is PermitFault.UNREADABLE


def test_a_copy_or_an_older_one_does_not_replace_the_one_held(holder: PermitHolder) -> None:
    """After the kill switch a permit from before it, said again, must not open the way."""
    old, new = signed_permit(1, START_US), signed_permit(2, START_US + 250_000, kill_epoch=1)
    assert holder.offer(new, START_US + 250_000, MONOTONIC_US) is None
    for again in (old, new):
        assert holder.offer(again, START_US + 300_000, MONOTONIC_US + 50_000) is PermitFault.OUT_OF_ORDER
    assert holder.fresh_epoch(START_US + 300_000, MONOTONIC_US + 50_000) == 1


def test_a_permit_said_again_after_the_held_one_lapsed_is_still_not_taken(holder: PermitHolder) -> None:
    """The wall clock stands still here, so that only the order of issue can tell."""
    permit = signed_permit(1, START_US)
    assert holder.offer(permit, START_US, MONOTONIC_US) is None
    assert holder.offer(permit, START_US, MONOTONIC_US + 2 * SECOND_US) is PermitFault.OUT_OF_ORDER


def test_a_risk_process_that_started_again_counts_from_one_once_the_old_permit_has_lapsed(holder: PermitHolder) -> None:
    holder.offer(signed_permit(900, START_US), START_US, MONOTONIC_US)
    soon, later = START_US + 500_000, START_US + SECOND_US
    assert holder.offer(signed_permit(1, soon), soon, MONOTONIC_US + 500_000) is PermitFault.OUT_OF_ORDER
    assert holder.offer(signed_permit(2, later), later, MONOTONIC_US + SECOND_US) is None


def test_a_permit_that_is_refused_leaves_the_one_held_in_force(holder: PermitHolder) -> None:
    holder.offer(signed_permit(1, START_US), START_US, MONOTONIC_US)
    holder.offer(signed_permit(2, START_US, STRANGER), START_US, MONOTONIC_US)
    assert holder.fresh_epoch(START_US, MONOTONIC_US) == 0
