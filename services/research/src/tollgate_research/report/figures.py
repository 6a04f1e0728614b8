"""The figures of a report by name, each with its interval and its sample: tiles of a page, lines of a text."""

from dataclasses import dataclass

from tollgate_contracts.money import ZERO
from tollgate_research.report.values import Estimate, Report
from tollgate_research.report.wording import Wording, join, lasting, measured, number, percent, plural, within


@dataclass(frozen=True, slots=True)
class Figure:
    """One number as it is shown."""

    name: str
    value: str
    note: str = ""
    """Its interval, its sample, or what else must be known to read it."""


def result_figures(report: Report, wording: Wording) -> list[Figure]:
    """Return what became of the equity."""
    change, exposure = report.change, report.exposure
    earned, invested = "", change.first.equity + change.transfers
    if invested > ZERO:
        earned = f"{percent(float(change.parts.net) / float(invested), 2)} on {wording.amount(invested)}"
    worst = "" if report.daily.worst is None else f"{percent(report.daily.worst, 2)} the worst"
    return [
        Figure("Net result", wording.money(change.parts.net, signed=True), earned),
        Figure("Equity", wording.money(change.last.equity), f"{wording.amount(change.first.equity)} at the start"),
        Figure("Deepest fall", wording.money(exposure.drawdown), _share_of_fall(report)),
        _daily("Sharpe", report.daily.sharpe),
        _daily("Sortino", report.daily.sortino),
        Figure("Best day", percent(report.daily.best, 2), worst),
    ]


def _share_of_fall(report: Report) -> str:
    """Return what share the deepest fall was, and where another one was a larger share, what that was."""
    share, highest = report.exposure.drawdown_share, report.exposure.drawdown_share_highest
    steeper = f"another was {percent(highest, 2)}" if percent(highest, 2) != percent(share, 2) else ""
    return join((f"{percent(share, 2)} of the peak", steeper))


def _grown(report: Report, wording: Wording) -> str:
    grown = report.change.last.treasury - report.change.first.treasury
    return f"{wording.amount(grown, signed=True)} in this span"


def _daily(name: str, estimate: Estimate) -> Figure:
    return Figure(name, number(estimate.value), join((within(estimate, number), f"{plural(estimate.count, 'day')}")))


def trip_figures(report: Report, wording: Wording) -> list[Figure]:
    """Return how the round trips went."""
    trips = report.trips
    counted = plural(trips.count, "trip")
    median = dict(trips.hold_times.quantiles_us).get(50)
    won = f"{trips.won:,} won, {trips.lost:,} lost"
    return [
        Figure("Round trips", f"{trips.count:,}", won),
        Figure("Win rate", percent(trips.win_rate.value), within(trips.win_rate, percent)),
        Figure(
            "Average R",
            number(trips.average_r.value),
            join((within(trips.average_r, number), f"{plural(trips.average_r.count, 'trip')} with a stop")),
        ),
        Figure("Profit factor", number(trips.profit_factor.value), within(trips.profit_factor, number) or counted),
        Figure(
            "Average result",
            measured(trips.average_net.value, wording.currency, wording.places),
            within(trips.average_net, lambda value: number(value, wording.places)),
        ),
        Figure("Median hold", lasting(median) if median is not None else number(None), _holds(report)),
    ]


def _holds(report: Report) -> str:
    quantiles = dict(report.trips.hold_times.quantiles_us)
    return f"{lasting(quantiles[10])} to {lasting(quantiles[90])} for most" if quantiles else ""


def trading_figures(report: Report, wording: Wording) -> list[Figure]:
    """Return what was traded, at what cost, and how much was at stake."""
    trading, exposure = report.trading, report.exposure
    times = "" if trading.times_equity is None else f"{number(trading.times_equity, 1)} times the equity"
    highest = "" if exposure.highest is None else f"{percent(exposure.highest)} at most"
    makers = f"{trading.maker_fills:,} of {plural(trading.fills, 'fill')}"
    unlike = f"{plural(trading.fee_findings, 'fee')} not as the cost model says" if trading.fee_findings else ""
    model = trading.slippage_expected_bps
    expected = "" if model is None else f"{measured(model, 'bps')} by the cost model"
    at_stake = "" if exposure.in_market is None else f"in the market {percent(exposure.in_market)} of the time"
    return [
        Figure("Turnover", wording.money(trading.turnover), times),
        Figure("Exposure", percent(exposure.mean), join((highest, at_stake))),
        Figure("Maker share", percent(trading.maker_share), makers),
        Figure("Fees", measured(trading.fees_bps, "bps"), join(("of turnover", unlike))),
        Figure("Slippage", measured(trading.slippage_bps, "bps"), join(("of turnover", expected))),
        Figure("Treasury", wording.money(report.change.last.treasury), _grown(report, wording)),
    ]
