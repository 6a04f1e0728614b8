"""An answer as an operator reads it: a page of at most a hundred columns, top to bottom the way of the order."""

import json
from collections.abc import Iterable
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tollgate_contracts.money import plain, round_to_places
from tollgate_contracts.strategy import Side
from tollgate_research import layout
from tollgate_research.explain_result import Result, RoundTrip
from tollgate_research.explain_story import Story
from tollgate_research.explain_values import Answer, GateLine, Line, Price, Rules, Shape, Standing, Verdict, What, Why

# Enough for every venue's money; JSON has all digits.
_MONEY_PLACES = 8
_NUMBER_PLACES = 12
# Less is a span of time, for no rule reaches further than a day; more is a time of day.
_SPAN_US_MAX = 2 * 86_400 * 1_000_000
_OTHERWISE = (
    "This version of the gate, run again over the tape, decides otherwise than the one that decided: what is shown of "
    "the gates is what this version sees."
)


def page(answer: Answer) -> RenderableType:
    """Return the whole answer."""
    parts: list[RenderableType] = [_head(answer)]
    parts += layout.section("Why it was written", _why(answer.why))
    if answer.why.sizing:
        parts += layout.section("Why this size", [_sizing(answer)])
    parts += layout.section("Why this price and route", _price(answer))
    parts += layout.section("What the rules were", _rules(answer))
    parts += layout.section("What the gates saw", [_gates(answer.verdict.gates)])
    parts += layout.section("What risk decided", _verdict(answer.verdict))
    for why, verdict in answer.cancels:
        parts += layout.section("A cancel was asked for", [*_why(why), *_verdict(verdict)])
    parts += layout.section("What execution did", [_lines(answer.execution)])
    parts += layout.section("What the venue said", [_lines(answer.venue), *_trades(answer)])
    parts += layout.section("What it made or lost", _result(answer.result))
    if answer.dropped:
        parts.append(f"\n{answer.dropped} further records about this order are not shown.")
    return Group(*parts)


def candidates(stories: Iterable[tuple[str, Story]]) -> RenderableType:
    """Return one line for each order that may have been meant, with the id that matches."""
    shown = layout.table("id", "symbol", "became", "asked (UTC)")
    shown.columns[0].no_wrap = True
    for name, story in stories:
        answer = story.judged.answer
        became = "not decided" if answer is None else f"{answer.action.value} {answer.outcome.value}"
        shown.add_row(name, story.symbol, became, layout.time_of(story.judged.moment.ts_us))
    return shown


def _head(answer: Answer) -> RenderableType:
    what = answer.what
    grid = layout.grid(
        ("order", what.client_order_id),
        ("intent", answer.why.id if answer.why.kind == "intent" else None),
        ("decision", answer.verdict.decision_id),
        ("venue's id", what.venue_order_id),
        ("asked", f"{layout.time_of(answer.verdict.asked_us)} UTC, record {answer.verdict.asked_sequence}"),
        ("tape", f"desk {answer.desk}, {answer.records:,} records read"),
    )
    return Group(Text(f"{_wish(what, what.shape)}: {what.state}", style="bold"), grid)


def _wish(what: What, shape: Shape | None) -> str:
    if shape is None:
        return f"Order in {what.symbol}"
    bound = "" if shape.price_bound is None else f" at {plain(shape.price_bound)}"
    flags = (("post-only", shape.post_only), ("reduce-only", shape.reduce_only), ("FLATTEN", what.scope == "FLATTEN"))
    how = " ".join((shape.order_type, shape.time_in_force, *(name for name, is_on in flags if is_on)))
    return f"{shape.side} {plain(shape.quantity)} {what.symbol}{bound}, {how}"


def _why(why: Why) -> list[RenderableType]:
    if why.kind == "intent":
        numbers = f"strength {_number(why.strength_bps)} bps, confidence {_number(why.confidence)}"
        return [
            f"strategy {why.strategy} wrote {why.id}: {why.purpose}, because of {why.signal}",
            f"regime {why.regime}, {numbers}, tier {why.tier}",
        ]
    if why.kind == "kill_switch":
        engaged = f"engaged at {why.level}, epoch {why.epoch}, at {layout.time_of(why.engaged_us or 0)} UTC"
        return [
            f"risk acted of its own accord, by the kill switch: {why.id}",
            f"{engaged} by {why.actor}: {why.reason}",
        ]
    return [f"this tape holds nothing that asked for it{f', only the name {why.id}' if why.id else ''}"]


