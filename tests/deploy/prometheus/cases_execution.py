"""When the alerts of execution fire, and when they do not."""

from tests.deploy.prometheus.cases import Series, firing, live, scraped, silent, standing_by


def execution(metric: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return a series of execution."""
    return scraped(metric, "execution", values, instance, **labels)


def breaker(group: str, values: str | float) -> Series:
    """Return whether the group's breaker is closed."""
    return execution("tollgate_breaker_state", values, group=group, state="CLOSED")


def calls(outcome: str, values: str) -> Series:
    """Return how often calls for orders ended so."""
    return execution("tollgate_venue_calls_total", values, group="ORDERS", call="submit", outcome=outcome)


def differences(difference: str, values: str | float) -> Series:
    """Return how often a difference was said."""
    return execution("tollgate_reconcile_differences_total", values, difference=difference)


def kill_switch(engaged: int) -> Series:
    """Return whether risk's kill switch is engaged."""
    return scraped("tollgate_kill_switch_engaged", "risk", engaged)


def degraded(values: str | float) -> Series:
    """Return whether safe mode is because of the venue's calls for orders."""
    return execution("tollgate_safe_mode_degraded", values, dependency="VENUE_ORDERS")


BREAKERS = (
    ("TollgateExecutionOrdersBreakerOpen", "ORDERS", "ACCOUNT"),
    ("TollgateExecutionAccountBreakerOpen", "ACCOUNT", "MARKET_DATA"),
    ("TollgateExecutionMarketDataBreakerOpen", "MARKET_DATA", "ORDERS"),
)
UNAUTHORIZED, LIMITED, HELD = "unauthorized", "rate_limited", "held_rate_limited"
FOUND = "tollgate_reconcile_open_differences"
LAST_ROUND = "tollgate_reconcile_last_round_timestamp_seconds"
BANNED = "tollgate_venue_banned_until_timestamp_seconds"
PERMIT_AGE = "tollgate_permit_age_seconds"
NOT_A_NUMBER = " ".join(["NaN"] * 41)
PERMITS = "tollgate_permits_refused_total"
REFUSALS = "tollgate_refusals_total"

CALLS = (
    *(firing(alert, "open for minutes", breaker(group, 0)) for alert, group, _ in BREAKERS),
    *(silent(alert, "closed", breaker(group, 1)) for alert, group, _ in BREAKERS),
    *(
        silent(alert, "another group's is open", breaker(group, 1), breaker(other, 0))
        for alert, group, other in BREAKERS
    ),
    firing(
        "TollgateVenueKeyRefused",
        "the very first refusal, whose series was not there",
        calls(UNAUTHORIZED, "_x30 1x10"),
    ),
    firing("TollgateVenueKeyRefused", "another refusal of a kind seen before", calls(UNAUTHORIZED, "3x32 4x10")),
    silent("TollgateVenueKeyRefused", "refusals of long ago", calls(UNAUTHORIZED, "3x60")),
    silent("TollgateVenueKeyRefused", "refusals for another reason", calls(LIMITED, "0+1x60")),
    firing("TollgateVenueBanned", "a ban that still runs", execution(BANNED, 700)),
    silent("TollgateVenueBanned", "never banned", execution(BANNED, 0)),
    silent("TollgateVenueBanned", "a ban that is over", execution(BANNED, 590)),
    firing("TollgateVenueRateLimited", "refused again and again", calls(LIMITED, "0+1x60"), call="submit"),
    silent("TollgateVenueRateLimited", "refused now and then", calls(LIMITED, "0x30 1x5 2x20")),
    firing("TollgateVenueBudgetUsedUp", "held again and again", calls(HELD, "0+1x60"), call="submit"),
    silent("TollgateVenueBudgetUsedUp", "held now and then", calls(HELD, "0x30 1x5 2x20")),
)
RECONCILIATION = (
    firing("TollgateReconciliationOverdue", "the last round is minutes ago", execution(LAST_ROUND, 100)),
    silent("TollgateReconciliationOverdue", "a round each quarter of a minute", execution(LAST_ROUND, "0+15x60")),
    silent(
        "TollgateReconciliationOverdue",
        "one that stands by has never made one",
        execution(LAST_ROUND, "0+15x60"),
        execution(LAST_ROUND, 0, instance=2),
    ),
    firing("TollgateReconciliationDiffers", "for minutes", execution(FOUND, 2)),
    silent("TollgateReconciliationDiffers", "none", execution(FOUND, 0)),
    silent("TollgateReconciliationDiffers", "explained by the next round", execution(FOUND, "0x37 1x1 0x20")),
    firing(
        "TollgateForeignActivity",
        "the first foreign order",
        differences("FOREIGN_ORDER", "0x20 1x20"),
        difference="FOREIGN_ORDER",
    ),
    silent("TollgateForeignActivity", "orders of ours that differ", differences("STATE_DRIFT", "0+1x60")),
    silent("TollgateForeignActivity", "a foreign order of long ago", differences("FOREIGN_ORDER", 1)),
    firing("TollgateFillsMissed", "fill after fill", differences("MISSED_FILL", "0x20 0+1x20")),
    silent("TollgateFillsMissed", "a single one", differences("MISSED_FILL", "0x20 1x20")),
)
SAFETY = (
    firing("TollgateKillDoorShut", "shut", execution("tollgate_kill_door_shut", 1)),
    firing("TollgateKillDoorShut", "shut where one stands by", execution("tollgate_kill_door_shut", 1, 2)),
    silent("TollgateKillDoorShut", "open", execution("tollgate_kill_door_shut", 0)),
    firing("TollgateSafeMode", "for minutes", degraded(1), dependency="VENUE_ORDERS"),
    silent("TollgateSafeMode", "all is well", degraded(0)),
    firing("TollgateOrderUnknown", "for a minute", execution("tollgate_unknown_order_age_seconds", 60)),
    silent("TollgateOrderUnknown", "just sent", execution("tollgate_unknown_order_age_seconds", 10)),
    firing("TollgatePositionUnprotected", "one", execution("tollgate_unprotected_positions", 1)),
    silent("TollgatePositionUnprotected", "none", execution("tollgate_unprotected_positions", 0)),
    firing("TollgatePositionLeftUnprotected", "the first", differences("UNPROTECTED", "0x20 1x20")),
    silent("TollgatePositionLeftUnprotected", "one of long ago", differences("UNPROTECTED", 1)),
    firing("TollgateOrderEscalated", "one", execution("tollgate_escalated_orders", 1)),
    silent("TollgateOrderEscalated", "none", execution("tollgate_escalated_orders", 0)),
)
ORDERS = (
    firing("TollgatePermitStale", "risk is silent", execution(PERMIT_AGE, 60), live("execution"), kill_switch(0)),
    firing(
        "TollgatePermitStale", "risk is gone, and its kill switch with it", execution(PERMIT_AGE, 60), live("execution")
    ),
    silent(
        "TollgatePermitStale",
        "the switch was released just now",
        *(execution(PERMIT_AGE, 60), live("execution")),
        scraped("tollgate_kill_switch_engaged", "risk", "1x39 0x5"),
    ),
    silent("TollgatePermitStale", "there was none yet", execution(PERMIT_AGE, NOT_A_NUMBER), live("execution")),
    silent("TollgatePermitStale", "a fresh one", execution(PERMIT_AGE, 0.4), live("execution"), kill_switch(0)),
    silent(
        "TollgatePermitStale", "the switch is engaged", execution(PERMIT_AGE, 60), live("execution"), kill_switch(1)
    ),
    silent(
        "TollgatePermitStale",
        "the one that stands by has an old one",
        *(live("execution"), execution(PERMIT_AGE, 0.4)),
        *(standing_by("execution"), execution(PERMIT_AGE, 60, instance=2)),
    ),
    firing(
        "TollgatePermitRefused",
        "the first forged one",
        execution(PERMITS, "_x20 1x20", reason="forged"),
        reason="forged",
    ),
    silent("TollgatePermitRefused", "permits that come late", execution(PERMITS, "0+1x60", reason="stale")),
    silent("TollgatePermitRefused", "long ago", execution(PERMITS, 1, reason="forged"), at="20m"),
    firing(
        "TollgateApprovalRefused",
        "the first bad signature",
        execution(REFUSALS, "_x20 1x20", reason="approval.bad_signature"),
        reason="approval.bad_signature",
    ),
    silent("TollgateApprovalRefused", "expired ones", execution(REFUSALS, "0+1x60", reason="approval.expired")),
    silent("TollgateApprovalRefused", "long ago", execution(REFUSALS, 1, reason="approval.reused"), at="20m"),
)
CASES = CALLS + RECONCILIATION + SAFETY + ORDERS
