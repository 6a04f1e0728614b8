"""Works out what an order's story answers: the values that are shown and given out."""

from decimal import Decimal

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import Bust, Fill, Order, Refusal, Report
from tollgate_contracts.money import divide, plain
from tollgate_contracts.reconciliation import Reconcile
from tollgate_contracts.risk import Decision, KillSwitch
from tollgate_contracts.strategy import Intent, Side
from tollgate_research.explain import Explainer
from tollgate_research.explain_result import result_of, trades_of
from tollgate_research.explain_story import Event, Judged, Moment, Story
from tollgate_research.explain_values import (
    Answer,
    GateLine,
    Line,
    Price,
    Rules,
    Shape,
    Sizing,
    Standing,
    Verdict,
    What,
    Why,
)
from tollgate_risk.core.case import BPS, shown

_BPS_PLACES = 4


def answer_of(story: Story, explainer: Explainer, *, with_policy: bool = False) -> Answer:
    """Work out the answer for one order, at the end of the tape; ``with_policy`` adds the policy's text."""
    moment = story.judged.moment
    what = _what(story)
    currency = story.symbol.partition("-")[2]
    side = None if what.shape is None else what.shape.side
    quote = explainer.quote(story.symbol)
    return Answer(
        desk=explainer.desk,
        records=explainer.records,
        what=what,
        why=_why(story.judged),
        price=_price(moment, what.shape),
        rules=_rules(moment, with_policy),
        standing=_standing(moment),
        verdict=_verdict(story.judged),
        cancels=tuple((_why(judged), _verdict(judged)) for judged in story.cancels),
        execution=tuple(_line(story, event) for event in story.events if _is_told(story, event)),
        venue=tuple(_line(story, event) for event in story.events if isinstance(event.message, Report)),
        trades=trades_of(story),
        result=result_of(story, side, currency, explainer.holding(story.symbol), quote.mark if quote else None),
        dropped=story.dropped,
    )


def _is_told(story: Story, event: Event) -> bool:
    """Say whether a record has a line of its own: its trades have a table, but those of a stop are its end."""
    message = event.message
    if isinstance(message, Fill):
        return message.client_order_id != story.client_order_id
    return not isinstance(message, Report)


def _approval(judged: Judged) -> Approval | None:
    decision = judged.answer
    if decision is None or decision.approval is None:
        return None
    try:
        return Approval.model_validate_json(decision.approval.text)
    except ValidationError:
        return None


def _what(story: Story) -> What:
    said = [event.message for event in story.events]
    own = [m for m in said if isinstance(m, Order | Report) and m.client_order_id not in story.stops]
    last = next((message for message in reversed(own) if isinstance(message, Order)), None)
    approval = _approval(story.judged)
    venue_ids = [message.venue_order_id for message in own if message.venue_order_id]
    return What(
        client_order_id=story.client_order_id,
        symbol=story.symbol,
        venue_order_id=venue_ids[-1] if venue_ids else None,
        shape=_shape(approval or story.judged.origin or last),
        scope=None if approval is None else approval.scope.value,
        state=_state(story, last),
    )


def _shape(order: Approval | Intent | KillSwitch | Order | None) -> Shape | None:
    if order is None or isinstance(order, KillSwitch):
        return None
    return Shape(
        side=order.side,
        order_type=order.order_type.value,
        quantity=order.quantity,
        price_bound=order.limit_price,
        time_in_force=order.time_in_force.value,
        post_only=order.post_only,
        reduce_only=order.reduce_only,
    )


def _state(story: Story, last: Order | None) -> str:
    if last is not None:
        return last.to_state.value
    if any(isinstance(event.message, Refusal) for event in story.events):
        return "REFUSED by execution"
    answer = story.judged.answer
    if answer is None:
        return "not decided on this tape"
    return f"{answer.outcome.value}, {answer.action.value}"


def _why(judged: Judged) -> Why:
    origin = judged.origin
    if isinstance(origin, Intent):
        reason = origin.rationale
        return Why(
            kind="intent",
            id=origin.id,
            strategy=origin.strategy,
            purpose=origin.purpose.value,
            signal=reason.signal,
            regime=reason.regime,
            strength_bps=reason.strength,
            confidence=reason.confidence,
            tier=reason.tier,
            expires_us=origin.expires_us,
            sizing=tuple(Sizing(step.step, step.quantity) for step in reason.sizing),
        )
    if isinstance(origin, KillSwitch):
        return Why(
            kind="kill_switch",
            id=origin.id,
            actor=origin.actor,
            reason=origin.reason,
            level=origin.level.value,
            epoch=origin.epoch,
            engaged_us=origin.ts_us,
        )
    return Why(kind="unknown", id=None if judged.answer is None else judged.answer.intent_id)