def _sizing(answer: Answer) -> Table:
    base = answer.what.symbol.partition("-")[0]
    return layout.grid(*((step.step, f"{_number(step.quantity)} {base}") for step in answer.why.sizing))


def _price(answer: Answer) -> list[RenderableType]:
    shape, rules = answer.what.shape, answer.rules
    is_buy = shape is not None and shape.side is Side.BUY
    market = ["no quote of the symbol had been seen"]
    if answer.price is not None:
        market = _market(answer.price, "ask" if is_buy else "bid")
    route = "not known, for no policy was in force"
    if rules is not None and rules.venue is not None:
        route = f"{rules.venue}, account {rules.account}, {rules.environment} environment"
    how = "" if shape is None else f"; {shape.order_type} {shape.time_in_force}"
    return [*market, f"route: {route}{how}"]


def _market(price: Price, touch: str) -> list[str]:
    quote = f"bid {plain(price.bid)}, ask {plain(price.ask)}, mark {plain(price.mark)}"
    lines = [f"{quote}; quoted {layout.span(price.age_us)} before, by tape time"]
    if price.bound_from_mark_bps is not None and price.bound_from_touch_bps is not None:
        mark = _away(price.bound_from_mark_bps, "mark")
        lines.append(f"price bound: {_away(price.bound_from_touch_bps, touch)}, {mark}")
    if price.collar_low is not None and price.collar_high is not None:
        between = f"{plain(price.collar_low)} to {plain(price.collar_high)}"
        lines.append(f"collar: {_number(price.collar_bps)} bps either way of the mark, {between}")
    return lines


def _away(bps: Decimal, what: str) -> str:
    return f"{plain(abs(bps))} bps {'beyond' if bps > 0 else 'short of'} the {what}" if bps else f"at the {what}"


def _rules(answer: Answer) -> list[RenderableType]:
    rules, standing = answer.rules, answer.standing
    lines: list[RenderableType] = ["no policy was in force"] if rules is None else [*_policy(rules)]
    lines.append(f"mode {standing.mode or 'none'}{f': {standing.mode_why}' if standing.mode_why else ''}")
    lines.append(_kill_switch(standing))
    lines.append(f"feed {standing.feed or 'not heard of'}")
    if standing.fault is not None:
        lines.append(f"the gate had shut itself: {standing.fault}")
    lines.append(f"held before: {plain(standing.held)} {answer.what.symbol.partition('-')[0]}")
    if rules is not None and rules.text is not None:
        lines.append(_pretty(rules.text))
    return lines


def _kill_switch(standing: Standing) -> str:
    if not standing.kill_since_us:
        return "kill switch never touched"
    state = f"engaged at {standing.kill_level}" if standing.kill_engaged else "released"
    since = f"since {layout.time_of(standing.kill_since_us)} UTC by {standing.kill_actor}: {standing.kill_reason}"
    return f"kill switch {state}, epoch {standing.kill_epoch}, {since}"


def _policy(rules: Rules) -> list[str]:
    read = "which cannot be read" if rules.revision is None else f"revision {rules.revision}"
    lines = [f"policy {rules.hash}", f"on the tape at record {rules.sequence}, {read}"]
    if rules.tightens is not None:
        lines += ["a tightening, made while the desk ran, of", f"policy {rules.tightens}"]
    return lines


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2)
    except ValueError:
        return text


def _gates(gates: tuple[GateLine, ...]) -> RenderableType:
    if not gates:
        return "no gate was asked"
    shown = layout.table("gate", "kept", "limit", "seen", "unit")
    shown.columns[0].no_wrap = True
    for gate in gates:
        limit, seen, unit = _humanly(gate.limit, gate.seen, gate.unit)
        kept = Text("yes") if gate.kept else Text("NO", style="bold red")
        shown.add_row(gate.code, kept, limit, seen, unit)
    return shown


