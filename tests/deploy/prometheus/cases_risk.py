"""When the alerts of the gate fire, and when they do not."""

from tests.deploy.prometheus.cases import Series, firing, live, scraped, silent, standing_by
from tollgate_risk.core.conditions import WATCHES


def risk(metric: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return a series of risk."""
    return scraped(metric, "risk", values, instance, **labels)


def condition(name: str, value: str | float, active: int) -> Series:
    """Return what a condition is at, and whether it holds."""
    return {
        **risk("tollgate_risk_condition_value", value, condition=name),
        **risk("tollgate_risk_condition_active", active, condition=name),
    }


def mode(name: str) -> Series:
    """Return that the mode is in force."""
    modes = ("NORMAL", "REDUCE_ONLY", "OBSERVE_ONLY")
    return {
        key: value for each in modes for key, value in risk("tollgate_risk_mode", int(each == name), mode=each).items()
    }


WITHHELD = "tollgate_permit_withheld"
ENGAGED = "tollgate_kill_switch_engaged"
UNKNOWN = " ".join(["NaN"] * 41)

CASES = (
    *(firing(watch.alert, "it holds", condition(watch.condition.value, 5, 1)) for watch in WATCHES),
    # It alerts at zero as well, which is a value like others.
    *(firing(watch.alert, "it holds at zero", condition(watch.condition.value, 0, 1)) for watch in WATCHES),
    *(silent(watch.alert, "it does not hold", condition(watch.condition.value, 5, 0)) for watch in WATCHES),
    *(silent(watch.alert, "it is not known", condition(watch.condition.value, UNKNOWN, 0)) for watch in WATCHES),
    firing("TollgateRiskReduceOnly", "in force", mode("REDUCE_ONLY")),
    silent("TollgateRiskReduceOnly", "all is let through", mode("NORMAL")),
    silent("TollgateRiskReduceOnly", "nothing is let through", mode("OBSERVE_ONLY")),
    firing("TollgateRiskObserveOnly", "in force", mode("OBSERVE_ONLY")),
    silent("TollgateRiskObserveOnly", "all is let through", mode("NORMAL")),
    firing("TollgateRiskKillSwitch", "engaged", risk(ENGAGED, 1)),
    silent("TollgateRiskKillSwitch", "released", risk(ENGAGED, 0)),
    firing("TollgatePermitWithheld", "risk is behind", risk(WITHHELD, 1), risk(ENGAGED, 0), live("risk")),
    silent("TollgatePermitWithheld", "given", risk(WITHHELD, 0), risk(ENGAGED, 0), live("risk")),
    silent("TollgatePermitWithheld", "the switch is engaged", risk(WITHHELD, 1), risk(ENGAGED, 1), live("risk")),
    silent("TollgatePermitWithheld", "for a moment", risk(WITHHELD, "0x39 1x1"), risk(ENGAGED, 0), live("risk")),
    silent(
        "TollgatePermitWithheld",
        "the one that stands by gives none",
        *(live("risk"), risk(WITHHELD, 0), risk(ENGAGED, 0)),
        *(standing_by("risk"), risk(WITHHELD, 1, instance=2), risk(ENGAGED, 0, instance=2)),
    ),
)
