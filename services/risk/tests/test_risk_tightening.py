"""Which changes of the policy are tighter: knob by knob, and that what they let through was let through before."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType
from tollgate_risk.core.case import open_case
from tollgate_risk.core.gates import judge
from tollgate_risk.core.policy import PolicyRules
from tollgate_risk.core.tightening import changes, knobs
from tollgate_risk.core.tightness import Tighter

RULE = {"enter": "100", "leave": "50", "response": "REDUCE_ONLY"}
FLOOR = {"enter": "50", "leave": "100", "response": "REDUCE_ONLY"}
GROUPS = [
    {"name": "majors", "symbols": ["BTC-USDT", "ETH-USDT"], "exposure": "9000"},
    {"name": "others", "symbols": ["SOL-USDT"], "exposure": "8000"},
]
CAPS = [{"symbol": symbol, "units": "100"} for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT")]


@pytest.fixture(scope="session")
def parse(rules_with):
    """Return rules with lists, exclusions and conditions to be tightened, and changes by dotted path."""

    def parsed(**differences):
        base = {
            "limits.groups": GROUPS,
            "limits.position_units": CAPS,
            "universe.excluded": ["SOL-USDT"],
            "intents.allow_market_orders": True,
            "arming.live_trading": True,
            "mode": "REDUCE_ONLY",
            **{f"modes.conditions.{name}": RULE for name in ("daily_loss", "feed")},
            "modes.conditions.win_rate": FLOOR,
        }
        return PolicyRules.model_validate_json(json.dumps(rules_with({**base, **differences})))

    return parsed


def test_every_knob_says_which_way_is_tighter():
    """A new knob without a direction cannot be forgotten."""
    found = dict(knobs())
    assert [knob for knob, direction in found.items() if direction is None] == []
    assert len(found) > 90
    assert found["limits.position_units.*.units"] is Tighter.LOWER
    assert found["modes.conditions.win_rate.enter"] is Tighter.HIGHER
    assert set(found.values()) == set(Tighter)


def test_the_same_rules_differ_in_nothing(parse):
    assert changes(parse(), parse()) == ()


ROWS = [
    pytest.param({"limits.open_orders": 3}, [("limits.open_orders", "4", "3", True)], id="lower"),
    pytest.param({"limits.open_orders": 5}, [("limits.open_orders", "4", "5", False)], id="not lower"),
    pytest.param({"limits.order_notional": "4999.99"}, [("limits.order_notional", "5000", "4999.99", True)], id="cent"),
    pytest.param({"limits.order_notional": "5000.00"}, [], id="the same amount with more zeros"),
    pytest.param({"cash.reserve": "1001"}, [("cash.reserve", "1000", "1001", True)], id="higher"),
    pytest.param({"cash.reserve": "999"}, [("cash.reserve", "1000", "999", False)], id="not higher"),
    pytest.param(
        {"universe.allowed": ["BTC-USDT", "SOL-USDT"]},
        [("universe.allowed", "BTC-USDT, ETH-USDT, SOL-USDT", "BTC-USDT, SOL-USDT", True)],
        id="fewer",
    ),
    pytest.param(
        {
            "universe.allowed": ["BTC-USDT", "SOL-USDT", "XRP-USDT"],
            "limits.position_units": [*CAPS, {"symbol": "XRP-USDT", "units": "1"}],
        },
        [
            ("universe.allowed", "BTC-USDT, ETH-USDT, SOL-USDT", "BTC-USDT, SOL-USDT, XRP-USDT", False),
            ("limits.position_units", "BTC-USDT, ETH-USDT, SOL-USDT", "BTC-USDT, ETH-USDT, SOL-USDT, XRP-USDT", False),
        ],
        id="another instead of one",
    ),
    pytest.param(
        {"universe.excluded": ["SOL-USDT", "BTC-USDT"]},
        [("universe.excluded", "SOL-USDT", "SOL-USDT, BTC-USDT", True)],
        id="more",
    ),
    pytest.param({"universe.excluded": []}, [("universe.excluded", "SOL-USDT", "none", False)], id="not more"),
    pytest.param({"mode": "OBSERVE_ONLY"}, [("mode", "REDUCE_ONLY", "OBSERVE_ONLY", True)], id="severer"),
    pytest.param({"mode": "NORMAL"}, [("mode", "REDUCE_ONLY", "NORMAL", False)], id="milder"),
    pytest.param({"arming.dry_run": True}, [("arming.dry_run", "false", "true", True)], id="on"),
    pytest.param({"arming.live_trading": False}, [("arming.live_trading", "true", "false", True)], id="off"),
    pytest.param(
        {"intents.allow_market_orders": False}, [("intents.allow_market_orders", "true", "false", True)], id="off too"
    ),
    pytest.param({"revision": 2}, [("revision", "1", "2", False)], id="never"),
    pytest.param({"cash.treasury_share_bps": "1"}, [("cash.treasury_share_bps", "0", "1", False)], id="never either"),
    pytest.param(
        {"limits.position_units": [CAPS[2], CAPS[0], {**CAPS[1], "units": "99"}]},
        [("limits.position_units.ETH-USDT.units", "100", "99", True)],
        id="a member of a list, whatever its place",
    ),
    pytest.param(
        {"limits.groups": GROUPS[:1]}, [("limits.groups", "majors, others", "majors", False)], id="a group less"
    ),
    pytest.param(
        {"limits.groups": [{**GROUPS[0], "symbols": ["BTC-USDT", "ETH-USDT", "SOL-USDT"], "exposure": "1"}, GROUPS[1]]},
        [
            ("limits.groups.majors.symbols", "BTC-USDT, ETH-USDT", "BTC-USDT, ETH-USDT, SOL-USDT", True),
            ("limits.groups.majors.exposure", "9000", "1", True),
        ],
        id="a group that holds more and may hold less",
    ),
    pytest.param(
        {"limits.groups": [{**GROUPS[0], "symbols": ["BTC-USDT"]}, GROUPS[1]]},
        [("limits.groups.majors.symbols", "BTC-USDT, ETH-USDT", "BTC-USDT", False)],
        id="a group that lets one go",
    ),
    pytest.param(
        {"modes.conditions.feed": {**RULE, "enter": "90", "leave": "60"}},
        [
            ("modes.conditions.feed.enter", "100", "90", True),
            ("modes.conditions.feed.leave", "50", "60", False),
        ],
        id="a condition that begins sooner and ends sooner",
    ),
    pytest.param(
        {"modes.conditions.win_rate": {**FLOOR, "enter": "60", "response": "OBSERVE_ONLY"}},
        [
            ("modes.conditions.win_rate.enter", "50", "60", True),
            ("modes.conditions.win_rate.response", "REDUCE_ONLY", "OBSERVE_ONLY", True),
        ],
        id="a floor",
    ),
    pytest.param(
        {"modes.conditions.feed": None},
        [("modes.conditions.feed", '{"enter":"100","leave":"50","response":"REDUCE_ONLY"}', "null", False)],
        id="a condition switched off",
    ),
    pytest.param(
        {"modes.conditions.drawdown": RULE},
        [("modes.conditions.drawdown", "null", '{"enter":"100","leave":"50","response":"REDUCE_ONLY"}', False)],
        id="a condition switched on",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("differences", "found"), ROWS)
def test_a_change_is_named_with_both_values_and_judged(parse, differences, found):
    made = changes(parse(), parse(**differences))
    assert [(one.knob, one.old, one.new, one.is_tighter) for one in made] == found


@pytest.mark.parametrize(("differences", "found"), ROWS)
def test_no_change_is_tighter_both_ways(parse, differences, found):
    """Whatever may be done while the desk runs cannot be undone while it runs."""
    back = {one.knob: one.is_tighter for one in changes(parse(**differences), parse())}
    assert not any(is_tighter and back[knob] for knob, _, _, is_tighter in found)


# Each knob wide open, and where it decides. A policy has a few of the latter, so that each has cases of its own.
_KNOBS = {
    "limits.order_notional": ("900", ["450", "500"]),
    "limits.cycle_notional": ("9000", ["450", "600"]),
    "limits.position_notional": ("9000", ["900", "1000"]),
    "limits.gross_exposure": ("90000", ["9000"]),
    "limits.net_exposure": ("90000", ["500", "900"]),
    "limits.concentration_bps": ("9000", ["50", "90"]),
    "limits.groups": ([], [[{"name": "g", "symbols": ["BTC-USDT"], "exposure": e}] for e in ("500", "600")]),
    "limits.position_units": ("100", ["5", "7"]),
    "limits.open_orders": (9, [1, 2]),
    "limits.open_orders_symbol": (9, [1, 2]),
    "limits.orders_per_cycle": (9, [1, 2]),
    "limits.reducing_orders_per_cycle": (9, [0, 1]),
    "universe.allowed": (["BTC-USDT", "ETH-USDT", "SOL-USDT"], [["BTC-USDT", "ETH-USDT"], ["BTC-USDT"]]),
    "universe.excluded": ([], [["BTC-USDT"]]),
    "arming.dry_run": (False, [True]),
    "cash.reserve": ("0", ["99400", "99600"]),
    "price.collar_bps": ("1000", ["30", "50"]),
    "pace.global_spacing_ms": (0, [20, 50]),
    "pace.symbol_cooldown_ms": (0, [20, 50]),
    "pace.reducing_symbol_cooldown_ms": (0, [20, 50]),
    "pace.rate_per_s": (1000, [1, 10]),
    "pace.burst": (1000, [1, 2]),
    "pace.orders_per_hour": (1000, [1, 2]),
    "pace.orders_per_day": (1000, [1, 2]),
    "data.quote_age_ms_max": (1000, [50, 100]),
    "data.clock_skew_ms_max": (1000, [50, 100]),
    "intents.life_ms_max": (9000, [1500, 2000]),
    "intents.repeat_ms": (0, [20, 50]),
}
_GROUP = [{"name": "g", "symbols": ["BTC-USDT"], "exposure": "90000"}]
_SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")


@st.composite
def policies(draw, rules_with):
    binding = draw(st.lists(st.sampled_from(sorted(_KNOBS)), max_size=3, unique=True))
    chosen = {
        knob: draw(st.sampled_from(narrow)) if knob in binding else wide for knob, (wide, narrow) in _KNOBS.items()
    }
    chosen["limits.position_units"] = [
        {"symbol": symbol, "units": chosen["limits.position_units"]} for symbol in _SYMBOLS
    ]
    chosen["limits.groups"] = chosen["limits.groups"] or _GROUP
    return rules_with(chosen)


@st.composite
def towards(draw, old, new):
    """Take each knob of ``new`` that is tighter, and keep that of ``old`` where it is not, or now and then anyway."""
    mixed = copy.deepcopy(old)
    parsed_old, parsed_new = _parsed(old), _parsed(new)
    tighter = {one.knob for one in changes(parsed_old, parsed_new) if one.is_tighter}
    for section, content in new.items():
        if not isinstance(content, dict):
            if section in tighter:
                mixed[section] = content
            continue
        for key, value in content.items():
            knob = f"{section}.{key}"
            below = [one for one in changes(parsed_old, parsed_new) if one.knob.startswith(f"{knob}.")]
            is_tighter = knob in tighter or (below and all(one.is_tighter for one in below))
            if is_tighter and draw(st.integers(0, 9)):
                mixed[section][key] = value
    return mixed


def _parsed(rules):
    return PolicyRules.model_validate_json(json.dumps(rules))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_a_tightening_lets_through_was_let_through_before(data, new_desk, rules_with):
    """Of random pairs the allowed ones; each judged over the same desk, with orders open and a position held."""
    old = data.draw(policies(rules_with))
    new = data.draw(towards(old, data.draw(policies(rules_with))))
    try:
        tightened = _parsed(new)
    except ValueError:
        return
    assert all(one.is_tighter for one in changes(_parsed(old), tightened))
    desk = new_desk().open()
    desk.hold(data.draw(st.sampled_from(["0.01", "4", "6"])))
    for _ in range(data.draw(st.integers(0, 2))):
        symbol = data.draw(st.sampled_from(_SYMBOLS[:2]))
        desk.ask(data.draw(st.sampled_from(["BUY", "SELL"])), "1", "100", symbol=symbol)
    desk.policy(_differences(old))
    desk.wait(data.draw(st.sampled_from([0, 10_000, 20_000, 90_000, 100_001])))
    state, document = desk.core.state, desk.core.state.policy
    assert document is not None
    for side in ("BUY", "SELL", "BUY"):
        quantity = data.draw(st.sampled_from(["1", "3", "4.5", "5", "8"]))
        price = data.draw(st.sampled_from(["99.2", "99.6", "100", "100.4", "100.9"]))
        intent = desk.intent(side, quantity, price, symbol=data.draw(st.sampled_from(_SYMBOLS)))
        before = judge(open_case(intent, state, document))
        after = judge(open_case(intent, state, document.model_copy(update={"rules": tightened})))
        assert not before or after, f"{[one.code for one in before]} let through"


def _differences(rules):
    found = {}
    for section, content in rules.items():
        inner = content if isinstance(content, dict) else {"": content}
        found |= {f"{section}.{key}".strip("."): value for key, value in inner.items()}
    return found


def test_a_market_order_under_a_narrower_collar_is_a_smaller_order(new_desk, parse, rules_with):
    """The one thing that a tightening may let through: its bound, and so its worst value, has come down."""
    wide = {"intents.allow_market_orders": True, "price.collar_bps": "100"}
    desk = new_desk().open(wide)
    intent = desk.intent("BUY", "49.6", None, order_type=OrderType.MARKET)
    document = desk.core.state.policy
    before = judge(open_case(intent, desk.core.state, document))
    assert [one.code for one in before] == [Reason.LIMIT_ORDER_NOTIONAL]
    narrow = _parsed(rules_with({**wide, "price.collar_bps": "50"}))
    case = open_case(intent, desk.core.state, document.model_copy(update={"rules": narrow}))
    assert judge(case) == ()
    assert case.value <= narrow.limits.order_notional < open_case(intent, desk.core.state, document).value
