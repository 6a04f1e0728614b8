"""What the core makes of rounds, statements and movements: each difference said once, and no trade ever inferred."""

import json
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import (
    SECOND_US,
    START_US,
    STRANGER,
    TRUSTED,
    Desk,
    config_message,
    order_id,
    signed_approval,
    trade,
)

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus
from tollgate_contracts.reconciliation import (
    Account,
    Adoption,
    Balance,
    Movement,
    MovementType,
    Reconcile,
    Sync,
    SyncCause,
    VenuePosition,
)
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.parameters import SyncRules
from tollgate_execution.core.strangers import STRANGERS_MAX
from tollgate_execution.core.sync import TRADES_MAX, unexplained
from tollgate_execution.verification import Verifier

MINUTE_US = 60 * SECOND_US


class Venue:
    """A desk with a venue that states its account, its movements and its rounds."""

    def __init__(self, **rules: Any) -> None:
        self.desk = Desk(armed=False)
        # Submits are priced by what is approved, and by no quote.
        self.desk.step(config_message(sync=rules, slippage_bps_max=None) if rules else config_message())
        self.desk.policy()
        self.desk.account()
        self.count = 0

    def state(
        self, usdt: str, *, later_us: int = SECOND_US, positions: tuple[VenuePosition, ...] = (), **held: str
    ) -> list[Reconcile]:
        """State so much of each currency, after a second; returns what was said."""
        self.desk.now_us += later_us
        self.count += 1
        amounts = {"USDT": usdt, **held}
        step = self.desk.step(
            Account(
                id=f"execution:simulated:account-s{self.count}",
                venue="simulated",
                account="main",
                balances=tuple(
                    Balance(currency=name, free=Decimal(amount), locked=Decimal(0)) for name, amount in amounts.items()
                ),
                positions=positions,
                maker_fee_bps=Decimal(10),
                taker_fee_bps=Decimal(20),
                venue_ts_us=self.desk.now_us,
                **self.desk.envelope(),
            )
        )
        return [said for said in step.outputs if isinstance(said, Reconcile)]

    def movement(self, amount: str, currency: str = "USDT", kind: str = "DEPOSIT", **changes: Any) -> Movement:
        """Return money that moved now."""
        self.count += 1
        fields = {
            "id": f"execution:simulated:movement-{self.count}",
            "venue": "simulated",
            "account": "main",
            "movement_id": f"m{self.count}",
            "movement": MovementType(kind),
            "currency": currency,
            "amount": Decimal(amount),
            "symbol": None,
            "venue_ts_us": self.desk.now_us,
        }
        return Movement(**{**fields, **changes}, **self.desk.envelope())

    def move(self, *arguments: Any, **changes: Any) -> bool:
        """Let money move, and say whether it was news beforehand."""
        movement = self.movement(*arguments, **changes)
        is_news = self.desk.core.is_news(movement)
        before = json.dumps(self.desk.core.portfolio.snapshot() if self.desk.core.portfolio else None)
        self.desk.step(movement)
        after = json.dumps(self.desk.core.portfolio.snapshot() if self.desk.core.portfolio else None)
        assert is_news == (before != after)
        return is_news

    def sync(self, fills: str = "", movements: str = "", **changes: Any) -> list[Reconcile]:
        """Close a round; returns what was said."""
        self.count += 1
        fields = {
            "id": f"execution:simulated:sync-{self.count}",
            "sync_cause": SyncCause.SCHEDULE,
            "began_us": self.desk.now_us,
            "open_order_ids": (),
            "fill_cursor": fills,
            "movement_cursor": movements,
            "orders_read": 0,
            "fills_read": 0,
            "differences": 0,
            "open_differences": 0,
            "took_us": 0,
        }
        step = self.desk.step(Sync(**{**fields, **changes}, **self.desk.envelope()))
        return [said for said in step.outputs if isinstance(said, Reconcile)]

    def buy(self, number: int = 1, quantity: str = "2", **changes: Any) -> None:
        """Buy at 100, paying a fee of 0.1, by an answer to the submit."""
        self.desk.approve(number, quantity=quantity)
        made = trade(number, quantity, **{"venue_ts_us": self.desk.now_us, **changes})
        self.desk.hear(ReportStatus.FILLED, ReportSource.SUBMIT, number=number, filled=quantity, trades=(made,))
        assert self.desk.core.status()["orders"]["FILLED"] >= 1


