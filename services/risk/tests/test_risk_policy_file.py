"""The policy file: the one that ships is good, and each mistake in one is named with what was expected."""

from pathlib import Path

import pytest
import yaml

from tollgate_chassis.exits import BadConfiguration
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.policy_file import canonical_text, policy_document
from tollgate_risk.rules_file import read_rules
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import Signer

SHIPPED = Path(__file__).parents[3] / "config" / "policy.yaml"
SIGNER = Signer(bytes(range(32)))


def write(directory, rules):
    path = directory / "policy.yaml"
    path.write_text(yaml.safe_dump(rules))
    return path


def test_the_policy_that_ships_is_valid_and_for_the_default_desk(monkeypatch):
    """A fresh checkout trades on the simulated exchange as it is."""
    monkeypatch.setenv("TOLLGATE_CONFIG", str(SHIPPED.parent / "tollgate.yaml"))
    settings = RiskSettings()
    assert settings.policy_path == SHIPPED
    document = PolicyDocument.model_validate_json(canonical_text(policy_document(settings, SIGNER)))
    assert document.rules == read_rules(SHIPPED)
    assert (document.public_key, document.key_id) == (SIGNER.public_key, SIGNER.key_id)
    assert document.rules.universe.allowed == settings.symbols


def test_the_policys_text_is_canonical(monkeypatch):
    """The same rules, however they are laid out in the file, have the same text and so the same hash."""
    monkeypatch.setenv("TOLLGATE_CONFIG", str(SHIPPED.parent / "tollgate.yaml"))
    text = canonical_text(policy_document(RiskSettings(), SIGNER))
    assert text == canonical_text(policy_document(RiskSettings(), SIGNER))
    assert " " not in text.replace("real money", "")
    assert '"order_notional":"5000"' in text


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("in_settings", [False, True])
def test_settings_can_make_any_policy_a_dry_run_and_arm_none(tmp_path, monkeypatch, rules_with, in_file, in_settings):
    """A switch that only tightens: what the file says stays said."""
    monkeypatch.setenv("TOLLGATE_RISK__POLICY_FILE", str(write(tmp_path, rules_with({"arming.dry_run": in_file}))))
    monkeypatch.setenv("TOLLGATE_RISK__DRY_RUN", str(in_settings).lower())
    document = policy_document(RiskSettings(), SIGNER)
    assert document.rules.arming.dry_run is (in_file or in_settings)
    assert document.rules.arming.missing("simulated") == (("dry_run",) if in_file or in_settings else ())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"limits.order_notionl": "1"}, "limits.order_notionl: no such key", id="misspelt"),
        pytest.param({"limits.order_notional": None}, "limits.order_notional: ", id="null"),
        pytest.param({"limits.order_notional": 1.5}, "limits.order_notional: .*string.*, got 1.5", id="a float"),
        pytest.param({"limits.order_notional": 5000}, "limits.order_notional: .*string.*, got 5000", id="no quotes"),
        pytest.param({"limits.order_notional": "-1"}, "limits.order_notional: .*greater than 0", id="negative"),
        pytest.param({"limits.order_notional": "NaN"}, "limits.order_notional: .*pattern", id="NaN"),
        pytest.param({"limits.order_notional": "1e3"}, "limits.order_notional: .*pattern", id="exponent"),
        pytest.param({"limits.order_notional": "10001"}, "limits: .*order_notional <= position_notional", id="caps"),
        pytest.param({"limits.open_orders": "4"}, "limits.open_orders: .*integer, got '4'", id="a number in quotes"),
        pytest.param({"limits.open_orders": -1}, "limits.open_orders: .*greater than or equal to 0", id="below zero"),
        pytest.param({"mode": "PANIC"}, "mode: .*'NORMAL', 'REDUCE_ONLY' or 'OBSERVE_ONLY', got 'PANIC'", id="mode"),
        pytest.param({"arming.live_trading": "yes"}, "arming.live_trading: .*boolean", id="a word for a switch"),
        pytest.param({"universe.excluded": ["XRP-USDT"]}, "universe: .*XRP-USDT", id="excluded and not allowed"),
        pytest.param({"universe.allowed": []}, "universe.allowed: ", id="nothing allowed"),
        pytest.param({"universe.allowed": ["btc"]}, "universe.allowed.0: .*got 'btc'", id="no symbol"),
        pytest.param({"price.collar_bps": "0"}, "price.collar_bps: .*greater than 0", id="no room for any price"),
        pytest.param({"pace.global_spacing_ms": 86_400_001}, "pace.global_spacing_ms: .*86400000", id="beyond a day"),
    ],
)
def test_each_mistake_is_named_with_its_value_and_what_was_expected(tmp_path, rules_with, changes, said):
    """Field, value, expectation."""
    with pytest.raises(BadConfiguration, match=said):
        read_rules(write(tmp_path, rules_with(changes)))


def test_all_mistakes_are_named_at_once(tmp_path, rules_with):
    """Nobody mends a policy one error at a time; a missing key is an error, for no limit has a default."""
    rules = rules_with({"mode": "PANIC", "limits.order_notionl": "1", "cash.reserve": 1})
    del rules["limits"]["order_notional"]
    del rules["pace"]
    with pytest.raises(BadConfiguration) as refused:
        read_rules(write(tmp_path, rules))
    named = [line.strip().partition(":")[0] for line in refused.value.why.splitlines()[1:]]
    assert named == ["mode", "limits.order_notional", "limits.order_notionl", "cash.reserve", "pace"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param("[1, 2]", "a mapping of keys was expected", id="a list"),
        pytest.param("a: [", "cannot be read", id="no YAML"),
        pytest.param("", "mode: Field required", id="empty"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path, text, said):
    """The path is named, so that one knows which file."""
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadConfiguration, match=said) as refused:
        read_rules(path)
    assert str(path) in refused.value.why


@pytest.mark.parametrize(
    ("rules", "environment", "said"),
    [
        pytest.param(
            {
                "universe.allowed": ["DOGE-USDT"],
                "limits.position_units": [{"symbol": "DOGE-USDT", "units": "1"}],
            },
            {},
            "universe.allowed names DOGE-USDT",
            id="not one of the desk's",
        ),
        pytest.param({}, {"TOLLGATE_QUOTE_CURRENCY": "EUR"}, "expected only pairs in EUR", id="another currency"),
    ],
)
def test_a_policy_for_another_desk_is_refused(tmp_path, monkeypatch, rules_with, rules, environment, said):
    """Rules and desk are checked against each other before anything starts."""
    path = write(tmp_path, rules_with(rules))
    monkeypatch.setenv("TOLLGATE_RISK__POLICY_FILE", str(path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadConfiguration, match=said):
        canonical_text(policy_document(RiskSettings(), SIGNER))
