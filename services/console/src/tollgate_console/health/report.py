"""The report of ``tollgate status``: pure, with the stable keys that ``--json`` promises."""

from typing import Any

from tollgate_console.health.collect import Answers

REPORT_VERSION = 1
_PLACE = ("position", "tip", "lag")
_BOOKS = ("cash", "equity", "realized", "fees", "drawdown")


def build_report(answers: Answers) -> dict[str, Any]:
    """Return the report; what nobody has answered is null.

    Keys: ``version healthy desk run_id pid started_us processes services feed mode arming_missing kill_switch intents
    decisions orders fills refusals permit positions cash equity realized fees drawdown details``.
    """
    platform, status = answers.platform, answers.status
    services = {name: _service(answers, name) for name in status}
    risk, execution = (status[name] or {} for name in ("risk", "execution"))
    books = answers.books or {}
    report: dict[str, Any] = {
        "version": REPORT_VERSION,
        "healthy": _is_healthy(answers, services),
        **{key: platform[key] for key in ("desk", "run_id", "pid", "started_us")},
        "processes": platform["processes"],
        "services": services,
        "feed": (status["marketdata"] or {}).get("feed"),
        "mode": risk.get("mode"),
        "arming_missing": risk.get("arming_missing"),
        "kill_switch": risk.get("kill_switch"),
        "intents": risk.get("intents"),
        "decisions": risk.get("decisions"),
        "orders": execution.get("orders"),
        "fills": execution.get("fills"),
        "refusals": execution.get("refusals"),
        "permit": execution.get("permit"),
        "positions": _positions(books.get("positions")),
        **{key: books.get(key) for key in _BOOKS},
        "details": status,
    }
    return report


def _service(answers: Answers, name: str) -> dict[str, Any]:
    status = answers.status[name]
    if status is None:
        return {"up": False, "live": False, **dict.fromkeys(_PLACE), "not_ready": ["does not answer"]}
    place = {key: status.get(key) for key in _PLACE}
    return {"up": True, "live": bool(status.get("live")), **place, "not_ready": answers.not_ready[name]}


def _is_healthy(answers: Answers, services: dict[str, dict[str, Any]]) -> bool:
    processes = answers.platform["processes"].values()
    return (
        answers.venue_up
        and all(process["state"] == "running" for process in processes)
        and all(service["up"] and service["live"] for service in services.values())
    )


def _positions(lines: list[dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    if lines is None:
        return None
    return {line["symbol"]: {key: value for key, value in line.items() if key != "symbol"} for line in lines}