def differences(said: list[Reconcile]) -> list[tuple[str, str, str]]:
    return [(note.subject, note.difference.value, note.repair.value) for note in said]


DRIFTS = ("USDT", "BALANCE_DRIFT", "FLAGGED")
AGREES = ("USDT", "BALANCE_DRIFT", "IGNORED")


def test_a_balance_that_differs_is_said_after_three_statements_and_once_and_once_more_when_it_agrees() -> None:
    venue = Venue()
    said = [differences(venue.state(amount)) for amount in ("99990",) * 5 + ("100000",) * 2]
    assert said == [[], [], [DRIFTS], [], [], [AGREES], []]
    assert venue.desk.core.status()["drifting"] == []


def test_a_drift_names_both_numbers_and_the_statement() -> None:
    venue = Venue(statements=1)
    (note,) = venue.state("99990")
    assert note.differed == "the venue states 99990 USDT, 100000 is expected"
    assert note.evidence == "execution:simulated:account-s1"
    assert venue.desk.core.status()["drifting"] == ["USDT"]


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        pytest.param(("99990", "100000", "99990", "99990"), 0, id="it agreed in between"),
        pytest.param(("99990", "100010", "99990", "100010"), 0, id="it changes its sign, as with lateness"),
        pytest.param(("99990", "99980", "99970"), 1, id="of the same sign, whatever the amount"),
    ],
)
def test_only_a_difference_that_lasts_is_one(amounts: tuple[str, ...], said: int) -> None:
    venue = Venue()
    assert sum(len(venue.state(amount)) for amount in amounts) == said


def test_dust_is_no_drift() -> None:
    venue = Venue(statements=1, dust={"USDT": "0.5"})
    assert venue.state("100000.5") == []
    assert differences(venue.state("100000.51")) == [DRIFTS]


def test_what_was_bought_is_expected_and_what_was_paid_is_gone() -> None:
    venue = Venue(statements=1)
    venue.buy()
    assert venue.state("99799.9", BTC="2") == []
    assert differences(venue.state("100000")) == [("BTC", "BALANCE_DRIFT", "FLAGGED"), DRIFTS]


def test_a_currency_that_the_account_opened_with_and_nobody_trades_is_expected_too() -> None:
    venue = Venue(statements=1)
    other = Venue.__new__(Venue)
    other.desk, other.count = Desk(armed=False), 0
    other.desk.step(config_message(sync={"statements": 1}))
    assert other.state("500", BNB="3") == []
    assert other.state("500", BNB="3") == []
    assert differences(other.state("500", BNB="2")) == [("BNB", "BALANCE_DRIFT", "FLAGGED")]
    assert venue.state("100000") == []


def test_nothing_is_judged_while_an_order_s_outcome_is_open() -> None:
    venue = Venue(statements=1)
    venue.desk.approve(1)
    venue.desk.hear(ReportStatus.NO_ANSWER, ReportSource.SUBMIT)
    assert venue.state("1") == []
    venue.desk.hear(ReportStatus.OPEN, ReportSource.QUERY, filled="0")
    assert differences(venue.state("1")) == [DRIFTS]


def test_a_statement_older_than_the_newest_trade_is_not_judged() -> None:
    venue = Venue(statements=1)
    venue.buy(venue_ts_us=START_US)
    venue.desk.now_us = START_US - 10 * SECOND_US
    assert venue.state("1") == []


