"""The manners that the simulated exchange can take on: what each of them offers.

They follow the three venues that are to come next, where these differ in what an order may rest on.
"""

from enum import StrEnum

from tollgate_venues.adapter import Capabilities

# A request that arrives later than this after it was signed is refused by the venue: once it has passed, an
# order that the venue does not know will never be known to it.
RECEIVE_WINDOW_US = 2_000_000


class Manner(StrEnum):
    """Whose manners the simulated exchange has."""

    TOLLGATE = "tollgate"
    """Its own: the kindest."""
    BTCTURK = "btcturk"
    """Takes a second order of the same id, looks up by its own ids alone, cancels when it gets to it."""
    COINBASE = "coinbase"
    """Answers a second order of the same id with the first one, looks up by its own ids alone."""
    BINGX = "bingx"
    """Lower-cases client order ids, and refuses a second one with an error code."""


CAPABILITIES = {
    Manner.TOLLGATE: Capabilities(
        looks_up_by_client_id=True,
        refuses_duplicate_ids=True,
        cancels_at_once=True,
        has_post_only=True,
        has_stops=True,
        has_fill_cursor=True,
        visibility_us=0,
        receive_window_us=RECEIVE_WINDOW_US,
        client_id_length_max=64,
        client_id_pattern=r"[A-Za-z0-9_-]{1,64}",
    ),
    Manner.BTCTURK: Capabilities(
        looks_up_by_client_id=False,
        refuses_duplicate_ids=False,
        cancels_at_once=False,
        has_post_only=True,
        has_stops=True,
        has_fill_cursor=True,
        visibility_us=3_000_000,
        receive_window_us=RECEIVE_WINDOW_US,
        client_id_length_max=36,
        client_id_pattern=r"[A-Za-z0-9-]{1,36}",
    ),
    Manner.COINBASE: Capabilities(
        looks_up_by_client_id=False,
        refuses_duplicate_ids=True,
        cancels_at_once=True,
        has_post_only=True,
        has_stops=True,
        has_fill_cursor=True,
        visibility_us=3_000_000,
        receive_window_us=RECEIVE_WINDOW_US,
        client_id_length_max=36,
        client_id_pattern=r"[A-Za-z0-9-]{1,36}",
    ),
    Manner.BINGX: Capabilities(
        looks_up_by_client_id=True,
        refuses_duplicate_ids=True,
        cancels_at_once=True,
        has_post_only=True,
        has_stops=True,
        has_fill_cursor=True,
        visibility_us=1_000_000,
        receive_window_us=RECEIVE_WINDOW_US,
        client_id_length_max=40,
        client_id_pattern=r"[a-z0-9_-]{1,40}",
    ),
}
