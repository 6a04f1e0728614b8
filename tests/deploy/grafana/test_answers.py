"""What the panels that an operator trusts most answer, as Prometheus' own evaluation says."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy.grafana.asked import queries
from tests.deploy.tools import tool

SERVICES = ("marketdata", "strategy", "risk", "execution", "ledger")
Series = dict[str, str]


def scraped(metric: str, service: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return one series of an instance of a service."""
    where = {"desk": "main", "instance": f"{service}-{instance}", "job": "tollgate", "service": service, **labels}
    matchers = ",".join(f'{name}="{value}"' for name, value in where.items())
    return {f"{metric}{{{matchers}}}": values if isinstance(values, str) else f"{values}x2000"}


def well() -> Series:
    """Return a desk that trades, with a second risk and a second ledger that stand by."""
    given: Series = {}
    for service in SERVICES:
        given |= scraped("tollgate_live", service, 1) | scraped("tollgate_standing_by", service, 0)
        given |= scraped("up", service, 1)
    for service in ("risk", "ledger"):
        given |= scraped("tollgate_live", service, 0, 2) | scraped("tollgate_standing_by", service, 1, 2)
        given |= scraped("up", service, 1, 2)
    for mode in ("NORMAL", "REDUCE_ONLY", "OBSERVE_ONLY"):
        given |= scraped("tollgate_risk_mode", "risk", int(mode == "NORMAL"), mode=mode)
    for state in ("UP", "RECOVERED", "DEGRADED", "STALE", "GAP"):
        given |= scraped("tollgate_feed_state", "marketdata", int(state == "UP"), state=state)
    for instance in (1, 2):
        given |= scraped("tollgate_kill_switch_engaged", "risk", 0, instance)
        # One that stands by gives no permit.
        given |= scraped("tollgate_permit_withheld", "risk", instance - 1, instance)
    return given | scraped("tollgate_safe_mode", "execution", 0) | scraped("tollgate_kill_door_shut", "execution", 0)


def books(realized: str | float, unrealized: str | float = 0, fees: str | float = 0) -> Series:
    """Return what the books have made; those of the ledger that stands by are at zero."""
    given: Series = {}
    parts = {"realized": realized, "unrealized": unrealized, "fees": fees}
    for name, values in parts.items():
        given |= scraped(f"tollgate_books_{name}_quote", "ledger", values)
        given |= scraped(f"tollgate_books_{name}_quote", "ledger", 0, 2)
    return given


def lost(quote: float) -> Series:
    """Return the day's loss as risk reckons it."""
    return scraped("tollgate_risk_condition_value", "risk", quote, condition="daily_loss")


def changed(metric: str, service: str, values: str | float, **labels: str) -> Series:
    """Return the desk that is well, but for one thing."""
    return well() | scraped(metric, service, values, 1, **labels)


def without(service: str) -> Series:
    """Return the desk that is well, but for a service that does not answer."""
    kept = {name: values for name, values in well().items() if f'service="{service}"' not in name}
    return kept | scraped("up", service, 0)


def answers(tmp_path: Path, board: str, panel: str, given: Series, at: str, expected: Mapping[str, float]) -> None:
    """Hold what a panel's query answers, by its labels."""
    (query,) = [each for each in queries() if (each.board, each.panel) == (board, panel)]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in given.items()],
        "promql_expr_test": [
            {
                "expr": query.filled("main", "5m", "30m"),
                "eval_time": at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
            }
        ],
    }
    file = tmp_path / "answers.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        pytest.param(well(), {"{}": 1}, id="all is well"),
        pytest.param(changed("tollgate_kill_switch_engaged", "risk", 1), {"{}": 0}, id="the switch is engaged"),
        pytest.param(changed("tollgate_kill_door_shut", "execution", 1), {"{}": 0}, id="the kill door is shut"),
        pytest.param(changed("tollgate_safe_mode", "execution", 1), {"{}": 0}, id="safe mode"),
        pytest.param(changed("tollgate_permit_withheld", "risk", 1), {"{}": 0}, id="no permit"),
        pytest.param(changed("tollgate_risk_mode", "risk", 0, mode="NORMAL"), {"{}": 0}, id="another mode"),
        pytest.param(changed("tollgate_feed_state", "marketdata", 0, state="UP"), {"{}": 0}, id="no feed"),
        pytest.param(changed("tollgate_live", "strategy", 0), {"{}": 0}, id="one catches up"),
        pytest.param(without("strategy"), {"{}": 0}, id="one without a part in it is gone"),
        pytest.param(without("risk"), {}, id="risk is gone, and nobody knows"),
    ],
)
def test_trading_is_said_only_where_all_of_it_is_so(tmp_path: Path, given: Series, answer: Mapping[str, float]):
    answers(tmp_path, "desk", "Trading", given, "10m", answer)


@pytest.mark.parametrize(
    ("given", "at", "result"),
    [
        pytest.param(well() | books("0+1x2000"), "30h", 360, id="what was made in six hours since midnight"),
        pytest.param(well() | books("0-1x2000"), "30h", -360, id="what was lost, below the zeros of a standby"),
        pytest.param(well() | books(5, 0, "0+1x2000"), "25h", -60, id="an hour of fees"),
        pytest.param(
            well() | books("_x120 0+1x2000") | lost(7), "20h", -7, id="no midnight was seen: the loss of risk"
        ),
    ],
)
def test_the_day_s_result_begins_at_midnight(tmp_path: Path, given: Series, at: str, result: float):
    answers(tmp_path, "desk", "Result today", given, at, {"{}": result})


def test_what_never_happened_is_zero_while_the_service_is_there_and_unknown_when_it_is_gone(tmp_path: Path):
    """A zero would say that nothing was rejected, where nobody knows."""
    panel = ("desk", "Rejections by reason")
    answers(tmp_path, *panel, well(), "10m", {'{reason="none"}': 0})
    answers(tmp_path, *panel, without("risk"), "10m", {})
    rejected = well() | scraped("tollgate_rejections_total", "risk", "0+60x2000", reason="pace.rate")
    answers(tmp_path, *panel, rejected, "10m", {'{reason="pace.rate"}': 1})


def test_an_instance_is_active_or_stands_by_or_catches_up_or_is_down(tmp_path: Path):
    given = without("strategy") | scraped("tollgate_live", "execution", 0)
    roles = {f'{{service="{service}",instance="{service}-1"}}': 3 for service in ("marketdata", "risk", "ledger")}
    roles |= {f'{{service="{service}",instance="{service}-2"}}': 2 for service in ("risk", "ledger")}
    roles |= {'{service="execution",instance="execution-1"}': 1, '{service="strategy",instance="strategy-1"}': 0}
    answers(tmp_path, "platform", "Instances", given, "10m", roles)