def test_a_fill_that_traded_before_the_statement_takes_its_judgement_back() -> None:
    """The balance came first and its fill later: as often as that happens, it is no drift."""
    venue = Venue()
    for number in range(1, 6):
        venue.desk.approve(number, quantity="1")
        venue.desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=number, filled="0")
        paid = Decimal("100.1") * number
        assert venue.state(f"{100_000 - paid}", BTC=f"{number}") == []
        made = trade(number, "1", venue_ts_us=venue.desk.now_us - 1)
        venue.desk.hear(ReportStatus.FILLED, number=number, filled="1", trades=(made,))
    assert venue.desk.notes() == []


def test_a_position_of_a_perpetual_that_differs_is_said_by_its_symbol() -> None:
    venue = Venue(statements=2)
    position = VenuePosition(symbol="BTC-USDT", quantity=Decimal(-2), entry_price=Decimal(100), liquidation_price=None)
    assert venue.state("100000", positions=(position,)) == []
    said = venue.state("100000", positions=(position,))
    assert differences(said) == [("BTC-USDT", "POSITION_DRIFT", "FLAGGED")]
    assert said[0].differed == "the venue states -2 BTC-USDT, 0 is expected"
    assert differences(venue.state("100000")) == [("BTC-USDT", "POSITION_DRIFT", "IGNORED")]


@pytest.mark.parametrize("kind", [kind.value for kind in MovementType])
def test_nautilus_4937_funding_and_every_other_movement_is_money_and_never_a_fill(kind: str) -> None:
    venue = Venue(statements=1)
    venue.buy()
    venue.desk.now_us += SECOND_US
    assert venue.move("-12.5", kind=kind, symbol="BTC-USDT")
    assert len(venue.desk.fills()) == 1
    assert venue.desk.core.status()["positions"] == {"BTC-USDT": "2"}
    assert venue.state("99787.4", BTC="2") == []


@pytest.mark.parametrize(
    ("rate", "positions"),
    [(None, {}), (Decimal(100), {"BTC-USDT": "0.5"})],
    ids=["without a rate it lies beside", "at its rate it is a position"],
)
def test_what_came_in_of_a_base_currency_is_expected(rate: Decimal | None, positions: dict[str, str]) -> None:
    venue = Venue(statements=1)
    venue.desk.now_us += SECOND_US
    venue.move("0.5", "BTC", "DUST", rate=rate, rate_source="" if rate is None else "quote:1")
    assert venue.state("100000", BTC="0.5") == []
    assert venue.desk.core.status()["positions"] == positions


def test_what_was_withdrawn_of_a_position_is_neither_held_nor_a_drift() -> None:
    venue = Venue(statements=1)
    venue.buy()
    venue.desk.now_us += SECOND_US
    venue.move("-2", "BTC", "WITHDRAWAL", rate=Decimal(100), rate_source="quote:1")
    assert venue.desk.core.status()["positions"] == {}
    assert venue.state("99799.9", BTC="0") == []


def test_what_a_currency_is_worth_is_the_mid_of_its_last_quote() -> None:
    """However old it is, for so the books mark it; of the quote currency, and of one without a quote, nobody says."""
    venue = Venue()
    venue.desk.quote("99", "102")
    sequence = venue.desk.sequence
    venue.desk.now_us += 3_600 * SECOND_US
    assert venue.desk.core.rate_of("BTC") == (Decimal("100.5"), f"quote:{sequence}")
    assert venue.desk.core.rate_of("USDT") is None
    assert venue.desk.core.rate_of("BNB") is None


def test_a_movement_counts_once_however_often_it_is_listed() -> None:
    venue = Venue(statements=1)
    venue.desk.now_us += SECOND_US
    assert venue.move("50", movement_id="d1")
    assert not venue.move("50", movement_id="d1")
    assert venue.state("100050") == []


@pytest.mark.parametrize(
    "changes",
    [{"venue_ts_us": START_US}, {"venue": "other"}, {"account": "other"}],
    ids=["opening", "venue", "account"],
)
def test_a_movement_that_is_in_the_opening_balances_or_not_ours_changes_nothing(changes: dict[str, Any]) -> None:
    venue = Venue(statements=1)
    venue.desk.now_us += SECOND_US
    assert not venue.move("50", **changes)
    assert venue.state("100000") == []


