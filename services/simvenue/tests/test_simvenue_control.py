"""The control door: who may use it, what it refuses, and that faults do not close it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tollgate_simvenue.auth import ApiKey

Start = Callable[..., Awaitable[Any]]
FAULTS = "/sim/v1/faults"
LIMIT = {"fault": "rate_limit", "per_million": 500_000, "calls": ["account"]}


async def test_a_plan_is_put_counted_and_withdrawn(start: Start) -> None:
    client = await start()
    nothing = {"seed": 1, "rules": [], "started_us": None, "banned_until_us": None}
    assert (await client.call("GET", FAULTS)).json() == nothing
    client.stop_clock()
    put = (await client.call("PUT", FAULTS, {"seed": 9, "rules": [LIMIT]})).json()
    assert put == {
        "seed": 9,
        "rules": [{**LIMIT, "seen": 0, "happened": 0}],
        "started_us": client.clock(),
        "banned_until_us": None,
    }
    statuses = [(await client.call("GET", "/api/v1/account")).status_code for _ in range(20)]
    (rule,) = (await client.call("GET", FAULTS)).json()["rules"]
    assert (rule["seen"], rule["happened"]) == (20, statuses.count(429))
    assert 0 < statuses.count(429) < 20
    assert (await client.call("DELETE", FAULTS)).json()["rules"] == []
    assert (await client.call("GET", "/api/v1/account")).status_code == 200


async def test_the_same_seed_makes_the_same_drill(start: Start) -> None:
    client = await start()
    drills = []
    for _ in range(2):
        await client.call("PUT", FAULTS, {"seed": 3, "rules": [LIMIT]})
        drills.append([(await client.call("GET", "/api/v1/account")).status_code for _ in range(30)])
    assert drills[0] == drills[1]


async def test_a_plan_can_stand_in_the_settings(start: Start) -> None:
    client = await start(faults={"rules": [{"fault": "rate_limit"}]})
    assert (await client.call("GET", "/api/v1/account")).status_code == 429
    assert (await client.call("DELETE", FAULTS)).status_code == 200
    assert (await client.call("GET", "/api/v1/account")).status_code == 200


async def test_the_door_is_open_under_a_ban_in_maintenance_and_with_a_wrong_clock(start: Start) -> None:
    client = await start()
    rules = [
        {"fault": "maintenance", "after_ms": 5},
        {"fault": "rate_limit_storm", "calls_max": 1, "ban_ms": 60_000},
        {"fault": "clock_skew", "skew_ms": 60_000},
    ]
    client.stop_clock()
    await client.call("PUT", FAULTS, {"rules": rules})
    for _ in range(2):
        await client.call("GET", "/api/v1/account", age_us=-60_000_000)
    assert (await client.call("GET", FAULTS)).json()["banned_until_us"] == client.clock() + 60_000_000
    client.forward(5)
    assert (await client.http.get("/api/v1/time")).status_code == 503
    assert (await client.call("DELETE", FAULTS)).status_code == 200
    assert (await client.http.get("/api/v1/time")).status_code == 200


async def test_an_instrument_is_halted_and_opened_by_hand(start: Start, order: Callable[..., dict[str, Any]]) -> None:
    client = await start()
    await client.call("POST", "/api/v1/orders", order())
    halted = (await client.call("PUT", "/sim/v1/instruments/ETH-USDT", {"status": "HALTED"})).json()
    assert (halted["symbol"], halted["status"]) == ("ETH-USDT", "HALTED")
    for method, target, body in (
        ("POST", "/api/v1/orders", order(client_order_id="b")),
        ("DELETE", "/api/v1/orders/tg-1", b""),
    ):
        refused = await client.call(method, target, body)
        assert (refused.status_code, refused.json()["code"]) == (422, "INSTRUMENT_NOT_OPEN")
    await client.call("PUT", "/sim/v1/instruments/ETH-USDT", {"status": "OPEN"})
    assert (await client.call("DELETE", "/api/v1/orders/tg-1")).json()["status"] == "CANCELLED"


REFUSED: list[tuple[str, str, Any, int, str, str | None]] = [
    ("PUT", FAULTS, {"rules": [{"fault": "delay_frames"}]}, 400, "INVALID_FIELD", "rules.0"),
    ("PUT", FAULTS, {"rules": [{"fault": "weather"}]}, 400, "INVALID_FIELD", "rules.0.fault"),
    ("PUT", FAULTS, {"rules": [{"fault": "rate_limit"}] * 65}, 400, "INVALID_FIELD", "rules"),
    ("PUT", FAULTS, {"sed": 1}, 400, "INVALID_FIELD", "sed"),
    ("PUT", FAULTS, b"{", 400, "INVALID_JSON", None),
    ("PUT", FAULTS, b"[]", 400, "NOT_AN_OBJECT", None),
    ("PUT", FAULTS, b" " * 300_000, 413, "BODY_TOO_LARGE", None),
    ("POST", "/sim/v1/movements", {"type": "DEPOSIT", "currency": "USDT"}, 400, "INVALID_FIELD", "amount"),
    (
        "POST",
        "/sim/v1/movements",
        {"type": "DEPOSIT", "currency": "USDT", "amount": "-1"},
        400,
        "INVALID_FIELD",
        "body",
    ),
    ("POST", "/sim/v1/movements", {"type": "FEE", "currency": "USDT", "amount": "1"}, 400, "INVALID_FIELD", "body"),
    ("POST", "/sim/v1/movements", {"type": "DUST", "currency": "USDT", "amount": "0"}, 400, "INVALID_FIELD", "body"),
    ("POST", "/sim/v1/movements", {"type": "DUST", "currency": "USDT", "amount": 0.5}, 400, "INVALID_FIELD", "amount"),
    (
        "POST",
        "/sim/v1/movements",
        {"type": "DUST", "currency": "USDT", "amount": "0." + "0" * 16 + "1"},
        400,
        "TOO_PRECISE",
        "amount",
    ),
    (
        "POST",
        "/sim/v1/movements",
        {"type": "WITHDRAWAL", "currency": "USDT", "amount": "-100001"},
        422,
        "INSUFFICIENT_FUNDS",
        "amount",
    ),
    ("POST", "/sim/v1/busts", {"trade_id": "never"}, 404, "UNKNOWN_TRADE", "trade_id"),
    ("PUT", "/sim/v1/instruments/NO-SUCH", {"status": "OPEN"}, 422, "UNKNOWN_SYMBOL", "symbol"),
    ("PUT", "/sim/v1/instruments/ETH-USDT", {"status": "SHUT"}, 400, "INVALID_FIELD", "status"),
]


async def test_what_the_door_cannot_do_is_refused_with_the_field_and_changes_nothing(start: Start) -> None:
    client = await start()
    for method, target, body, status, code, field in REFUSED:
        answer = await client.call(method, target, body)
        said = answer.json()
        assert (answer.status_code, said["code"], said["field"]) == (status, code, field), (target, body)
    assert (await client.call("GET", FAULTS)).json()["started_us"] is None
    assert (await client.call("GET", "/api/v1/movements?since=0")).json()["movements"] == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"key": ApiKey("k" * 32, b"n" * 32)}, "BAD_SIGNATURE"),
        ({"without": "x-signature"}, "MISSING_HEADER"),
        ({"age_us": 5_000_000}, "TIMESTAMP_TOO_OLD"),
    ],
)
async def test_the_door_is_for_the_owner_only(start: Start, options: dict[str, Any], code: str) -> None:
    client = await start()
    assert (await client.call("DELETE", FAULTS, **options)).json()["code"] == code
