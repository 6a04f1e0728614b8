"""The policy's rules, said again in the plainest way: which of them would an order that was approved violate."""

from collections.abc import Iterator
from decimal import Decimal

from risk_model import BPS, DAY_US, HOUR_US, MS, NOTHING, STEP, SYMBOLS, TICK, World

from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.risk import TradingMode
from tollgate_contracts.strategy import Intent, Side


def violations(world: World, intent: Intent, reducing: bool) -> list[str]:
    """Name every rule that the order breaks; its own order is not among the world's yet."""
    rules = world.rules
    value = intent.quantity * max(intent.limit_price, world.marks.get(intent.symbol, NOTHING))
    return [
        *_arming(world, intent, reducing),
        *_instrument(world, intent, reducing),
        *_market(world, intent),
        *_pace(world, intent, reducing),
        *([] if value <= Decimal(rules["limits"]["order_notional"]) else ["order_notional"]),
        *([] if reducing else _exposure(world, intent, value)),
        *([] if reducing else _numbers(world, intent, value)),
        *_cash(world, intent, value, reducing),
    ]


def _broken(checks: dict[str, bool]) -> Iterator[str]:
    return (name for name, is_kept in checks.items() if not is_kept)


def _arming(world: World, intent: Intent, reducing: bool) -> Iterator[str]:
    same = (intent.symbol, intent.side, intent.quantity, intent.limit_price)
    repeat_us = world.rules["intents"]["repeat_ms"] * MS
    # An order that reduces, and one that would take from under it what it is to reduce.
    claims = any(o.reducing and o.remaining and o.side is intent.side for o in world.open_in(intent.symbol))
    held = world.holding(intent.symbol)
    against = held != 0 and (held > 0) == (intent.side is Side.SELL)
    return _broken(
        {
            "dry_run": not world.rules["arming"]["dry_run"],
            "kill_switch": not world.engaged,
            "observe_only": world.mode in {TradingMode.NORMAL, TradingMode.REDUCE_ONLY},
            "reduce_only mode": reducing or world.mode is TradingMode.NORMAL,
            "reduce_only": reducing or not intent.reduce_only,
            "takes from a reducing order": reducing or not (claims and against),
            "expired": intent.expires_us > world.desk.now_us,
            "malformed": intent.expires_us <= world.desk.now_us + world.rules["intents"]["life_ms_max"] * MS,
            "repeated": all(a.same != same or world.desk.now_us - a.at_us >= repeat_us for a in world.approved),
        }
    )


def _instrument(world: World, intent: Intent, reducing: bool) -> Iterator[str]:
    universe = world.rules["universe"]
    return _broken(
        {
            "not_allowed": intent.symbol in universe["allowed"],
            "excluded": reducing or intent.symbol not in universe["excluded"],
            "halted": world.status.get(intent.symbol, InstrumentStatus.OPEN) is InstrumentStatus.OPEN,
            "precision": intent.quantity % STEP == 0 and intent.limit_price % TICK == 0,
            "min_quantity": intent.quantity >= Decimal("0.01"),
            "min_notional": intent.quantity * intent.limit_price >= 5,
        }
    )


def _market(world: World, intent: Intent) -> Iterator[str]:
    data, symbol, price = world.rules["data"], intent.symbol, intent.limit_price
    if symbol not in world.marks:
        return iter(["no_mark"])
    mark = world.marks[symbol]
    others = [o.price for o in world.open_in(symbol) if o.side is not intent.side and o.remaining]
    is_buy = intent.side is Side.BUY
    return _broken(
        {
            "stale": world.desk.now_us - world.quoted_us[symbol] <= data["quote_age_ms_max"] * MS,
            "clock_skew": abs(world.skew_us[symbol]) <= data["clock_skew_ms_max"] * MS,
            "gap": world.feed in {FeedState.UP, FeedState.RECOVERED},
            "collar": abs(price - mark) * BPS <= Decimal(world.rules["price"]["collar_bps"]) * mark,
            "post_only": not intent.post_only or (price < mark + TICK if is_buy else price > mark - TICK),
            "self_cross": all(price < other if is_buy else price > other for other in others),
        }
    )


def _pace(world: World, intent: Intent, reducing: bool) -> Iterator[str]:
    pace, limits, now_us = world.rules["pace"], world.rules["limits"], world.desk.now_us
    of_symbol = [a.at_us for a in world.approved if a.symbol == intent.symbol]
    cooldown = pace["reducing_symbol_cooldown_ms" if reducing else "symbol_cooldown_ms"] * MS
    yield from _broken({"symbol_cooldown": all(now_us - at_us >= cooldown for at_us in of_symbol)})
    cycle = [a for a in world.approved if a.cycle == world.desk.cycle_id and a.reducing is reducing]
    allowance = limits["reducing_orders_per_cycle" if reducing else "orders_per_cycle"]
    yield from _broken({"orders_per_cycle": len(cycle) < allowance})
    if reducing:
        return
    entries = [a.at_us for a in world.approved if not a.reducing]
    spacing = pace["global_spacing_ms"] * MS
    since_policy = [a.at_us for a in world.approved[world.policy_approvals :] if not a.reducing]
    # Whatever stretch of time one looks at, no more orders than the bucket holds and what it gained meanwhile.
    is_within_rate = all(
        len(since_policy) - number + 1 <= pace["burst"] + (now_us - at_us) * Decimal(pace["rate_per_s"]) / 1_000_000
        for number, at_us in enumerate(since_policy)
    )
    yield from _broken(
        {
            "global_spacing": all(now_us - at_us >= spacing for at_us in entries),
            "hourly_cap": sum(now_us - at_us <= HOUR_US for at_us in entries) < pace["orders_per_hour"],
            "daily_cap": sum(now_us - at_us <= DAY_US for at_us in entries) < pace["orders_per_day"],
            "rate": is_within_rate,
        }
    )