def test_what_an_operator_says_of_a_drift_ends_it_with_the_next_statement() -> None:
    """In two parts, over a restart; what is left of it is known at every moment."""
    venue = Venue(statements=1)
    assert differences(venue.state("99990")) == [DRIFTS]
    assert venue.desk.core.agreement.differences == {"USDT": Decimal(-10)}
    assert venue.move("-4", kind="UNEXPLAINED", detail="ann: lost in the venue's migration")
    assert venue.desk.core.agreement.differences == {"USDT": Decimal(-6)}
    restored = ExecutionCore(Verifier(TRUSTED).approval)
    restored.restore(json.loads(json.dumps(venue.desk.core.snapshot())))
    assert restored.agreement.differences == {"USDT": Decimal(-6)}
    assert venue.move("-6", kind="UNEXPLAINED")
    assert venue.desk.core.agreement.differences == {"USDT": Decimal(0)}
    assert differences(venue.state("99990")) == [AGREES]
    assert venue.desk.core.agreement.differences == {}


def test_a_drift_that_older_evidence_has_touched_is_judged_anew_before_anything_is_said_of_it() -> None:
    """A late fill may explain it: only statements after it can say how much is left."""
    venue, rules = Venue(statements=2), SyncRules(statements=2)
    agreement = venue.desk.core.agreement
    for usdt in ("99800", "99800"):
        assert not agreement.is_judged("USDT", rules)
        venue.state(usdt)
    assert agreement.is_judged("USDT", rules)
    venue.buy(1, venue_ts_us=venue.desk.now_us - 1)
    assert agreement.differences == {"USDT": Decimal(-200)}
    assert not agreement.is_judged("USDT", rules)
    venue.state("99699.9", BTC="2")
    assert not agreement.is_judged("USDT", rules)
    venue.state("99699.9", BTC="2")
    assert agreement.is_judged("USDT", rules)
    assert agreement.differences == {"USDT": Decimal(-100)}


def test_a_movement_that_the_venue_lists_late_makes_the_drift_smaller_by_itself() -> None:
    venue = Venue(statements=1)
    venue.state("99990")
    assert venue.move("-10", kind="WITHDRAWAL")
    assert venue.desk.core.agreement.differences == {"USDT": Decimal(0)}


def test_a_deposit_that_the_balance_has_shown_first_is_no_drift() -> None:
    venue = Venue()
    for _ in range(2):
        assert venue.state("100050") == []
    venue.move("50", venue_ts_us=venue.desk.now_us - 1)
    assert [venue.state("100050") for _ in range(3)] == [[], [], []]


def test_a_fee_beside_the_tier_is_said_once_for_a_round_and_once_when_it_agrees() -> None:
    """The tier is 20 basis points: 0.4 of 200 is by the tier, 0.1 is not."""
    venue = Venue()
    said = []
    for number, fee in enumerate(("0.4", "0.1", "0.1", "0.4"), 1):
        venue.buy(number, fee=Decimal(fee))
        said.append(differences(venue.sync()))
    drifts, agrees = ("fees", "FEE_DRIFT", "BOOKED"), ("fees", "FEE_DRIFT", "IGNORED")
    assert said == [[], [drifts], [], [agrees]]
    assert venue.sync() == []


def test_fees_are_compared_as_far_as_rounding_goes_and_by_maker_and_taker() -> None:
    venue = Venue(fee_tolerance_bps="1")
    venue.buy(1, fee=Decimal("0.42"))
    venue.buy(2, fee=Decimal("0.19"), liquidity=Liquidity.MAKER)
    assert venue.sync() == []
    venue.buy(3, fee=Decimal("0.421"))
    (note,) = venue.sync()
    assert note.differed == "fees of 0.421 on 1 trade(s), 0.4 by the stated tier"


