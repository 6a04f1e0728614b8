"""The locked door: an approval that is forged, altered, expired, replayed or another's is refused, with its reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from execution_samples import (
    KEY_ID,
    RISK,
    SECOND_US,
    START_US,
    STRANGER,
    TRUSTED,
    Desk,
    approval_fields,
    config_message,
    order_id,
    public_key,
    sign,
    signed_approval,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_chassis.exits import BadConfiguration
from tollgate_contracts.approval import PERMIT_DOMAIN, Approval, SignedText
from tollgate_contracts.config import canonical_json
from tollgate_contracts.core import Step
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import Submit
from tollgate_execution.core.approvals import GUARDS
from tollgate_execution.verification import Verifier, key_id_of, read_public_keys

# Another value of each field of the approval, valid in itself.
OTHER: dict[str, Any] = {
    "version": 1,
    "scope": "FLATTEN",
    "environment": "live",
    "desk": "other",
    "venue": "elsewhere",
    "account": "second",
    "action": "CANCEL",
    "client_order_id": order_id(2),
    "intent_id": "strategy:2:0",
    "symbol": "ETH-USDT",
    "side": "SELL",
    "order_type": "MARKET",
    "quantity": "3",
    "limit_price": "101",
    "time_in_force": "GTC",
    "post_only": True,
    "reduce_only": True,
    "issued_us": START_US - 1,
    "expires_us": START_US + 6 * SECOND_US,
    "good_until_us": START_US + 7 * SECOND_US,
    "replaces": f"tg{9:030x}",
    "protection": {"trigger_price": "90", "limit_price": "89"},
    "policy_hash": "cd" * 32,
    "kill_epoch": 1,
    "key_id": key_id_of(public_key(STRANGER)),
}


def refused(desk: Desk, step: Step) -> tuple[Reason, ...]:
    """Return the reasons of a step that refused and did nothing else."""
    (refusal,) = desk.refusals()
    assert step.outputs == (refusal,)
    assert step.effects == ()
    assert desk.core.orders.active() == ()
    assert desk.core.refusals.total() == len(refusal.codes)
    return refusal.codes


def decide(
    signed: SignedText, prepare: Callable[[Desk], object] = lambda desk: None, **changes: Any
) -> tuple[Reason, ...]:
    desk = Desk()
    prepare(desk)
    return refused(desk, desk.decide(signed, **changes))


def test_a_good_approval_is_acted_upon() -> None:
    desk = Desk()
    (effect,) = desk.decide(signed_approval()).effects
    assert isinstance(effect, Submit)
    assert effect.approval == Approval.model_validate_json(signed_approval().text)


def test_every_field_of_the_approval_is_covered_here() -> None:
    assert list(OTHER) == list(Approval.model_fields)


@pytest.mark.parametrize("field", Approval.model_fields)
def test_a_field_altered_after_signing_is_a_bad_signature(field: str) -> None:
    """The decision around it is altered alike: only the signature tells."""
    altered = canonical_json(approval_fields(**{field: OTHER[field]}))
    signed = SignedText(text=altered, signature=signed_approval().signature, key_id=KEY_ID)
    assert decide(signed) == (Reason.APPROVAL_BAD_SIGNATURE,)


@pytest.mark.parametrize("field", [field for field in Approval.model_fields if field != "version"])
def test_a_field_left_out_is_refused_even_when_risk_has_signed_it(field: str) -> None:
    fields = approval_fields()
    del fields[field]
    assert decide(sign(canonical_json(fields))) == (Reason.APPROVAL_MISMATCH,)


def test_a_field_too_many_is_refused_even_when_risk_has_signed_it() -> None:
    assert decide(signed_approval(leverage="10")) == (Reason.APPROVAL_MISMATCH,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", 2),
        ("quantity", "-2"),
        ("quantity", "NaN"),
        ("quantity", "1E+3"),
        ("expires_us", "1"),
        ("side", "buy"),
    ],
)
def test_a_value_of_another_form_is_refused_even_when_risk_has_signed_it(field: str, value: Any) -> None:
    assert decide(signed_approval(**{field: value})) == (Reason.APPROVAL_MISMATCH,)


# Signed by risk's own key, and still not for us, or not now: one line for each binding.
@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"environment": "live"}, (Reason.APPROVAL_MISMATCH,)),
        ({"desk": "other"}, (Reason.APPROVAL_MISMATCH,)),
        ({"venue": "elsewhere"}, (Reason.APPROVAL_MISMATCH,)),
        ({"account": "second"}, (Reason.APPROVAL_MISMATCH,)),
        ({"policy_hash": "cd" * 32}, (Reason.APPROVAL_MISMATCH,)),
        ({"key_id": key_id_of(public_key(STRANGER))}, (Reason.APPROVAL_MISMATCH,)),
        ({"symbol": "DOGE-USDT"}, (Reason.APPROVAL_MISMATCH,)),
        ({"limit_price": None}, (Reason.APPROVAL_MISMATCH,)),
        ({"order_type": "MARKET"}, (Reason.APPROVAL_MISMATCH,)),
        ({"action": "CANCEL"}, (Reason.APPROVAL_MISMATCH,)),
        ({"kill_epoch": 1}, (Reason.GATE_KILL_SWITCH,)),
        ({"issued_us": START_US + 1}, (Reason.APPROVAL_MISMATCH,)),
        ({"expires_us": START_US + 60 * SECOND_US + 1}, (Reason.APPROVAL_MISMATCH,)),
        ({"issued_us": START_US - 2, "expires_us": START_US - 2}, (Reason.APPROVAL_EXPIRED, Reason.APPROVAL_MISMATCH)),
        ({"issued_us": START_US - 1, "expires_us": START_US}, (Reason.APPROVAL_EXPIRED,)),
        (
            {"kill_epoch": 2, "issued_us": START_US - 1, "expires_us": START_US, "desk": "other"},
            (Reason.GATE_KILL_SWITCH, Reason.APPROVAL_EXPIRED, Reason.APPROVAL_MISMATCH),
        ),
    ],
)
def test_what_the_approval_is_bound_to(changes: dict[str, Any], codes: tuple[Reason, ...]) -> None:
    assert decide(signed_approval(**changes)) == codes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"client_order_id": order_id(2)}, "client_order_id"),
        ({"symbol": "ETH-USDT"}, "symbol"),
        ({"action": "CANCEL"}, "action"),
        ({"intent_id": "strategy:2:0"}, "intent_id"),
        ({"config_hash": "cd" * 32}, "config_hash"),
    ],
)
def test_the_decision_must_say_what_its_approval_says(changes: dict[str, Any], named: str) -> None:
    desk = Desk()
    assert refused(desk, desk.decide(signed_approval(), **changes)) == (Reason.APPROVAL_MISMATCH,)
    assert named in desk.refusals()[0].detail


def test_every_binding_that_is_wrong_is_named_in_the_detail() -> None:
    desk = Desk()
    desk.decide(signed_approval(desk="other", venue="elsewhere", account="second"))
    assert all(name in desk.refusals()[0].detail for name in ("desk other", "venue elsewhere", "account second"))


def test_an_approval_is_good_until_the_microsecond_before_its_expiry() -> None:
    for microseconds, accepted in ((5 * SECOND_US - 1, True), (5 * SECOND_US, False)):
        desk = Desk()
        desk.wait(microseconds)
        desk.decide(signed_approval())
        assert bool(desk.orders()) is accepted


def test_another_policy_in_force_voids_the_approval() -> None:
    assert decide(signed_approval(), lambda desk: desk.policy("cd" * 32)) == (Reason.APPROVAL_MISMATCH,)


def test_the_kill_switch_voids_every_approval_before_it_and_releasing_it_revives_none() -> None:
    assert decide(signed_approval(), lambda desk: desk.kill(1)) == (Reason.GATE_KILL_SWITCH,)
    assert decide(signed_approval(kill_epoch=1), lambda desk: desk.kill(1)) == (Reason.GATE_KILL_SWITCH,)

    def engage_and_release(desk: Desk) -> None:
        desk.kill(1)
        desk.kill(1, engaged=False)

    assert decide(signed_approval(), engage_and_release) == (Reason.GATE_KILL_SWITCH,)


def test_a_cancel_goes_through_the_kill_switch() -> None:
    desk = Desk()
    desk.decide(signed_approval())
    desk.kill(1)
    assert len(desk.approve(action="CANCEL").effects) == 1


def test_a_cancel_of_an_order_that_is_not_held_or_over_or_another_is_refused() -> None:
    desk = Desk()
    assert refused(desk, desk.approve(7, action="CANCEL")) == (Reason.APPROVAL_MISMATCH,)
    desk = Desk()
    desk.approve()
    desk.approve(action="CANCEL", side="SELL")
    assert "side SELL" in desk.refusals()[0].detail


def test_the_same_approval_again_is_refused_whatever_decision_carries_it() -> None:
    desk = Desk()
    desk.decide(signed_approval())
    step = desk.decide(signed_approval(), id="risk:99:0")
    assert step.effects == ()
    assert desk.refusals()[0].codes == (Reason.APPROVAL_REUSED,)


def test_the_same_client_order_id_in_another_approval_is_refused() -> None:
    desk = Desk()
    desk.decide(signed_approval())
    step = desk.decide(signed_approval(quantity="1", intent_id="strategy:9:0"))
    assert step.effects == ()
    assert desk.refusals()[0].codes == (Reason.APPROVAL_REUSED,)


def test_a_replay_after_the_order_was_forgotten_has_expired_long_ago() -> None:
    desk = Desk()
    first = signed_approval()
    desk.decide(first)
    desk.hear(ReportStatus.REJECTED)
    desk.wait(700 * SECOND_US)
    assert desk.core.orders.get(order_id(1)) is None
    step = desk.decide(first)
    assert step.effects == ()
    assert Reason.APPROVAL_EXPIRED in desk.refusals()[0].codes


def test_a_stranger_who_signs_correctly_is_an_unknown_key() -> None:
    assert decide(signed_approval(key=STRANGER)) == (Reason.APPROVAL_UNKNOWN_KEY,)


def test_a_stranger_who_names_the_key_of_risk_is_a_bad_signature() -> None:
    text = canonical_json(approval_fields())
    assert decide(sign(text, STRANGER, key_id=KEY_ID)) == (Reason.APPROVAL_BAD_SIGNATURE,)


def test_a_key_that_is_trusted_by_the_file_and_not_by_the_tape_is_unknown() -> None:
    desk = Desk()
    desk.step(config_message(trusted_keys={key_id_of(public_key(STRANGER)): public_key(STRANGER)}))
    assert refused(desk, desk.decide(signed_approval())) == (Reason.APPROVAL_UNKNOWN_KEY,)


def test_signatures_swapped_between_two_good_approvals_are_bad() -> None:
    one, two = signed_approval(1), signed_approval(2)
    for text, signature in ((one.text, two.signature), (two.text, one.signature)):
        signed = SignedText(text=text, signature=signature, key_id=KEY_ID)
        assert decide(signed) == (Reason.APPROVAL_BAD_SIGNATURE,)


def test_a_permit_signature_over_the_same_text_is_no_approval() -> None:
    text = canonical_json(approval_fields())
    assert decide(sign(text, domain=PERMIT_DOMAIN)) == (Reason.APPROVAL_BAD_SIGNATURE,)
    assert decide(sign(text, domain=b"")) == (Reason.APPROVAL_BAD_SIGNATURE,)


def test_the_placeholder_signature_of_an_unsigned_decision_is_bad() -> None:
    signed = SignedText(text=canonical_json(approval_fields()), signature="0" * 128, key_id=KEY_ID)
    assert decide(signed) == (Reason.APPROVAL_BAD_SIGNATURE,)


def test_a_text_cut_short_is_a_bad_signature_at_every_length() -> None:
    good = signed_approval()
    verifier = Verifier(TRUSTED)
    for length in range(len(good.text)):
        cut = SignedText(text=good.text[:length], signature=good.signature, key_id=KEY_ID)
        assert verifier.approval(cut) is Reason.APPROVAL_BAD_SIGNATURE


def test_a_text_without_utf8_form_is_a_bad_signature() -> None:
    signed = SignedText.model_construct(text="\ud800", signature="0" * 128, key_id=KEY_ID)
    assert Verifier(TRUSTED).approval(signed) is Reason.APPROVAL_BAD_SIGNATURE


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"approval"', "{}", '{"version":1}'])
def test_what_is_signed_and_no_approval_is_refused_and_breaks_nothing(text: str) -> None:
    assert decide(sign(text)) == (Reason.APPROVAL_MISMATCH,)


@given(st.integers(min_value=0, max_value=127), st.sampled_from("0123456789abcdef"))
@settings(max_examples=200, deadline=None)
def test_no_other_signature_of_one_digit_verifies(place: int, digit: str) -> None:
    good = signed_approval()
    altered = good.signature[:place] + digit + good.signature[place + 1 :]
    signed = SignedText(text=good.text, signature=altered, key_id=KEY_ID)
    assert (Verifier(TRUSTED).approval(signed) is None) == (altered == good.signature)


@given(st.integers(min_value=0, max_value=400), st.characters(codec="utf-8"))
@settings(max_examples=200, deadline=None)
def test_no_other_text_of_one_character_verifies(place: int, character: str) -> None:
    good = signed_approval()
    place %= len(good.text)
    altered = good.text[:place] + character + good.text[place + 1 :]
    signed = SignedText(text=altered, signature=good.signature, key_id=KEY_ID)
    assert (Verifier(TRUSTED).approval(signed) is None) == (altered == good.text)


def test_a_decision_of_another_writer_is_refused() -> None:
    """The codec lets none through; the core does not rest on that."""
    desk = Desk()
    decision = desk.decision(signed_approval()).model_copy(update={"writer": "strategy"})
    step = desk.core.step(desk.sequence + 1, decision)
    assert [message.kind for message in step.outputs] == ["refusal"]
    assert step.effects == ()


def test_before_its_configuration_is_on_the_tape_execution_refuses_everything() -> None:
    desk = Desk(armed=False)
    desk.policy()
    assert refused(desk, desk.decide(signed_approval())) == (Reason.GATE_NOT_ARMED,)


def test_before_a_policy_is_on_the_tape_no_approval_matches() -> None:
    desk = Desk(armed=False)
    desk.step(config_message())
    assert refused(desk, desk.decide(signed_approval())) == (Reason.APPROVAL_MISMATCH,)


@pytest.mark.parametrize("changes", [{"watch": {"probes_max": 0}}, {"symbols": []}, {"trusted_keys": {}}, {"knob": 1}])
def test_a_configuration_that_cannot_be_read_refuses_everything(changes: dict[str, Any]) -> None:
    desk = Desk()
    desk.step(config_message(**changes))
    assert len(desk.notes()) == 1
    assert refused_codes(desk) == (Reason.GATE_NOT_ARMED,)


def test_a_configuration_whose_hash_is_not_of_its_text_refuses_everything() -> None:
    desk = Desk()
    desk.step(config_message().model_copy(update={"hash": "00" * 32}))
    assert refused_codes(desk) == (Reason.GATE_NOT_ARMED,)


def refused_codes(desk: Desk) -> tuple[Reason, ...]:
    desk.decide(signed_approval())
    return desk.refusals()[0].codes


def test_the_configuration_of_another_service_is_not_ours() -> None:
    desk = Desk()
    desk.step(config_message(desk="other").model_copy(update={"writer": "strategy"}))
    desk.decide(signed_approval())
    assert desk.refusals() == []


def test_a_rejected_decision_does_nothing() -> None:
    desk = Desk()
    finding = {"code": "gate.dry_run", "limit": "", "seen": "", "unit": ""}
    step = desk.decide(signed_approval(), outcome="REJECTED", approval=None, findings=[finding])
    assert step == Step()


def test_the_guards_stand_in_the_order_of_the_taxonomy() -> None:
    order = list(Reason)
    places = [order.index(code) for code, _ in GUARDS]
    assert places == sorted(places)


def test_public_keys_are_read_from_lines_and_every_wrong_line_is_named(tmp_path: Any) -> None:
    path = tmp_path / "approval_public_keys"
    path.write_text(f"{public_key(RISK)}\n\n{public_key(STRANGER)}\n")
    assert read_public_keys(path) == {KEY_ID: public_key(RISK), key_id_of(public_key(STRANGER)): public_key(STRANGER)}
    for content, said in (("", "at all"), (f"{public_key(RISK)}\nnot a key\n{'A' * 64}\n", "[2, 3]")):
        path.write_text(content)
        with pytest.raises(BadConfiguration, match="64 lower-case") as caught:
            read_public_keys(path)
        assert said in caught.value.why
    with pytest.raises(BadConfiguration, match="cannot be read"):
        read_public_keys(tmp_path / "nowhere")


def test_json_of_the_samples_is_what_risk_writes() -> None:
    assert json.loads(signed_approval().text) == approval_fields()


def test_an_id_under_which_the_venue_has_an_order_already_is_not_sent_again() -> None:
    """Neither the tape nor the journal knows it, and the venue's open orders do."""
    desk = Desk()
    desk.hear(ReportStatus.OPEN, ReportSource.QUERY)
    assert refused(desk, desk.approve()) == (Reason.APPROVAL_REUSED,)
