"""The report of ``tollgate status``: its promised keys, and what counts as healthy."""

import io
from typing import Any

import pytest
from rich.console import Console

from tollgate_console.health.collect import Answers
from tollgate_console.health.report import build_report
from tollgate_console.health.table import render_report
from tollgate_contracts.envelope import SERVICES

PROMISED = (
    *(
        "version",
        "healthy",
        "desk",
        "run_id",
        "pid",
        "started_us",
        "processes",
        "services",
        "feed",
        "mode",
        "arming_missing",
    ),
    *("kill_switch", "intents", "decisions", "orders", "fills", "refusals", "permit", "positions"),
    *("cash", "equity", "realized", "fees", "drawdown", "details"),
)
OWN: dict[str, dict[str, Any]] = {
    "marketdata": {"feed": "UP"},
    "strategy": {},
    "risk": {
        "mode": "NORMAL",
        "arming_missing": ["dry_run"],
        "kill_switch": {"engaged": False, "epoch": 2},
        "intents": 5,
        "decisions": {"APPROVED": 3, "REJECTED": 2, "by_reason": {"data.stale": 2}},
    },
    "execution": {"orders": {"FILLED": 3}, "fills": 4, "refusals": {}, "permit": {"age_ms": 100, "epoch": 2}},
    "ledger": {},
}
BOOKS: dict[str, Any] = {
    "cash": {"USDT": "99400"},
    "equity": "100001",
    "realized": "0",
    "fees": "1.2",
    "drawdown": "0",
    "positions": [
        {"symbol": "BTC-USDT", "quantity": "0.01", "cost": "600", "mark": "60100", "unrealized": "1"},
        {"symbol": "ETH-USDT", "quantity": "0", "cost": "0", "mark": None, "unrealized": "0"},
    ],
}


def answers(**changes: Any) -> Answers:
    processes = ("nats", "postgres", "simvenue", *SERVICES)
    platform = {
        "desk": "main",
        "run_id": "r",
        "pid": 1,
        "started_us": 2,
        "processes": {name: {"state": "running", "pid": 3, "restarts": 0, "reason": ""} for name in processes},
    }
    place = {"position": 10, "tip": 12, "lag": 2, "live": True}
    status: dict[str, Any] = {name: {**place, **OWN[name]} for name in SERVICES}
    built = {"platform": platform, "status": status, "not_ready": {name: [] for name in SERVICES}}
    built |= {"venue_up": True, "books": BOOKS}
    return Answers(**{**built, **changes})


def without(name: str) -> Answers:
    found = answers()
    return answers(status={**found.status, name: None})


def test_the_report_has_the_promised_keys_and_figures() -> None:
    """The keys are a contract with whoever reads the JSON."""
    report = build_report(answers())
    assert tuple(report) == PROMISED
    assert report["healthy"] is True
    assert report["services"]["risk"] == {
        "up": True,
        "live": True,
        "position": 10,
        "tip": 12,
        "lag": 2,
        "not_ready": [],
    }
    assert (report["feed"], report["mode"], report["kill_switch"]["epoch"]) == ("UP", "NORMAL", 2)
    assert report["arming_missing"] == ["dry_run"]
    assert (report["intents"], report["fills"], report["orders"]) == (5, 4, {"FILLED": 3})
    assert report["positions"]["BTC-USDT"] == {"quantity": "0.01", "cost": "600", "mark": "60100", "unrealized": "1"}
    assert (report["equity"], report["cash"]) == ("100001", {"USDT": "99400"})


@pytest.mark.parametrize("name", SERVICES)
def test_what_nobody_has_answered_is_null(name: str) -> None:
    """A service that is down takes its figures along, never invents them, and makes the platform unhealthy."""
    report = build_report(without(name))
    assert tuple(report) == PROMISED
    assert report["healthy"] is False
    assert report["services"][name] == {
        "up": False,
        "live": False,
        "position": None,
        "tip": None,
        "lag": None,
        "not_ready": ["does not answer"],
    }
    for key in OWN[name]:
        assert report[key] is None


def test_a_process_that_does_not_run_makes_it_unhealthy() -> None:
    """Broker and database count too, and so does the exchange."""
    found = answers()
    found.platform["processes"]["postgres"]["state"] = "waiting"
    assert build_report(found)["healthy"] is False
    assert build_report(answers(venue_up=False))["healthy"] is False


def test_a_service_that_is_catching_up_is_not_healthy_yet() -> None:
    """Up, and not live."""
    found = answers()
    risk = found.status["risk"]
    assert risk is not None
    risk["live"] = False
    report = build_report(found)
    assert (report["healthy"], report["services"]["risk"]["up"]) == (False, True)


def test_without_a_token_nothing_is_said_of_the_books() -> None:
    """And the platform is no less healthy for it."""
    report = build_report(answers(books=None))
    assert report["healthy"] is True
    assert {report[key] for key in ("cash", "equity", "realized", "fees", "drawdown")} == {None}
    assert report["positions"] is None


def test_the_table_says_the_same_to_people() -> None:
    """Everything that matters is in it, well or not."""
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(render_report(build_report(answers())))
    console.print(render_report(build_report(without("risk"))))
    text = console.export_text()
    for words in ("healthy", "NOT HEALTHY", "does not answer", "APPROVED 3  REJECTED 2", "data.stale 2", "100001"):
        assert words in text, words
    assert "BTC-USDT" in text
    assert "ETH-USDT" not in text