def test_a_fee_in_another_currency_is_not_compared() -> None:
    venue = Venue()
    venue.buy(1, fee=Decimal("0.001"), fee_currency="BNB")
    assert venue.sync() == []


def listed(venue: Venue, *, age_us: int, source: ReportSource = ReportSource.FILLS) -> list[str]:
    venue.desk.approve(1)
    venue.desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, filled="0")
    venue.desk.now_us += MINUTE_US
    made = trade(1, "2", venue_ts_us=venue.desk.now_us - age_us)
    venue.desk.hear(ReportStatus.TRADED, source, trades=(made,))
    assert [fill.trade for fill in venue.desk.fills()] == [made]
    return [note.difference.value for note in venue.desk.notes()]


@pytest.mark.parametrize(
    ("age_us", "source", "said"),
    [
        (2 * SECOND_US, ReportSource.FILLS, ["MISSED_FILL"]),
        (SECOND_US, ReportSource.FILLS, []),
        (2 * SECOND_US, ReportSource.STREAM, []),
    ],
    ids=["missed", "a frame may be on its way", "by a frame"],
)
def test_a_trade_that_only_the_list_of_fills_has_told_of_is_booked_and_said(
    age_us: int, source: ReportSource, said: list[str]
) -> None:
    assert listed(Venue(), age_us=age_us, source=source) == said


def test_a_trade_listed_again_with_other_content_is_flagged_and_not_booked() -> None:
    venue = Venue()
    venue.buy()
    for _ in range(2):
        other = (trade(1, "2", price="99"),)
        venue.desk.hear(ReportStatus.TRADED, ReportSource.FILLS, trades=other)
    assert differences(venue.desk.notes()) == [("t1", "DUPLICATE_FILL", "FLAGGED")]
    assert len(venue.desk.fills()) == 1


def test_nautilus_3493_no_count_and_no_balance_ever_books_a_trade() -> None:
    """The venue counts 2 as filled and its balances agree with that; without its trades nothing is booked."""
    venue = Venue(statements=1)
    venue.desk.approve(1)
    venue.desk.hear(ReportStatus.FILLED, ReportSource.QUERY, filled="2")
    venue.state("99799.9", BTC="2")
    venue.sync()
    venue.desk.wait(10 * MINUTE_US)
    assert venue.desk.fills() == []
    venue.desk.hear(ReportStatus.TRADED, ReportSource.FILLS, trades=(trade(1, "2"),))
    assert len(venue.desk.fills()) == 1
    assert venue.desk.state() == "FILLED"


def test_what_is_pending_too_long_is_said_once_and_asked_after() -> None:
    venue = Venue(stale_after_us=5 * SECOND_US)
    venue.desk.approve(1)
    venue.desk.now_us += 4 * SECOND_US
    assert venue.sync() == []
    venue.desk.now_us += 2 * SECOND_US
    venue.desk.asked.clear()
    assert differences(venue.sync()) == [(order_id(1), "STALE_PENDING", "ASKED")]
    assert order_id(1) in {effect.client_order_id for effect in venue.desk.asked}
    assert venue.sync() == []


def test_what_is_not_explained_is_counted_order_by_order_and_drift_by_drift() -> None:
    """An outcome not known, a submit that is stale, trades that are missing, a balance; what simply works is none."""
    venue = Venue(statements=1, stale_after_us=SECOND_US)

    def left() -> int:
        return unexplained(venue.desk.core.orders.active(), venue.desk.core.agreement)

    counts = [left()]
    venue.state("1")
    counts.append(left())
    for number in (1, 2, 3, 4):
        venue.desk.approve(number)
    venue.desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=1, filled="0")
    counts.append(left())
    venue.desk.hear(ReportStatus.NO_ANSWER, ReportSource.SUBMIT, number=2)
    counts.append(left())
    venue.desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=3, filled="1")
    counts.append(left())
    venue.desk.now_us += 2 * SECOND_US
    venue.sync()
    counts.append(left())
    assert counts == [0, 1, 1, 2, 3, 4]


