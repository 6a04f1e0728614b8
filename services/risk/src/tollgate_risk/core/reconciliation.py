"""Whether the venue and the gate agree: what a release of the kill switch and a proof of flat rest upon.

The venue's word is judged only when nothing is under way between the two: no order is open, and the statement is
not older than the newest fill, bust or movement that was booked. Until then they may differ and both be right. A
protective stop that rests is not under way: it may rest for days, and what it fills is a fill.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.risk import KillLevel
from tollgate_risk.core.closing import Unclosable, terms
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument

if TYPE_CHECKING:
    from tollgate_risk.core.state import RiskState

# An operator reads some lines, not some hundred.
WORDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Statement:
    """One account message of the venue, as it can be found again."""

    message_id: str
    sequence: int
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class Proof:
    """The venue's own word that nothing is held which could be sold."""

    statement: Statement
    balances: dict[str, Exact]
    """By currency of the desk, free and locked together; zero is left out."""
    dust: tuple[str, ...]
    """The currencies among them of which less is held than the venue takes as an order."""


@dataclass(slots=True)
class Reconciliation:
    """The last comparisons; bounded by the desk's symbols."""

    fill_us: int = 0
    """The venue's time of the newest fill, bust or movement that was booked."""
    judged: Statement | None = None
    """The last statement that was compared."""
    differences: tuple[str, ...] = ()
    """What differed in it, in words."""
    clean: Statement | None = None
    """The last statement in which nothing did."""
    proof: Proof | None = None
    """Taken from the last statement, where it was one."""
    not_flat: tuple[str, ...] = ()
    """Why the last statement since the switch was engaged proves nothing, in words."""


def note_fill(state: "RiskState", message: Fill) -> None:
    """Remember how old a statement may be that is to have this fill in it."""
    reconciliation = state.reconciliation
    reconciliation.fill_us = max(reconciliation.fill_us, message.trade.venue_ts_us)


def note_bust(state: "RiskState", message: Bust) -> None:
    """Remember how old a statement may be that is to have this bust in it; its only time is our own."""
    state.reconciliation.fill_us = max(state.reconciliation.fill_us, message.ts_us)


def note_movement(state: "RiskState", message: Movement) -> None:
    """Remember how old a statement may be that is to have this movement in it."""
    state.reconciliation.fill_us = max(state.reconciliation.fill_us, message.venue_ts_us)


def compare(state: "RiskState", sequence: int, message: Account) -> None:
    """Hold what the venue states against what the gate believes; another account's statement is not ours."""
    policy = state.policy
    if policy is None or state.portfolio is None or (message.venue, message.account) != (policy.venue, policy.account):
        return
    reconciliation = state.reconciliation
    statement = Statement(message.id, sequence, message.venue_ts_us)
    _prove(state, policy, statement, message)
    if len(state.orders) or message.venue_ts_us < reconciliation.fill_us:
        return
    reconciliation.judged = statement
    reconciliation.differences = tuple(_bounded(_differences(state, policy, message)))
    if not reconciliation.differences:
        reconciliation.clean = statement


def _differences(state: "RiskState", policy: PolicyDocument, message: Account) -> Iterator[str]:
    portfolio, tolerance = state.portfolio, policy.rules.reconciliation.tolerance_quote
    if portfolio is None:
        return
    balances = {balance.currency: balance.free + balance.locked for balance in message.balances}
    positions = {position.symbol: position.quantity for position in message.positions}
    venue_cash = balances.get(policy.quote_currency, ZERO)
    if abs(venue_cash - portfolio.cash) > tolerance:
        yield _words(policy.quote_currency, venue_cash, portfolio.cash)
    for symbol in dict.fromkeys((*policy.symbols, *portfolio.holdings(), *positions)):
        held = state.held(symbol)
        stated = positions if state.is_perpetual(symbol) or symbol in positions else None
        venue = balances.get(_base(symbol), ZERO) if stated is None else stated.get(symbol, ZERO)
        if stated is None:
            held += portfolio.beside(_base(symbol))
        quote = state.quotes.get(symbol)
        # What has no price has no small difference.
        is_equal = venue == held if quote is None else abs(venue - held) * quote.mark <= tolerance
        if not is_equal:
            yield _words(symbol if stated is not None else _base(symbol), venue, held)


