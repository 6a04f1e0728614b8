"""What the kill switch does beyond refusing: it cancels working orders and closes positions.

No gate and no mode stands in its way, for it is an exit. What stands in its way is told in words: ``hindrances``.
"""

import hashlib
from decimal import Decimal

from tollgate_contracts.approval import SignedText
from tollgate_contracts.execution import TERMINAL_STATES
from tollgate_contracts.money import plain
from tollgate_contracts.risk import Decision, KillLevel, Outcome
from tollgate_contracts.strategy import Action
from tollgate_risk.core.approvals import unsigned_cancel, unsigned_closing
from tollgate_risk.core.closing import Attempt, Closing, Terms, Unclosable, terms
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.reply import Reply
from tollgate_risk.core.state import RiskState

# Outputs of one step go onto the tape one after the other, and the next step may be what an operator waits for.
DECISIONS_MAX = 32
# An operator reads some lines, not some hundred.
WORDS_MAX = 20
_MS = 1_000
_ID_DIGITS = 30


def act(state: RiskState, reply: Reply) -> None:
    """Say what the switch's level asks for now; at most ``DECISIONS_MAX`` decisions, the rest with the next step."""
    policy, kill = state.policy, state.kill
    if not kill.engaged or kill.level is KillLevel.HALT or policy is None:
        return
    if state.closing.epoch != kill.epoch:
        state.closing = Closing(epoch=kill.epoch)
    said = _cancel_orders(state, policy, reply)
    if kill.level is KillLevel.FLATTEN and not policy.rules.arming.missing(policy.environment):
        _close_positions(state, policy, reply, DECISIONS_MAX - said)


def _cancel_orders(state: RiskState, policy: PolicyDocument, reply: Reply) -> int:
    due_us, orders = state.closing.cancel_due_us, state.orders.by_id
    for client_order_id in [each for each in due_us if each not in orders]:
        del due_us[client_order_id]
    said = 0
    for order in orders.values():
        is_over = order.state in TERMINAL_STATES
        if is_over or due_us.get(order.client_order_id, 0) > state.now_us or said == DECISIONS_MAX:
            continue
        said += 1
        due_us[order.client_order_id] = state.now_us + policy.rules.kill.retry_ms * _MS
        approval = unsigned_cancel(state, policy, order)
        _decide(state, reply, Action.CANCEL, order.client_order_id, order.symbol, approval)
    return said


def _close_positions(state: RiskState, policy: PolicyDocument, reply: Reply, decisions_max: int) -> None:
    if state.portfolio is None:
        return
    # A stop locks what it is to sell; execution takes it back by itself, and its end is a reason to look again.
    busy = {order.symbol for orders in (state.orders.by_id, state.orders.protective) for order in orders.values()}
    for symbol, holding in state.portfolio.holdings().items():
        if decisions_max == 0:
            return
        attempt = state.closing.attempts.get(symbol)
        waits = attempt is not None and state.now_us < attempt.due_us and holding.quantity != attempt.left
        if symbol in busy or waits:
            continue
        wanted = terms(state, policy.rules, symbol, holding.quantity)
        if isinstance(wanted, Terms):
            decisions_max -= 1
            _close(state, policy, reply, symbol, holding.quantity, wanted)


def _close(state: RiskState, policy: PolicyDocument, reply: Reply, symbol: str, held: Decimal, wanted: Terms) -> None:
    order = OpenOrder(
        client_order_id=_client_order_id(policy.desk, state.kill.epoch, symbol, reply.sequence),
        decision_id=reply.next_id,
        symbol=symbol,
        side=wanted.side,
        quantity=wanted.quantity,
        price=wanted.price,
        reducing=True,
    )
    state.orders.add(order)
    state.exposures.touch((symbol,))
    retry_us = state.now_us + policy.rules.kill.retry_ms * _MS
    # It trades at once or ends: only one that stays longer is cancelled.
    state.closing.cancel_due_us[order.client_order_id] = retry_us
    left = held - wanted.quantity if held > 0 else held + wanted.quantity
    state.closing.attempts[symbol] = Attempt(left=left, due_us=retry_us)
    _decide(state, reply, Action.SUBMIT, order.client_order_id, symbol, unsigned_closing(state, policy, order))


def _client_order_id(desk: str, epoch: int, symbol: str, sequence: int) -> str:
    digest = hashlib.sha256(f"{desk} {epoch} {symbol} {sequence}".encode()).hexdigest()
    return f"tg{digest[:_ID_DIGITS]}"


def _decide(
    state: RiskState, reply: Reply, action: Action, client_order_id: str, symbol: str, approval: SignedText
) -> None:
    reply.say(
        Decision,
        intent_id=state.kill.message_id,
        action=action,
        client_order_id=client_order_id,
        symbol=symbol,
        outcome=Outcome.APPROVED,
        findings=(),
        approval=approval,
        config_hash=state.policy_hash,
    )


def hindrances(state: RiskState) -> tuple[str, ...]:
    """Return what keeps the positions from being closed now, in words; nothing where nothing does."""
    policy, portfolio = state.policy, state.portfolio
    if policy is None:
        return ("no policy is in force, so no order can be approved",)
    missing = policy.rules.arming.missing(policy.environment)
    if missing:
        return (f"the desk is not armed, so nothing is sent: {', '.join(missing)}",)
    if portfolio is None:
        return ("the venue has not stated the account, so what is held is not known",)
    found = []
    for symbol, holding in portfolio.holdings().items():
        wanted = terms(state, policy.rules, symbol, holding.quantity)
        if isinstance(wanted, Unclosable) and wanted is not Unclosable.DUST:
            found.append(f"{symbol}: {plain(holding.quantity)} held, {wanted.value}")
    return tuple(found[:WORDS_MAX])