def test_a_foreign_order_and_its_fills_are_said_once_each_and_nothing_is_booked() -> None:
    venue = Venue()
    venue.desk.now_us += SECOND_US
    made = (trade(9, "1", venue_ts_us=venue.desk.now_us),)
    for _ in range(3):
        venue.desk.hear(ReportStatus.OPEN, ReportSource.QUERY, number=9, filled="0")
        venue.desk.hear(ReportStatus.TRADED, ReportSource.FILLS, number=9, trades=made)
    assert differences(venue.desk.notes()) == [
        (order_id(9), "FOREIGN_ORDER", "FLAGGED"),
        (order_id(9), "FOREIGN_FILL", "FLAGGED"),
    ]
    assert venue.desk.fills() == []


@pytest.mark.parametrize("status", [ReportStatus.TRADED, ReportStatus.FILLED])
def test_what_was_over_before_the_account_was_opened_is_history(status: ReportStatus) -> None:
    venue = Venue()
    made = (trade(9, "1", venue_ts_us=START_US),)
    venue.desk.hear(status, ReportSource.FILLS, number=9, filled="1", trades=made, venue_ts_us=START_US)
    assert venue.desk.notes() == []


def test_foreign_orders_are_remembered_up_to_a_bound() -> None:
    venue = Venue()
    for number in range(1, STRANGERS_MAX + 3):
        venue.desk.step(venue.desk.report(ReportStatus.OPEN, ReportSource.QUERY, number=number))
    assert len(venue.desk.core.strangers.snapshot()) == STRANGERS_MAX


def adoption(told: Venue, number: int = 1, key: Any = None, **changes: Any) -> Adoption:
    signed = signed_approval(number, **changes) if key is None else signed_approval(number, key, **changes)
    told.count += 1
    return Adoption(
        id=f"execution:simulated:adoption-{told.count}",
        client_order_id=order_id(number),
        attempt=1,
        protects=None,
        ended_as=None,
        decision_id="risk:7:0",
        approval=signed,
        **told.desk.envelope(),
    )


def test_an_order_of_ours_that_the_tape_has_lost_is_taken_back_and_its_fills_are_booked() -> None:
    venue = Venue()
    venue.desk.now_us += MINUTE_US
    venue.desk.step(adoption(venue))
    assert venue.desk.state() == "UNKNOWN"
    assert differences(venue.desk.notes()) == [(order_id(1), "FOREIGN_ORDER", "ADOPTED")]
    made = (trade(1, "1", venue_ts_us=venue.desk.now_us),)
    venue.desk.hear(ReportStatus.CANCELLED, ReportSource.QUERY, filled="1", trades=made)
    assert venue.desk.state() == "CANCELLED"
    assert len(venue.desk.fills()) == 1
    assert [order.to_state.value for order in venue.desk.orders()] == ["UNKNOWN", "CANCELLED"]


def test_an_order_that_was_taken_for_foreign_is_one_of_ours_once_the_journal_says_so() -> None:
    venue = Venue()
    venue.desk.hear(ReportStatus.OPEN, ReportSource.STREAM, filled="0")
    venue.desk.step(adoption(venue))
    venue.desk.hear(ReportStatus.OPEN, ReportSource.QUERY, filled="0")
    assert venue.desk.state() == "ACKNOWLEDGED"


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        pytest.param(STRANGER, {}, id="signed by a stranger"),
        pytest.param(None, {"desk": "other"}, id="of another desk"),
        pytest.param(None, {"venue": "other"}, id="of another venue"),
        pytest.param(None, {"account": "other"}, id="of another account"),
        pytest.param(None, {"action": "CANCEL"}, id="a cancel"),
        pytest.param(None, {"client_order_id": order_id(2)}, id="of another order"),
        pytest.param(None, {"environment": "live"}, id="of another environment"),
    ],
)
def test_nothing_is_taken_back_without_our_own_approval_of_it(key: Any, changes: dict[str, Any]) -> None:
    venue = Venue()
    assert venue.desk.step(adoption(venue, key=key, **changes)).outputs == ()
    assert venue.desk.core.orders.find(order_id(1)) is None


