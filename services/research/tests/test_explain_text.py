"""The page that an operator reads, whole, but for the gates' own lines, which the gates' tests hold."""

import re
from decimal import Decimal
from typing import Any

from rich.console import Console
from synthetic_tape import SyntheticDesk, fills, keeps_working, rejects, says_nothing

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.risk import Decision, KillLevel, Mode, Policy
from tollgate_contracts.strategy import Intent, OrderType
from tollgate_research.explain import Explainer
from tollgate_research.explain_answer import answer_of
from tollgate_research.explain_text import page
from tollgate_research.layout import WIDTH


def text_of(desk: SyntheticDesk, asked: str) -> str:
    explainer = Explainer("main", asked)
    for record in desk.records:
        explainer.take(record)
    (story,) = explainer.matches
    console = Console(width=WIDTH, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(page(answer_of(story, explainer)))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(lines)


def sections(text: str) -> dict[str, str]:
    """Return the body of each section by its title; the head is under the empty title."""
    parts = re.split(r"^([A-Z].*)\n(?=  )", text, flags=re.MULTILINE)
    return {"": parts[0].strip(), **{parts[n]: parts[n + 1].strip("\n") for n in range(1, len(parts), 2)}}


def test_a_round_trip_that_is_over_is_told_from_the_signal_to_the_result():
    desk = SyntheticDesk().open()
    bought = desk.buy("101")
    desk.quote("103")
    told = sections(text_of(desk, bought.client_order_id))
    sold = [m for m in desk.messages if isinstance(m, Intent)][1]
    policy = next(m for m in desk.messages if isinstance(m, Policy)).hash
    mode = next(m for m in desk.messages if isinstance(m, Mode))
    assert told.pop("What the gates saw")
    assert told == {
        "": f"""
BUY 9.89 BTC-USDT at 101.11, LIMIT IOC: FILLED
order       {bought.client_order_id}
intent      strategy:13:0
decision    risk:14:0
venue's id  V-{bought.client_order_id[-6:]}
asked       2023-11-14 22:13:20.200000 UTC, record 14
tape        desk main, 30 records read
""".strip(),
        "Why it was written": """\
  strategy momentum wrote strategy:13:0: ENTRY, because of momentum
  regime rising, strength 49.005 bps, confidence 1, tier full
""".rstrip(),
        "Why this size": """\
  target 1000 USDT at 101.11   9.89021857383 BTC
  tier full takes 1 of it      9.89021857383 BTC
  down to a multiple of 0.001  9.89 BTC
""".rstrip(),
        "Why this price and route": """\
  bid 100.99, ask 101.01, mark 101; quoted 0 us before, by tape time
  price bound: 9.9 bps beyond the ask, 10.8911 bps beyond the mark
  collar: 100 bps either way of the mark, 99.99 to 102.01
  route: simulated, account main, simulated environment; LIMIT IOC
""".rstrip(),
        "What the rules were": f"""\
  policy {policy}
  on the tape at record 1, revision 1
  mode NORMAL: {mode.why}
  kill switch never touched
  feed UP
  held before: 0 BTC
""".rstrip(),
        "What risk decided": "  APPROVED: risk:14:0, after 50 us",
        "What execution did": """\
  record  after
  16      100 us  PLANNED -> SUBMITTING
  19      2 ms    SUBMITTING -> ACKNOWLEDGED
  21      2.1 ms  ACKNOWLEDGED -> FILLED      9.89 filled
""".rstrip(),
        "What the venue said": """\
  record  after
  17      950 us   OPEN (by SUBMIT)    counts 0 filled
  18      1.95 ms  FILLED (by SUBMIT)  counts 9.89 filled

  record  after    trade   price   quantity  fee
  20      2.05 ms  sim-15  101.01  9.89      0.9989889 USDT  TAKER
""".rstrip(),
        "What it made or lost": f"""\
  filled 9.89 at 101.01 on average
  0.9901 bps worse than the mark when risk was asked: 0.0989 USDT
  fees 0.9989889 USDT
  round trip: opened 2023-11-14 22:13:20.202000 UTC, closed 2023-11-14 22:13:20.304000 UTC
    bought 9.89, sold 9.89 in 2 fills of the orders
      {bought.client_order_id}
      {sold.client_order_id}
    realized 19.5822, fees 2.01756, net 17.56464 USDT
""".rstrip(),
    }


def test_every_gate_stands_on_the_page_once_and_those_that_refuse_say_no():
    desk = SyntheticDesk().open({"limits.order_notional": "500"})
    rejected = desk.buy()
    told = sections(text_of(desk, rejected.id))
    lines = [line.split() for line in told["What the gates saw"].splitlines() if re.match(r"  [a-z]+\.[a-z]", line)]
    assert [name for name, kept, *_ in lines if kept == "NO"] == ["limit.order_notional"]
    assert {kept for _, kept, *_ in lines} == {"yes", "NO"}
    assert len({name for name, *_ in lines}) == len(lines) > 30
    assert told["What risk decided"].splitlines() == [
        "  REJECTED: risk:14:0, after 50 us",
        "  limit.order_notional: limit 500, seen 999.9779 (USDT)",
    ]
    assert told["What execution did"] == "  nothing"
    assert told["What it made or lost"] == "  nothing: no trade"
    assert told[""].splitlines()[0].endswith("REJECTED, SUBMIT")


def test_a_position_that_is_still_open_is_told_with_its_mark():
    desk = SyntheticDesk().open()
    bought = desk.buy("101")
    desk.quote("101.5")
    told = sections(text_of(desk, bought.client_order_id))
    lines = told["What it made or lost"].splitlines()
    assert lines[3].endswith("still open")
    # 9.89 at 101.50, bought at 101.01.
    assert lines[-1] == "    held at the tape's end: 9.89, mark 101.5, unrealized 4.8461 USDT"


def test_what_the_venue_refused_or_did_not_say_is_told_with_its_reason():
    refused = SyntheticDesk(answer=rejects).open()
    told = sections(text_of(refused, refused.buy().id))
    assert "SUBMITTING -> REJECTED" in told["What execution did"]
    assert "REJECTED (by SUBMIT)  venue.rejected; insufficient balance" in told["What the venue said"]
    silent = SyntheticDesk(answer=says_nothing).open()
    told = sections(text_of(silent, silent.buy().id))
    assert "SUBMITTING -> UNKNOWN" in told["What execution did"]
    assert told[""].splitlines()[0].endswith("UNKNOWN")


def test_an_approval_that_execution_would_not_act_upon_is_told_with_every_reason():
    desk = SyntheticDesk().open()
    # Execution's desk is another: every approval is bound elsewhere.
    content = {"environment": "paper", "desk": "main", "venue": "simulated", "account": "main"}
    trusted = desk.cores["execution"].parameters.trusted_keys  # type: ignore[attr-defined]
    desk.config("execution", {**content, "quote_currency": "USDT", "symbols": ["BTC-USDT"], "trusted_keys": trusted})
    told = sections(text_of(desk, desk.buy().id))
    assert "refused risk:" in told["What execution did"]
    assert "approval.mismatch" in told["What execution did"]
    assert "expected paper" in told["What execution did"]
    assert told[""].splitlines()[0].endswith("REFUSED by execution")


def test_a_cancel_by_the_kill_switch_is_told_within_the_order_that_it_cancels():
    desk = SyntheticDesk(answer=keeps_working).open()
    bought = desk.buy()
    switch = desk.kill(KillLevel.CANCEL)
    told = sections(text_of(desk, bought.client_order_id))
    assert told["A cancel was asked for"].splitlines()[:2] == [
        f"  risk acted of its own accord, by the kill switch: {switch.id}",
        "  engaged at CANCEL, epoch 1, at 2023-11-14 22:13:20.201000 UTC by anna: prices look wrong",
    ]
    assert "APPROVED: risk:" in told["A cancel was asked for"]
    assert "-> CANCELLED" in told["What execution did"]
    cancel = next(m for m in desk.messages if isinstance(m, Decision) and m.intent_id == switch.id)
    assert text_of(desk, cancel.id) == text_of(desk, bought.client_order_id)


def test_an_order_that_risk_wrote_of_its_own_accord_is_explained_by_the_kill_switch():
    desk = SyntheticDesk(answer=fills).open()
    desk.buy()
    switch = desk.kill(KillLevel.FLATTEN)
    told = sections(text_of(desk, switch.id))
    assert "reduce-only FLATTEN: FILLED" in told[""].splitlines()[0]
    assert f"  risk acted of its own accord, by the kill switch: {switch.id}" in told["Why it was written"]
    assert told["What the gates saw"] == "  no gate was asked"
    assert "closed 2023-11-14" in told["What it made or lost"]
    assert "Why this size" not in told


def test_a_market_order_is_told_with_the_bound_that_it_was_approved_with():
    desk = SyntheticDesk().open({"intents.allow_market_orders": True})
    bought = desk.buy()
    market = bought.model_copy(
        update={
            "id": "strategy:14:7",
            "cause": 14,
            "order_type": OrderType.MARKET,
            "limit_price": None,
            "client_order_id": "tg" + "e" * 30,
        }
    )
    desk.append(market)
    head = sections(text_of(desk, market.id))[""].splitlines()[0]
    assert head.startswith("BUY 9.89 BTC-USDT at 102.01, MARKET IOC")


def test_an_intent_before_any_policy_or_quote_is_told_with_what_was_lacking():
    desk = SyntheticDesk().open()
    intent = desk.buy()
    bare = SyntheticDesk()
    bare.wait(0)
    bare.append(intent.model_copy(update={"id": "strategy:1:0", "cause": 1}))
    told = sections(text_of(bare, "strategy:1:0"))
    assert told["Why this price and route"].splitlines() == [
        "  no quote of the symbol had been seen",
        "  route: not known, for no policy was in force; LIMIT IOC",
    ]
    assert told["What the rules were"].splitlines()[:2] == ["  no policy was in force", "  mode none"]
    assert told["What the gates saw"] == "  no gate was asked"
    assert "gate.not_armed: limit a policy in force, seen none (policy)" in told["What risk decided"]
    assert "the tape ends before this decision" not in told["What risk decided"]


def test_a_tightening_a_switch_and_a_gate_that_shut_itself_are_told():
    desk = SyntheticDesk().open()
    before = next(m for m in desk.messages if isinstance(m, Policy)).hash
    desk.policy({"limits.order_notional": "400"}, tightens=before)
    desk.kill(KillLevel.HALT, epoch=3)
    desk.kill(KillLevel.HALT, epoch=3, engaged=False)
    told = sections(text_of(desk, desk.buy().id))
    assert f"  a tightening, made while the desk ran, of\n  policy {before}" in told["What the rules were"]
    assert "kill switch released, epoch 3, since 2023-11-14" in told["What the rules were"]
    shut = SyntheticDesk().open()
    shut.say(Policy, "risk", text="no policy at all", hash="0" * 64)
    told = sections(text_of(shut, shut.buy().id))
    assert told["What the rules were"].startswith(
        f"  policy {'0' * 64}\n  on the tape at record 13, which cannot be read"
    )
    assert "the gate had shut itself: the policy cannot be read" in told["What the rules were"]


def test_a_difference_with_the_venue_is_told_within_its_order():
    """Here a trade that is worse than the order's limit."""

    def dearly(desk: SyntheticDesk, approval: Approval) -> list[dict[str, Any]]:
        dear = desk.trade(approval, approval.quantity).model_copy(update={"price": Decimal(102)})
        return [{"status": ReportStatus.FILLED, "cumulative_quantity": approval.quantity, "trades": (dear,)}]

    desk = SyntheticDesk(answer=dearly).open()
    told = sections(text_of(desk, desk.buy().id))
    assert "reconciled" in told["What execution did"]
    assert "is worse than the limit 101.11" in told["What execution did"].replace("\n", " ")