def _words(what: str, venue: Decimal, gate: Decimal) -> str:
    return f"{what}: the venue has {plain(venue)}, the gate {plain(gate)}"


def _prove(state: "RiskState", policy: PolicyDocument, statement: Statement, message: Account) -> None:
    reconciliation = state.reconciliation
    reconciliation.proof = None
    reconciliation.not_flat = ()
    if not state.kill.engaged or state.kill.level is not KillLevel.FLATTEN:
        return
    held = {balance.currency: balance.free + balance.locked for balance in message.balances}
    open_words, dust = [], []
    for currency, amount in held.items():
        symbol = f"{currency}-{policy.quote_currency}"
        if symbol not in policy.symbols or not amount or state.is_perpetual(symbol):
            continue
        if terms(state, policy.rules, symbol, amount) is Unclosable.DUST:
            dust.append(currency)
        else:
            open_words.append(f"{plain(amount)} {currency} is held")
    locked = [f"{plain(each.locked)} {each.currency} is locked" for each in message.balances if each.locked]
    positions = [f"{plain(each.quantity)} {each.symbol} is held" for each in message.positions if each.quantity]
    newest_us = max(reconciliation.fill_us, state.kill.since_us)
    early = [] if statement.venue_ts_us > newest_us else ["it is from before the last fill or the switch"]
    reconciliation.not_flat = tuple(_bounded([*early, *locked, *open_words, *positions]))
    if reconciliation.not_flat or len(state.orders):
        return
    desk = {policy.quote_currency, *map(_base, policy.symbols)}
    balances = {currency: amount for currency, amount in sorted(held.items()) if amount and currency in desk}
    reconciliation.proof = Proof(statement, balances, tuple(sorted(dust)))


def flat(state: "RiskState") -> Proof | None:
    """Return the proof that everything is closed, or none: then ``not_flat`` says what is missing."""
    proof, kill = state.reconciliation.proof, state.kill
    if proof is None or not kill.engaged or kill.level is not KillLevel.FLATTEN:
        return None
    if len(state.orders) or state.orders.protective:
        return None
    is_newest = proof.statement.sequence > kill.sequence and proof.statement.venue_ts_us > state.reconciliation.fill_us
    return proof if is_newest else None


def not_flat(state: "RiskState") -> tuple[str, ...]:
    """Return what a proof of flat waits for, in words; empty with one."""
    if flat(state) is not None:
        return ()
    if not state.kill.engaged or state.kill.level is not KillLevel.FLATTEN:
        return ("the switch is not engaged at FLATTEN",)
    return (
        *open_orders(state),
        *_bounded(_order_words(order) for order in state.orders.protective.values()),
        *(state.reconciliation.not_flat or ("the venue has not stated the account since",)),
    )


def clean(state: "RiskState") -> tuple[str, ...]:
    """Return what is in the way of a release of the kill switch, in words; empty when nothing is."""
    reconciliation = state.reconciliation
    drifts = [f"books and venue differ by {plain(amount)} {name}" for name, amount in state.activity.drifts.items()]
    drifts += state.activity.position_drifts.values()
    found = [*open_orders(state), *reconciliation.differences, *drifts]
    # A gate that never had a policy has approved nothing, and has nothing that could differ.
    untouched = state.policy is None and state.portfolio is None
    judged = reconciliation.judged
    if not untouched and (judged is None or judged.sequence <= state.kill.sequence):
        found.append("the venue has not stated the account since the switch was engaged, with no order open")
    return tuple(_bounded(found))


def open_orders(state: "RiskState") -> tuple[str, ...]:
    """Return the orders that are not over, in words."""
    return tuple(_bounded(_order_words(order) for order in state.orders.by_id.values()))


def _order_words(order: OpenOrder) -> str:
    stands = "not answered yet" if order.state is None else order.state.value
    return f"order {order.client_order_id} in {order.symbol} is not over: {stands}"


def _base(symbol: str) -> str:
    return symbol.partition("-")[0]


def _bounded(words: "Iterator[str] | list[str]") -> Iterator[str]:
    for number, text in enumerate(words):
        if number == WORDS_MAX:
            yield "and more"
            return
        yield text
