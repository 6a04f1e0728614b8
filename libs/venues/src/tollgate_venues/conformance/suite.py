"""The cases, as one table, and how one of them is run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tollgate_venues.adapter import Capabilities, VenueAdapter
from tollgate_venues.conformance import doubts, lists, orders, secrecy, stream
from tollgate_venues.conformance.bench import Bench
from tollgate_venues.conformance.world import Trouble, World

Check = Callable[[Bench], Awaitable[None]]
Needs = Callable[[Capabilities], str | None]


def _nothing(_capabilities: Capabilities) -> str | None:
    return None


def _post_only(capabilities: Capabilities) -> str | None:
    return None if capabilities.has_post_only else "has_post_only is False"


def _stops(capabilities: Capabilities) -> str | None:
    return None if capabilities.has_stops else "has_stops is False"


def _cursor(capabilities: Capabilities) -> str | None:
    return None if capabilities.has_fill_cursor else "has_fill_cursor is False"


def _busts(capabilities: Capabilities) -> str | None:
    return None if capabilities.tells_busts else "tells_busts is False"


def _busts_in_fills(capabilities: Capabilities) -> str | None:
    return _cursor(capabilities) or _busts(capabilities)


def _numbers(capabilities: Capabilities) -> str | None:
    return None if capabilities.numbers_its_stream else "numbers_its_stream is False"


def _ids_protect(capabilities: Capabilities) -> str | None:
    return None if capabilities.refuses_duplicate_ids else "refuses_duplicate_ids is False"


def _ids_protect_from_nothing(capabilities: Capabilities) -> str | None:
    if capabilities.refuses_duplicate_ids:
        return "refuses_duplicate_ids is True"
    return "looks_up_by_client_id is True" if capabilities.looks_up_by_client_id else None


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that every adapter must do."""

    name: str
    check: Check
    needs: Needs = _nothing
    """Why the case does not apply, by the adapter's own word; null where it does."""


def _case(check: Check, needs: Needs = _nothing) -> Case:
    return Case(getattr(check, "__name__", ""), check, needs)


def _taxonomy() -> tuple[Case, ...]:
    return tuple(
        Case(
            f"a_call_that_meets_{expected.trouble}"
            + ("" if expected.retry_after_s is None else f"_with_{expected.retry_after_s}_s_to_wait"),
            doubts.failing(expected),
        )
        for expected in doubts.TAXONOMY
    )


CASES: tuple[Case, ...] = (
    # Success of each call.
    _case(orders.a_resting_order_is_open_until_it_is_cancelled),
    _case(orders.an_order_is_found_and_cancelled_by_our_id_alone),
    _case(orders.an_order_that_takes_comes_with_every_trade),
    _case(orders.an_immediate_order_that_meets_nothing_is_over),
    _case(orders.a_post_only_order_never_takes, _post_only),
    _case(orders.a_stop_waits_for_its_trigger, _stops),
    _case(orders.what_the_account_cannot_pay_for_is_rejected),
    _case(orders.what_the_rules_do_not_allow_is_rejected_and_leaves_no_order),
    _case(orders.a_market_that_is_not_open_takes_cancels_alone),
    _case(orders.an_order_that_nobody_placed_is_absent),
    _case(orders.a_cancel_of_what_is_over_tells_how_it_ended),
    # Ids.
    _case(orders.a_second_submit_of_the_same_id_is_never_a_rejection, _ids_protect),
    _case(orders.an_id_that_another_order_has_is_not_ours, _ids_protect),
    _case(orders.two_orders_of_one_id_are_not_taken_for_one, _ids_protect_from_nothing),
    _case(orders.the_longest_id_comes_back_as_it_was_sent),
    # Failures, and that nothing is tried again.
    *_taxonomy(),
    *(
        Case(f"an_order_that_was_{trouble}_is_found_once", doubts.taken_and_not_told(trouble))
        for trouble in (Trouble.TAKEN_SILENT, Trouble.TAKEN_BROKEN, Trouble.TAKEN_SERVER_ERROR)
    ),
    _case(doubts.a_call_is_one_request),
    _case(doubts.a_wrong_secret_is_told_as_such),
    # Lists and exactness.
    _case(lists.open_orders_are_those_that_are_open),
    _case(lists.recent_orders_have_every_end_since_then),
    _case(lists.fills_are_read_on_from_a_cursor, _cursor),
    _case(lists.a_trade_that_is_taken_back_is_told, _busts_in_fills),
    _case(lists.money_that_moves_is_no_fill),
    _case(lists.the_account_is_what_trades_make_of_it),
    _case(lists.an_open_order_locks_what_it_may_cost),
    _case(lists.what_is_off_the_grid_is_rejected_and_never_rounded),
    _case(lists.the_last_digit_arrives),
    _case(lists.no_number_is_a_float_on_its_way),
    # The stream.
    _case(stream.the_stream_tells_what_happens_to_orders),
    _case(stream.the_stream_tells_of_a_bust, _busts),
    _case(stream.a_lost_connection_is_told),
    _case(stream.a_silent_stream_is_lost),
    _case(stream.a_missing_message_is_a_loss, _numbers),
    _case(stream.a_message_that_comes_twice_is_one, _numbers),
    _case(stream.a_stream_under_a_wrong_secret_is_refused),
    # Secrets.
    _case(secrecy.no_secret_is_in_anything_that_is_said),
)


async def run(case: Case, venue: VenueAdapter, world: World) -> str | None:
    """Run one case, and return why it does not apply, or null; raises ``NotConformant`` where it fails."""
    why_not = case.needs(venue.capabilities)
    if why_not is None:
        bench = Bench(venue, world)
        await case.check(bench)
        await bench.tidy()
    return why_not