def _humanly(limit: str, seen: str, unit: str) -> tuple[str, str, str]:
    """Return limit, value and unit with microseconds as spans and times of day, with the date where it matters."""
    name, _, rest = unit.partition(" ")
    if name != "us":
        return limit, seen, unit
    (day, instant), (other_day, other) = _instant(limit), _instant(seen)
    if day == other_day:
        return instant, other, rest
    return f"{day} {instant}".strip(), f"{other_day} {other}".strip(), rest


def _instant(value: str) -> tuple[str, str]:
    """Return the day, empty for a span of time, and the time."""
    if not value.isdecimal():
        return "", value
    if int(value) < _SPAN_US_MAX:
        return "", layout.span(int(value))
    return layout.day_and_time_of(int(value))


def _verdict(verdict: Verdict) -> list[RenderableType]:
    if verdict.outcome is None:
        return ["the tape ends before a decision"]
    after = "" if verdict.decided_after_us is None else f", after {layout.span(verdict.decided_after_us)}"
    lines: list[RenderableType] = [f"{verdict.outcome}: {verdict.decision_id}{after}"]
    for finding in verdict.findings:
        limit, seen, unit = _humanly(finding.limit, finding.seen, finding.unit)
        lines.append(Text(f"{finding.code}: limit {limit}, seen {seen}{f' ({unit})' if unit else ''}", style="red"))
    if verdict.decided_after_us is None:
        lines.append("the tape ends before this decision: it is what must follow")
    if not verdict.as_computed:
        lines.append(Text(_OTHERWISE, style="bold red"))
    return lines


def _lines(lines: tuple[Line, ...]) -> RenderableType:
    if not lines:
        return "nothing"
    shown = layout.table("record", "after", "", "")
    for line in lines:
        shown.add_row(str(line.sequence), layout.span(line.after_us), line.what, line.detail)
    return shown


def _trades(answer: Answer) -> list[RenderableType]:
    if not answer.trades:
        return []
    shown = layout.table("record", "after", "trade", "price", "quantity", "fee", "")
    for trade in answer.trades:
        fee = f"{_money(trade.fee)} {trade.fee_currency}"
        numbers = (plain(trade.price), plain(trade.quantity), fee, trade.liquidity)
        shown.add_row(str(trade.sequence), layout.span(trade.after_us), trade.trade_id, *numbers)
    return ["", shown]


def _result(result: Result) -> list[RenderableType]:
    if not result.filled:
        return ["nothing: no trade"]
    lines: list[RenderableType] = [f"filled {plain(result.filled)} at {_number(result.average_price)} on average"]
    if result.slippage_bps is not None and result.slippage_quote is not None:
        better = "better" if result.slippage_quote < 0 else "worse"
        slipped = f"{_money(abs(result.slippage_quote))} {result.currency}"
        lines.append(f"{plain(abs(result.slippage_bps))} bps {better} than the mark when risk was asked: {slipped}")
    lines += [f"fees {_money(amount)} {currency}" for currency, amount in result.fees]
    for trip in result.trips:
        lines += _trip(trip, result.currency)
    return lines


def _trip(trip: RoundTrip, currency: str) -> list[str]:
    ended = "still open" if trip.closed_us is None else f"closed {layout.time_of(trip.closed_us)} UTC"
    lines = [
        f"round trip: opened {layout.time_of(trip.opened_us)} UTC, {ended}",
        f"  bought {plain(trip.bought)}, sold {plain(trip.sold)} in {trip.fills} fills of the orders",
        *(f"    {order}" for order in trip.orders),
        f"  realized {_money(trip.realized)}, fees {_money(trip.fees)}, net {_money(trip.net)} {currency}",
    ]
    if trip.foreign_fees:
        lines.append(f"  fees of {trip.foreign_fees} fills, in a currency of no known rate, are not counted")
    if trip.found_open:
        lines.append("  it was open before the tape's first fill, and counts from the mark at which it was taken in")
    if trip.closed_us is None:
        at = "no mark"
        if trip.mark is not None:
            at = f"mark {plain(trip.mark)}, unrealized {_money(trip.unrealized)} {currency}"
        lines.append(f"  held at the tape's end: {plain(trip.held)}, {at}")
    return lines


def _money(amount: Decimal | None) -> str:
    return "?" if amount is None else plain(round_to_places(amount, _MONEY_PLACES))


def _number(value: Decimal | None) -> str:
    return "?" if value is None else plain(round_to_places(value, _NUMBER_PLACES))