def _price(moment: Moment, shape: Shape | None) -> Price | None:
    quote = moment.quote
    if quote is None:
        return None
    policy = moment.policy.document if moment.policy else None
    collar = None if policy is None else policy.rules.price.collar_bps
    return Price(
        bid=quote.bid,
        ask=quote.ask,
        mark=quote.mark,
        age_us=moment.now_us - quote.ts_us,
        collar_bps=collar,
        collar_low=None if collar is None else quote.mark * (BPS - collar) / BPS,
        collar_high=None if collar is None else quote.mark * (BPS + collar) / BPS,
        bound_from_mark_bps=_beyond_bps(shape, quote.mark, quote.mark),
        bound_from_touch_bps=_beyond_bps(shape, quote.ask, quote.bid),
    )


def _beyond_bps(shape: Shape | None, for_a_buy: Decimal, for_a_sell: Decimal) -> Decimal | None:
    if shape is None or shape.price_bound is None:
        return None
    is_buy = shape.side is Side.BUY
    reference = for_a_buy if is_buy else for_a_sell
    beyond = shape.price_bound - reference if is_buy else reference - shape.price_bound
    return divide(beyond * BPS, reference, _BPS_PLACES)


def _rules(moment: Moment, with_policy: bool) -> Rules | None:
    policy = moment.policy
    if policy is None:
        return None
    document, text = policy.document, policy.text if with_policy else None
    if document is None:
        return Rules(policy.hash, policy.sequence, text)
    return Rules(
        hash=policy.hash,
        sequence=policy.sequence,
        text=text,
        revision=document.rules.revision,
        tightens=document.tightens,
        environment=document.environment,
        venue=document.venue,
        account=document.account,
        quote_currency=document.quote_currency,
    )


def _standing(moment: Moment) -> Standing:
    return Standing(
        mode=moment.mode,
        mode_why=moment.mode_why,
        kill_engaged=moment.kill.engaged,
        kill_level=moment.kill.level,
        kill_epoch=moment.kill.epoch,
        kill_actor=moment.kill.actor,
        kill_reason=moment.kill.reason,
        kill_since_us=moment.kill.since_us,
        feed=moment.feed,
        fault=moment.fault,
        held=moment.held,
    )


def _verdict(judged: Judged) -> Verdict:
    moment, answer, approval = judged.moment, judged.answer, _approval(judged)
    gates = tuple(
        GateLine(measure.code, shown(measure.limit), shown(measure.seen), measure.unit, measure.is_kept)
        for measure in moment.measures
    )
    if answer is None:
        return Verdict(moment.sequence, moment.ts_us, gates)
    return Verdict(
        asked_sequence=moment.sequence,
        asked_us=moment.ts_us,
        gates=gates,
        decision_id=answer.id,
        outcome=answer.outcome.value,
        findings=answer.findings,
        approval_expires_us=None if approval is None else approval.expires_us,
        decided_after_us=judged.decided_us - moment.at_us if judged.decision else None,
        as_computed=judged.is_as_computed,
    )


def _line(story: Story, event: Event) -> Line:
    what, detail = _told(event)
    return Line(event.sequence, event.at_us - story.judged.moment.at_us, what, detail)


def _name(order: Order) -> str:
    if order.protects is not None and order.trigger_price is not None:
        return f"stop of {plain(order.quantity)} at {plain(order.trigger_price)}: "
    return "" if order.attempt == 1 else f"attempt {order.attempt}: "


def _told(event: Event) -> tuple[str, str]:
    message = event.message
    if isinstance(message, Order):
        so_far = f"{plain(message.cumulative_quantity)} filled" if message.cumulative_quantity else ""
        reason = "" if message.reason is None else message.reason.value
        parts = (so_far, reason, message.detail)
        return f"{_name(message)}{message.from_state.value} -> {message.to_state.value}", "; ".join(filter(None, parts))
    if isinstance(message, Fill | Bust):
        trade = message.trade
        what = f"{message.side.value} {plain(trade.quantity)} at {plain(trade.price)}"
        said = "taken back by the venue" if isinstance(message, Bust) else "stop traded"
        return f"{said}: {what}", f"trade {trade.trade_id}"
    if isinstance(message, Refusal):
        return f"refused {message.decision_id}: " + ", ".join(code.value for code in message.codes), message.detail
    if isinstance(message, Report):
        count = message.cumulative_quantity
        counted = "" if count is None else f"counts {plain(count)} filled"
        reason = "" if message.reason is None else message.reason.value
        parts = (counted, reason, message.detail)
        return f"{message.status.value} (by {message.source.value})", "; ".join(filter(None, parts))
    if isinstance(message, Reconcile):
        return "reconciled", f"{message.differed}; {message.repair.value.lower()}: {message.detail}"
    if isinstance(message, Decision):
        return f"another decision, {message.id}", f"{message.outcome.value} for {message.intent_id}"
    return message.kind, ""