def test_an_order_that_is_held_or_was_used_of_late_is_not_taken_back() -> None:
    """Its trades are booked: taken back, they would be booked again."""
    venue = Venue()
    venue.buy()
    assert venue.desk.step(adoption(venue)).outputs == ()
    forgetful = Venue()
    forgetful.desk.step(config_message(watch={"finished_orders_max": 0}))
    forgetful.buy()
    assert forgetful.desk.core.orders.find(order_id(1)) is None
    assert forgetful.desk.step(adoption(forgetful)).outputs == ()
    assert len(forgetful.desk.fills()) == 1


def test_a_trade_is_known_for_two_rounds_after_its_order_was_forgotten() -> None:
    desk = (venue := Venue()).desk
    desk.step(config_message(watch={"finished_orders_max": 0}))
    venue.buy()
    assert desk.core.agreement.has_booked("BTC-USDT", "t1")
    assert not desk.core.agreement.has_booked("ETH-USDT", "t1")
    venue.sync()
    assert desk.core.agreement.has_booked("BTC-USDT", "t1")
    venue.sync()
    assert not desk.core.agreement.has_booked("BTC-USDT", "t1")


def test_the_cursors_of_the_last_round_on_the_tape_are_those_to_go_on_from() -> None:
    venue = Venue()
    venue.sync("17", "4", began_us=START_US + 5)
    agreement = venue.desk.core.agreement
    assert (agreement.fill_cursor, agreement.movement_cursor, agreement.began_us) == ("17", "4", START_US + 5)


def worked() -> Venue:
    """Return a desk in whose state everything of reconciliation has left something."""
    venue = Venue(statements=2, stale_after_us=SECOND_US)
    venue.buy(1)
    venue.desk.now_us += SECOND_US
    venue.move("5")
    venue.move("0.1", "BTC", "DUST")
    venue.state("1", BTC="2.1")
    venue.sync("3", "2")
    venue.buy(2, "1", fee=Decimal("0.2"))
    venue.desk.hear(ReportStatus.OPEN, number=9, filled="0")
    venue.state("1", BTC="7")
    venue.desk.approve(3)
    return venue


def test_a_core_restored_from_its_snapshot_goes_on_with_the_same_bytes() -> None:
    venue = worked()
    snapshot = json.loads(json.dumps(venue.desk.core.snapshot()))
    restored = ExecutionCore(Verifier(TRUSTED).approval)
    restored.restore(snapshot)
    assert json.dumps(restored.snapshot()) == json.dumps(venue.desk.core.snapshot())
    before = len(venue.desk.tape)
    venue.desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=3, filled="0")
    venue.state("1", BTC="7")
    venue.state("99705", BTC="3.1")
    venue.sync("9", "9")
    for sequence, message in enumerate(venue.desk.tape, 1):
        if sequence > before:
            said = restored.step(sequence, message).outputs
            assert [encode(each) for each in said] == [encode(m) for m in venue.desk.tape if m.cause == sequence]
    assert json.dumps(restored.snapshot()) == json.dumps(venue.desk.core.snapshot())


def test_what_is_remembered_is_bounded() -> None:
    venue = Venue()
    agreement, portfolio = venue.desk.core.agreement, venue.desk.core.portfolio
    assert portfolio is not None
    venue.desk.now_us += SECOND_US
    for _ in range(2_100):
        agreement.move(venue.movement("1"), portfolio)
    assert len(agreement.snapshot()["moved"]) == 2_000
    assert TRADES_MAX == 5_000


def test_without_a_configuration_nothing_of_it_does_anything() -> None:
    venue = Venue.__new__(Venue)
    venue.desk, venue.count = Desk(armed=False), 0
    assert venue.state("1") == []
    assert not venue.desk.core.is_news(venue.movement("1"))
    venue.desk.step(venue.movement("1"))
    venue.desk.step(adoption(venue))
    assert venue.desk.said == []
