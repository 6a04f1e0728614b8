"""What an approval says: the order as it was judged, whom it binds, and until when."""

from decimal import Decimal
from typing import Any

from tollgate_contracts.approval import Approval, Scope, SignedText
from tollgate_contracts.config import canonical_json
from tollgate_contracts.money import plain
from tollgate_contracts.strategy import Action, OrderType, TimeInForce
from tollgate_risk.core.case import Case
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.state import RiskState

UNSIGNED = "0" * 128
"""What the pure core writes where the shell puts the signature."""
_MS = 1_000
_VERSION = Approval.model_fields["version"].default


def unsigned_approval(case: Case, policy_hash: str) -> SignedText:
    """Return the approval of the case as canonical JSON text, ready to be signed."""
    intent, state = case.intent, case.state
    return _unsigned(
        state,
        case.policy,
        scope=Scope.TRADE,
        action=intent.action,
        client_order_id=intent.client_order_id,
        intent_id=intent.id,
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type,
        quantity=intent.quantity,
        limit_price=None if intent.action is Action.CANCEL else case.price,
        time_in_force=intent.time_in_force,
        post_only=intent.post_only,
        reduce_only=intent.reduce_only,
        expires_us=min(intent.expires_us, state.now_us + case.rules.approval_life_ms * _MS),
        good_until_us=intent.good_until_us,
        replaces=intent.replaces,
        protection=intent.protection and intent.protection.model_dump(mode="json"),
        policy_hash=policy_hash,
    )


def unsigned_cancel(state: RiskState, policy: PolicyDocument, order: OpenOrder) -> SignedText:
    """Return the approval by which the kill switch cancels ``order``, ready to be signed."""
    return _of_the_kill_switch(
        state,
        policy,
        order,
        scope=Scope.TRADE,
        action=Action.CANCEL,
        limit_price=None,
        time_in_force=TimeInForce.GTC,
        reduce_only=False,
    )


def unsigned_closing(state: RiskState, policy: PolicyDocument, order: OpenOrder) -> SignedText:
    """Return the approval by which the kill switch closes a position, ready to be signed."""
    return _of_the_kill_switch(
        state,
        policy,
        order,
        scope=Scope.FLATTEN,
        action=Action.SUBMIT,
        limit_price=order.price,
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
    )


def _of_the_kill_switch(state: RiskState, policy: PolicyDocument, order: OpenOrder, **fields: Any) -> SignedText:
    return _unsigned(
        state,
        policy,
        client_order_id=order.client_order_id,
        intent_id=state.kill.message_id,
        symbol=order.symbol,
        side=order.side,
        order_type=OrderType.LIMIT,
        quantity=order.quantity,
        post_only=False,
        expires_us=state.now_us + policy.rules.approval_life_ms * _MS,
        good_until_us=None,
        replaces=None,
        protection=None,
        policy_hash=state.policy_hash,
        **fields,
    )


def _unsigned(state: RiskState, policy: PolicyDocument, **fields: Any) -> SignedText:
    # Every part was validated when it came from the tape; to do so again takes as long as all the gates of a layer.
    approval = {
        "version": _VERSION,
        "environment": policy.environment,
        "desk": policy.desk,
        "venue": policy.venue,
        "account": policy.account,
        "issued_us": state.now_us,
        "kill_epoch": state.kill.epoch,
        "key_id": policy.key_id,
        **fields,
    }
    text = canonical_json({name: plain(each) if isinstance(each, Decimal) else each for name, each in approval.items()})
    return SignedText.model_construct(text=text, signature=UNSIGNED, key_id=policy.key_id)
