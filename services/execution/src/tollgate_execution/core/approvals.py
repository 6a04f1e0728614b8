"""Whether an approval may be acted upon: a flat list of guards, in the order of the taxonomy.

The signature comes first and alone: nothing of a text that does not verify is read. After it every guard speaks,
so that a refusal carries all that is wrong. A cancel is let through a kill switch, because it makes risk smaller,
and so is what closes a position, once the switch says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Action, OrderType
from tollgate_execution.core.kill import Kill, held_back
from tollgate_execution.core.parameters import Parameters
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.safety import Safety, reduces

Verify = Callable[[SignedText], Reason | None]
"""Says what is wrong with a signature, or nothing; pure, so that the same bytes always give the same answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to act, and what exactly is wrong."""

    code: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Presented:
    """An approval whose signature verifies, with all that it is held against."""

    decision: Decision
    signed: SignedText
    approval: Approval
    parameters: Parameters
    policy_hash: str | None
    kill: Kill
    safety: Safety
    reducible: Decimal
    """How much such an order may take off what execution itself knows to be held."""
    now_us: int
    used_text: bool
    used_id: bool
    order: OrderRecord | None
    """The order of this client order id, while it is remembered."""
    replaced: OrderRecord | None = None
    """The order that it is to replace, while that one is remembered."""

    @property
    def submits(self) -> bool:
        """Say whether the approval is of a new order."""
        return self.approval.action is Action.SUBMIT


def read(
    decision: Decision, signed: SignedText, parameters: Parameters | None, verify: Verify
) -> tuple[Approval, Parameters] | Problem:
    """Return the approval once its signature holds, with what to hold it against, or the one problem in the way."""
    if parameters is None:
        return Problem(Reason.GATE_NOT_ARMED, "execution has no configuration on the tape")
    if decision.writer != "risk":
        return Problem(Reason.APPROVAL_MISMATCH, f"writer {decision.writer}, expected risk")
    broken = Reason.APPROVAL_UNKNOWN_KEY if signed.key_id not in parameters.trusted_keys else verify(signed)
    if broken is not None:
        return Problem(broken, f"signed as key {signed.key_id}")
    try:
        return Approval.model_validate_json(signed.text), parameters
    except ValidationError as error:
        return Problem(Reason.APPROVAL_MISMATCH, f"not an approval: {error.errors(include_url=False)[0]['msg']}")


def problems(presented: Presented) -> tuple[Problem, ...]:
    """Return everything that speaks against acting on the approval, in the order of the taxonomy."""
    return tuple(Problem(code, detail) for code, guard in GUARDS for detail in guard(presented))


def _killed(presented: Presented) -> Iterator[str]:
    if presented.submits:
        yield from held_back(presented.approval, presented.kill, presented.reducible)


def _unsafe(presented: Presented) -> Iterator[str]:
    safety = presented.safety
    if presented.submits and safety.engaged and not reduces(presented.approval, presented.reducible):
        yield f"safe mode: {', '.join(dependency.value for dependency in safety.degraded)}"


def _expired(presented: Presented) -> Iterator[str]:
    if presented.approval.expires_us <= presented.now_us:
        yield f"expired {presented.now_us - presented.approval.expires_us} us ago"


def _reused(presented: Presented) -> Iterator[str]:
    if presented.used_text:
        yield "this approval was used before"
    if presented.submits and presented.used_id:
        yield f"client order id {presented.approval.client_order_id} was used before"


def _bound_elsewhere(presented: Presented) -> Iterator[str]:
    approval, decision, parameters = presented.approval, presented.decision, presented.parameters
    pairs = (
        ("environment", approval.environment, parameters.environment),
        ("desk", approval.desk, parameters.desk),
        ("desk of the decision", decision.desk, parameters.desk),
        ("venue", approval.venue, parameters.venue),
        ("account", approval.account, parameters.account),
        ("policy_hash", approval.policy_hash, presented.policy_hash),
        ("config_hash of the decision", decision.config_hash, presented.policy_hash),
        ("key_id", approval.key_id, presented.signed.key_id),
        ("client_order_id", approval.client_order_id, decision.client_order_id),
        ("symbol", approval.symbol, decision.symbol),
        ("action", approval.action, decision.action),
        ("intent_id", approval.intent_id, decision.intent_id),
    )
    for name, seen, expected in pairs:
        if seen != expected:
            yield f"{name} {seen}, expected {expected}"
    # An order in a symbol that is traded no more can still be taken back.
    if presented.submits and approval.symbol not in parameters.symbols:
        yield f"symbol {approval.symbol} is not traded on this desk"


def _out_of_time(presented: Presented) -> Iterator[str]:
    approval = presented.approval
    if approval.issued_us > presented.now_us:
        yield f"issued {approval.issued_us - presented.now_us} us ahead of the tape"
    if not 0 < approval.expires_us - approval.issued_us <= presented.parameters.approval_life_us_max:
        yield f"lives from {approval.issued_us} to {approval.expires_us}"


def _not_an_order(presented: Presented) -> Iterator[str]:
    approval = presented.approval
    if not presented.submits:
        return
    if approval.limit_price is None:
        yield "an order without a price bound"
    if approval.order_type is not OrderType.LIMIT:
        yield f"order type {approval.order_type.value}: no venue keeps a price bound on it"


def _not_our_order(presented: Presented) -> Iterator[str]:
    approval, order = presented.approval, presented.order
    if presented.submits:
        return
    if order is None:
        yield f"no order {approval.client_order_id} to cancel"
        return
    if order.is_over:
        yield f"order {approval.client_order_id} is {order.state.value} already"
    for name, seen, expected in _differing(approval, order):
        yield f"{name} {seen}, the order has {expected}"


def _nothing_to_replace(presented: Presented) -> Iterator[str]:
    approval, old = presented.approval, presented.replaced
    if not presented.submits or approval.replaces is None:
        return
    if old is None:
        yield f"no order {approval.replaces} to replace"
        return
    if old.protects is not None:
        yield f"{approval.replaces} is a stop, and no order can take its place"
    for name, seen, expected in _differing(approval, old):
        yield f"{name} {seen}, the order to be replaced has {expected}"


def _differing(approval: Approval, order: OrderRecord) -> Iterator[tuple[str, str, str]]:
    pairs = (("symbol", approval.symbol, order.approval.symbol), ("side", approval.side, order.placing.side))
    yield from ((name, seen, expected) for name, seen, expected in pairs if seen != expected)


Guard = Callable[[Presented], Iterator[str]]
GUARDS: tuple[tuple[Reason, Guard], ...] = (
    (Reason.GATE_KILL_SWITCH, _killed),
    (Reason.GATE_SAFE_MODE, _unsafe),
    (Reason.APPROVAL_EXPIRED, _expired),
    (Reason.APPROVAL_REUSED, _reused),
    (Reason.APPROVAL_MISMATCH, _bound_elsewhere),
    (Reason.APPROVAL_MISMATCH, _out_of_time),
    (Reason.APPROVAL_MISMATCH, _not_an_order),
    (Reason.APPROVAL_MISMATCH, _not_our_order),
    (Reason.APPROVAL_MISMATCH, _nothing_to_replace),
)
