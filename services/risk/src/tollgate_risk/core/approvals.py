"""What an approval says: the intent as it was judged, whom it binds, and until when."""

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.config import canonical_json
from tollgate_contracts.strategy import Action
from tollgate_risk.core.case import Case

UNSIGNED = "0" * 128
"""What the pure core writes where the shell puts the signature."""
_MS = 1_000


def unsigned_approval(case: Case, policy_hash: str) -> SignedText:
    """Return the approval of the case as canonical JSON text, ready to be signed."""
    intent, policy, now_us = case.intent, case.policy, case.state.now_us
    approval = Approval(
        environment=policy.environment,
        desk=policy.desk,
        venue=policy.venue,
        account=policy.account,
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
        issued_us=now_us,
        expires_us=min(intent.expires_us, now_us + case.rules.approval_life_ms * _MS),
        policy_hash=policy_hash,
        kill_epoch=case.state.kill.epoch,
        key_id=policy.key_id,
    )
    text = canonical_json(approval.model_dump(mode="json"))
    return SignedText(text=text, signature=UNSIGNED, key_id=policy.key_id)