def _numbers(world: World, intent: Intent, value: Decimal) -> Iterator[str]:
    limits = world.rules["limits"]
    in_cycle = [a.value for a in world.approved if a.cycle == world.desk.cycle_id and not a.reducing]
    return _broken(
        {
            "cycle_notional": sum(in_cycle, value) <= Decimal(limits["cycle_notional"]),
            "open_orders": len(world.open()) < limits["open_orders"],
            "open_orders_symbol": len(world.open_in(intent.symbol)) < limits["open_orders_symbol"],
        }
    )


def _exposure(world: World, intent: Intent, value: Decimal) -> Iterator[str]:
    """Every cap on exposure, with this order among the open ones."""
    limits, symbol = world.rules["limits"], intent.symbol
    risks = {each: world.risk(each) for each in SYMBOLS}
    mine, is_buy = risks[symbol], intent.side is Side.BUY
    mine.high += value if is_buy else NOTHING
    mine.low -= NOTHING if is_buy else value
    mine.orders += 1
    worst = {each: risk.worst for each, risk in risks.items()}
    net = max(abs(sum(r.high for r in risks.values())), abs(sum(r.low for r in risks.values())))
    (cap,) = [Decimal(line["units"]) for line in limits["position_units"] if line["symbol"] == symbol]
    held = world.holding(symbol)
    units = held + mine.buying + intent.quantity if is_buy else mine.selling + intent.quantity - held
    yield from _broken(
        {
            "position_notional": worst[symbol] <= Decimal(limits["position_notional"]),
            "position_units": units <= cap,
            "gross_exposure": sum(worst.values()) <= Decimal(limits["gross_exposure"]),
            "net_exposure": net <= Decimal(limits["net_exposure"]),
            "concentration": worst[symbol] * BPS <= Decimal(limits["concentration_bps"]) * world.equity(),
        }
    )
    for group in limits["groups"]:
        if symbol in group["symbols"]:
            total = sum((worst[each] for each in group["symbols"]), NOTHING)
            yield from _broken({f"group {group['name']}": total <= Decimal(group["exposure"])})
    yield from _losses(world)


def _losses(world: World) -> Iterator[str]:
    loss, equity = world.rules["loss"], world.equity()
    fallen = (world.peak - equity) * BPS
    yield from _broken(
        {
            "loss.daily": world.day_opening - equity < Decimal(loss["daily"]),
            "loss.drawdown": fallen < Decimal(loss["drawdown_bps"]) * world.peak,
        }
    )


def _cash(world: World, intent: Intent, value: Decimal, reducing: bool) -> Iterator[str]:
    is_perpetual, is_buy = intent.symbol in world.perpetuals, intent.side is Side.BUY
    if not is_buy and not is_perpetual:
        yield from _broken({"delivery": reducing})
        return
    if reducing:
        return
    risks = {symbol: world.risk(symbol) for symbol in SYMBOLS}
    claimed = sum((risk.claimed + world.fee(risk.fee_base) for risk in risks.values()), NOTHING)
    price = intent.quantity * intent.limit_price
    cost = world.fee(value) if is_perpetual else price + world.fee(price)
    notional = sum((risks[symbol].worst for symbol in world.perpetuals), NOTHING)
    # Cash that margins perpetuals buys no spot; what perpetuals have won is no cash, but it margins them.
    free = world.real_cash() - world.desk.core.state.treasury - claimed - cost
    left = free if is_perpetual else free - notional * Decimal("0.1")
    won = sum((max(risks[symbol].equity, NOTHING) for symbol in world.perpetuals), NOTHING)
    yield from _broken({"reserve": left >= Decimal(world.rules["cash"]["reserve"]), "insufficient": left >= 0})
    if is_perpetual:
        mine, before = risks[intent.symbol], risks[intent.symbol].worst
        mine.high += value if is_buy else NOTHING
        mine.low -= NOTHING if is_buy else value
        notional += mine.worst - before
    if notional:
        yield from _margin(world, notional, free + won)


def _margin(world: World, notional: Decimal, balance: Decimal) -> Iterator[str]:
    """Every cap on what perpetuals need, with this order among the open ones."""
    margin = world.rules["margin"]
    initial = notional * Decimal("0.1") * (BPS + Decimal(margin["initial_buffer_bps"])) / BPS
    maintenance = notional * Decimal("0.05") * (BPS + Decimal(margin["maintenance_buffer_bps"])) / BPS
    yield from _broken(
        {
            "margin.insufficient": initial <= balance,
            "margin.maintenance": maintenance <= balance,
            "margin.leverage": notional <= min(Decimal(margin["leverage_max"]), Decimal(10)) * balance,
        }
    )
